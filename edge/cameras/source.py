"""The one reader of `--camera` texts.

    synthetic[:HxW][@FPS][,seed=N]           the synthetic street; 360x480@15 by default, @0: every frame, as a file
    FILE[@FPS|@realtime]                     a video; every frame, or as a live camera of that rate
    DIR[@FPS][,masks=DIR|none][,void=ID]     a folder of images, likewise
    /dev/videoN | N [:HxW][@FPS][,MJPG|YUYV] a V4L2 camera, YUYV by default; likewise /dev/v4l/by-id/NAME

HxW is height x width in pixels. A folder's ground truth is read from `masks=`, or from the sibling `DIRannot` where
there is one (the CamVid layout, in which id 11 is void); `void=` names the id that means "not labelled" (255 always
does). A path that exists as it is written is taken as it is, even when it holds an `@` or a comma.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from edge.cameras.frame import SourceSyntaxError

FORMS = (
    "synthetic[:HxW][@FPS][,seed=N] | VIDEO_FILE[@FPS|@realtime] | IMAGE_DIR[@FPS][,masks=DIR|none][,void=ID] | "
    "/dev/videoN[:HxW][@FPS][,MJPG|YUYV]"
)
Kind = Literal["synthetic", "video", "folder", "v4l2"]
CAMVID_VOID = 11
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
NAMED_DEVICES = "/dev/v4l/"
_NAMED_SIZE = re.compile(r":(\d{1,5}x\d{1,5})$")
_DEVICE = re.compile(r"(?:/dev/video)?(\d{1,3})")
_LARGEST = 8192


@dataclass(frozen=True)
class SourceSpec:
    """A source, read from its text. `fps` is None for the source's own rate or pace, `rate=realtime` is `own_pace`."""

    text: str
    kind: Kind
    path: str = ""
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    own_pace: bool = False
    seed: int = 0
    masks: str | None = None
    void: int | None = None
    fourcc: str = "YUYV"

    @property
    def live(self) -> bool:
        """Whether frames that nobody fetches are skipped."""
        if self.kind == "v4l2":
            return True
        if self.kind == "synthetic":
            return self.fps != 0
        return self.own_pace or bool(self.fps)

    def to_json(self) -> str:
        """As the child process gets it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceSpec:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


def parse_source(text: str) -> SourceSpec:
    """Read a `--camera` text; the grammar is this module's docstring. Raises SourceSyntaxError."""
    if not text.strip():
        raise SourceSyntaxError(f"no camera named; use one of: {FORMS}")
    if "\0" in text:
        raise SourceSyntaxError("a camera's name cannot hold a NUL character")
    if text in ("synthetic",) or re.match(r"synthetic[:@,]", text):
        return _synthetic(text)
    if text.startswith(NAMED_DEVICES):  # also when it is not plugged in: a device may be waited for
        return _named_device(text)
    if not _exists(text) or _DEVICE.fullmatch(text):
        head = re.split(r"[:@,]", text, maxsplit=1)[0]
        if (device := _DEVICE.fullmatch(head)) is not None:
            return _device(text, int(device[1]))
    return _files(text)


def _exists(text: str) -> bool:
    try:
        return _path(text).exists()
    except OSError:
        return False


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # unlike Path.expanduser it leaves an unknown user's name as it is


def _fail(text: str, why: str) -> SourceSyntaxError:
    return SourceSyntaxError(f"camera {text!r}: {why}; use one of: {FORMS}")


def _synthetic(text: str) -> SourceSpec:
    body, options = _split_options(text)
    body, rate = _split_rate(text, body)
    _, _, size = body.partition(":")
    height, width = _size(text, size) if ":" in body else (360, 480)
    _known(text, options, {"seed"})
    seed = _whole(text, "seed", options["seed"], 0, 2**63 - 1) if "seed" in options else 0
    fps = 15.0 if rate is None else _rate(text, rate, zero=True)
    return SourceSpec(text, "synthetic", height=height, width=width, fps=fps, seed=seed)


def _device(text: str, number: int) -> SourceSpec:
    body, options = _split_options(text)
    body, rate = _split_rate(text, body)
    _, colon, size = body.partition(":")
    height, width = _size(text, size) if colon else (None, None)
    fourcc = [name.upper() for name, value in options.items() if value == "" and len(name) == 4]
    _known(text, {name: value for name, value in options.items() if name.upper() not in fourcc}, set())
    if len(fourcc) > 1:
        raise _fail(text, f"one pixel format, not {len(fourcc)}")
    fps = None if rate is None else _rate(text, rate)
    return SourceSpec(
        text, "v4l2", path=f"/dev/video{number}", height=height, width=width, fps=fps, fourcc=(fourcc or ["YUYV"])[0]
    )


