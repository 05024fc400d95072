"""Workers take one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from converters.search.threads import MOST_WORKERS, default_workers

pytestmark = pytest.mark.host

PROGRAM = """
import json, os
import numpy as np
from threadpoolctl import threadpool_info
from converters.quiet import hush_tensorflow
hush_tensorflow()
from converters.search.threads import compute_on_one_thread
compute_on_one_thread()
np.ones((64, 64)) @ np.ones((64, 64))
import tensorflow as tf
tf.linalg.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
pools = [pool["num_threads"] for pool in threadpool_info()]
print(json.dumps([pools, tf.config.threading.get_intra_op_parallelism_threads()]))
"""


def test_a_worker_computes_on_one_thread() -> None:
    pytest.importorskip("tensorflow", reason="needs the host extra [convert]")
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environ)
    pools, intra = json.loads(told.stdout)
    assert pools
    assert set(pools) == {1}
    assert intra == 1


def test_workers_when_nobody_says() -> None:
    cores = len(os.sched_getaffinity(0))
    assert default_workers(timed_here=True) == 1
    assert default_workers(timed_here=False) == min(cores, MOST_WORKERS)
