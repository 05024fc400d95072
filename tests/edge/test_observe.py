"""What an observation says of rates and frames, from rows that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from boards.board import Channel, Quantity
from boards.sensor import Method, Reading, SensorLost
from edge.controller import Candidate, Observation
from edge.journal import FrameRow
from edge.observe import Observer, worth_keeping

MS = 1_000_000
S = 1000 * MS


class Values:
    """A sampler that knows what it is told."""

    def __init__(self, **values: float) -> None:
        self.values = values

    def latest(self, name: str) -> Reading | None:
        return Reading(self.values[name], 0) if name in self.values else None


class Gone:
    """The sensor of a channel that only its name matters of."""

    def read(self) -> Reading:
        raise SensorLost("nothing is read here")

    def close(self) -> None:
        return None


def observer(live: bool = True, done_ns: tuple[int, ...] = (), now_ns: int = 0, **values: float) -> Observer:
    thermometer = Channel("cpu", Quantity.TEMPERATURE, Gone(), 1.0)
    board: Any = SimpleNamespace(channels=(thermometer,))
    camera: Any = SimpleNamespace(spec=SimpleNamespace(live=live, fps=15.0))
    return Observer(board, Values(**values), None, camera, {1: "full"}, lambda: done_ns, clock=lambda: now_ns)


def row(
    number: int, *, start_ms: int, window_ms: int = 100, skipped: int = 0, energy_uj: int | None = None
) -> FrameRow:
    method = Method.UNAVAILABLE if energy_uj is None else Method.MEASURED
    return FrameRow(
        number,
        start_ms * MS,
        (start_ms + window_ms) * MS,
        1,
        skipped,
        1,
        1,
        40_000,
        1,
        energy_uj,
        None,
        None,
        1,
        method,
    )


def test_sensors_that_say_nothing_are_none() -> None:
    seen = observer().look()
    assert [seen[name] for name in ("battery", "on_mains", "temperature_c", "power_w", "fps")] == [None] * 5
    seen = observer(battery=0.4, mains=1.0, cpu=51.5, undervoltage=0.0).look()
    assert (seen["battery"], seen["on_mains"], seen["temperature_c"], seen["undervoltage"]) == (0.4, True, 51.5, False)


def test_frames_are_handed_out_once() -> None:
    one = observer()
    one.row(row(0, start_ms=0, energy_uj=300_000))
    one.row(row(1, start_ms=100))
    first = one.look()["frames"]
    assert [(f.variant, f.infer_ms, f.window_ms, f.energy_mj) for f in first] == [
        ("full", 40.0, 100.0, 300.0),
        ("full", 40.0, 100.0, None),
    ]
    assert one.look()["frames"] == ()
    assert one.energy_per_frame_j() == pytest.approx(0.3)


def test_the_camera_delivers_what_was_taken_and_what_was_skipped() -> None:
    one = observer()
    assert one.camera_fps() == 15.0
    for number in range(5):
        one.row(row(number, start_ms=100 * number, skipped=2))
    assert one.camera_fps() == pytest.approx(30.0)
    assert observer(live=False).camera_fps() is None


def test_a_reused_frames_time_and_energy_go_to_the_one_that_was_inferred() -> None:
    one = observer()
    one.row(row(0, start_ms=0, energy_uj=5)._replace(reused=1, infer_us=0))  # its inference was handed out before
    one.row(row(1, start_ms=100, energy_uj=300_000))
    one.row(row(2, start_ms=200, energy_uj=200_000)._replace(reused=1, infer_us=0))
    one.row(row(3, start_ms=300, energy_uj=300_000))
    one.row(row(4, start_ms=400)._replace(reused=1, infer_us=0))
    assert [(f.infer_ms, f.window_ms, f.energy_mj) for f in one.look()["frames"]] == [
        (40.0, 200.0, 500.0),
        (40.0, 200.0, None),
    ]


def test_frames_that_show_nothing_new_give_the_engine_nothing_to_do() -> None:
    one = observer()
    for number in range(11):
        one.row(row(number, start_ms=100 * number)._replace(reused=int(number % 5 != 0)))
    assert one.camera_fps() == pytest.approx(2.0)  # of 10 a second every fifth


def test_the_rate_falls_while_no_frame_comes() -> None:
    assert observer(done_ns=(0, S // 10), now_ns=S // 10).fps() == pytest.approx(10.0)
    assert observer(done_ns=(0, S // 10), now_ns=6 * S).fps() == pytest.approx(0.2)


def test_what_is_kept_leaves_out_the_unknown_and_rounds() -> None:
    seen = Observation(0, "full", (Candidate("full", latency_ms=40.123456), Candidate("mid")), temperature_c=51.23456)
    assert worth_keeping(seen) == {"running": "full", "temperature_c": 51.2346, "latency_ms": {"full": 40.12}}
