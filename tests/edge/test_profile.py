from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from boards.detect import open_board
from edge import profile
from edge.bundle import load_bundle
from edge.bundle.load import Bundle
from edge.engines.contract import EngineError
from edge.errors import JoulepathError
from edge.profile import load_profile, measure, save_profile
from tests.edge.engines.models import CUSTOM, variant
from tests.edge.tiny import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_bundle(tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def _short_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "BURST_S", 0.1)
    monkeypatch.setattr(profile._Gauge, "IDLE_S", 0.2)


def test_latency_of_every_variant(bundle: Bundle) -> None:
    rounds: list[tuple[int, int]] = []
    found = measure(bundle, seconds=0.1, on_round=lambda done, total: rounds.append((done, total)))
    assert list(found.costs) == ["full", "half", "alone"]
    for cost in found.costs.values():
        assert cost.latency_ms is not None
        assert cost.p10_ms is not None
        assert cost.p95_ms is not None
        assert 0 < cost.p10_ms <= cost.latency_ms <= cost.p95_ms < 1000
        assert cost.runs >= 2 * profile.LEAST_ROUNDS
        assert cost.energy_mj is None
        assert cost.method == "unavailable"
    assert rounds == [(1, 3), (2, 3), (3, 3)]
    assert found.digest == bundle.digest
    assert found.threads == 1
    assert found.idle_w is None


def test_energy_where_the_board_can_tell(bundle: Bundle) -> None:
    board = open_board("simulated")
    found = measure(bundle, board=board, seconds=0.1)
    board.close()
    assert found.board == "simulated"
    assert found.idle_w is not None
    assert found.idle_w > 0
    for cost in found.costs.values():
        assert cost.method == "modelled"
        assert cost.energy_mj is not None
        assert cost.energy_mj > 0
    assert set(found.energies_mj) == {"full", "half", "alone"}


def test_variant_that_cannot_run_is_listed_with_the_reason(bundle: Bundle) -> None:
    (bundle.root / CUSTOM.name).write_bytes(CUSTOM.read_bytes())
    changed = bundle.manifest.model_copy(update={"variants": (bundle.manifest.variants[2], variant("odd", CUSTOM))})
    found = measure(Bundle(bundle.root, changed, None, "d"), seconds=0.1)
    assert found.costs["odd"].latency_ms is None
    assert "needs Betainc" in (found.costs["odd"].why_unknown or "")
    assert set(found.latencies_ms) == {"alone"}
    only = bundle.manifest.model_copy(update={"variants": (variant("odd", CUSTOM),)})
    with pytest.raises(EngineError, match="needs Betainc"):
        measure(Bundle(bundle.root, only, None, "d"), seconds=0.1)


def test_kept_and_found_again(bundle: Bundle, tmp_path: Path) -> None:
    found = measure(bundle, seconds=0.1)
    assert load_profile(bundle, tmp_path / "p") is None
    path = save_profile(found, tmp_path / "p")
    assert path == tmp_path / "p" / f"{bundle.digest}.json"
    assert load_profile(bundle, tmp_path / "p") == replace(found, machine=json.loads(path.read_text())["machine"])
    assert load_profile(bundle, tmp_path / "p", threads=1) is not None
    # What does not apply is as good as none.
    assert load_profile(bundle, tmp_path / "p", threads=2) is None
    save_profile(replace(found, machine={**found.machine, "cpu": "another"}), tmp_path / "p")
    assert load_profile(bundle, tmp_path / "p") is None
    save_profile(replace(found, format=99), tmp_path / "p")
    assert load_profile(bundle, tmp_path / "p") is None
    for damaged in ("{", "[]", '{"costs": {"a": {"b": 1}}}', "{}"):
        path.write_text(damaged)
        assert load_profile(bundle, tmp_path / "p") is None


def test_folder_that_cannot_be_written(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JoulepathError, match="cannot be written"):
        save_profile(measure(bundle, seconds=0.1), tmp_path / "file" / "p")


def test_where_profiles_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert profile.profile_folder() == Path("/home/u/state/joulepath/profiles")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/joulepath")
    assert profile.profile_folder() == Path("/var/lib/joulepath/profiles")
