"""Which paths a step trains beside the full one: the sandwich rule over named paths, or over random ones.

Slimmable networks (Yu and Huang, 2019) train the cheapest and some other paths in each step; with one path a step the
two take turns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.paths import ExecutionPath, PathSpace
from edge.errors import UsageError


class PathSampler:
    """Draws from `named` paths, or when there are none from all numbers of first blocks and widths of the decoder.

    A random path keeps at least half the blocks of each stage, and `min_width` channels of the decoder, in steps of 32.
    """

    def __init__(self, space: PathSpace, count: int, min_width: int, named: Sequence[ExecutionPath] = ()) -> None:
        """`count` paths a step. Raises UsageError for a path that training cannot follow, or too wide a least width."""
        if min_width > space.decoder_width:
            raise UsageError(f"the narrowest decoder, {min_width}, is wider than the network's {space.decoder_width}")
        for path in named:
            _refuse_untrainable(path)
        self.space, self.count, self.min_width = space, count, min_width
        full = space.full()
        # The full path is trained on the labels in every step.
        self.named = tuple(path for path in named if _route(path) != _route(full))

    def draw(self, step: int, rng: np.random.Generator) -> list[ExecutionPath]:
        """The paths of one step."""
        if self.count == 0:
            return []
        if self.count == 1:
            return [self.smallest() if step % 2 else self._any(rng)]
        return [self.smallest()] + [self._any(rng) for _ in range(self.count - 1)]

    def smallest(self) -> ExecutionPath:
        """The cheapest path: of named ones that with the fewest blocks, then the narrowest decoder and layers."""
        if self.named:
            return min(self.named, key=lambda p: (sum(p.depths), p.decoder_width, sum(p.ffn), p.size or (1 << 20, 0)))
        return self.space.first("smallest", [max(1, d - d // 2) for d in self.space.depths], self.min_width)

    def validated(self) -> tuple[ExecutionPath, ...]:
        """The full path and the named ones; where none is named but some are trained, those that a conversion makes."""
        if self.named or self.count == 0:
            return (self.space.full(), *self.named)
        usual = [path for path in self.space.default_set() if path.decoder_width >= self.min_width]
        return (*usual, self.smallest())

    def _any(self, rng: np.random.Generator) -> ExecutionPath:
        if self.named:
            return self.named[int(rng.integers(len(self.named)))]
        depths = [int(rng.integers(max(1, d - d // 2), d + 1)) for d in self.space.depths]
        widths = range(self.min_width, self.space.decoder_width + 1, 32)
        return self.space.first("random", depths, int(rng.choice(widths)))


def _refuse_untrainable(path: ExecutionPath) -> None:
    where = f"path {path.name!r}"
    if path.choice != "first":
        raise UsageError(f"{where}: training keeps the first channels of a layer; give it choice 'first'")
    if path.compensation != "none":
        raise UsageError(f"{where}: compensation is fitted after training, when the bundle is made; leave it out here")
    if path.classes is not None:
        raise UsageError(f"{where}: classes are cut when the bundle is made, which costs nothing; leave them out here")


def _route(path: ExecutionPath) -> tuple[object, ...]:
    plain = (tuple(f for f in knob if f != 1) for knob in (path.ffn, path.pool, path.merge))
    return (path.blocks, path.decoder_width, path.size, *plain, path.decoder_stride, path.decoder_chain)
