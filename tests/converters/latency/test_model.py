"""Predictions from tables made up for the purpose, to the last digit."""

from __future__ import annotations

from typing import Any

import pytest

from converters.families import segformer
from converters.latency import Correction, KeyOps, LatencyModel, LatencyTable, StudyError
from converters.latency.keys import total
from edge.study import Entry, Whole

SIZE = (64, 96)
WEIGHTS = segformer.random_weights(segformer.SegformerConfig.b0(5), 0)


def network(*depths: int) -> segformer.Network:
    return segformer.folded(segformer.network(WEIGHTS, WEIGHTS.space.first("x", depths, 64)))


def units_of(*depths: int) -> dict[str, int]:
    return total(KeyOps.of(segformer.builders({"x": network(*depths)}, SIZE)["x"]).units())


def entry(median_ms: float) -> Entry:
    return Entry(median_ms=median_ms, p10_ms=median_ms, p90_ms=median_ms, rounds=1)


def table(entries: dict[str, Entry], wholes: dict[str, Whole] | None = None, overhead_ms: float = 0.25) -> LatencyTable:
    body: dict[str, Any] = {"board": "b", "machine": {}, "engine": "e", "version": "1", "threads": 1}
    return LatencyTable(**body, measured_utc="now", overhead_ms=overhead_ms, entries=entries, wholes=wholes or {})


def test_a_prediction_is_the_sum_of_units_without_what_the_engine_takes_for_nothing() -> None:
    units = units_of(2, 1, 1, 2)
    model = LatencyModel(table({key: entry(1.25) for key in units}))
    assert model.correction.factor == 1.0
    assert model.predict_ms(network(2, 1, 1, 2), SIZE) == sum(units.values()) == 22


def test_the_sum_is_fitted_by_the_median_ratio_of_whole_networks() -> None:
    entries = {key: entry(1.25) for key in {**units_of(2, 2, 2, 2), **units_of(1, 1, 1, 1)}}
    wholes = {
        "one": Whole(units=units_of(1, 1, 1, 1), timing=entry(0.5 * 18)),
        "two": Whole(units=units_of(2, 1, 1, 1), timing=entry(0.6 * 20)),
        "odd": Whole(units=units_of(2, 2, 1, 1), timing=entry(9.9 * 22)),
        "held out": Whole(units=units_of(2, 2, 2, 2), timing=entry(0.5 * 26), fitted=False),
    }
    model = LatencyModel(table(entries, wholes))
    assert model.correction.factor == pytest.approx(0.6)
    assert model.predict_ms(network(1, 1, 1, 1), SIZE) == pytest.approx(0.6 * 18)
    (check,) = model.checks()
    assert check.name == "held out"
    assert check.error == pytest.approx(0.2)


def test_a_unit_faster_than_an_empty_graph_counts_nothing() -> None:
    model = LatencyModel(table({key: entry(0.125) for key in units_of(1, 1, 1, 1)}))
    assert model.predict_ms(network(1, 1, 1, 1), SIZE) == 0.0


def test_missing_units_are_counted_and_given() -> None:
    units = units_of(1, 1, 1, 1)
    lost = [key for key in units if "attention" in key or "gelu" in key][:3]
    model = LatencyModel(table({key: entry(1.0) for key in units if key not in lost}))
    assert [unit.key for unit in model.missing(network(1, 1, 1, 1), SIZE)] == lost
    with pytest.raises(StudyError, match=r"lacks 3 units of this network \(attention, feed-forward\)"):
        model.predict_ms(network(1, 1, 1, 1), SIZE)


def test_networks_with_units_that_were_not_measured_are_not_fitted_to() -> None:
    wholes = {"w": Whole(units={"unknown": 1}, timing=entry(5.0))}
    assert LatencyModel(table({}, wholes)).correction.factor == 1.0


def test_a_constant_a_unit_is_fitted_to_four_networks_or_more() -> None:
    shapes = [(1, 1, 1, 1), (2, 1, 1, 1), (2, 2, 1, 1), (2, 2, 2, 2), (1, 2, 1, 2)]
    keys = {key for shape in shapes for key in units_of(*shape)}
    entries = {key: entry(1.25 + 0.5 * number) for number, key in enumerate(sorted(keys))}

    def truth(shape: tuple[int, ...]) -> float:
        return sum((0.9 * (entries[key].median_ms - 0.25) - 0.125) * n for key, n in units_of(*shape).items())

    wholes = {str(shape): Whole(units=units_of(*shape), timing=entry(truth(shape))) for shape in shapes[:4]}
    model = LatencyModel(table(entries, wholes))
    assert model.correction.factor == pytest.approx(0.9)
    assert model.correction.unit_ms == pytest.approx(-0.125)
    assert model.predict_ms(network(*shapes[4]), SIZE) == pytest.approx(truth(shapes[4]))


def test_no_unit_takes_less_than_nothing() -> None:
    assert Correction(1.0, -0.5).of(0.25) == 0.0
    assert Correction(1.0, -0.5).of(0.75) == 0.25
