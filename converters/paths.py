"""Execution paths: which blocks of a network run, how wide they are, at what resolution, for which classes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from converters.errors import ConvertError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
SMALLEST_SIZE = 32
DECODER_STRIDES = (1, 2)

Choice = Literal["first", "importance"]
Compensation = Literal["none", "ridge"]


@dataclass(frozen=True)
class ExecutionPath:
    """A route through pretrained weights: the block indices kept in each stage, and what else is cut.

    `size` is the input (height, width), None for the bundle's. One number a stage, empty where nothing is cut: `ffn`
    is the share of hidden channels that feed-forward layers keep (0..1], `pool` a factor by which keys and values are
    pooled further (1, 2, ..), `merge` a factor by which the positions that the stage's blocks work on are merged each
    way. `decoder_stride` 2 lets the decoder work at half the resolution; `decoder_chain` brings coarse stages to it a
    stage at a time. `classes` are the labels kept, None for all; they are exact for the rest. `choice` says which
    channels are kept, `compensation` whether what reads them is fitted again to calibration images.
    """

    name: str
    blocks: tuple[tuple[int, ...], ...]
    decoder_width: int
    size: tuple[int, int] | None = None
    ffn: tuple[float, ...] = ()
    pool: tuple[int, ...] = ()
    merge: tuple[int, ...] = ()
    decoder_stride: int = 1
    decoder_chain: bool = False
    classes: tuple[str, ...] | None = None
    choice: Choice = "first"
    compensation: Compensation = "none"

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks run in each stage."""
        return tuple(len(stage) for stage in self.blocks)

    @property
    def beyond_slices(self) -> tuple[str, ...]:
        """The knobs in use besides blocks, the decoder's first channels and the input size."""
        plain = ExecutionPath(self.name, self.blocks, self.decoder_width, self.size)
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name))


@dataclass(frozen=True)
class PathSpace:
    """What a network offers: blocks in each stage, the width of its decoder, its class names where they matter."""

    depths: tuple[int, ...]
    decoder_width: int
    labels: tuple[str, ...] = ()

    def first(self, name: str, depths: Sequence[int], decoder_width: int) -> ExecutionPath:
        """The path of the first `depths` blocks of each stage; raises ConvertError when it does not fit."""
        return self.checked(ExecutionPath(name, tuple(tuple(range(depth)) for depth in depths), decoder_width))

    def full(self) -> ExecutionPath:
        """The path that keeps everything."""
        return self.first("full", self.depths, self.decoder_width)

    def default_set(self) -> tuple[ExecutionPath, ...]:
        """The full path and one cheaper path a stage.

        From the last stage to the first, each step halves the blocks of one more stage (rounded up) and narrows the
        decoder by a quarter of its width, down to a quarter.
        """
        found = [self.full()]
        depths = list(self.depths)
        for step, stage in enumerate(reversed(range(len(depths))), start=1):
            depths[stage] = (depths[stage] + 1) // 2
            width = self.decoder_width * max(1, 4 - step) // 4
            found.append(self.first(f"p{step}", depths, width))
        return tuple(found)

    def checked(self, path: ExecutionPath) -> ExecutionPath:
        """`path` itself; raises ConvertError naming what does not fit this network."""
        where = f"path {path.name!r}"
        if not _NAME.fullmatch(path.name):
            raise ConvertError(f"{where}: a name is lower-case letters, digits, '-' and '_', starting with a letter")
        if len(path.blocks) != len(self.depths):
            raise ConvertError(f"{where}: {len(path.blocks)} stages given, the network has {len(self.depths)}")
        for stage, (kept, depth) in enumerate(zip(path.blocks, self.depths, strict=True), start=1):
            if list(kept) != sorted(set(kept)) or not all(0 <= block < depth for block in kept):
                raise ConvertError(
                    f"{where}: stage {stage} keeps blocks {list(kept)}; "
                    f"they must be increasing and lie in 0..{depth - 1}"
                )
        if not 1 <= path.decoder_width <= self.decoder_width:
            raise ConvertError(
                f"{where}: decoder width {path.decoder_width} is outside 1..{self.decoder_width} of this network"
            )
        self._refuse_wrong_knobs(path, where)
        self._refuse_wrong_classes(path, where)
        return path

    def _refuse_wrong_knobs(self, path: ExecutionPath, where: str) -> None:
        stages = len(self.depths)
        for knob in ("ffn", "pool", "merge"):
            given: tuple[float, ...] = getattr(path, knob)
            if given and len(given) != stages:
                raise ConvertError(f"{where}: {knob} has {len(given)} numbers; give one for each of {stages} stages")
        if not all(0 < share <= 1 for share in path.ffn):
            raise ConvertError(f"{where}: ffn {list(path.ffn)}: each is the share of channels kept, above 0, 1 at most")
        for knob in ("pool", "merge"):
            factors: tuple[int, ...] = getattr(path, knob)
            if any(factor < 1 for factor in factors):
                raise ConvertError(f"{where}: {knob} {list(factors)}: each is a factor of 1 (nothing changes) or more")
        if path.decoder_stride not in DECODER_STRIDES:
            raise ConvertError(f"{where}: decoder_stride {path.decoder_stride} is not one of {DECODER_STRIDES}")
        if path.size is not None and min(path.size) < SMALLEST_SIZE:
            raise ConvertError(
                f"{where}: size {path.size[0]}x{path.size[1]} is too small; "
                f"{SMALLEST_SIZE}x{SMALLEST_SIZE} is the least"
            )
        for knob, choices in (("choice", get_args(Choice)), ("compensation", get_args(Compensation))):
            if getattr(path, knob) not in choices:
                raise ConvertError(f"{where}: {knob} {getattr(path, knob)!r} is not one of {', '.join(choices)}")

    def _refuse_wrong_classes(self, path: ExecutionPath, where: str) -> None:
        if path.classes is None:
            return
        if len(path.classes) < 2 or len(set(path.classes)) != len(path.classes):
            raise ConvertError(f"{where}: classes {list(path.classes)}: name at least two, each once")
        unknown = [name for name in path.classes if name not in self.labels]
        if unknown:
            known = ", ".join(self.labels) or "no class names"
            raise ConvertError(f"{where}: unknown classes {', '.join(unknown)}; the network has {known}")


