"""One thread for each worker."""

from __future__ import annotations

import contextlib
import os

MOST_WORKERS = 4  # when nobody says: each holds 2 GB for a B0 at 288x384


def default_workers(*, timed_here: bool) -> int:
    """One a core where times are predicted; one where paths are timed on this machine and others would disturb it."""
    return 1 if timed_here else min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def compute_on_one_thread() -> None:
    """From now on linear algebra and TensorFlow of this process take one thread.

    Threads of several workers on the same cores wait for each other, spinning; and sums over one thread come out the
    same however many cores a machine has.
    """
    from threadpoolctl import threadpool_limits

    from converters.quiet import hush_tensorflow

    threadpool_limits(1)
    hush_tensorflow()
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # TensorFlow has begun to compute and keeps the threads that it has
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
