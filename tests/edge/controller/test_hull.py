"""The hull and the sharing of time between two of its corners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.controller.hull import Mix, Option, mix_for, upper_hull
from edge.controller.plan.share import turn
from edge.controller.plan.state import PlanState

CHEAP = Option("cheap", 0.40, 50.0, 3.0)
MIDDLE = Option("middle", 0.52, 100.0, 4.0)
DEAR = Option("dear", 0.56, 170.0, 6.0)
WASTEFUL = Option("wasteful", 0.45, 120.0, 5.0)


def test_the_hull_leaves_out_what_sharing_time_beats() -> None:
    below = Option("below", 0.44, 80.0, 3.5)  # on the line from cheap to middle one has 0.46 at 3.5 W
    assert upper_hull([DEAR, WASTEFUL, CHEAP, below, MIDDLE]) == [CHEAP, MIDDLE, DEAR]


def test_mixes_meet_the_power_exactly() -> None:
    assert mix_for([CHEAP, MIDDLE, DEAR], 4.5) == Mix(MIDDLE, DEAR, 0.25)
    assert mix_for([CHEAP, MIDDLE, DEAR], 3.25) == Mix(CHEAP, MIDDLE, 0.25)
    assert mix_for([CHEAP, MIDDLE, DEAR], 99.0) == Mix(DEAR, DEAR, 1.0)
    assert mix_for([CHEAP, MIDDLE, DEAR], 1.0) == Mix(CHEAP, CHEAP, 1.0)
    with pytest.raises(ValueError, match="nothing to choose"):
        mix_for([], 1.0)


options = st.lists(
    st.tuples(st.floats(0, 1), st.floats(1, 10)), min_size=1, max_size=7
).map(lambda rows: [Option(str(n), accuracy, 10.0, watts) for n, (accuracy, watts) in enumerate(rows)])  # fmt: skip


@given(options, st.floats(0.5, 12))
def test_no_pair_of_options_is_better_than_the_mix(found: list[Option], watts: float) -> None:
    mix = mix_for(found, watts)
    mean_w = mix.low.power_w + mix.share * (mix.high.power_w - mix.low.power_w)
    accuracy = mix.low.accuracy + mix.share * (mix.high.accuracy - mix.low.accuracy)
    least_w = min(o.power_w for o in found)
    assert mean_w <= max(watts, least_w) + 1e-9
    if watts < least_w:
        return
    for one in found:
        for other in found:
            if one.power_w <= watts < other.power_w:
                share = (watts - one.power_w) / (other.power_w - one.power_w)
                assert accuracy >= one.accuracy + share * (other.accuracy - one.accuracy) - 1e-9
        if one.power_w <= watts:
            assert accuracy >= one.accuracy - 1e-9


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.8, 0.93])
@pytest.mark.parametrize("step_s", [0.25, 1.0])
def test_shares_come_out_and_nobody_runs_for_less_than_a_dwell(share: float, step_s: float) -> None:
    state, present, mix, dwell_s = PlanState(), CHEAP, Mix(CHEAP, MIDDLE, share), 5.0
    on_high_s, phases, phase_s, seconds = 0.0, [], 0.0, 6000.0
    for _ in range(round(seconds / step_s)):
        state, wanted = turn(state, mix, present, dwell_s, step_s)
        if wanted.id != present.id:
            phases.append(phase_s)
            phase_s = 0.0
        present = wanted
        phase_s += step_s
        on_high_s += step_s * (present.id == "middle")
    assert on_high_s / seconds == pytest.approx(share, abs=0.01)
    assert min(phases[1:]) >= dwell_s


def test_alone_owes_nothing() -> None:
    state, wanted = turn(PlanState(owed_s=3.0), Mix(DEAR, DEAR, 1.0), CHEAP, 5.0, 1.0)
    assert (state.owed_s, wanted) == (0.0, DEAR)