def _named_device(text: str) -> SourceSpec:
    """`/dev/v4l/by-id/NAME` or `by-path/NAME`, whose names hold colons of their own but no `@` and no comma."""
    if _exists(text):
        return SourceSpec(text, "v4l2", path=text)
    body, options = _split_options(text)
    body, rate = _split_rate(text, body)
    size = _NAMED_SIZE.search(body)
    path, given = (body[: size.start()], f":{size[1]}") if size else (body, "")
    tail = "".join(f",{name}" + (f"={value}" if value else "") for name, value in options.items())
    as_number = _device("0" + given + ("" if rate is None else f"@{rate}") + tail, 0)
    return replace(as_number, text=text, path=path)


def _files(text: str) -> SourceSpec:
    if _exists(text):
        body, rate = text, None
        options: dict[str, str] = {}
    else:
        body, options = _split_options(text)
        body, rate = _split_rate(text, body)
    path = _path(body)
    if not body or not _exists(body):
        raise _fail(text, f"no such file, directory or device: {body!r}")
    if path.is_char_device():  # a camera by a name of its own, a link to it say
        return SourceSpec(text, "v4l2", path=str(path))
    own_pace = rate == "realtime"
    fps = None if rate is None or own_pace else _rate(text, rate, zero=True) or None
    if not path.is_dir():
        _known(text, options, set())
        return SourceSpec(text, "video", path=str(path.resolve()), fps=fps, own_pace=own_pace)
    if own_pace:
        raise _fail(text, "a folder of images has no rate of its own; write it as @FPS")
    _known(text, options, {"masks", "void"})
    masks, void = _masks(text, path.resolve(), options)
    return SourceSpec(text, "folder", path=str(path.resolve()), fps=fps, masks=masks, void=void)


def _masks(text: str, images: Path, options: dict[str, str]) -> tuple[str | None, int | None]:
    void = _whole(text, "void", options["void"], 0, 255) if "void" in options else None
    named = options.get("masks")
    if named == "none":
        return None, None
    if named is not None:
        folder = _path(named)
        if not named or not folder.is_dir():
            raise _fail(text, f"masks={named}: no such directory")
        return str(folder.resolve()), void
    sibling = images.with_name(images.name + "annot") if images.name else images / "annot"
    if not sibling.is_dir():
        return None, None
    return str(sibling), CAMVID_VOID if void is None else void


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    body, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("=")
        if not name or name in options:
            raise _fail(text, f"option {part!r} is empty or given twice")
        options[name] = value
    return body, options


def _split_rate(text: str, body: str) -> tuple[str, str | None]:
    if "@" not in body:
        return body, None
    head, _, rate = body.rpartition("@")
    return head, rate


def _known(text: str, options: dict[str, str], names: set[str]) -> None:
    for name in options:
        if name not in names:
            allowed = ", ".join(sorted(names)) or "none"
            raise _fail(text, f"unknown option {name!r} (this kind of source has: {allowed})")


def _size(text: str, size: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(size)
    if match is None:
        raise _fail(text, f"{size!r} is not a size; write HEIGHTxWIDTH, e.g. 360x480")
    height, width = int(match[1]), int(match[2])
    if not (16 <= height <= _LARGEST and 16 <= width <= _LARGEST):
        raise _fail(text, f"size {size} is outside 16..{_LARGEST} pixels")
    return height, width


def _rate(text: str, rate: str, *, zero: bool = False) -> float:
    try:
        fps = float(rate)
    except ValueError:
        raise _fail(text, f"{rate!r} is not a rate; write frames a second, e.g. @15") from None
    if zero and fps == 0:
        return 0.0
    if not math.isfinite(fps) or not 0.01 <= fps <= 1000:
        raise _fail(text, f"a rate of {rate} is outside 0.01..1000 frames a second")
    return fps


def _whole(text: str, name: str, value: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,19}", value) or not low <= int(value) <= high:
        raise _fail(text, f"{name}={value}: expected a whole number from {low} to {high}")
    return int(value)
