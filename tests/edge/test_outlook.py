from __future__ import annotations

from boards.simulated import Settings, SimulatedBoard
from edge.outlook import Outlook

S = 1_000_000_000


def watch(outlook: Outlook, *, mains: bool, seconds: int = 1200, watts: float = 5.0) -> None:
    left_j = 50_000.0
    for second in range(0, seconds, 5):
        values = {"battery_energy_j": left_j - watts * second, "battery": None, "mains": float(mains)}
        outlook.look(second * S, values.get, watts)


def test_the_true_time_is_inside_the_range() -> None:
    outlook = Outlook(SimulatedBoard(Settings()))
    assert outlook.left() is None
    watch(outlook, mains=False)
    left = outlook.left()
    assert left is not None
    true_h = (50_000 - 5 * 1195) / 5 / 3600
    assert left.low_h <= true_h <= left.high_h
    assert abs(left.likely_h / true_h - 1) < 0.01
    assert str(left).startswith(f"{left.likely_h:.1f} h left (90 %: ")


def test_on_mains_nothing_is_told() -> None:
    outlook = Outlook(SimulatedBoard(Settings()))
    watch(outlook, mains=True)
    assert outlook.left() is None


def test_power_that_is_not_the_whole_draw_promises_nothing() -> None:
    from dataclasses import replace

    board = SimulatedBoard(Settings())

    class Module:
        info = replace(board.info, whole_board=False)
        channels = board.channels
        energy_channel = board.energy_channel

    outlook = Outlook(Module())  # type: ignore[arg-type]
    watch(outlook, mains=False)
    assert outlook.left() is None  # no charge falls here, and the rail's watts are not the battery's
