from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Counted = Callable[..., Path]


def number_in(image: np.ndarray) -> int:
    """The number that `numbered` wrote into the picture: eight black or white bars."""
    bars = image.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1) > 127
    return int(sum(1 << bit for bit, lit in enumerate(bars) if lit))


def numbered(number: int, height: int = 48, width: int = 128) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            image[:, bit * width // 8 : (bit + 1) * width // 8] = 255
    return image


@pytest.fixture
def video(tmp_path: Path) -> Counted:
    """Writes a video whose frame n shows the number n."""

    def write(frames: int, name: str = "clip.avi", fourcc: str = "MJPG", fps: float = 25.0) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (128, 48))
        assert writer.isOpened()
        for number in range(frames):
            writer.write(numbered(number))
        writer.release()
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Counted:
    """Writes images that show their number, the third larger than the rest, and masks of the CamVid layout."""

    def write(images: int, large: int = 2, masks: bool = True) -> Path:
        home = tmp_path / "street"
        home.mkdir()
        (tmp_path / "streetannot").mkdir() if masks else None
        for number in range(images):
            size = (96, 256) if number == large else (48, 128)
            cv2.imwrite(str(home / f"{number:03}.png"), numbered(number, *size))
            if masks:
                mask = np.full(size, number % 11, np.uint8)
                mask[0] = 11
                cv2.imwrite(str(tmp_path / "streetannot" / f"{number:03}.png"), mask)
        return home

    return write


def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Wait for `condition`; the limit only ends a test that fails."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
