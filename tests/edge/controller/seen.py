"""Observations for the planning controller's tests."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from edge.controller.contract import Candidate, FrameSeen, Observation

SECOND = 1_000_000_000
VARIANTS = (
    Candidate("full", 0.55, 170.0, 5.8, 1_700_000_000),
    Candidate("mid", 0.52, 100.0, 5.2, 1_000_000_000),
    Candidate("small", 0.47, 50.0, 4.8, 500_000_000),
)


def observation(at_s: float = 0.0, running: str | None = "full", **values: Any) -> Observation:
    """A board in peace, unless told otherwise."""
    usual: dict[str, Any] = {
        "candidates": VARIANTS, "temperature_c": 50.0, "power_w": 4.5, "battery": 0.8, "on_mains": False, "fps": 5.0,
        "camera_fps": 5.0,
    }  # fmt: skip
    return Observation(round((1000 + at_s) * SECOND), running, **{**usual, **values})


def frames(variant: str, infer_ms: float, count: int = 5, dynamic_w: float = 2.5) -> tuple[FrameSeen, ...]:
    """A second of frames at 5 a second, idle 3 W."""
    return tuple(FrameSeen(variant, infer_ms, 200.0, 3.0 * 200.0 + dynamic_w * infer_ms) for _ in range(count))


def _odd(low: float, high: float) -> st.SearchStrategy[float]:
    """Something likely, or something impossible."""
    return st.one_of(st.floats(low, high), st.sampled_from([math.nan, math.inf, -math.inf, -1.0, -1e9, 1e30, 0.0]))


def _strange(low: float, high: float) -> st.SearchStrategy[float | None]:
    """What a sensor may say, or nothing."""
    return st.one_of(st.none(), _odd(low, high))


FRAMES = st.lists(
    st.builds(
        FrameSeen,
        st.sampled_from(["full", "mid", "small", "unknown"]),
        _odd(1.0, 2000.0),
        _odd(1.0, 5000.0),
        _strange(1.0, 5000.0),
    ),
    max_size=4,
).map(tuple)

_BOTH = (True, False)
STEPS = st.fixed_dictionaries(
    {
        "step_s": st.one_of(st.floats(0.05, 5.0), st.sampled_from([0.0, -50.0, 4000.0])),
        "usable": st.sampled_from([(a, b, c) for a in _BOTH for b in _BOTH for c in _BOTH if a or b or c]),
        "battery": _strange(0.0, 1.0),
        "on_mains": st.sampled_from([None, True, False]),
        "temperature_c": _strange(20.0, 95.0),
        "power_w": _strange(2.0, 9.0),
        "undervoltage": st.sampled_from([None, False, False, True]),
        "throttled": st.sampled_from([None, False, True]),
        "battery_energy_j": _strange(0.0, 1e5),
        "camera_fps": st.one_of(st.none(), st.floats(0.5, 60.0)),
        "fps": _strange(0.0, 60.0),
        "frames": FRAMES,
    }
)
