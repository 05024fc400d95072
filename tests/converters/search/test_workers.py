"""Workers, the ledger and the strategies together: nothing twice, nothing lost, the same whoever works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from converters.errors import ConvertError
from converters.paths import ExecutionPath
from converters.search.contract import Measured, Refused
from converters.search.errors import SearchError
from converters.search.identity import as_json
from converters.search.ledger import Ledger
from converters.search.optuna_search import explore
from converters.search.pool import Processes
from converters.search.remember import Remembering
from converters.search.slimming import slim
from edge.study import StudyError
from tests.converters.search.toy import SIZE, SPACE, Toy

pytest.importorskip("optuna", reason="the search needs the extra [search]")


def search(toy: Toy, ledger: Path, workers: int, seed: int = 1) -> tuple[list[str], Remembering]:
    """Slim to 60 ms, then 20 trials: what was found, in words."""
    pool = Processes(toy, workers)
    try:
        with Ledger(ledger) as kept:
            evaluate = Remembering(pool, kept, toy.fingerprint, SIZE)
            (full,) = evaluate([SPACE.full()])
            assert isinstance(full, Measured)
            steps = slim(full, SPACE, evaluate, 60.0)
            new = explore(SPACE, evaluate, [full, *(s.measured for s in steps)], trials=20, seed=seed)
            found = [s.action for s in steps] + [str(as_json(each.path)) for each in new]
            return found, evaluate
    finally:
        pool.close()


def test_one_worker_and_three_find_the_same_and_a_second_run_evaluates_nothing(tmp_path: Path) -> None:
    one, three = Toy(tmp_path / "one"), Toy(tmp_path / "three")
    found, evaluate = search(one, tmp_path / "one.jsonl", 1)
    again, with_three = search(three, tmp_path / "three.jsonl", 3)
    assert again == found
    assert list(with_three.seen) == list(evaluate.seen)
    assert with_three.seen == evaluate.seen
    assert sorted(three.asked()) == sorted(one.asked())
    assert len(set(one.asked())) == len(one.asked()) == evaluate.evaluated
    resumed, nothing_new = search(one, tmp_path / "one.jsonl", 1)
    assert (resumed, nothing_new.evaluated) == (found, 0)
    assert nothing_new.seen == evaluate.seen


def test_interrupted_anywhere_the_search_ends_with_the_same_result(tmp_path: Path) -> None:
    whole = Toy(tmp_path / "whole")
    found, evaluate = search(whole, tmp_path / "whole.jsonl", 1)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (1, 13, len(lines) - 1):
        ledger, rest = tmp_path / f"{kept}.jsonl", Toy(tmp_path / f"{kept}")
        ledger.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        resumed, of_rest = search(rest, ledger, 1)
        assert resumed == found
        assert len(rest.asked()) == len(lines) - kept
        assert of_rest.seen == evaluate.seen


def test_another_seed_explores_elsewhere(tmp_path: Path) -> None:
    first, _ = search(Toy(tmp_path / "log"), tmp_path / "ledger.jsonl", 1, seed=1)
    second, _ = search(Toy(tmp_path / "log"), tmp_path / "ledger.jsonl", 1, seed=2)
    assert first != second


def test_a_killed_workers_path_is_tried_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    (tmp_path / "charges").write_text("xx")
    toy = Toy(tmp_path / "log", deadly="skip_2_1", charges=tmp_path / "charges")
    said: list[str] = []
    pool = Processes(toy, 2, said.append)
    paths = [action.path for action in SPACE.actions(SPACE.full())]
    try:
        outcomes = dict(pool.run(paths))
    finally:
        pool.close()
    assert [outcomes[place] for place in range(len(paths))] == [Toy(tmp_path / "other")(path) for path in paths]
    assert len(toy.asked()) == len(paths) + 2
    assert said == [f"a worker died; its path is evaluated again (try {n} of 3)" for n in (2, 3)]


def test_a_path_that_kills_every_worker_ends_the_search_and_what_finished_is_kept(tmp_path: Path) -> None:
    (tmp_path / "charges").write_text("x" * 99)
    toy = Toy(tmp_path / "log", deadly="skip_2_2", charges=tmp_path / "charges")
    pool = Processes(toy, 1)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        evaluate = Remembering(pool, ledger, "toy", SIZE)
        try:
            with pytest.raises(SearchError, match=r"a worker died 3 times evaluating .*; is memory short\?"):
                evaluate([action.path for action in SPACE.actions(SPACE.full())])
        finally:
            pool.close()
        assert len(ledger) == 3


class Unreadable:
    fingerprint = "unreadable"

    def build(self) -> Toy:
        raise ConvertError("weights: no such folder")


def test_an_evaluator_that_cannot_be_made_says_why_at_once() -> None:
    pool = Processes(Unreadable(), 1)
    try:
        with pytest.raises(ConvertError, match="weights: no such folder"):
            list(pool.run([SPACE.full()]))
    finally:
        pool.close()


def test_a_path_that_cannot_be_had_is_refused_once_and_remembered(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "log", impossible="decoder")
    for _ in range(2):
        pool = Processes(toy, 1)
        with Ledger(tmp_path / "ledger.jsonl") as ledger:
            try:
                (outcome,) = Remembering(pool, ledger, "toy", SIZE)([SPACE.path_of({"decoder": 1})])
            finally:
                pool.close()
        assert isinstance(outcome, Refused)
        assert outcome.reason == "decoder cannot be had"
    assert len(toy.asked()) == 1


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from tests.converters.search.toy import SPACE, Toy\n"
        "from converters.search.pool import Processes\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(Toy(pathlib.Path(sys.argv[1])), 1)\n"
        "    list(pool.run([SPACE.full()]))\n"
        "    (process,) = pool._begun[0]._processes.values()\n"
        "    print(process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (tmp_path / "parent.py").write_text(code)
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
        cwd=root,
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        assert worker.is_running()
        parent.kill()
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


class WithoutTable:
    fingerprint = "without a table"

    def build(self) -> WithoutTable:
        return self

    def __call__(self, path: ExecutionPath) -> Measured:
        raise StudyError("the latency table lacks 1 units")


def test_what_is_wrong_for_every_path_ends_the_search(tmp_path: Path) -> None:
    pool = Processes(WithoutTable(), 1)
    try:
        with Ledger(tmp_path / "ledger.jsonl") as ledger:
            with pytest.raises(StudyError, match="the latency table lacks 1 units"):
                Remembering(pool, ledger, "toy", SIZE)([SPACE.full()])
            assert len(ledger) == 0
    finally:
        pool.close()
