"""Energy of an inference from a board's profile: known boards are found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.search.energy import EnergyModel, fitted, of_profile
from edge.bundle import load_bundle
from edge.errors import UsageError

DEMO = Path(__file__).parents[3] / "edge" / "demo" / "bundle"
WORK = [(10.0, 2_000_000_000), (20.0, 3_000_000_000), (5.0, 100_000_000), (40.0, 9_000_000_000)]


@given(st.floats(0.1, 20), st.floats(0.1, 50))
def test_a_board_of_that_kind_is_found_again(power_w: float, gmac_mj: float) -> None:
    board = EnergyModel(power_w, gmac_mj)
    found = fitted([(ms, macs, board.energy_mj(ms, macs)) for ms, macs in WORK])
    assert (found.power_w, found.gmac_mj) == pytest.approx((power_w, gmac_mj), rel=1e-6)


def test_neither_term_is_ever_negative() -> None:
    by_time_alone = fitted([(ms, macs, 3 * ms - 0.01 * macs / 1e9) for ms, macs in WORK])
    assert by_time_alone.gmac_mj == 0
    assert by_time_alone.power_w == pytest.approx(3, rel=1e-2)
    by_work_alone = fitted([(ms, macs, 5 * macs / 1e9 - 0.001 * ms) for ms, macs in WORK])
    assert by_work_alone.power_w == 0
    assert by_work_alone.gmac_mj == pytest.approx(5, rel=1e-2)


def test_a_profile_of_the_demo_bundle(tmp_path: Path) -> None:
    bundle, board = load_bundle(DEMO), EnergyModel(2.5, 12.0)
    costs = {
        v.id: {"latency_ms": 10.0 + 3 * number, "energy_mj": board.energy_mj(10.0 + 3 * number, v.macs or 0)}
        for number, v in enumerate(bundle.manifest.variants)
    }
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"digest": bundle.digest, "costs": costs}))
    found = of_profile(file, DEMO)
    assert (found.power_w, found.gmac_mj) == pytest.approx((2.5, 12.0), rel=1e-6)
    file.write_text(json.dumps({"digest": "other", "costs": costs}))
    with pytest.raises(UsageError, match="was made of another bundle"):
        of_profile(file, DEMO)
    file.write_text(json.dumps({"digest": bundle.digest, "costs": {}}))
    with pytest.raises(
        UsageError, match="0 variants with known energy; 3 are the least; does the board measure energy"
    ):
        of_profile(file, DEMO)
    file.write_text("{}")
    with pytest.raises(UsageError, match="is no profile"):
        of_profile(file, DEMO)
