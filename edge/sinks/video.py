"""A video of what the network saw: mask over frame, and a strip below that says variant, reason, watts, heat, charge.

H.264 through PyAV (extra ``[video]``), so that a browser plays it. Time stamps are the frames' own, so that the video
runs as the stream did, gaps included.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import JoulepathError
from edge.pipeline import Shown
from edge.status import Status
from edge.tasks.draw import draw

STRIP_HEIGHT = 92
MIN_WIDTH = 640
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _GREY, _DARK = (240, 240, 240), (170, 170, 170), (28, 24, 22)


class VideoSink:
    """Writes ``path`` until `close`. Raises JoulepathError when PyAV is missing or the file cannot be made."""

    def __init__(self, path: Path, palette: npt.NDArray[np.uint8], status: Callable[[], Status]) -> None:
        try:
            import av
        except ImportError as error:
            raise JoulepathError("the overlay video needs PyAV: pip install 'joulepath[video]'") from error
        self.path, self._palette, self._status, self._av = path, palette, status, av
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(path.name + ".partial")
        try:
            self._container: Any = av.open(str(self._partial), "w", format="mp4", options={"movflags": "faststart"})
        except OSError as error:
            raise JoulepathError(f"{path}: cannot be written ({error}); choose another place") from error
        self._stream: Any = None
        self._first_ns = 0
        self._last_pts = -1

    def show(self, shown: Shown) -> None:
        """Encode one frame; the picture keeps the size of the first one."""
        picture = compose(shown, self._palette, self._status())
        if self._stream is None:
            self._open_stream(picture.shape[1], picture.shape[0])
            self._first_ns = shown.served.start_ns
        if picture.shape[:2] != (self._stream.height, self._stream.width):
            picture = cv2.resize(picture, (self._stream.width, self._stream.height))
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
        frame.pts = max(self._last_pts + 1, (shown.served.start_ns - self._first_ns) // 1_000_000)
        self._last_pts = frame.pts
        frame.time_base = Fraction(1, 1000)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _open_stream(self, width: int, height: int) -> None:
        stream = self._container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        # Quick presets: the encoder shares the board's cores with inference.
        stream.options = {"preset": "ultrafast", "crf": "26", "threads": "1"}
        self._stream = stream

    def close(self) -> None:
        """Finish the file; without a single frame there is none."""
        if self._container is None:
            return
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._container.close()
        self._container = None
        if self._stream is not None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)


def compose(shown: Shown, palette: npt.NDArray[np.uint8], status: Status) -> npt.NDArray[np.uint8]:
    """The picture of one frame: HxWx3 uint8 BGR with even sides, at least 640 pixels wide."""
    image = shown.frame.image
    scale = max(1.0, MIN_WIDTH / image.shape[1])
    width, height = (2 * round(side * scale / 2) for side in (image.shape[1], image.shape[0]))
    big = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) if scale > 1 else image[:height, :width]
    mask = cv2.resize(shown.answer, (width, height), interpolation=cv2.INTER_NEAREST)
    picture = np.empty((height + STRIP_HEIGHT, width, 3), np.uint8)
    picture[:height] = draw(big, mask.astype(np.uint8), palette, 0.5)
    picture[height:] = _DARK
    _strip(picture[height:], shown, status)
    return picture


def _strip(strip: npt.NDArray[np.uint8], shown: Shown, status: Status) -> None:
    width = strip.shape[1]
    _text(strip, 12, 24, shown.variant, _WHITE, 0.6)
    _text(strip, 12, 46, _fit(_ascii(status.reason), (width - 24) // 8), _GREY, 0.42)
    figures = [
        _known(status.power_w, "{:.2f} W"),
        _known(status.energy_per_frame_j, "{:.3f} J/frame ") + f"({status.power_method})",
        _known(status.fps, "{:.1f} fps"),
        "mIoU " + _known(None if shown.miou is None else 100 * shown.miou, "{:.0f} %"),
    ]
    _text(strip, 12, 76, "   ".join(figures), _WHITE, 0.46)
    _gauge(
        strip, width - 150, 12, "battery", status.battery, _known(status.battery and 100 * status.battery, "{:.0f} %")
    )
    heat = None if status.temperature_c is None else (status.temperature_c - 30) / 60
    _gauge(strip, width - 150, 52, "heat", heat, _known(status.temperature_c, "{:.1f} C"), hot=True)


def _gauge(
    strip: npt.NDArray[np.uint8], x: int, y: int, name: str, share: float | None, label: str, hot: bool = False
) -> None:
    _text(strip, x, y + 8, name, _GREY, 0.4)
    _text(strip, x + 84, y + 8, label, _WHITE, 0.42)
    cv2.rectangle(strip, (x, y + 14), (x + 138, y + 22), (70, 66, 62), -1)
    if share is not None:
        good = share < 0.7 if hot else share > 0.25
        colour = (110, 190, 90) if good else (70, 90, 230)
        cv2.rectangle(strip, (x, y + 14), (x + int(138 * min(1.0, max(0.0, share))), y + 22), colour, -1)


def _text(strip: npt.NDArray[np.uint8], x: int, y: int, text: str, colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(strip, text, (x, y), _FONT, size, colour, 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    # OpenCV's stroke font has ASCII only.
    return text.replace("°", " ").replace("–", "-").encode("ascii", "replace").decode()


def _fit(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _known(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)
