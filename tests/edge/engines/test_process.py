from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle.load import Golden
from edge.bundle.manifest import Variant
from edge.engines.contract import EngineError, EngineLost, EngineMissing, ModelRefused
from edge.engines.litert import open_litert
from edge.engines.process import EngineProcess, Loaded
from edge.engines.shared import SharedSlots
from edge.prepare import prepare
from tests.edge.engines.models import CUSTOM, PLAIN, TWO, pixels, variant

FULL, HALF, ALONE = variant("full", TWO, "full"), variant("half", TWO, "half"), variant("alone", PLAIN)
IMAGE = np.random.default_rng(5).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def expected_output(file: Path, signature: str | None, given: Any) -> Any:
    """What the engine gives in this very process."""
    result = np.empty((1, 4, 6, 5), np.float32)
    open_litert().load(file, [signature], 1).run(signature, given, result)
    return result


def golden_for(*variants: Variant) -> Golden:
    given = np.empty((1, 16, 24, 3), np.float32)
    prepare(IMAGE, variants[0].input, given)
    return Golden(IMAGE, {v.id: expected_output(TWO, v.signature, given) for v in variants})


def wait_loaded(process: EngineProcess) -> Loaded:
    loaded = process.poll_loaded(30.0)
    assert loaded is not None, "the worker did not load within 30 s"
    return loaded


def run_on(process: EngineProcess) -> None:
    """Many frames: the socket of a dying worker may still take one."""
    for _ in range(100):
        process.submit("alone", 0)
        process.result(10.0)


Start = Callable[..., EngineProcess]


@pytest.fixture
def slots() -> Iterator[SharedSlots]:
    memory = SharedSlots.create("test", 3, pixels().nbytes)
    yield memory
    memory.close()


@pytest.fixture
def start(slots: SharedSlots) -> Iterator[Start]:
    started: list[EngineProcess] = []

    def begin(file: Path, *variants: Variant, **options: Any) -> EngineProcess:
        process = EngineProcess(file, variants, slots, **options)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()


def test_start_returns_before_loading_is_done(start: Start) -> None:
    process = start(TWO, FULL, HALF)
    assert process.loaded is None
    loaded = wait_loaded(process)
    assert loaded.problems == {}
    assert loaded.library == open_litert().name
    assert process.poll_loaded() is loaded


def test_every_variant_and_slot(start: Start, slots: SharedSlots) -> None:
    process = start(TWO, FULL, HALF)
    wait_loaded(process)
    for slot in range(3):
        slots.view(slot, (1, 16, 24, 3), "float32")[:] = pixels(slot)
    wanted = [("full", 0), ("half", 1), ("full", 2), ("half", 0)]
    for name, slot in wanted:
        process.submit(name, slot)
        result = process.result(10.0)
        assert (result.variant_id, result.slot) == (name, slot)
        np.testing.assert_array_equal(result.output, expected_output(TWO, name, pixels(slot)))


def test_results_come_in_order_of_submission(start: Start, slots: SharedSlots) -> None:
    process = start(TWO, FULL, HALF)
    wait_loaded(process)
    process.submit("full", 0)
    process.submit("half", 1)
    assert process.pending == 2
    first, second = process.result(10.0), process.result(10.0)
    assert (first.variant_id, second.variant_id) == ("full", "half")
    assert first.end_ns <= second.start_ns
    with pytest.raises(EngineError, match="no inference was submitted"):
        process.result(0.1)


def test_times_are_of_this_machine_s_monotonic_clock(start: Start) -> None:
    process = start(PLAIN, ALONE)
    wait_loaded(process)
    before = time.monotonic_ns()
    process.submit("alone", 0)
    result = process.result(10.0)
    assert before < result.start_ns < result.end_ns < time.monotonic_ns()
    assert result.copy_in_ns + result.invoke_ns + result.copy_out_ns == result.end_ns - result.start_ns


def test_golden_pair_is_reproduced(start: Start) -> None:
    assert wait_loaded(start(TWO, FULL, HALF, golden=golden_for(FULL, HALF))).problems == {}


def test_wrong_golden_pair_keeps_one_variant_out_with_the_numbers(start: Start) -> None:
    golden = golden_for(FULL, HALF)
    golden.outputs["half"] = golden.outputs["half"] * 1.5  # type: ignore[operator]
    process = start(TWO, FULL, HALF, golden=golden)
    problems = wait_loaded(process).problems
    assert list(problems) == ["half"]
    assert "max |difference| / max |golden| is 0.3333, allowed 0.001" in problems["half"]
    process.submit("full", 0)
    assert process.result(10.0).variant_id == "full"


