"""Python and the libraries that serve."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from edge.bench.machine import installed_version
from edge.doctor.finding import Finding
from edge.engines.contract import EngineError
from edge.engines.litert import open_litert


def software_findings() -> Iterator[Finding]:
    """Interpreter, engine, OpenCV."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.machine()}")
    yield _engine()
    yield _opencv()


def _engine() -> Finding:
    try:
        engine = open_litert()
    except EngineError as error:
        return Finding("wrong", "engine", str(error), "pip install ai-edge-litert")
    numpy = installed_version("numpy") or "unknown"
    text = f"{engine.name} {engine.version}, numpy {numpy}"
    if engine.name == "tflite-runtime" and not numpy.startswith("1."):
        return Finding("wrong", "engine", f"{text}: tflite-runtime needs numpy < 2", "pip install 'numpy<2'")
    if engine.name == "tflite-runtime":
        return Finding(
            "note", "engine", f"{text}: works; its successor is faster", "pip install ai-edge-litert, where it exists"
        )
    return Finding("ok", "engine", text)


def _opencv() -> Finding:
    try:
        import cv2
    except ImportError as error:
        remedy = "apt install libgl1 libglib2.0-0   or: pip install opencv-python-headless"
        return Finding("wrong", "opencv", f"cannot be imported: {error}", remedy)
    return Finding("ok", "opencv", str(cv2.__version__))