def read_paths(file: Path, space: PathSpace) -> tuple[ExecutionPath, ...]:
    """The paths of a JSON file ``{"paths": [{"name", "depths" | "blocks", "decoder_width", ...}, ...]}``.

    ``depths`` keeps the first blocks of each stage, ``blocks`` lists the kept block indices of each stage; the other
    keys are the fields of `ExecutionPath`. Raises ConvertError naming the file and the path at fault.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["paths"]
        paths = tuple(path_from_json(entry, space) for entry in entries)
    except OSError as error:
        raise ConvertError(f"{file}: cannot read the paths: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ConvertError(
            f'{file}: not a list of paths ({error}); expected {{"paths": [{{"name": "small", '
            f'"depths": {list(space.depths)}, "decoder_width": {space.decoder_width}}}]}}'
        ) from error
    except ConvertError as error:
        raise ConvertError(f"{file}: {error}") from error
    names = [path.name for path in paths]
    if not names or len(set(names)) != len(names):
        raise ConvertError(f"{file}: needs at least one path, each with a name of its own; found {names}")
    return paths


def path_to_json(path: ExecutionPath) -> dict[str, Any]:
    """The entry of `path` in a file of paths; what is at its default is left out. `path_from_json` reads it back."""
    entry: dict[str, Any] = {"name": path.name, "blocks": [list(stage) for stage in path.blocks]}
    entry["decoder_width"] = path.decoder_width
    for field in fields(path):
        value = getattr(path, field.name)
        if field.name not in entry and value != field.default:
            entry[field.name] = list(value) if isinstance(value, tuple) else value
    return entry


def path_from_json(entry: Mapping[str, Any], space: PathSpace) -> ExecutionPath:
    """The path of one entry of a file. Raises KeyError, TypeError (its form) and ConvertError (does not fit)."""
    known = {field.name for field in fields(ExecutionPath)} | {"depths"}
    if set(entry) - known or ("depths" in entry) == ("blocks" in entry) or "name" not in entry:
        raise KeyError(f"a path has name, depths or blocks, and any of {_OPTIONAL}; found {sorted(entry)}")
    name = str(entry["name"])
    values = {key: _parsed(key, value, name) for key, value in entry.items() if key not in ("name", "depths", "blocks")}
    return space.checked(
        ExecutionPath(name=name, blocks=_blocks(entry, space), **{"decoder_width": space.decoder_width, **values})
    )


def _blocks(entry: Mapping[str, Any], space: PathSpace) -> tuple[tuple[int, ...], ...]:
    name = entry["name"]
    if "depths" in entry:
        depths = entry["depths"]
        if not isinstance(depths, list) or not all(_whole(depth) and depth >= 0 for depth in depths):
            raise TypeError(f"depths of {name!r} is {depths!r}, not a list of whole numbers")
        return tuple(tuple(range(depth)) for depth in depths)
    blocks = entry["blocks"]
    if not isinstance(blocks, list) or not all(isinstance(s, list) and all(map(_whole, s)) for s in blocks):
        raise TypeError(f"blocks of {name!r} is {blocks!r}, not a list of lists of whole numbers")
    return tuple(tuple(stage) for stage in blocks)


def _parsed(key: str, value: Any, name: str) -> Any:
    """The value of one optional key, lists as tuples; raises TypeError for another form."""
    what, fits = _FORMS[key]
    if not fits(value):
        raise TypeError(f"{key} of {name!r} is {value!r}, not {what}")
    if key == "ffn":
        return tuple(float(share) for share in value)
    return tuple(value) if isinstance(value, list) else value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(v, kinds) and not isinstance(v, bool) for v in value)


_FORMS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "decoder_width": ("a whole number", _whole),
    "size": ("[height, width]", lambda value: _list_of(value, (int,)) and len(value) == 2),
    "ffn": ("a list of numbers", lambda value: _list_of(value, (int, float))),
    "pool": ("a list of whole numbers", lambda value: _list_of(value, (int,))),
    "merge": ("a list of whole numbers", lambda value: _list_of(value, (int,))),
    "decoder_stride": ("a whole number", _whole),
    "decoder_chain": ("true or false", lambda value: isinstance(value, bool)),
    "classes": ("a list of names", lambda value: _list_of(value, (str,))),
    "choice": ("a word", lambda value: isinstance(value, str)),
    "compensation": ("a word", lambda value: isinstance(value, str)),
}
_OPTIONAL = ", ".join(_FORMS)
