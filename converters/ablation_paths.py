"""The paths of the ablation: each knob by itself and ladders of several, as naive cuts and with each idea added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from converters.paths import ExecutionPath, PathSpace
from converters.search.identity import canonical, describe

# How a cut is made: what is kept, and whether what reads it is fitted again.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "naive": {},
    "chosen": {"choice": "importance"},
    "fitted": {"compensation": "ridge"},
    "both": {"choice": "importance", "compensation": "ridge"},
}
SINGLE, LADDER, NAIVE, FOUND = (
    "one knob",
    "several knobs",
    "first channels and first blocks alone",
    "found by the search",
)
# Shares of hidden and decoder channels, and blocks a stage, of cuts as they are made without looking at the network.
_FIRST_CHANNELS = (0.75, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Row:
    """One path of the table: the cut in words, and the way it is made."""

    section: str
    cut: str
    way: str
    path: ExecutionPath

    @property
    def name(self) -> str:
        return f"{self.cut}, {self.way}"


def rows(space: PathSpace, size: tuple[int, int], found_paths: Sequence[ExecutionPath] = ()) -> list[Row]:
    """Every path for a network of four stages with inputs of `size`; channels are cut in all four ways.

    `found_paths` are those of a search, each made as it says itself.
    """
    found: list[Row] = []
    for section, cuts in ((SINGLE, _single(space, size)), (LADDER, _ladder(space, size))):
        for cut, knobs in cuts.items():
            channels = "ffn" in knobs or "decoder_width" in knobs
            for way in WAYS if channels and section == SINGLE else _ways(channels):
                name = f"{'s' if section == SINGLE else 'l'}{len(found)}"
                full = {"blocks": space.full().blocks, "decoder_width": space.decoder_width}
                path = space.checked(ExecutionPath(**{"name": name, **full, **knobs, **WAYS[way]}))
                found.append(Row(section, cut, way, path))
    found += [Row(NAIVE, cut, "naive", space.checked(path)) for cut, path in _naive(space).items()]
    return found + _searched(space, size, found_paths)


def _searched(space: PathSpace, size: tuple[int, int], paths: Sequence[ExecutionPath]) -> list[Row]:
    full = space.full()
    return [
        Row(FOUND, f"{path.name}: {describe(path, full)}", "searched", path)
        for path in paths
        if canonical(path, size) != canonical(full, size)
    ]


def _naive(space: PathSpace) -> dict[str, ExecutionPath]:
    """What one would cut without looking: the first channels everywhere, or one more stage's blocks halved a step."""
    full, found = space.full(), {}
    for number, share in enumerate(_FIRST_CHANNELS):
        width = max(8, int(space.decoder_width * share) // 8 * 8)
        cut = f"hidden channels {100 * share:g} %, decoder {width}"
        found[cut] = replace(full, name=f"n{number}", ffn=(share,) * len(space.depths), decoder_width=width)
    depths = list(space.depths)
    for stage in reversed(range(len(depths))):
        depths[stage] = (depths[stage] + 1) // 2
        cut = f"blocks {' '.join(map(str, depths))}"
        found[cut] = space.first(f"b{stage}", depths, space.decoder_width)
    return found


def _ways(channels: bool) -> tuple[str, ...]:
    return ("naive", "chosen", "both") if channels else ("naive", "fitted")


def _single(space: PathSpace, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    width = space.decoder_width
    cuts: dict[str, dict[str, Any]] = {
        "stage 1 merged 2x2": {"merge": (2, 1, 1, 1)},
        "keys and values pooled 2x2": {"pool": (2, 2, 2, 2)},
        "hidden channels 1/2": {"ffn": (0.5,) * 4},
        f"decoder {width // 4}": {"decoder_width": width // 4},
        "decoder at 1/8": {"decoder_stride": 2},
        "decoder in a chain": {"decoder_chain": True},
        _input(_scaled(size, 5 / 6)): {"size": _scaled(size, 5 / 6)},
    }
    for stage in (0, 2):
        blocks = list(space.full().blocks)
        blocks[stage] = tuple(range(space.depths[stage] - 1))
        cuts[f"stage {stage + 1} without its last block"] = {"blocks": tuple(blocks)}
    return cuts


def _ladder(space: PathSpace, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    width, chain = space.decoder_width, {"decoder_chain": True}
    halved = tuple(tuple(range((depth + 1) // 2)) for depth in space.depths)
    merged, pooled = {"merge": (2, 1, 1, 1)}, {"pool": (1, 2, 2, 2)}
    half, quarter = {"ffn": (0.5,) * 4}, {"ffn": (0.25,) * 4}
    return {
        "merged, chain": {**merged, **chain},
        "merged, pooled, hidden 1/2, chain": {**merged, **pooled, **half, **chain},
        f"merged, pooled, hidden 1/2, decoder {width // 2}, chain": {
            **merged, **pooled, **half, **chain, "decoder_width": width // 2,
        },
        f"merged, pooled, hidden 1/4, decoder {width // 2}, chain": {
            **merged, **pooled, **quarter, **chain, "decoder_width": width // 2,
        },
        "merged, pooled, hidden 1/4, decoder at 1/8 in a chain": {
            **merged, **pooled, **quarter, **chain, "decoder_stride": 2,
        },
        f"{_input(_scaled(size, 5 / 6))}, merged, pooled, hidden 1/4, decoder {width // 2}, chain": {
            **merged, **pooled, **quarter, **chain, "decoder_width": width // 2, "size": _scaled(size, 5 / 6),
        },
        "every stage without its last half": {"blocks": halved},
        f"hidden 1/2, decoder {width // 2}": {**half, "decoder_width": width // 2},
    }  # fmt: skip


def _scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    """About `share` of a size each way, in whole steps of the third stage."""
    height, width = (max(1, round(length * share / 16)) * 16 for length in size)
    return height, width


def _input(size: tuple[int, int]) -> str:
    return f"input {size[0]}x{size[1]}"
