"""The paths that nobody beats, and why the others are beaten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.search.contract import Measured, Refused


@dataclass(frozen=True)
class Frontier:
    """`kept` from the slowest to the fastest: each is less accurate than the one before. `refused` in no order."""

    kept: tuple[Measured, ...]
    refused: tuple[Refused, ...]


def frontier(measured: Sequence[Measured], metric: str = "accurate") -> Frontier:
    """Split paths into the Pareto set of accuracy and latency, and the dominated ones with the reason.

    Of paths that are equal in both the smaller file stays, then the first name. The reason names the best of the paths
    that are at least as good in both.
    """
    kept: list[Measured] = []
    for each in sorted(measured, key=_order):
        if not kept or each.accuracy > kept[-1].accuracy:
            kept.append(each)
    chosen = {id(each) for each in kept}
    refused = [
        Refused(each.path, _reason(each, max((k for k in kept if _covers(k, each)), key=lambda k: k.accuracy), metric))
        for each in measured
        if id(each) not in chosen
    ]
    return Frontier(tuple(reversed(kept)), tuple(refused))


def dominates(better: Measured, worse: Measured) -> bool:
    """Whether `better` is no worse in either and better in one."""
    return _covers(better, worse) and (better.accuracy > worse.accuracy or better.latency_ms < worse.latency_ms)


def _covers(one: Measured, other: Measured) -> bool:
    return one.accuracy >= other.accuracy and one.latency_ms <= other.latency_ms


def _order(each: Measured) -> tuple[float, float, int, str]:
    return each.latency_ms, -each.accuracy, each.bytes, each.path.name


def _reason(worse: Measured, better: Measured, metric: str) -> str:
    accuracy = f"{100 * better.accuracy:.1f} % against {100 * worse.accuracy:.1f} %"
    latency = f"{better.latency_ms:.1f} against {worse.latency_ms:.1f} ms"
    more = f"more {metric}" if better.accuracy > worse.accuracy else f"as {metric}"
    name = better.path.name
    if better.latency_ms == worse.latency_ms and better.accuracy == worse.accuracy:
        return f"{name} does the same ({100 * better.accuracy:.1f} %, {better.latency_ms:.1f} ms)"
    if better.latency_ms == worse.latency_ms:
        return f"{name} is {more} ({accuracy}) and as fast ({better.latency_ms:.1f} ms)"
    return f"{name} is {more} ({accuracy}) and faster ({latency})"
