"""Masks side by side as pictures in a page, and where a path's mask is not the full path's."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from converters.search.images import Frame, Mask
from edge.tasks.draw import draw
from edge.tasks.palette import Palette

_WIDTH = 320
_QUALITY = 82
_RED = (60, 60, 235)


def photo(frame: Frame) -> str:
    """The frame itself."""
    return _data_uri(frame)


def masked(frame: Frame, mask: Mask, palette: Palette) -> str:
    """The frame under its mask's colours; what has no label stays as it is."""
    return _data_uri(draw(frame, mask, palette, alpha=0.7))


def disagreement(frame: Frame, mask: Mask, full: Mask) -> str:
    """The frame in pale grey, red where the two masks differ."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    pale = np.asarray(255 - (255 - grey) * 0.45, np.uint8)
    pale[mask != full] = _RED
    return _data_uri(pale)


def _data_uri(picture: npt.NDArray[np.uint8]) -> str:
    height = round(picture.shape[0] * _WIDTH / picture.shape[1])
    small = cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
