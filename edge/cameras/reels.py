"""Reels: sources whose frames have numbers and wait for us. The synthetic street, a video file, a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge.cameras.frame import VOID, CameraError, Image, Mask
from edge.cameras.source import SourceSpec

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
Picture = tuple[Image, "Mask | None"]


class Reel(Protocol):
    """Numbered frames. `fps` is the rate that the reel itself states, None when it states none."""

    fps: float | None

    def frame(self, index: int) -> Picture | None:
        """Frame `index` (0 or more; each call asks for a later one), or None past the end. Raises CameraError."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


def open_reel(spec: SourceSpec) -> Reel:
    """The reel that `spec` names. Raises CameraError when it cannot be read."""
    openers: dict[str, Callable[[SourceSpec], Reel]] = {
        "synthetic": SyntheticReel,
        "video": VideoReel,
        "folder": FolderReel,
    }
    return openers[spec.kind](spec)


class SyntheticReel:
    """The synthetic street at its rate (30 frames a second of its own time when it is not paced); never ends."""

    def __init__(self, spec: SourceSpec) -> None:
        from edge.cameras.synthetic import SyntheticStreet

        self._street = SyntheticStreet(spec.height or 360, spec.width or 480, spec.seed)
        self.fps: float | None = spec.fps or 30.0

    def frame(self, index: int) -> Picture | None:
        return self._street.render(index / (self.fps or 30.0))

    def close(self) -> None:
        pass


class VideoReel:
    """A video file, decoded forwards; skipped frames are decoded as far as the codec needs and thrown away."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        try:
            with open(spec.path, "rb"):
                pass
        except OSError as error:
            raise CameraError(f"video {spec.path}: {error.strerror or error}; check the path and its rights") from error
        self._capture = cv2.VideoCapture(spec.path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        # One decoding thread: cores belong to inference. An opened capture proves nothing: only a decoded frame does.
        read, image = self._capture.read() if self._capture.isOpened() else (False, None)
        if not read or image is None:
            raise CameraError(
                f"video {spec.path}: no frame can be decoded; it is damaged, empty or of an unknown format. "
                "Play it elsewhere, or convert it, e.g. with: ffmpeg -i IN -c:v libx264 OUT.mp4"
            )
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = rate if 0.01 <= rate <= 1000 else None
        self._stated = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._first: Image | None = np.asarray(image, np.uint8)
        self._at = 0  # the number of the frame that the next read gives

    @property
    def short_by(self) -> int:
        """How many frames the file's header promises beyond those that could be decoded so far."""
        return max(0, self._stated - self._at)

    def frame(self, index: int) -> Picture | None:
        while self._at < index:
            if self._first is not None:
                self._first = None
            elif not self._capture.grab():
                return None
            self._at += 1
        image, self._first = self._first, None
        if image is None:
            read, decoded = self._capture.read()
            if not read or decoded is None:
                return None
            image = np.asarray(decoded, np.uint8)
        self._at += 1
        return image, None

    def close(self) -> None:
        self._capture.release()


class FolderReel:
    """The images of a folder in the order of their names, with their masks where there are any."""

    fps: float | None = None

    def __init__(self, spec: SourceSpec) -> None:
        self._images = _pictures(Path(spec.path))
        if not self._images:
            raise CameraError(f"folder {spec.path}: no images in it; expected {', '.join(_SUFFIXES)}")
        self._void = spec.void
        self._masks: dict[str, Path] | None = None
        if spec.masks is not None:
            self._masks = {path.stem: path for path in _pictures(Path(spec.masks))}
        self.frame(0)  # so that an unreadable folder is refused when it is opened

    def frame(self, index: int) -> Picture | None:
        if index >= len(self._images):
            return None
        path = self._images[index]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise CameraError(f"{path}: not an image that can be decoded; remove or replace the file")
        truth = None
        if self._masks is not None and path.stem in self._masks:
            truth = _read_mask(self._masks[path.stem], image.shape[:2], self._void)
        return np.asarray(image, np.uint8), truth

    def close(self) -> None:
        pass


def _pictures(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise CameraError(f"folder {folder}: {error.strerror or error}; check the path and its rights") from error


def _read_mask(path: Path, size: tuple[int, ...], void: int | None) -> Mask:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise CameraError(f"{path}: not a mask that can be decoded; remove or replace the file")
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise CameraError(
            f"{path}: a mask must be a greyscale PNG of class ids; this one holds colours or a palette. "
            "Use masks=none, or convert it, e.g. with Pillow: Image.fromarray(np.array(Image.open(IN))).save(OUT)"
        )
    if mask.shape != tuple(size):
        raise CameraError(
            f"{path}: mask is {mask.shape[0]}x{mask.shape[1]} but its image is {size[0]}x{size[1]} (height x width)"
        )
    if void is not None:
        mask[mask == void] = VOID
    return np.asarray(mask, np.uint8)
