"""Runs in the guest: our sampler, meter and ledger over the kernel's files, while the lab's chip converts a waveform.

    python3 lab_meter.py PLAN.json RESULT.json

The plan holds the knots of each channel as [seconds from the start, microvolts, microamperes] and how to meter; the
result holds every frame's row, every sample and the counts. Nothing is judged here.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from boards.assembly import Assembly
from boards.generic import add_power
from boards.roots import Roots
from edge.journal.rows import FrameRow
from edge.ledger import Ledger, Served
from edge.meter import Meter
from edge.sampler import Sampler

WAVEFORMS = Path("/sys/kernel/debug/jp_ina3221")
LEAD_S = 2.0  # the waveform begins this long after it is written: by then the meter knows its sensor


def main(plan_path: Path, result_path: Path) -> None:
    """Play the plan's waveform, meter it, and write what came out."""
    plan = json.loads(plan_path.read_text())
    start_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
    play(plan["waveforms"], start_ns)
    time.sleep(0.1)  # the board is looked for while it is on
    assembly = Assembly(Roots())
    add_power(assembly, plan["total"])
    board = assembly.board("lab", "emulated")
    energy_channel = next(channel for channel in board.channels if channel.name == board.energy_channel)
    meter = Meter.for_channel(energy_channel)
    rows: list[FrameRow] = []
    samples: dict[str, list[tuple[int, float]]] = {channel.name: [] for channel in board.channels}
    ledger = Ledger(meter, rows.append)
    sampler = Sampler(
        board, meter=meter, on_sample=lambda name, at_ns, value: samples[name].append((at_ns, value)), priority=True
    )
    began_ns, cpu_s = time.monotonic_ns(), time.process_time()
    sampler.start()
    serve(ledger, plan["frames_s"], start_ns)
    time.sleep(0.5)
    ledger.settle(time.monotonic_ns())
    sampler.close()
    took_ns, cpu_s = time.monotonic_ns() - began_ns, time.process_time() - cpu_s
    result = {
        "start_ns": start_ns,
        "seconds": took_ns * 1e-9,
        "cpu_s": cpu_s,
        "channel": {name: getattr(energy_channel, name) for name in plan["fields"] if hasattr(energy_channel, name)},
        "columns": FrameRow._fields,
        "rows": [[int(value) if value is not None else None for value in row] for row in rows],
        "stats": {channel.name: vars(sampler.stats(channel.name)) for channel in board.channels},
        "samples": samples,
    }
    result_path.write_text(json.dumps(result))


def play(waveforms: dict[str, list[tuple[float, int, int]]], start_ns: int) -> None:
    """Give each channel its knots."""
    for number, knots in waveforms.items():
        table = b"".join(struct.pack("=Qii", start_ns + round(at_s * 1e9), uv, ua) for at_s, uv, ua in knots)
        with (WAVEFORMS / f"waveform{number}").open("wb", buffering=0) as file:
            file.write(table)


def serve(ledger: Ledger, frames_s: list[float], start_ns: int) -> None:
    """Frames of the given lengths, one after another; when each one really began is what the ledger is told."""
    settler = threading.Thread(target=_settle, args=(ledger, ended := threading.Event()))
    settler.start()
    due_ns = start_ns
    for number, length_s in enumerate(frames_s):
        _sleep_until(due_ns)
        begun_ns = time.monotonic_ns()
        ledger.window_started(begun_ns)
        _sleep_until(due_ns + round(length_s * 0.5e9))
        inferred_ns = time.monotonic_ns()
        ledger.finished(Served(number, 0, 0, begun_ns, begun_ns, inferred_ns, inferred_ns, 0, 0))
        due_ns += round(length_s * 1e9)
    _sleep_until(due_ns)
    ledger.window_started(time.monotonic_ns())  # the last frame's window ends where another would begin
    ended.set()
    settler.join()


def _settle(ledger: Ledger, ended: Any) -> None:
    while not ended.wait(0.2):
        ledger.settle(time.monotonic_ns())


def _sleep_until(at_ns: int) -> None:
    left_ns = at_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns * 1e-9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
