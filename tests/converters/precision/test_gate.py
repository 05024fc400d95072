"""Exact decisions of the gate and the words that come with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.errors import ConvertError
from converters.precision import Bounds, Refused, gate
from edge.bundle import InputSpec, OutputSpec, Variant


def variant(path: str, precision: str) -> Variant:
    return Variant(
        id=f"{path}-{precision}",
        path=path,
        precision=precision,
        file=f"{precision}.tflite",
        sha256="0" * 64,
        bytes=1,
        input=InputSpec(height=32, width=32),
        output=OutputSpec(kind="logits", shape=(1, 8, 8, 3), dtype="float32"),
    )


FLOAT, HALF, INT8, WIDE = (variant("full", precision) for precision in ("float32", "float16", "int8", "int8-wide"))


def test_what_loses_little_and_gains_time_stays() -> None:
    verdict = gate(
        [FLOAT, INT8], {FLOAT.id: 0.55, INT8.id: 0.546}, {FLOAT.id: [30.0, 33.0], INT8.id: [20.0, 22.0]}, Bounds()
    )
    assert verdict.accepted == (FLOAT, INT8)
    assert verdict.refused == ()
    (made,) = verdict.comparisons
    assert (made.variant, made.reference) == (INT8.id, FLOAT.id)
    assert made.loss_points == pytest.approx(0.4)
    assert made.speedup.median == pytest.approx(1.5)


def test_what_loses_too_much_goes_however_fast_it_is() -> None:
    verdict = gate([FLOAT, INT8], {FLOAT.id: 0.55, INT8.id: 0.5427}, {FLOAT.id: [30.0], INT8.id: [3.0]}, Bounds())
    assert verdict.accepted == (FLOAT,)
    assert verdict.refused == (
        Refused(
            "full-int8",
            "loses 0.73 points of mIoU against full-float32 (55.00 to 54.27 %), at most 0.50 are allowed",
        ),
    )


def test_what_gains_no_time_goes_however_accurate_it_is() -> None:
    times = {FLOAT.id: [30.0] * 3, HALF.id: [30.0, 30.3, 29.7]}
    verdict = gate([FLOAT, HALF], {FLOAT.id: 0.55, HALF.id: 0.56}, times, Bounds())
    assert verdict.refused == (
        Refused(
            "full-float16",
            "is 1.000 times as fast as full-float32 here (95 % 0.990 to 1.010), at least 1.050 is wanted",
        ),
    )


def test_bounds_are_the_user_s() -> None:
    accuracy, times = {FLOAT.id: 0.55, INT8.id: 0.54}, {FLOAT.id: [30.0], INT8.id: [29.0]}
    assert gate([FLOAT, INT8], accuracy, times, Bounds(1.1, 1.0)).refused == ()
    assert len(gate([FLOAT, INT8], accuracy, times, Bounds(0.9, 1.0)).refused) == 1
    assert len(gate([FLOAT, INT8], accuracy, times, Bounds(1.1, 1.04)).refused) == 1


def test_a_bound_that_is_just_reached_is_reached() -> None:
    times = {FLOAT.id: [30.0], INT8.id: [24.0]}
    assert gate([FLOAT, INT8], {FLOAT.id: 0.5, INT8.id: 0.5}, times, Bounds(0.0, 1.25)).refused == ()


def test_the_better_of_two_integers_makes_the_other_needless() -> None:
    accuracy = {FLOAT.id: 0.55, INT8.id: 0.548, WIDE.id: 0.549}
    times = {FLOAT.id: [30.0], INT8.id: [20.0], WIDE.id: [19.0]}
    verdict = gate([FLOAT, INT8, WIDE], accuracy, times, Bounds())
    assert verdict.accepted == (FLOAT, WIDE)
    assert verdict.refused == (
        Refused(
            "full-int8",
            "is dominated by full-int8-wide: 54.90 against 54.80 % mIoU, "
            "1.579 against 1.500 times as fast as full-float32",
        ),
    )
    traded = gate([FLOAT, INT8, WIDE], {**accuracy, INT8.id: 0.5495}, times, Bounds())
    assert traded.accepted == (FLOAT, INT8, WIDE)
    alike = gate([FLOAT, INT8, WIDE], dict.fromkeys(accuracy, 0.55), {name: [9.0] for name in times}, Bounds(1, 1))
    assert alike.refused == ()


def test_a_refused_variant_dominates_nothing() -> None:
    # The wide one is faster and better, but not by this bound for loss of the float one: both are judged by it alone.
    accuracy = {FLOAT.id: 0.55, INT8.id: 0.549, WIDE.id: 0.54}
    times = {FLOAT.id: [30.0], INT8.id: [20.0], WIDE.id: [10.0]}
    assert gate([FLOAT, INT8, WIDE], accuracy, times, Bounds()).accepted == (FLOAT, INT8)


def test_each_path_has_its_own_reference() -> None:
    other, quick = variant("p1", "float16"), variant("p1", "int8")
    verdict = gate(
        [FLOAT, other, quick],
        {FLOAT.id: 0.9, other.id: 0.5, quick.id: 0.5},
        {FLOAT.id: [1.0], other.id: [10.0], quick.id: [5.0]},
        Bounds(),
    )
    assert verdict.accepted == (FLOAT, other, quick)
    assert [made.reference for made in verdict.comparisons] == ["p1-float16"]


def test_what_cannot_be_judged_is_said() -> None:
    with pytest.raises(ConvertError, match="path 'full': has no float32 or float16 variant to compare with"):
        gate([INT8], {INT8.id: 0.5}, {INT8.id: [1.0]}, Bounds())
    with pytest.raises(ConvertError, match="variant 'full-int8': was not measured"):
        gate([FLOAT, INT8], {FLOAT.id: 0.5}, {FLOAT.id: [1.0], INT8.id: [1.0]}, Bounds())


@given(
    accuracy=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    times=st.lists(st.floats(1, 100), min_size=4, max_size=4),
    loss=st.floats(0, 100),
    speedup=st.floats(0.5, 2),
)
def test_nothing_slips_in(accuracy: list[float], times: list[float], loss: float, speedup: float) -> None:
    candidates = [FLOAT, HALF, INT8, WIDE]
    rated = {v.id: value for v, value in zip(candidates, accuracy, strict=True)}
    timed = {v.id: [value] for v, value in zip(candidates, times, strict=True)}
    verdict = gate(candidates, rated, timed, Bounds(loss, speedup))
    assert verdict.accepted[0] == FLOAT
    assert {v.id for v in verdict.accepted} | {r.variant for r in verdict.refused} == {v.id for v in candidates}
    assert len(verdict.accepted) + len(verdict.refused) == 4
    others = verdict.accepted[1:]
    for one in others:
        assert 100 * (rated[FLOAT.id] - rated[one.id]) <= loss
        assert timed[FLOAT.id][0] / timed[one.id][0] >= speedup
        for rival in others:
            better = rated[rival.id] > rated[one.id] and timed[rival.id][0] < timed[one.id][0]
            assert not better
