"""The gate: which variants are worth having beside the float variant of the same path, and why others are not.

Nothing is measured here; the same numbers give the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.errors import ConvertError
from edge.bench.interleave import Ratio, paired_ratio
from edge.bundle import Variant

# What a path's other variants are compared with: the first of these that it has.
REFERENCES = ("float32", "float16")


@dataclass(frozen=True)
class Bounds:
    """What a variant may lose, in points of mIoU (percent), and how many times faster it must be."""

    max_loss_points: float = 0.5
    min_speedup: float = 1.05


@dataclass(frozen=True)
class Comparison:
    """A variant beside the float variant of its path: points of mIoU lost (negative: gained), times faster."""

    variant: str
    reference: str
    loss_points: float
    speedup: Ratio


@dataclass(frozen=True)
class Refused:
    """A variant that is not worth having, and the numbers that say so."""

    variant: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The variants that stay, in the given order, those that go, and every comparison made."""

    accepted: tuple[Variant, ...]
    refused: tuple[Refused, ...]
    comparisons: tuple[Comparison, ...]


def gate(
    candidates: Sequence[Variant],
    accuracy: Mapping[str, float],
    latency_ms: Mapping[str, Sequence[float]],
    bounds: Bounds,
) -> Verdict:
    """Judge `candidates` by their `accuracy` (mIoU, 0..1) and `latency_ms` (one value a round, rounds paired), by id.

    The float variant of each path always stays. Another one goes when it loses more than the bound, when it is not
    faster by the bound (the median of paired ratios), or when a variant of its path that stays is at least as
    accurate and as fast, and better in one of the two. Raises ConvertError for a path without a float variant and for
    a candidate without figures.
    """
    for variant in candidates:
        if variant.id not in accuracy or variant.id not in latency_ms:
            raise ConvertError(f"variant {variant.id!r}: was not measured; a gate needs its accuracy and its latency")
    references = {variant.path: _reference(variant.path, candidates) for variant in candidates}
    comparisons = {
        variant.id: _compare(variant, references[variant.path], accuracy, latency_ms)
        for variant in candidates
        if variant is not references[variant.path]
    }
    reasons = {name: reason for name, made in comparisons.items() if (reason := _too_bad(made, accuracy, bounds))}
    for variant in candidates:
        if variant.id in comparisons and variant.id not in reasons:
            rivals = [v for v in candidates if v.path == variant.path and v.id in comparisons and v.id not in reasons]
            reason = _dominated(variant, rivals, accuracy, comparisons)
            if reason is not None:
                reasons[variant.id] = reason
    return Verdict(
        tuple(variant for variant in candidates if variant.id not in reasons),
        tuple(Refused(variant.id, reasons[variant.id]) for variant in candidates if variant.id in reasons),
        tuple(comparisons.values()),
    )


def _reference(path: str, candidates: Sequence[Variant]) -> Variant:
    for precision in REFERENCES:
        for variant in candidates:
            if variant.path == path and variant.precision == precision:
                return variant
    raise ConvertError(
        f"path {path!r}: has no {' or '.join(REFERENCES)} variant to compare with; convert it with one of them as well"
    )


def _compare(
    variant: Variant, reference: Variant, accuracy: Mapping[str, float], latency_ms: Mapping[str, Sequence[float]]
) -> Comparison:
    return Comparison(
        variant.id,
        reference.id,
        100 * (accuracy[reference.id] - accuracy[variant.id]),
        paired_ratio(latency_ms[reference.id], latency_ms[variant.id]),
    )


def _too_bad(made: Comparison, accuracy: Mapping[str, float], bounds: Bounds) -> str | None:
    if made.loss_points > bounds.max_loss_points:
        return (
            f"loses {made.loss_points:.2f} points of mIoU against {made.reference} "
            f"({100 * accuracy[made.reference]:.2f} to {100 * accuracy[made.variant]:.2f} %), "
            f"at most {bounds.max_loss_points:.2f} are allowed"
        )
    if made.speedup.median < bounds.min_speedup:
        return (
            f"is {made.speedup.median:.3f} times as fast as {made.reference} here "
            f"(95 % {made.speedup.low:.3f} to {made.speedup.high:.3f}), at least {bounds.min_speedup:.3f} is wanted"
        )
    return None


def _dominated(
    variant: Variant,
    rivals: Sequence[Variant],
    accuracy: Mapping[str, float],
    comparisons: Mapping[str, Comparison],
) -> str | None:
    own, speed = accuracy[variant.id], comparisons[variant.id].speedup.median
    for rival in rivals:
        other, faster = accuracy[rival.id], comparisons[rival.id].speedup.median
        if other >= own and faster >= speed and (other, faster) != (own, speed):
            return (
                f"is dominated by {rival.id}: {100 * other:.2f} against {100 * own:.2f} % mIoU, "
                f"{faster:.3f} against {speed:.3f} times as fast as {comparisons[rival.id].reference}"
            )
    return None
