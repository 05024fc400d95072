"""The parent's side of a capture process: it may die or freeze at any instant and never stops us."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import edge
from edge.cameras.frame import CameraError, EndOfStream, Frame
from edge.cameras.ring import ReadRing
from edge.cameras.source import SourceSpec
from edge.cameras.wire import (
    END,
    FAULT,
    FRAME,
    HELLO,
    MAX_PACKET,
    RING,
    START,
    FrameMessage,
    pack_json,
    pack_release,
    unpack_json,
)

DEFAULT_SLOTS = 8


class CameraLost(CameraError):
    """The capture process died without a word: worth starting again."""


@dataclass(frozen=True, eq=False)
class _Token:
    owner: CameraProcess
    generation: int
    slot: int


class CameraProcess:
    """One capture process and the thread that listens to it. Every method may be called from any thread.

    The thread also starts the process, because the kernel's parent-death signal goes off when the *thread* that
    started a process ends, and this one lives exactly as long as its child should.
    """

    def __init__(self, spec: SourceSpec, *, slots: int = DEFAULT_SLOTS, first: int = 0) -> None:
        """`first` is the number of the first frame wanted; `slots` bounds the frames held and on their way."""
        self._spec, self._slots, self._first = spec, slots, first
        self._expected = first
        self._link, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stop_reader, self._stop_writer = os.pipe()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._rings: dict[int, ReadRing] = {}
        self._arrived: deque[Frame] = deque()
        self._held: set[_Token] = set()
        self._fps: float | None = None
        self._hello = self._playing = self._closed = False
        self._over: Exception | None = None
        self._errors = b""
        self._thread = threading.Thread(target=self._listen, name="camera", daemon=True)

    @property
    def live(self) -> bool:
        """Whether frames that nobody fetches are skipped."""
        return self._spec.live

    @property
    def fps(self) -> float | None:
        """The rate that the source states, once it is open."""
        return self._fps

    @property
    def pid(self) -> int | None:
        """The capture process's id, once it is started."""
        return self._process.pid if self._process is not None else None

    @property
    def opened(self) -> bool:
        """Whether the source was opened and gave proof of a frame."""
        return self._hello

    def start(self) -> None:
        """Start the process and return at once."""
        self._thread.start()
        order = pack_json(START, spec=self._spec.to_json(), slots=self._slots, first=self._first)
        self._send(order)

    def open(self, timeout_s: float = 20.0) -> None:
        """Start the process and wait until its source is open. Raises CameraError when it cannot be opened."""
        self.start()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._hello and self._over is None and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            over, hello = self._over, self._hello
        if hello:
            return
        self.close()
        if over is not None:
            raise _anew(over)
        raise CameraError(
            f"camera {self._spec.text!r}: it did not open within {timeout_s:g} s; is the device stuck? Where it is only"
            " slow, raise camera_process.open_timeout_s"
        )

    def play(self, epoch_ns: int) -> None:
        """Let a paced source's clock start at `epoch_ns`; `next` does so by itself when nobody did."""
        if not self._playing:
            self._playing = True
            self._send(pack_json(START, epoch_ns=epoch_ns))

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame (of a live source the newest), or None when none came within `timeout_s`.

        Raises EndOfStream after a file's last frame, CameraLost when the process died, CameraError for a fault that
        the source reported. What arrived before that is handed over first.
        """
        if not self._playing:
            self.play(time.monotonic_ns())
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._arrived and self._over is None and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._arrived:
                return self._deliver(self._arrived.popleft())
            if self._over is not None:
                raise _anew(self._over)
        return None

    def release(self, frame: Frame) -> None:
        """Give a frame's slot back. Raises ValueError for one that is not held."""
        token = frame.token
        with self._changed:
            if not isinstance(token, _Token) or token not in self._held:
                raise ValueError(f"frame {frame.sequence} is not held: released twice, or another camera's")
            self._held.remove(token)
        self._send(pack_release(token.generation, token.slot))

    def close(self) -> None:
        """Kill the process. Frames still held stay readable, and whoever holds them still releases them."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
        os.write(self._stop_writer, b"x")
        if self._thread.ident is not None:
            self._thread.join()
        for fd in (self._stop_reader, self._stop_writer):
            os.close(fd)
        self._link.close()
        self._theirs.close()
        with self._changed:  # the memory goes when the last held frame does, not when the garbage collector comes
            self._rings.clear()
            self._arrived.clear()

    def __enter__(self) -> CameraProcess:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deliver(self, frame: Frame) -> Frame:
        skipped, self._expected = max(0, frame.sequence - self._expected), frame.sequence + 1
        delivered = Frame(frame.image, frame.monotonic_ns, frame.sequence, skipped, frame.truth, frame.token)
        assert isinstance(frame.token, _Token)
        self._held.add(frame.token)
        return delivered

    def _send(self, packet: bytes) -> None:
        # A frozen child's buffer may fill and a dead one's is closed: neither is our problem here.
        with contextlib.suppress(OSError):
            self._link.send(packet, socket.MSG_DONTWAIT)

    # -- the thread ---------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        over: Exception
        try:
            over = self._converse()
        except (OSError, ValueError, KeyError, struct.error) as error:
            over = CameraLost(f"camera {self._spec.text!r}: capture process cannot be used: {error}")
        with self._changed:
            self._over = over
            self._changed.notify_all()
        self._kill()

    def _converse(self) -> Exception:
        errors = self._spawn()
        with selectors.DefaultSelector() as selector, os.fdopen(errors, "rb", buffering=0):
            for source in (self._link, self._stop_reader, errors):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._stop_reader in ready:
                    return CameraLost(f"camera {self._spec.text!r}: closed")
                if errors in ready and not self._note_errors(os.read(errors, 4096)):
                    selector.unregister(errors)
                if self._link.fileno() in ready and (over := self._receive()) is not None:
                    return over

    def _spawn(self) -> int:
        errors, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge.cameras.child", str(self._theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=theirs,
                pass_fds=[self._theirs.fileno()],
                cwd="/",
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent, who ends us
            )
        finally:
            os.close(theirs)
            self._theirs.close()
        return errors

    def _receive(self) -> Exception | None:
        try:
            packet, fds, _, _ = socket.recv_fds(self._link, MAX_PACKET, 1)
        except ConnectionResetError:
            return None  # it died with unread packets of ours; what it had sent can still be read
        if not packet:
            return self._died()
        kind = packet[:1]
        if kind == FRAME:
            self._add(FrameMessage.unpack(packet))
        elif kind == RING:
            fields = unpack_json(packet)
            ring = ReadRing(fds[0], fields["generation"], fields["slots"], fields["slot_bytes"])
            self._rings = {ring.generation: ring}
        elif kind == HELLO:
            with self._changed:
                self._fps = unpack_json(packet)["fps"]
                self._hello = True
                self._changed.notify_all()
        elif kind == END:
            return EndOfStream(unpack_json(packet)["message"])
        elif kind == FAULT:
            return CameraError(unpack_json(packet)["message"])
        return None

    def _add(self, message: FrameMessage) -> None:
        image, truth = self._rings[message.generation].view(message)
        token = _Token(self, message.generation, message.slot)
        frame = Frame(image, message.monotonic_ns, message.sequence, 0, truth, token)
        older: list[Frame] = []
        with self._changed:
            if self.live:
                older = list(self._arrived)
                self._arrived.clear()
            self._arrived.append(frame)
            self._changed.notify_all()
        for passed in older:
            assert isinstance(passed.token, _Token)
            self._send(pack_release(passed.token.generation, passed.token.slot))

    def _died(self) -> CameraLost:
        assert self._process is not None
        self._kill()
        status = self._process.returncode
        how = f"signal {-status}" if status < 0 else f"status {status}"
        last = self._errors.decode(errors="replace").strip().splitlines()[-1:]
        return CameraLost(f"camera {self._spec.text!r}: capture process died ({how}){': ' + last[0] if last else ''}")

    def _note_errors(self, text: bytes) -> bool:
        self._errors = (self._errors + text)[-4096:]
        return bool(text)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _anew(error: Exception) -> Exception:
    """The same error without a traceback, whose frames would keep pictures and their memory alive."""
    return type(error)(*error.args)


def _environment() -> dict[str, str]:
    """Ours, with our own packages findable, and OpenCV's and FFmpeg's chatter off."""
    home = str(Path(edge.__file__).resolve().parents[1])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    quiet = {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)}
