"""Running other people's converters without their chatter."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import warnings
from collections.abc import Iterator


def hush_tensorflow() -> None:
    """Let TensorFlow report errors only, here and in processes started from here; what a user set stays.

    For commands, before anything imports it: it reads the variable once, and greets while it is imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet(), contextlib.suppress(ImportError):
        importlib.import_module("tensorflow")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is written to standard output and error, logged or warned meanwhile: native code's output too.

    TensorFlow reports its start and the machine's instruction sets, the quantizer draws progress bars and warns of a
    debugging mode that calibration needs. What goes wrong is raised, not written.
    """
    kept, sink = os.dup(2), io.StringIO()
    disabled = logging.root.manager.disable
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        os.dup2(kept, 2)
        os.close(kept)
