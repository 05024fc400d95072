"""Clocks and power modes: set only when asked to, put back, left alone where they are not ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from boards.roots import Roots
from edge.config import PowerModesConfig
from edge.controller.contract import Decision, GoalStatus
from edge.doctor.hardware import power_mode_findings
from edge.power_modes import (
    NvpmodelKnob,
    PowerModeError,
    PowerModes,
    SysfsKnob,
    asks_for_saving,
    knobs,
    open_power_modes,
)

S = 1_000_000_000
CALM = Decision("full", "fine", goals=(GoalStatus("temperature", "met", ""), GoalStatus("deadline", "at risk", "")))
PRESSED = Decision("small", "hot", goals=(GoalStatus("temperature", "at risk", ""),))
EMERGENCY = Decision("small", "emergency: 90 °C", emergency=True)


@pytest.fixture
def board(tmp_path: Path) -> Roots:
    """Two clusters, as a big.LITTLE board has them."""
    roots = Roots.under(tmp_path)
    for number, (least, most) in {0: (600_000, 1_800_000), 4: (400_000, 2_400_000)}.items():
        folder = roots.sys / f"devices/system/cpu/cpufreq/policy{number}"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("schedutil\n")
        (folder / "scaling_available_governors").write_text("powersave performance schedutil \n")
        (folder / "scaling_max_freq").write_text(f"{most}\n")
        (folder / "cpuinfo_min_freq").write_text(f"{least}\n")
        (folder / "cpuinfo_max_freq").write_text(f"{most}\n")
    return roots


def value(roots: Roots, name: str) -> str:
    return (roots.sys / "devices/system/cpu/cpufreq" / name).read_text().strip()


class Bench:
    """Power modes on a fake board with a clock by hand; `settle` waits for the setting thread."""

    def __init__(self, roots: Roots, config: PowerModesConfig) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.now_ns = 0
        self.modes = PowerModes(
            knobs(config, roots), config, lambda *event: self.events.append(event), clock=lambda: self.now_ns
        )

    def follow(self, decision: Decision, at_s: float) -> None:
        self.now_ns = round(at_s * S)
        self.modes.follow(decision)
        self.modes._thread.submit(lambda: None).result()


def test_a_governor_is_set_in_an_emergency_held_and_put_back(board: Roots) -> None:
    bench = Bench(board, PowerModesConfig(when="on_emergency", governor="powersave", hold_s=30))
    bench.follow(PRESSED, 0)
    assert value(board, "policy0/scaling_governor") == "schedutil"
    bench.follow(EMERGENCY, 1)
    assert [value(board, f"policy{n}/scaling_governor") for n in (0, 4)] == ["powersave", "powersave"]
    bench.follow(CALM, 30.9)
    assert value(board, "policy0/scaling_governor") == "powersave"
    bench.follow(CALM, 31)
    assert [value(board, f"policy{n}/scaling_governor") for n in (0, 4)] == ["schedutil", "schedutil"]
    assert [kind for _, kind, _ in bench.events] == ["power_mode"] * 4
    assert bench.events[0][2] == "policy0/scaling_governor = powersave (was schedutil; emergency: 90 °C)"
    bench.modes.close()


def test_the_end_of_the_run_puts_everything_back(board: Roots) -> None:
    config = PowerModesConfig(when="when_saving", governor="powersave", max_frequency_mhz=1000)
    bench = Bench(board, config)
    bench.follow(PRESSED, 0)
    assert value(board, "policy0/scaling_max_freq") == "1000000"
    bench.modes.close()
    assert [value(board, f"policy{n}/scaling_max_freq") for n in (0, 4)] == ["1800000", "2400000"]
    assert value(board, "policy4/scaling_governor") == "schedutil"


def test_each_cluster_gets_the_nearest_clock_that_it_has(board: Roots) -> None:
    bench = Bench(board, PowerModesConfig(when="on_emergency", max_frequency_mhz=500))
    bench.follow(EMERGENCY, 0)
    assert [value(board, f"policy{n}/scaling_max_freq") for n in (0, 4)] == ["600000", "500000"]
    bench.modes.close()


def test_what_somebody_else_changed_is_left_to_them(board: Roots) -> None:
    bench = Bench(board, PowerModesConfig(when="on_emergency", governor="powersave"))
    bench.follow(EMERGENCY, 0)
    (board.sys / "devices/system/cpu/cpufreq/policy0/scaling_governor").write_text("performance\n")
    bench.modes.close()
    assert value(board, "policy0/scaling_governor") == "performance"
    assert value(board, "policy4/scaling_governor") == "schedutil"
    assert "somebody else" in bench.events[-1][2]


def test_what_is_set_already_is_not_ours_to_put_back(board: Roots) -> None:
    for number in (0, 4):
        (board.sys / f"devices/system/cpu/cpufreq/policy{number}/scaling_governor").write_text("powersave\n")
    bench = Bench(board, PowerModesConfig(when="on_emergency", governor="powersave"))
    bench.follow(EMERGENCY, 0)
    bench.modes.close()
    assert bench.events == []
    assert value(board, "policy0/scaling_governor") == "powersave"


def test_a_governor_that_the_kernel_has_not_is_refused_before_anything_is_written(board: Roots) -> None:
    bench = Bench(board, PowerModesConfig(when="on_emergency", governor="conservative"))
    assert [kind for _, kind, _ in bench.events] == ["power_mode_refused"] * 2
    assert "'conservative' is not one of powersave, performance, schedutil" in bench.events[0][2]
    bench.follow(EMERGENCY, 0)
    assert value(board, "policy0/scaling_governor") == "schedutil"
    bench.modes.close()


def test_a_write_that_fails_is_told_and_the_rest_goes_on(board: Roots, tmp_path: Path) -> None:
    events: list[tuple[str, str, str]] = []
    config = PowerModesConfig(when="on_emergency", governor="powersave")
    chosen = knobs(config, board)
    modes = PowerModes(chosen, config, lambda *event: events.append(event), clock=lambda: 0)
    file = board.sys / "devices/system/cpu/cpufreq/policy0/scaling_governor"
    file.unlink()
    modes.follow(EMERGENCY)
    modes.close()
    assert events[0][1] == "power_mode_refused"
    assert not file.exists()
    assert events[1][2].startswith("policy4/scaling_governor = powersave")


def test_a_board_without_clocks_to_set_says_so(tmp_path: Path) -> None:
    events: list[tuple[str, str, str]] = []
    config = PowerModesConfig(when="on_emergency", governor="powersave")
    assert open_power_modes(config, Roots.under(tmp_path), lambda *event: events.append(event)) is None
    assert "lets nobody set its clocks" in events[0][2]
    with pytest.raises(PowerModeError):
        knobs(config, Roots.under(tmp_path))


def test_nothing_is_touched_unless_it_is_asked_for(board: Roots) -> None:
    assert open_power_modes(PowerModesConfig(governor="powersave"), board, lambda *event: None) is None
    with pytest.raises(ValueError, match="say what to set"):
        PowerModesConfig(when="on_emergency")


@pytest.mark.parametrize(
    ("decision", "emergency", "saving"), [(CALM, False, False), (PRESSED, False, True), (EMERGENCY, True, True)]
)
def test_what_is_a_reason_to_slow_the_board(decision: Decision, emergency: bool, saving: bool) -> None:
    assert asks_for_saving(decision, "on_emergency") is emergency
    assert asks_for_saving(decision, "when_saving") is saving


class Jetson:
    """nvpmodel: sets the status file, or refuses."""

    def __init__(self, root: Path, code: int = 0) -> None:
        self.status = root / "var/lib/nvpmodel/status"
        self.status.parent.mkdir(parents=True)
        self.status.write_text("pmode:0002 fmode:fanNull")
        self.code = code
        self.asked: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> tuple[int, str]:
        self.asked.append(list(arguments))
        if self.code == 0:
            self.status.write_text(f"pmode:{int(arguments[-1]):04} fmode:fanNull")
        return self.code, "NVPM ERROR: reboot required" if self.code else ""


def test_a_jetsons_mode_is_set_and_put_back(tmp_path: Path) -> None:
    jetson, roots = Jetson(tmp_path), Roots.under(tmp_path)
    config = PowerModesConfig(when="on_emergency", nvpmodel=1)
    chosen = knobs(config, roots, command=jetson, which=lambda name: "/usr/sbin/nvpmodel", superuser=True)
    events: list[tuple[str, str, str]] = []
    modes = PowerModes(chosen, config, lambda *event: events.append(event), clock=lambda: 0)
    modes.follow(EMERGENCY)
    modes.close()
    assert jetson.asked == [["/usr/sbin/nvpmodel", "-m", "1"], ["/usr/sbin/nvpmodel", "-m", "2"]]
    assert "nvpmodel = 1 (was 2" in events[0][2]


def test_a_mode_that_wants_a_reboot_is_not_set(tmp_path: Path) -> None:
    jetson, roots = Jetson(tmp_path, code=5), Roots.under(tmp_path)
    config = PowerModesConfig(when="on_emergency", nvpmodel=1)
    chosen = knobs(config, roots, command=jetson, which=lambda name: "/usr/sbin/nvpmodel", superuser=True)
    events: list[tuple[str, str, str]] = []
    modes = PowerModes(chosen, config, lambda *event: events.append(event), clock=lambda: 0)
    modes.follow(EMERGENCY)
    modes.close()
    assert len(jetson.asked) == 1
    assert events == [("error", "power_mode_refused", "nvpmodel -m 1 failed (5): NVPM ERROR: reboot required")]


def test_nvpmodel_is_for_root_and_for_jetsons(tmp_path: Path) -> None:
    def problem(program: str | None, superuser: bool) -> str | None:
        return NvpmodelKnob(1, Roots.under(tmp_path), lambda words: (0, ""), program, superuser).problem()

    assert problem("/usr/sbin/nvpmodel", True) is None
    assert "root alone" in str(problem("/usr/sbin/nvpmodel", False))
    assert "only Jetsons" in str(problem(None, True))


def test_doctor_says_what_can_be_set_and_what_cannot(board: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PowerModesConfig(when="on_emergency", governor="powersave")
    states = [(one.state, one.text) for one in power_mode_findings(config, board)]
    assert states[0] == ("ok", "policy0/scaling_governor: schedutil now, powersave when saving")
    monkeypatch.setattr("edge.power_modes.os.access", lambda path, mode: False)  # root may write whatever is there
    forbidden = list(power_mode_findings(config, board))
    assert {one.state for one in forbidden} == {"wrong"}
    assert "this user may not write it" in forbidden[0].text
    assert list(power_mode_findings(PowerModesConfig(), board)) == []
    (none,) = power_mode_findings(config, Roots.under(board.sys / "nowhere"))
    assert none.state == "wrong"


def test_a_knob_is_named_by_its_policy(board: Roots) -> None:
    folder = board.sys / "devices/system/cpu/cpufreq/policy0"
    assert SysfsKnob(folder / "scaling_governor", "powersave").name == "policy0/scaling_governor"
