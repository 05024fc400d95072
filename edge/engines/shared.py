"""Slots of shared memory that a parent and its workers map: a file descriptor is all that travels between them."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import numpy as np

from edge.engines.contract import Array


@dataclass(frozen=True)
class SharedSlots:
    """`count` slots of `slot_bytes` bytes in one anonymous memory file."""

    fd: int
    count: int
    slot_bytes: int
    memory: mmap.mmap

    @staticmethod
    def create(name: str, count: int, slot_bytes: int) -> SharedSlots:
        """Make the memory; `name` shows in /proc/PID/maps. Slots start at whole pages."""
        stride = -(-max(slot_bytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.memfd_create(f"joulepath-{name}")
        os.ftruncate(fd, count * stride)
        return SharedSlots.attach(fd, count, stride)

    @staticmethod
    def attach(fd: int, count: int, slot_bytes: int, *, populate: bool = False) -> SharedSlots:
        """Map memory that a parent made; with `populate` no first use of a page costs a fault later."""
        flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if populate else 0)
        return SharedSlots(fd, count, slot_bytes, mmap.mmap(fd, count * slot_bytes, flags=flags))

    def view(self, slot: int, shape: tuple[int, ...], dtype: str, offset: int = 0) -> Array:
        """The slot's memory as an array, no copy; it stays valid while anyone holds it, also after `close`.

        Raises IndexError for a slot that does not exist and ValueError for a tensor that does not fit.
        """
        if not 0 <= slot < self.count:
            raise IndexError(f"slot {slot} of {self.count}")
        items = int(np.prod(shape))
        if offset + items * np.dtype(dtype).itemsize > self.slot_bytes:
            raise ValueError(f"{shape} {dtype} does not fit into a slot of {self.slot_bytes} bytes")
        flat: Array = np.frombuffer(self.memory, dtype, items, slot * self.slot_bytes + offset)
        return flat.reshape(shape)

    def close(self) -> None:
        """Close the descriptor. The mapping goes when the last array on it does."""
        os.close(self.fd)
