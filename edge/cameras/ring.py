"""Frame slots in an anonymous memory file that a capture process writes and its parent only reads."""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np

from edge.cameras.frame import Image, Mask
from edge.cameras.wire import FrameMessage


class WriteRing:
    """The child's side: `slots` slots of `slot_bytes` bytes, and which of them are free."""

    def __init__(self, generation: int, slots: int, slot_bytes: int) -> None:
        self.generation, self.slots = generation, slots
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.fd = os.memfd_create("joulepath-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, slots * self.slot_bytes)
        # A child gone wrong cannot shrink the memory under its parent's feet (that would be a SIGBUS).
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self._memory = np.frombuffer(mmap.mmap(self.fd, slots * self.slot_bytes), np.uint8)
        self._free = list(range(slots))

    def take(self) -> int | None:
        """A free slot, or None."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """`slot` may be written again."""
        if 0 <= slot < self.slots and slot not in self._free:
            self._free.append(slot)

    def write(self, message: FrameMessage, image: Image, truth: Mask | None) -> None:
        """Copy image and mask into the message's slot."""
        start = message.slot * self.slot_bytes
        self._memory[start : start + message.image_bytes].reshape(image.shape)[...] = image
        if truth is not None:
            self._memory[start + message.image_bytes : start + message.total_bytes].reshape(truth.shape)[...] = truth

    def close(self) -> None:
        """Close the descriptor; the parent keeps its own."""
        os.close(self.fd)


class ReadRing:
    """The parent's side, read only. The mapping lives as long as any frame on it."""

    def __init__(self, fd: int, generation: int, slots: int, slot_bytes: int) -> None:
        """Maps and then closes `fd`. Raises ValueError when it is smaller than it claims."""
        try:
            if os.fstat(fd).st_size < slots * slot_bytes:
                raise ValueError("frame memory is smaller than stated")
            memory = mmap.mmap(fd, slots * slot_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self.generation, self._slots, self._slot_bytes = generation, slots, slot_bytes
        self._memory: Image = np.frombuffer(memory, np.uint8)

    def view(self, message: FrameMessage) -> tuple[Image, Mask | None]:
        """Image and mask of a slot, no copy. Raises ValueError for a message that does not fit."""
        fits = message.slot < self._slots and 0 < message.total_bytes <= self._slot_bytes and message.channels == 3
        if message.generation != self.generation or not fits:
            raise ValueError(f"frame message does not fit its memory: {message}")
        start = message.slot * self._slot_bytes
        middle, end = start + message.image_bytes, start + message.total_bytes
        image = self._memory[start:middle].reshape(message.height, message.width, 3)
        truth = self._memory[middle:end].reshape(message.height, message.width) if message.has_truth else None
        return image, truth
