"""The process that holds one model file: started by `process.EngineProcess`, never by hand.

It imports numpy and one inference library, nothing else of weight, maps the shared slots that its parent made, loads,
proves each variant against its golden pair, and then answers one packet with one packet until its parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np

from edge.engines.compiled import CompiledSession, load_sharing
from edge.engines.contract import Array, EngineError, Session
from edge.engines.golden import golden_difference
from edge.engines.litert import LiteRtEngine, open_litert
from edge.engines.messages import DONE, FAILED, INFER, MAX_PACKET, READY, REFUSED, TICKET, TIMES
from edge.engines.shared import SharedSlots

_PR_SET_PDEATHSIG = 1


class Worker:
    """One loaded file and the slots of its parent."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """`plan`: file, library, threads, how weights are shared, variants, descriptors and sizes of memories."""
        began_ns = monotonic_ns()
        self._inputs = SharedSlots.attach(**plan["inputs"], populate=True)
        self._outputs = SharedSlots.attach(**plan["outputs"], populate=True)
        self._variants: list[dict[str, Any]] = plan["variants"]
        engine = open_litert(plan["library"])
        signatures = list(dict.fromkeys(v["signature"] for v in self._variants))
        self._notes: list[str] = []
        opening_ns = monotonic_ns()
        self._session: Session = self._load(engine, plan, signatures)
        opened_ns = monotonic_ns()
        golden = SharedSlots.attach(**plan["golden"])
        self._warm_ms: dict[str, float] = {}
        self.ready: dict[str, Any] = {
            "library": engine.name,
            "version": engine.version,
            "problems": {v["id"]: problem for v in self._variants if (problem := self._prove(v, golden))},
            "load_ms": (monotonic_ns() - began_ns) / 1e6,
            "warm_ms": self._warm_ms,
            "open_ms": (opened_ns - opening_ns) / 1e6,
            "shares_weights": isinstance(self._session, CompiledSession),
            "notes": self._notes,
        }
        golden.close()

    def _load(self, engine: LiteRtEngine, plan: dict[str, Any], signatures: list[str | None]) -> Session:
        file, threads, share = Path(plan["file"]), plan["threads"], plan["share_weights"]
        if share is None:
            return engine.load(file, signatures, threads)
        folder = None if share["folder"] is None else Path(share["folder"])
        return load_sharing(
            engine,
            file,
            signatures,
            threads,
            model_sha256=share["model_sha256"],
            folder=folder,
            say=lambda words: self._notes.append(f"{file.name}: {words}"),
        )

    def _prove(self, variant: dict[str, Any], golden: SharedSlots) -> str | None:
        """Run the variant and compare with its golden output; the problem in words.

        The first run warms it up, the second is a first idea of its latency.
        """
        given, wanted, pair = variant["input"], variant["output"], variant["golden"]
        source = golden.view(0, tuple(given["shape"]), given["dtype"], pair["input_offset"])
        result: Array = np.empty(tuple(wanted["shape"]), wanted["dtype"])
        try:
            self._session.run(variant["signature"], source, result, wanted["index"])
            again = self._session.run(variant["signature"], source, result, wanted["index"])
        except EngineError as error:
            return str(error)
        self._warm_ms[variant["id"]] = (again.end_ns - again.start_ns) / 1e6
        if pair["expected_offset"] is None:
            return None
        expected = golden.view(0, tuple(wanted["shape"]), wanted["dtype"], pair["expected_offset"])
        difference = golden_difference(result, expected, ids=pair["ids"])
        if difference <= pair["tolerance"]:
            return None
        what = "share of differing ids" if pair["ids"] else "max |difference| / max |golden|"
        return (
            f"its golden output is not reproduced: {what} is {difference:.4g}, allowed {pair['tolerance']:.4g}; "
            "this engine computes this variant wrongly, use another engine library or convert the bundle again"
        )

    def infer(self, packet: bytes) -> bytes:
        """Answer one INFER packet."""
        number, input_slot, output_slot, ticket = INFER.unpack(packet)
        variant = self._variants[number]
        given, wanted = variant["input"], variant["output"]
        try:
            times = self._session.run(
                variant["signature"],
                self._inputs.view(input_slot, tuple(given["shape"]), given["dtype"]),
                self._outputs.view(output_slot, tuple(wanted["shape"]), wanted["dtype"]),
                wanted["index"],
            )
        except EngineError as error:
            return FAILED + TICKET.pack(ticket) + str(error).encode()[:2000]
        return DONE + TIMES.pack(ticket, *times)


def main() -> None:
    """Serve the socket whose descriptor is the only argument."""
    link = socket.socket(fileno=int(sys.argv[1]))
    # The parent decides when a worker ends, by closing its end: a Ctrl-C or a SIGTERM to the whole group must not
    # take the model away while the last frame is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    plan = json.loads(link.recv(MAX_PACKET))
    if plan["parent"] is not None:
        _die_with(plan["parent"])
    try:
        worker = Worker(plan)
    except EngineError as error:
        link.send(REFUSED + json.dumps({"error": type(error).__name__, "message": str(error)}).encode())
        return
    gc.collect()
    gc.freeze()
    link.send(READY + json.dumps(worker.ready).encode())
    while packet := link.recv(MAX_PACKET):
        link.send(worker.infer(packet))


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, whatever this process is doing then."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("parent is gone")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone: nobody to tell
        main()
    # Nothing is left to save: the kernel takes the memory back sooner than the interpreter would.
    os._exit(0)
