"""The measure by which a state is found to grow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.controller.learn.thermal import ThermalModel
from edge.controller.plan import PlanState
from edge.controller.plan.learn import first_beliefs
from edge.controller.plan.state import Standstill
from tests.edge.controller.extent import extent
from tests.edge.controller.test_budget import HOURS, VARIANTS


def test_numbers_count_alike_and_letters_one_by_one() -> None:
    assert extent(None) == extent(1) == extent(10**15) == extent(0.1) == extent(True) == 8
    assert extent("four") == 12
    assert extent(np.zeros((2, 3))) == 8 + 48
    assert extent(("a", 1)) == 8 + 9 + 8
    assert extent({"a": (1.0, 2.0)}) == 8 + 9 + 24


def test_what_is_held_twice_counts_twice_whether_it_is_one_or_two_equal_ones() -> None:
    model = ThermalModel().seen(50.0, 4.0, 1.0)
    known = first_beliefs(VARIANTS, HOURS)
    one = replace(known, thermal=model, standstill=Standstill(50.0, free=model))
    two = replace(one, thermal=ThermalModel().seen(50.0, 4.0, 1.0))
    assert one.thermal is one.standstill.free
    assert extent(one) == extent(two)


def test_whatever_a_state_gains_is_seen() -> None:
    state = PlanState(learnt=first_beliefs(VARIANTS, HOURS))
    assert state.learnt is not None
    own = {"full": (0.0, 0.1), "mid": (0.0, 0.1)}
    grown = replace(state, learnt=replace(state.learnt, power=replace(state.learnt.power, own=own)))
    assert extent(grown) - extent(state) == (8 + 4 + 24) + (8 + 3 + 24)
    assert extent(replace(state, late=("full",))) - extent(state) == 12


def test_what_it_cannot_look_into_is_refused() -> None:
    with pytest.raises(TypeError, match="iterator"):
        extent((iter([1]),))
