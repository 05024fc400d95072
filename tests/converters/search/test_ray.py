"""A local cluster of two machines: the same search as by processes, and a worker killed in the middle of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from converters.errors import ConvertError
from converters.paths import ExecutionPath
from converters.search.contract import Measured
from converters.search.errors import SearchError
from converters.search.ledger import Ledger
from converters.search.optuna_search import explore
from converters.search.pool import Processes, Workers
from converters.search.ray_pool import RayWorkers
from converters.search.remember import Remembering
from converters.search.slimming import slim
from tests.converters.search.toy import SIZE, SPACE, Toy

pytestmark = [
    pytest.mark.slow,
    # Ray's own code leaves sockets, files and processes to the garbage collector, and uses what Python deprecates.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra [ray]"),
    pytest.mark.skipif(find_spec("optuna") is None, reason="needs the extra [search]"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    kept = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_USAGE_STATS_ENABLED")}
    # Workers import the landscape of these tests as this process does.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    try:
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def search(workers: Workers, ledger: Path) -> tuple[list[str], list[ExecutionPath], Remembering]:
    try:
        with Ledger(ledger) as kept:
            evaluate = Remembering(workers, kept, "toy", SIZE)
            (full,) = evaluate([SPACE.full()])
            assert isinstance(full, Measured)
            steps = slim(full, SPACE, evaluate, 60.0)
            new = explore(SPACE, evaluate, [full, *(s.measured for s in steps)], trials=16, seed=3)
            return [s.action for s in steps], [each.path for each in new], evaluate
    finally:
        workers.close()


def test_the_same_search_on_two_machines_with_a_worker_killed_in_it(tmp_path: Path, address: str) -> None:
    (tmp_path / "charges").write_text("x")
    here = Toy(tmp_path / "here")
    there = Toy(tmp_path / "there", deadly="skip_2_1", charges=tmp_path / "charges")
    said: list[str] = []
    local = search(Processes(here, 1), tmp_path / "here.jsonl")
    on_ray = search(RayWorkers(there, address, said.append), tmp_path / "there.jsonl")
    assert said == ["Ray cluster of 2 machines, 2 cores"]
    assert on_ray[:2] == local[:2]
    assert on_ray[2].seen == local[2].seen
    assert (tmp_path / "charges").read_text() == ""
    # Once each, and once more the one whose worker was killed.
    assert len(there.asked()) == len(here.asked()) + 1
    assert set(there.asked()) == set(here.asked())
    again = Toy(tmp_path / "again")
    assert search(Processes(again, 1), tmp_path / "there.jsonl")[:2] == local[:2]
    assert again.asked() == []


def test_a_path_that_kills_every_worker_is_an_error_and_what_finished_is_kept(tmp_path: Path, address: str) -> None:
    (tmp_path / "charges").write_text("x" * 9)
    toy = Toy(tmp_path / "log", deadly="skip_2_2", charges=tmp_path / "charges")
    workers = RayWorkers(toy, address, tries=2)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        evaluate = Remembering(workers, ledger, "toy", SIZE)
        evaluate([SPACE.full()])
        try:
            with pytest.raises(SearchError, match=r"a Ray worker died 2 times evaluating .*is memory short\?"):
                evaluate([SPACE.path_of({"skip_2_2": 1})])
        finally:
            workers.close()
        assert len(ledger) == 1


class Unreadable:
    fingerprint = "unreadable"

    def build(self) -> Toy:
        raise ConvertError("weights: no such folder")


def test_an_evaluator_that_cannot_be_made_there_says_why(address: str) -> None:
    workers = RayWorkers(Unreadable(), address)
    try:
        with pytest.raises(ConvertError, match="weights: no such folder"):
            list(workers.run([SPACE.full()]))
    finally:
        workers.close()


def test_an_address_where_nobody_answers() -> None:
    with pytest.raises(SearchError, match=r"--ray 127.0.0.1:1: no cluster answers there .*ray start --head"):
        RayWorkers(Unreadable(), "127.0.0.1:1")
