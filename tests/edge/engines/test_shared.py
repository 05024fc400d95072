from __future__ import annotations

import mmap

import numpy as np
import pytest

from edge.engines.shared import SharedSlots


def test_two_mappings_see_one_memory() -> None:
    ours = SharedSlots.create("test", 2, 100)
    theirs = SharedSlots.attach(ours.fd, ours.count, ours.slot_bytes, populate=True)
    ours.view(1, (5, 5), "int32")[:] = 7
    np.testing.assert_array_equal(theirs.view(1, (5, 5), "int32"), np.full((5, 5), 7))
    assert not theirs.view(0, (25,), "int32").any()
    ours.close()


def test_slots_start_at_pages() -> None:
    slots = SharedSlots.create("test", 3, mmap.PAGESIZE + 1)
    assert slots.slot_bytes == 2 * mmap.PAGESIZE
    slots.close()


def test_view_outlives_close() -> None:
    slots = SharedSlots.create("test", 1, 64)
    view = slots.view(0, (16,), "float32")
    slots.close()
    view[:] = 3.0
    assert view.sum() == 48.0


def test_what_does_not_fit_is_refused() -> None:
    slots = SharedSlots.create("test", 1, 64)
    with pytest.raises(ValueError, match="does not fit"):
        slots.view(0, (mmap.PAGESIZE + 1,), "uint8")
    with pytest.raises(IndexError, match="slot 1 of 1"):
        slots.view(1, (1,), "uint8")
    slots.close()
