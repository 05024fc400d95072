"""The mask that bilinear upsampling of every class plane and an argmax would give, without upsampling the planes.

Between the centres of four neighbouring logits, a cell, each class is a weighted mean of its four corner values. So:

* Where one class wins at all four corners it wins everywhere in the cell: nothing to compute. Most cells are such.
* In a mixed cell let b be the largest, over the corners' winners, of a winner's smallest corner value: some class is at
  least b all over the cell. A class below b at all four corners can never win; two or three classes remain of 150.

Only those are interpolated. Half-pixel centres, edges repeated: `align_corners=False`, as cv2.INTER_LINEAR does it.
Ties go to the lowest class, as np.argmax does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.engines.contract import Array

Mask = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.intp]

MAX_CLASSES = 255  # 255 itself means void
_CHUNK_VALUES = 1 << 15  # corner values looked at in one go: they stay in the core's own cache


def upsampled_argmax(logits: Array, size: tuple[int, int]) -> Mask:
    """The winning class of each pixel of an HxW mask (uint8) from hxwxK logits of any real dtype.

    Quantized logits need no dequantization: one scale for all classes keeps the order. Raises ValueError for more than
    255 classes.
    """
    height, width, classes = logits.shape
    if classes > MAX_CLASSES:
        raise ValueError(f"{classes} classes do not fit into a mask of bytes; {MAX_CLASSES} do")
    winners: Mask = logits.argmax(-1).astype(np.uint8)
    if size == (height, width):
        return winners
    cells = _find_cells(winners)
    corners = _candidates(logits, cells)
    if size[0] % height == 0 and size[1] % width == 0:
        return _by_whole_factors(cells, corners, size[0] // height, size[1] // width)
    return _by_any_factors(cells, corners, size)


@dataclass(frozen=True)
class _Cells:
    """The (h+1)x(w+1) cells around hxw logits; cell (r, c) lies between rows r-1 and r, columns c-1 and c, clamped."""

    winner: Mask  # of the first corner; the winner of the whole cell unless it is mixed
    rows: _Ints  # of the mixed cells
    columns: _Ints
    pixels: _Ints  # Nx4: the flat logit indices of their corners
    winners: Mask  # Nx4


@dataclass(frozen=True)
class _Group:
    """Mixed cells with equally many candidate classes."""

    members: _Ints  # M: which of the mixed cells
    classes: Mask  # MxC, ascending
    values: _Floats  # MxCx4: at the corners


def _find_cells(winners: Mask) -> _Cells:
    height, width = winners.shape
    padded = np.pad(winners, 1, mode="edge")
    first = padded[:-1, :-1]
    mixed = (first != padded[:-1, 1:]) | (first != padded[1:, :-1]) | (first != padded[1:, 1:])
    rows, columns = np.nonzero(mixed)
    top, bottom = np.maximum(rows - 1, 0) * width, np.minimum(rows, height - 1) * width
    left, right = np.maximum(columns - 1, 0), np.minimum(columns, width - 1)
    pixels = np.stack([top + left, top + right, bottom + left, bottom + right], axis=1)
    return _Cells(np.ascontiguousarray(first), rows, columns, pixels, winners.ravel()[pixels])


def _candidates(logits: Array, cells: _Cells) -> list[_Group]:
    """The classes that may win in each mixed cell, with their corner values, grouped by their number."""
    classes = logits.shape[2]
    flat = logits.reshape(-1, classes)
    chunk = max(16, _CHUNK_VALUES // classes)
    members, names = [], []
    for start in range(0, len(cells.pixels), chunk):
        pixels = cells.pixels[start : start + chunk]
        largest = flat[pixels[:, 0]]
        for corner in (1, 2, 3):
            np.maximum(largest, flat[pixels[:, corner]], out=largest)
        winners = cells.winners[start : start + chunk]
        bound = flat[pixels[:, None, :], winners[:, :, None]].min(axis=2).max(axis=1)
        member, name = np.nonzero(largest >= bound[:, None])
        members.append(member + start)
        names.append(name)
    if not members:
        return []
    return list(_grouped(flat, cells, np.concatenate(members), np.concatenate(names)))


def _grouped(flat: Array, cells: _Cells, member: _Ints, name: _Ints) -> list[_Group]:
    values = flat[cells.pixels[member], name[:, None]].astype(np.float32, copy=False)
    counts = np.bincount(member, minlength=len(cells.pixels))
    starts = np.cumsum(counts) - counts
    groups = []
    for count in np.unique(counts):
        chosen = np.flatnonzero(counts == count)
        entries = starts[chosen, None] + np.arange(count)
        groups.append(_Group(chosen, name[entries].astype(np.uint8), values[entries]))
    return groups


def _by_whole_factors(cells: _Cells, groups: list[_Group], down: int, across: int) -> Mask:
    """Every cell becomes a block of `down` x `across` pixels with the same weights: one matrix product a group."""
    rows, columns = cells.winner.shape
    weights = _block_weights(down, across)
    padded = cv2.resize(cells.winner, (columns * across, rows * down), interpolation=cv2.INTER_NEAREST)
    blocks = padded.reshape(rows, down, columns, across).transpose(0, 2, 1, 3)
    for group in groups:
        best = (group.values @ weights).argmax(axis=1)
        won = np.take_along_axis(group.classes, best, axis=1)
        blocks[cells.rows[group.members], cells.columns[group.members]] = won.reshape(-1, down, across)
    # The outer cells are cut: the first pixel lies half a block, rounded up, into them.
    top, left = (down + 1) // 2, (across + 1) // 2
    return np.ascontiguousarray(padded[top : top + (rows - 1) * down, left : left + (columns - 1) * across]).astype(
        np.uint8, copy=False
    )


def _block_weights(down: int, across: int) -> _Floats:
    """4 x (down * across): the share of each corner in each pixel of a block."""
    y, x = (((np.arange(s) + 0.5 - (s + 1) // 2) / s + 0.5)[:] for s in (down, across))
    return _corner_weights(*(grid.ravel() for grid in np.meshgrid(y, x, indexing="ij")))


def _corner_weights(y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> _Floats:
    return np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]).astype(np.float32)


def _by_any_factors(cells: _Cells, groups: list[_Group], size: tuple[int, int]) -> Mask:
    """Each pixel of a mixed cell has weights of its own."""
    rows, columns = cells.winner.shape
    row, y = _source(size[0], rows - 1)
    column, x = _source(size[1], columns - 1)
    mask = np.ascontiguousarray(cells.winner[row][:, column])
    number = np.full((rows, columns), -1, np.intp)
    number[cells.rows, cells.columns] = np.arange(len(cells.rows))
    # Which group each mixed cell is in, and where in it.
    group_of = np.empty(len(cells.rows), np.intp)
    place_of = np.empty(len(cells.rows), np.intp)
    for index, group in enumerate(groups):
        group_of[group.members] = index
        place_of[group.members] = np.arange(len(group.members))
    of_pixel = number[row][:, column].ravel()
    pixels = np.flatnonzero(of_pixel >= 0)
    pixel_group = group_of[of_pixel[pixels]]
    for index, group in enumerate(groups):
        chosen = pixels[pixel_group == index]
        place = place_of[of_pixel[chosen]]
        weights = _corner_weights(y[chosen // size[1]], x[chosen % size[1]])
        best = np.einsum("pck,kp->pc", group.values[place], weights).argmax(axis=1)
        mask.ravel()[chosen] = group.classes[place, best]
    return mask


def _source(pixels: int, logits: int) -> tuple[_Ints, npt.NDArray[np.float64]]:
    """For each of `pixels` the cell (0..logits) that it lies in and how far, 0..1."""
    centre = (np.arange(pixels) + 0.5) * (logits / pixels) - 0.5
    before = np.floor(centre)
    return (before + 1).astype(np.intp), centre - before