def test_golden_pair_of_another_shape_is_refused(slots: SharedSlots) -> None:
    golden = Golden(IMAGE, {"alone": np.zeros((1, 4, 6, 4), np.float32)})
    with pytest.raises(ModelRefused, match=r"'alone': its golden output is \(1, 4, 6, 4\) float32"):
        EngineProcess(PLAIN, [ALONE], slots, golden=golden).start()


def test_manifest_that_does_not_fit_the_file(start: Start) -> None:
    wrong = variant("alone", PLAIN, output=ALONE.output.model_copy(update={"shape": (1, 8, 6, 5)}))
    problems = wait_loaded(start(PLAIN, wrong)).problems
    assert "output is 1x4x6x5 float32, not 1x8x6x5 float32; check the bundle's manifest" in problems["alone"]


def test_unknown_operation_reaches_the_parent_by_name(start: Start) -> None:
    process = start(CUSTOM, variant("custom", CUSTOM))
    with pytest.raises(ModelRefused, match=r"tiny_custom\.tflite: needs Betainc"):
        wait_loaded(process)


def test_unknown_library_reaches_the_parent(start: Start) -> None:
    with pytest.raises(EngineMissing, match="'onnx' is not known"):
        wait_loaded(start(PLAIN, ALONE, library="onnx"))


@pytest.mark.parametrize("kept", [0, 40, 2000])
def test_damaged_file_never_takes_the_parent_along(start: Start, tmp_path: Path, kept: int) -> None:
    # ai-edge-litert refuses a cut file; tflite-runtime dies of it, and only the worker with it.
    path = tmp_path / "cut.tflite"
    path.write_bytes(PLAIN.read_bytes()[:kept])
    with pytest.raises((ModelRefused, EngineLost), match=r"cut\.tflite: .*damaged"):
        wait_loaded(start(path, ALONE))


def test_killed_worker_is_reported_and_can_be_started_again(start: Start) -> None:
    process = start(PLAIN, ALONE)
    wait_loaded(process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineLost, match=r"was killed by SIGKILL while running"):
        run_on(process)
    again = start(PLAIN, ALONE)
    wait_loaded(again)
    again.submit("alone", 0)
    assert again.result(10.0).variant_id == "alone"


def test_worker_killed_while_loading(start: Start) -> None:
    process = start(PLAIN, ALONE)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineLost, match="was killed by SIGKILL while loading"):
        wait_loaded(process)


def test_hung_worker_is_stopped(start: Start) -> None:
    process = start(PLAIN, ALONE)
    wait_loaded(process)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    process.submit("alone", 0)
    assert process.poll_result(0.05) is None
    with pytest.raises(EngineLost, match=r"did not answer within 0\.05 s; it was stopped"):
        process.result(0.05)
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(EngineLost, match="is not running"):
        process.submit("alone", 0)


def test_signals_to_the_group_do_not_end_a_worker(start: Start) -> None:
    process = start(PLAIN, ALONE)
    wait_loaded(process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    process.submit("alone", 0)
    assert process.result(10.0).variant_id == "alone"


def test_nothing_is_left_open(slots: SharedSlots) -> None:
    def once() -> None:
        process = EngineProcess(PLAIN, [ALONE], slots)
        process.start()
        wait_loaded(process)
        process.submit("alone", 0)
        process.result(10.0)
        process.close()

    once()
    before = sorted(os.listdir("/proc/self/fd"))
    once()
    assert sorted(os.listdir("/proc/self/fd")) == before


_PARENT = """
import sys, threading, time
from edge.engines.process import EngineProcess
from edge.engines.shared import SharedSlots
from tests.edge.engines.models import PLAIN, pixels, variant

tied = sys.argv[1] == "tied"
slots = SharedSlots.create("test", 1, pixels().nbytes)
process = EngineProcess(PLAIN, [variant("alone", PLAIN)], slots, tied=tied)
if tied:
    process.start()
else:
    thread = threading.Thread(target=process.start); thread.start(); thread.join()
assert process.poll_loaded(30.0) is not None
process.submit("alone", 0); process.result(10.0)
print(process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("bond", ["tied", "loose"])
def test_worker_ends_with_its_parent_and_a_loose_one_outlives_its_thread(bond: str) -> None:
    root = Path(__file__).resolve().parents[3]
    stopped = bond == "tied"
    with subprocess.Popen([sys.executable, "-c", _PARENT, bond], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())  # printed after an inference: the worker outlived the thread
        if stopped:
            os.kill(worker, signal.SIGSTOP)  # even one that hangs
        parent.kill()
    for _ in range(1000):
        if not _alive(worker):
            return
        time.sleep(0.01)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker was still there 10 s after its parent")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
