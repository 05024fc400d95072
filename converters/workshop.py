"""The workshop: execution paths cut out of one pretrained network, chosen and repaired on unlabelled images.

`Workshop.network` folds the network, cuts it as a path says, keeps the channels that calibration images call important
(``choice="importance"``) or simply the first, and fits what reads the cuts again (``compensation="ridge"``). The same
weights, images and path always give the same network. What was measured and fitted is kept: two paths that begin alike
share the work, and with a cache folder so do two runs, also after an interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from converters.families import segformer
from converters.families.segformer import cut
from converters.families.segformer.calibration import Calibration, Image
from converters.families.segformer.choose import Chooser
from converters.families.segformer.fitter import Fitter
from converters.families.segformer.structure import Block, Network, Stage
from converters.keep import Kept
from converters.paths import ExecutionPath

Say = Callable[[str], None]


class Workshop:
    """Cuts paths out of `weights` for inputs of `size` (height, width), guided by calibration images.

    `calibration_images` are HxWx3 uint8 BGR of any size, from a training set, labels not needed; they are brought to
    each input size as the runtime does it. They may be empty where no path asks for importance or compensation.
    `cache` is a folder for what was measured and fitted. `bridges` lets linear maps stand for skipped blocks.
    """

    def __init__(
        self,
        weights: segformer.SegformerWeights,
        calibration_images: Sequence[Image],
        size: tuple[int, int],
        *,
        cache: Path | None = None,
        say: Say = lambda _: None,
        bridges: bool = True,
    ) -> None:
        self.weights, self.size = weights, size
        self.full = segformer.folded(segformer.network(weights, weights.space.full()))
        self._calibration = Calibration(self.full, calibration_images, size, say)
        kept = Kept(cache, say)
        self.importance = Chooser(self._calibration, kept)
        self._fitter = Fitter(self._calibration, kept, bridges=bridges)

    def network(self, path: ExecutionPath) -> Network:
        """The folded network along `path`, for inputs of ``path.size or size``.

        Raises ConvertError for a path that does not fit the network, or that needs more calibration images.
        """
        decoder_kept = self._decoder_kept(self.weights.space.checked(path))
        found = self._cut(path, decoder_kept)
        if path.compensation == "ridge":
            self._calibration.refuse_few(f"path {path.name!r}: compensation")
            found = self._fitter.repaired(found, path, decoder_kept)
        return found if path.classes is None else cut.classes(found, self._rows(path.classes))

    def _cut(self, path: ExecutionPath, decoder_kept: Sequence[int]) -> Network:
        found = self.full
        if any(share < 1 for share in path.ffn):
            found = replace(found, stages=tuple(self._narrowed(path, s) for s in range(len(found.stages))))
        found = cut.blocks(found, path.blocks)
        if any(factor > 1 for factor in path.pool):
            found = cut.pooled_keys(found, path.pool)
        if any(factor > 1 for factor in path.merge):
            found = cut.merged(found, path.merge)
        if path.decoder_width < self.weights.config.decoder_width:
            found = cut.decoder_channels(found, decoder_kept)
        return cut.decoder_grid(found, path.decoder_stride, path.decoder_chain)

    def _narrowed(self, path: ExecutionPath, stage: int) -> Stage:
        found = self.full.stages[stage]
        blocks = list(found.blocks)
        for number in path.blocks[stage] if path.ffn[stage] < 1 else ():
            block = blocks[number]
            assert isinstance(block, Block)
            total = block.feed_forward.up.weight.shape[1]
            order = self.importance.hidden(stage, number) if path.choice == "importance" else range(total)
            kept = order[: cut.kept_count(total, path.ffn[stage])]
            blocks[number] = replace(block, feed_forward=cut.hidden_channels(block.feed_forward, kept))
        return replace(found, blocks=tuple(blocks))

    def _decoder_kept(self, path: ExecutionPath) -> Sequence[int]:
        width = self.weights.config.decoder_width
        chosen = path.choice == "importance" and path.decoder_width < width
        return sorted((self.importance.decoder() if chosen else range(width))[: path.decoder_width])

    def _rows(self, names: Sequence[str]) -> list[int]:
        return [self.weights.config.labels.index(name) for name in names]
