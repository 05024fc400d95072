"""The parent's side of a worker: start it, wait for it without blocking, hand it frames, notice when it dies."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edge
from edge.bundle.load import Golden
from edge.bundle.manifest import Variant
from edge.engines import contract
from edge.engines.contract import Array, EngineError, EngineLost
from edge.engines.messages import DONE, INFER, MAX_PACKET, READY, REFUSED, TICKET, TIMES
from edge.engines.shared import SharedSlots
from edge.prepare import prepare

# How lines begin that the libraries print on every load.
_ROUTINE = ("INFO:", "WARNING:", "W0000", "└")


@dataclass(frozen=True)
class InferResult:
    """One inference, timed in the worker by the monotonic clock.

    `start_ns` to `end_ns` spans the copy in, the model and the copy out. `output` is a view of shared memory that the
    next inference into the same slot overwrites.
    """

    variant_id: str
    slot: int
    start_ns: int
    end_ns: int
    copy_in_ns: int
    invoke_ns: int
    copy_out_ns: int
    output: Array


@dataclass(frozen=True)
class Loaded:
    """What a worker reports once: its library, how long loading took, which variants may not serve and why.

    `warm_ms` is one warm inference of each variant: a first idea, no measurement. `open_ms` is the part of `load_ms`
    that the library took to open the file. `shares_weights` says whether the variants share one set of packed weights;
    `notes` are words about their cache that somebody may want to act on.
    """

    library: str
    version: str
    load_ms: float
    problems: dict[str, str]
    warm_ms: dict[str, float]
    open_ms: float = 0.0
    shares_weights: bool = False
    notes: tuple[str, ...] = ()


def input_shape(variant: Variant) -> tuple[int, int, int, int]:
    """The NHWC shape of the variant's input tensor."""
    return (1, variant.input.height, variant.input.width, 3)


def input_bytes(variant: Variant) -> int:
    """Bytes of the variant's input tensor."""
    return int(np.prod(input_shape(variant))) * np.dtype(variant.input.dtype).itemsize


def output_bytes(variant: Variant) -> int:
    """Bytes of the variant's output tensor."""
    return int(np.prod(variant.output.shape)) * np.dtype(variant.output.dtype).itemsize


