"""Execution paths: which blocks of a network run, how wide they are, at what resolution, for which classes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from converters.errors import ConvertError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


Choice = Literal["first", "importance"]
Compensation = Literal["none", "ridge"]


@dataclass(frozen=True)
class ExecutionPath:
    """A route through pretrained weights: the block indices kept in each stage, and what else is cut.

    `size` is the input (height, width), None for the bundle's. One number a stage, empty where nothing is cut: `ffn`
    is the share of hidden channels that feed-forward layers keep (0..1], `pool` a factor by which keys and values are
    pooled further (1, 2, ..), `merge` a factor by which the positions that the stage's blocks work on are merged each
    way. `decoder_stride` 2 lets the decoder work at half the resolution. `classes` are the labels kept, None for all;
    they are exact for the rest. `choice` says which channels are kept, `compensation` whether what reads them is
    fitted again to calibration images.
    """

    name: str
    blocks: tuple[tuple[int, ...], ...]
    decoder_width: int
    size: tuple[int, int] | None = None
    ffn: tuple[float, ...] = ()
    pool: tuple[int, ...] = ()
    merge: tuple[int, ...] = ()
    decoder_stride: int = 1
    classes: tuple[str, ...] | None = None
    choice: Choice = "first"
    compensation: Compensation = "none"

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks run in each stage."""
        return tuple(len(stage) for stage in self.blocks)


@dataclass(frozen=True)
class PathSpace:
    """What a network offers: blocks in each stage and the width of its decoder."""

    depths: tuple[int, ...]
    decoder_width: int

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
        return path


def read_paths(file: Path, space: PathSpace) -> tuple[ExecutionPath, ...]:
    """The paths of a JSON file ``{"paths": [{"name", "depths" | "blocks", "decoder_width"}, ...]}``.

    ``depths`` keeps the first blocks of each stage, ``blocks`` lists the kept block indices of each stage. Raises
    ConvertError naming the file and the path at fault.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["paths"]
        paths = tuple(_path_of(entry, space) for entry in entries)
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


def _path_of(entry: dict[str, object], space: PathSpace) -> ExecutionPath:
    unknown = set(entry) - {"name", "depths", "blocks", "decoder_width"}
    if unknown or ("depths" in entry) == ("blocks" in entry):
        raise KeyError(f"a path has name, depths or blocks, decoder_width; found {sorted(entry)}")
    name, width = str(entry["name"]), entry.get("decoder_width", space.decoder_width)
    if not isinstance(width, int):
        raise TypeError(f"decoder_width of {name!r} is {width!r}, not a whole number")
    if "depths" in entry:
        depths = entry["depths"]
        if not isinstance(depths, list) or not all(isinstance(depth, int) and depth >= 0 for depth in depths):
            raise TypeError(f"depths of {name!r} is {depths!r}, not a list of whole numbers")
        return space.first(name, depths, width)
    blocks = entry["blocks"]
    if not isinstance(blocks, list) or not all(
        isinstance(stage, list) and all(isinstance(block, int) for block in stage) for stage in blocks
    ):
        raise TypeError(f"blocks of {name!r} is {blocks!r}, not a list of lists of whole numbers")
    return space.checked(ExecutionPath(name, tuple(tuple(stage) for stage in blocks), width))
