"""The capture process: `python -m edge.cameras.child SOCKET_FD PARENT_PID`, started by `edge.cameras.process`."""

from __future__ import annotations

import array
import ctypes
import os
import signal
import socket
import sys
from dataclasses import dataclass

import numpy as np

from edge.cameras.frame import CameraError
from edge.cameras.pace import Captured
from edge.cameras.ring import WriteRing
from edge.cameras.source import SourceSpec
from edge.cameras.wire import (
    END,
    FAULT,
    HELLO,
    MAX_PACKET,
    RELEASE,
    RING,
    START,
    FrameMessage,
    pack_json,
    unpack_json,
    unpack_release,
)

_PR_SET_PDEATHSIG = 1


class ParentGone(Exception):
    """Nobody reads our frames any more."""


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill us when the thread that started us ends; leave at once when it already has."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise ParentGone


@dataclass
class Link:
    """The child's end of the socket pair."""

    socket: socket.socket

    def send(self, packet: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send a packet, with descriptors where given."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([packet], ancillary)
        except OSError as error:
            raise ParentGone from error

    def receive(self, *, wait: bool) -> bytes | None:
        """The next packet, or None when there is none and we do not wait."""
        try:
            packet = self.socket.recv(MAX_PACKET, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ParentGone from error
        if not packet:
            raise ParentGone
        return packet


class Outbox:
    """Puts frames into slots and tells the parent; makes a new ring when a frame outgrows the present one."""

    def __init__(self, link: Link, slots: int, live: bool) -> None:
        self._link, self._slots, self._live = link, slots, live
        self._ring: WriteRing | None = None

    def put(self, frame: Captured) -> None:
        """Hand a frame over. Without a free slot a live frame is dropped, any other waits for one."""
        height, width, channels = frame.image.shape
        has_truth = frame.truth is not None
        need = height * width * (channels + has_truth)
        ring = self._ring
        if ring is None or need > ring.slot_bytes:
            ring = self._renew(need)
        slot = self._slot(ring)
        if slot is None:
            return
        message = FrameMessage(
            ring.generation, slot, frame.sequence, frame.monotonic_ns, height, width, channels, has_truth
        )
        ring.write(message, np.ascontiguousarray(frame.image), frame.truth)
        self._link.send(message.pack())

    def _renew(self, need: int) -> WriteRing:
        generation = 0
        if self._ring is not None:
            generation = self._ring.generation + 1
            self._ring.close()
        self._ring = WriteRing(generation, self._slots, need)
        fields = {"generation": generation, "slots": self._slots, "slot_bytes": self._ring.slot_bytes}
        self._link.send(pack_json(RING, **fields), (self._ring.fd,))
        return self._ring

    def _slot(self, ring: WriteRing) -> int | None:
        while (packet := self._link.receive(wait=False)) is not None:
            self._take_back(ring, packet)
        while (slot := ring.take()) is None and not self._live:
            packet = self._link.receive(wait=True)
            if packet is not None:
                self._take_back(ring, packet)
        return slot

    @staticmethod
    def _take_back(ring: WriteRing, packet: bytes) -> None:
        if packet[:1] == RELEASE:
            generation, slot = unpack_release(packet)
            if generation == ring.generation:  # slots of an outgrown ring are gone
                ring.give_back(slot)


def capture(link: Link) -> None:
    """Open the source that START names, hand over its frames, say END."""
    order = _wait_for(link, START)
    spec = SourceSpec.from_json(order["spec"])
    outbox = Outbox(link, int(order["slots"]), spec.live)
    if spec.kind == "v4l2":
        _capture_device(link, outbox, spec, int(order["first"]))
    else:
        _capture_reel(link, outbox, spec, int(order["first"]))


def _capture_device(link: Link, outbox: Outbox, spec: SourceSpec, first: int) -> None:
    from edge.cameras.device import Device
    from edge.cameras.pace import FromDevice

    device = Device(spec)
    link.send(pack_json(HELLO, fps=device.fps))
    player = FromDevice(device, first)
    while True:
        outbox.put(player.read())  # a fault raises; a device has no end


def _capture_reel(link: Link, outbox: Outbox, spec: SourceSpec, first: int) -> None:
    from edge.cameras.pace import EveryFrame, Paced, Player
    from edge.cameras.reels import VideoReel, open_reel

    reel = open_reel(spec)
    fps = spec.fps or reel.fps
    if spec.live and not fps:
        raise CameraError(f"{spec.path}: the file does not state its rate; write it as {spec.path}@FPS")
    link.send(pack_json(HELLO, fps=fps))
    # The clock of a paced reel starts when the first frame is asked for, not while models still load.
    epoch_ns = int(_wait_for(link, START)["epoch_ns"])
    player: Player = Paced(reel, fps, first, epoch_ns) if spec.live and fps else EveryFrame(reel, first)
    while (frame := player.read()) is not None:
        outbox.put(frame)
    short = reel.short_by if isinstance(reel, VideoReel) else 0
    text = f"{spec.path} ended {short} frames before the length that its header states" if short else ""
    link.send(pack_json(END, message=text))


def _wait_for(link: Link, kind: bytes) -> dict[str, str]:
    while (packet := link.receive(wait=True)) is not None:
        if packet[:1] == kind:
            return unpack_json(packet)
    raise ParentGone


def _limit_threads() -> None:
    import cv2

    cv2.setNumThreads(1)  # cores belong to inference


def main() -> int:
    """Run; the exit status is 0 unless Python itself fails."""
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    try:
        die_with_parent(int(sys.argv[2]))
        _limit_threads()
        try:
            capture(link)
        except CameraError as error:
            link.send(pack_json(FAULT, message=str(error)))
        # The parent reads what is left and closes; then we go.
        while link.receive(wait=True) is not None:
            pass
    except (ParentGone, KeyboardInterrupt):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