class EngineProcess:
    """One model file in a worker process. Not for several threads at once."""

    def __init__(
        self,
        file: Path,
        variants: Sequence[Variant],
        inputs: SharedSlots,
        *,
        threads: int = 1,
        library: str = "auto",
        golden: Golden | None = None,
        tied: bool = False,
        share_weights: bool = True,
        cache: Path | None = None,
    ) -> None:
        """`variants` all live in `file`; `inputs` are the slots that frames are prepared into.

        With `share_weights` the variants share one set of packed weights where the library can, kept in the folder
        `cache` for the next start; without a folder they share them while the process lives.

        A worker ends when its parent's end of the link closes, once it is done with what it does. With `tied` the
        kernel also kills it, whatever it does then, when the *thread* that called `start` ends.
        """
        self.file = file
        self.variants = tuple(variants)
        self._inputs = inputs
        self._threads = threads
        self._library = library
        self._golden = golden
        self._tied = tied
        self._share_weights, self._cache = share_weights, cache
        self._number = {v.id: i for i, v in enumerate(self.variants)}
        self._outputs: SharedSlots | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._messages = -1  # the worker's stderr, a memory file
        self._loaded: Loaded | None = None
        self._waiting: list[tuple[int, str, int]] = []  # ticket, variant id, slot; answers come in this order
        self._ticket = 0

    def start(self) -> None:
        """Start the worker and return at once; `poll_loaded` tells when it is ready."""
        self._outputs = SharedSlots.create("outputs", self._inputs.count, max(map(output_bytes, self.variants)))
        golden, pairs = _golden_memory(self.variants, self._golden)
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._messages = os.memfd_create("joulepath-messages")
        shared = {"inputs": self._inputs, "outputs": self._outputs, "golden": golden}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge.engines.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._messages,
            stderr=self._messages,
            pass_fds=[theirs.fileno(), *(memory.fd for memory in shared.values())],
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        theirs.close()
        golden.close()
        plan = {
            "file": str(self.file.resolve()),
            "library": self._library,
            "threads": self._threads,
            "parent": os.getpid() if self._tied else None,
            "share_weights": self._sharing(),
            "variants": [_plan(v, pair) for v, pair in zip(self.variants, pairs, strict=True)],
            **{k: {"fd": m.fd, "count": m.count, "slot_bytes": m.slot_bytes} for k, m in shared.items()},
        }
        self._link.send(json.dumps(plan).encode())

    def _sharing(self) -> dict[str, str | None] | None:
        if not self._share_weights:
            return None
        return {"model_sha256": self.variants[0].sha256, "folder": None if self._cache is None else str(self._cache)}

    @property
    def pid(self) -> int | None:
        """The worker's process id while it runs."""
        return self._process.pid if self._process is not None else None

    def fileno(self) -> int:
        """Readable when there is something for `poll_loaded` or `result`, or the worker died."""
        return self._open_link().fileno()

    @property
    def loaded(self) -> Loaded | None:
        """What the worker reported, None while it loads."""
        return self._loaded

    def poll_loaded(self, timeout_s: float = 0.0) -> Loaded | None:
        """The worker's report, or None while it still loads.

        Raises what loading raised (EngineMissing, EngineBroken, ModelRefused), or EngineLost when the worker died.
        """
        if self._loaded is None:
            packet = self._receive(timeout_s)
            if packet is None:
                return None
            if packet[:1] == REFUSED:
                refused = json.loads(packet[1:])
                self.close()
                raise getattr(contract, refused["error"], EngineError)(refused["message"])
            assert packet[:1] == READY, packet[:1]
            said = json.loads(packet[1:])
            self._loaded = Loaded(**{**said, "notes": tuple(said["notes"])})
        return self._loaded

    def wait_readable(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for something to come from the worker, or its end."""
        if self._link is not None:
            poller = select.poll()
            poller.register(self._link, select.POLLIN)
            poller.poll(timeout_s * 1e3)

    @property
    def pending(self) -> int:
        """Inferences submitted whose results were not taken."""
        return len(self._waiting)

    def submit(self, variant_id: str, slot: int) -> None:
        """Run the variant on input slot `slot`, into output slot `slot`. Raises EngineLost when the worker died."""
        self._ticket = (self._ticket + 1) & 0xFFFFFFFF
        try:
            self._open_link().send(INFER.pack(self._number[variant_id], slot, slot, self._ticket))
        except OSError as error:
            raise self._lost() from error
        self._waiting.append((self._ticket, variant_id, slot))

    def result(self, timeout_s: float) -> InferResult:
        """The oldest submitted inference's result.

        Raises EngineLost when the worker died or did not answer in time (it is killed then), and EngineError when the
        inference itself failed.
        """
        result = self.poll_result(timeout_s)
        if result is None:
            self.kill()
            raise EngineLost(f"{self.file.name}: the engine did not answer within {timeout_s:g} s; it was stopped")
        return result

    def poll_result(self, timeout_s: float = 0.0) -> InferResult | None:
        """The oldest submitted inference's result, or None when it is not there yet. Raises as `result` does."""
        if not self._waiting:
            raise EngineError(f"{self.file.name}: no inference was submitted")
        packet = self._receive(timeout_s)
        if packet is None:
            return None
        expected, variant_id, slot = self._waiting.pop(0)
        if packet[:1] != DONE:
            raise EngineError(packet[1 + TICKET.size :].decode(errors="replace"))
        ticket, start_ns, copied_in_ns, invoked_ns, end_ns = TIMES.unpack_from(packet, 1)
        assert ticket == expected, (ticket, expected)
        return InferResult(
            variant_id,
            slot,
            start_ns,
            end_ns,
            copied_in_ns - start_ns,
            invoked_ns - copied_in_ns,
            end_ns - invoked_ns,
            self.output(variant_id, slot),
        )

    def output(self, variant_id: str, slot: int) -> Array:
        """A view of the output slot as the variant's output tensor."""
        assert self._outputs is not None, "not started"
        spec = self.variants[self._number[variant_id]].output
        return self._outputs.view(slot, spec.shape, spec.dtype)

    def kill(self) -> None:
        """End the worker now, whatever it does."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the worker; it gets a moment to leave by itself."""
        self._end(None)

    def _end(self, how: signal.Signals | None) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            if how is not None:
                self._process.send_signal(how)
            try:
                self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._messages >= 0:
            os.close(self._messages)
            self._messages = -1
        self._waiting.clear()

    def _open_link(self) -> socket.socket:
        if self._link is None:
            raise EngineLost(f"{self.file.name}: its engine is not running")
        return self._link

    def _receive(self, timeout_s: float) -> bytes | None:
        link = self._open_link()
        poller = select.poll()
        poller.register(link, select.POLLIN)
        if not poller.poll(timeout_s * 1e3):
            return None
        try:
            packet = link.recv(MAX_PACKET)
        except OSError as error:
            raise self._lost() from error
        if not packet:
            raise self._lost()
        return packet

    def _lost(self) -> EngineLost:
        """Why the worker is gone, in words; cleans up."""
        assert self._process is not None
        try:
            code = self._process.wait(1.0)
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        said = _last_words(self._messages)
        loading = self._loaded is None
        self.kill()
        doing = "while loading; the file may be damaged, or made for a newer library" if loading else "while running"
        last = f" (it said: {said})" if said else ""
        return EngineLost(f"{self.file.name}: the engine's process {how} {doing}{last}")


def _plan(variant: Variant, pair: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": variant.id,
        "signature": variant.signature,
        "input": {"shape": input_shape(variant), "dtype": variant.input.dtype},
        "output": {"index": variant.output.index, "shape": variant.output.shape, "dtype": variant.output.dtype},
        "golden": pair,
    }


def _golden_memory(variants: Sequence[Variant], golden: Golden | None) -> tuple[SharedSlots, list[dict[str, Any]]]:
    """Memory with the prepared golden image and the expected output of each variant, and where they lie in it.

    Without a golden pair the input is grey and nothing is expected: the run only warms the variant up.
    """
    pairs: list[dict[str, Any]] = []
    used = 0

    def place(nbytes: int) -> int:
        nonlocal used
        offset = used
        used += -(-nbytes // 64) * 64
        return offset

    image = golden.image if golden is not None else np.full((8, 8, 3), 128, np.uint8)
    for variant in variants:
        expected = golden.outputs.get(variant.id) if golden is not None else None
        fits = expected is not None and (expected.shape, expected.dtype.name) == (
            variant.output.shape,
            variant.output.dtype,
        )
        if expected is not None and not fits:
            raise contract.ModelRefused(
                f"variant {variant.id!r}: its golden output is {expected.shape} {expected.dtype.name}, the manifest "
                f"says {variant.output.shape} {variant.output.dtype}; make the bundle again"
            )
        pairs.append(
            {
                "input_offset": place(input_bytes(variant)),
                "expected_offset": place(output_bytes(variant)) if expected is not None else None,
                "ids": variant.output.kind == "class_ids",
                "tolerance": variant.golden_tolerance,
            }
        )
    memory = SharedSlots.create("golden", 1, used)
    for variant, pair in zip(variants, pairs, strict=True):
        prepare(image, variant.input, memory.view(0, input_shape(variant), variant.input.dtype, pair["input_offset"]))
        if pair["expected_offset"] is not None and golden is not None:
            spec = variant.output
            np.copyto(memory.view(0, spec.shape, spec.dtype, pair["expected_offset"]), golden.outputs[variant.id])
    return memory, pairs


def _environment() -> dict[str, str]:
    """The parent's, with our own package found, and numpy's own thread pool left out (it only slows the start)."""
    home = Path(edge.__file__).resolve().parent.parent
    # An installed package is found anyway, and a site-packages folder in PYTHONPATH would come before the library.
    own = [] if home.name in ("site-packages", "dist-packages") else [str(home)]
    kept = [str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join([*own, *kept])}


def _last_words(fd: int) -> str:
    """The last line that the worker printed, without the library's routine notes."""
    text = os.pread(fd, 1 << 16, max(0, os.fstat(fd).st_size - (1 << 16))).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_ROUTINE)]
    return lines[-1][:300] if lines else ""
