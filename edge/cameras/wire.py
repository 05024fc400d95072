"""What a capture process and its parent say to each other: one packet a message over a SOCK_SEQPACKET pair.

To the parent: HELLO (opened; JSON), RING (a new memory of slots; JSON and its descriptor), FRAME, END, FAULT (JSON).
To the child: START (JSON), RELEASE. Nobody ever waits for the other while holding something the other needs.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

HELLO, RING, FRAME, END, FAULT, START, RELEASE = b"H", b"R", b"F", b"E", b"X", b"S", b"L"
MAX_PACKET = 4096
_FRAME = struct.Struct("<cIIqqIIIB")
_RELEASE = struct.Struct("<cII")


@dataclass(frozen=True)
class FrameMessage:
    """A filled slot: the image's bytes from its start, then the mask's when `has_truth`."""

    generation: int
    slot: int
    sequence: int
    monotonic_ns: int
    height: int
    width: int
    channels: int
    has_truth: bool

    @property
    def image_bytes(self) -> int:
        """Bytes that the image takes."""
        return self.height * self.width * self.channels

    @property
    def total_bytes(self) -> int:
        """Bytes that image and mask take."""
        return self.image_bytes + self.has_truth * self.height * self.width

    def pack(self) -> bytes:
        """As a packet."""
        return _FRAME.pack(
            FRAME, self.generation, self.slot, self.sequence, self.monotonic_ns,
            self.height, self.width, self.channels, self.has_truth,
        )  # fmt: skip

    @classmethod
    def unpack(cls, packet: bytes) -> FrameMessage:
        """The inverse of `pack`; raises struct.error."""
        _, generation, slot, sequence, monotonic_ns, height, width, channels, has_truth = _FRAME.unpack(packet)
        return cls(generation, slot, sequence, monotonic_ns, height, width, channels, bool(has_truth))


def pack_release(generation: int, slot: int) -> bytes:
    """The packet that gives a slot back."""
    return _RELEASE.pack(RELEASE, generation, slot)


def unpack_release(packet: bytes) -> tuple[int, int]:
    """Generation and slot of a RELEASE packet."""
    _, generation, slot = _RELEASE.unpack(packet)
    return generation, slot


def pack_json(kind: bytes, **fields: Any) -> bytes:
    """A packet of `kind` with named fields."""
    packet = kind + json.dumps(fields).encode()
    if len(packet) <= MAX_PACKET:
        return packet
    # Only a message's text can be long.
    return kind + json.dumps({**fields, "message": str(fields["message"])[: MAX_PACKET // 8]}).encode()


def unpack_json(packet: bytes) -> dict[str, Any]:
    """The fields of a JSON packet."""
    fields: dict[str, Any] = json.loads(packet[1:])
    return fields
