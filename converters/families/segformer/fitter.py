"""A cut SegFormer fitted stage by stage on calibration images, with every fit kept under what it depends on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from converters.families.segformer import cut
from converters.families.segformer.calibration import Calibration, Size
from converters.families.segformer.structure import FoldedDecoder, Network, Stage
from converters.keep import Kept, arrays_of, digest, with_arrays
from converters.paths import ExecutionPath

if TYPE_CHECKING:
    from converters.families.segformer.trace import Tensor

Tree = TypeVar("Tree")
# Part of every key: fits of another method are no use.
_METHOD = 5
# Stages whose results on all images stay in memory, for paths that begin alike.
_IN_MEMORY = 8


@dataclass(frozen=True)
class _Fitted:
    """A stage of the path; `key` names all that it depends on, None while nothing is cut yet."""

    stage: Stage
    key: str | None


class Fitter:
    """Repairs networks that were cut from the network of `calibration`."""

    def __init__(self, calibration: Calibration, kept: Kept, *, bridges: bool) -> None:
        self._calibration, self._kept, self._bridges = calibration, kept, bridges
        self._given: OrderedDict[str, list[Tensor]] = OrderedDict()

    def repaired(self, network: Network, path: ExecutionPath, decoder_kept: Sequence[int]) -> Network:
        """`network`, which was cut along `path`, fitted to the full one; itself when nothing was cut.

        `decoder_kept` are the channels of the full decoder that it has, in order.
        """
        size = path.size or self._calibration.size
        root = digest(_METHOD, self._calibration.source, size, self._bridges, path.choice)
        walked: list[_Fitted] = []
        for number, stage in enumerate(network.stages):
            before = walked[-1].key if walked else None
            if before is None and not self._cuts(path, number):
                walked.append(_Fitted(stage, None))
                continue
            key = digest(before or root, number, *_knobs(path, number))
            walked.append(_Fitted(self._stage(stage, path, walked, key, size), key))
        last = walked[-1].key
        width = cut.folded_decoder(self._calibration.network).classifier.weight.shape[0]
        whole = (len(decoder_kept), path.decoder_stride, path.decoder_chain, size) == (
            width, 1, False, self._calibration.size,
        )  # fmt: skip
        if last is None and whole:
            return network
        key = digest(last or root, tuple(decoder_kept), path.decoder_stride, path.decoder_chain)
        decoder = self._decoder(cut.folded_decoder(network), path, walked, decoder_kept, key, size)
        return Network(network.shift, tuple(one.stage for one in walked), decoder)

    def _cuts(self, path: ExecutionPath, number: int) -> bool:
        depth = len(self._calibration.network.stages[number].blocks)
        return _knobs(path, number) != (tuple(range(depth)), 1, 1, 1)

    def _stage(self, stage: Stage, path: ExecutionPath, walked: Sequence[_Fitted], key: str, size: Size) -> Stage:
        from converters.families.segformer import repair

        number = len(walked)
        depth = len(self._calibration.network.stages[number].blocks)
        skipped = repair.Skipped(path.blocks[number], depth, self._bridges)

        def fit() -> Stage:
            self._calibration.say(f"fitting stage {number + 1} of path {path.name}")
            traces = [trace.stages[number] for trace in self._calibration.traces_at(size)]
            inputs, found = self._entering(walked, size), stage
            if walked and walked[-1].key is not None:
                found = replace(stage, patch=repair.embedding(stage.patch, inputs, traces))
            found, given = repair.stage(found, skipped, inputs, traces)
            self._remember(key, given)
            return found

        return self._kept_or(key, repair.bridged(stage, skipped), fit)

    def _decoder(
        self,
        decoder: FoldedDecoder,
        path: ExecutionPath,
        walked: Sequence[_Fitted],
        decoder_kept: Sequence[int],
        key: str,
        size: Size,
    ) -> FoldedDecoder:
        from converters.families.segformer import repair

        def fit() -> FoldedDecoder:
            self._calibration.say(f"fitting the decoder of path {path.name}")
            every = [self._features(walked[: count + 1], size) for count in range(len(walked))]
            features = [list(one) for one in zip(*every, strict=True)]
            full = cut.folded_decoder(self._calibration.network)
            return repair.decoder(decoder, full, decoder_kept, features, self._calibration.traces)

        return self._kept_or(key, repair.unstacked(decoder), fit)

    def _kept_or(self, key: str, like: Tree, fit: Callable[[], Tree]) -> Tree:
        stored = self._kept.get(key)
        if stored is not None:
            try:
                return with_arrays(like, stored)
            except ValueError:
                self._calibration.say(f"{key}: what is kept does not fit, made again")
        found = fit()
        self._kept.put(key, arrays_of(found))
        return found

    # -- what the cut network computes on the images -------------------------------------------------------------------

    def _entering(self, walked: Sequence[_Fitted], size: Size) -> list[Tensor]:
        if walked:
            return self._features(walked, size)
        shift = self._calibration.network.shift
        return [image + shift for image in self._calibration.inputs(size)]

    def _features(self, walked: Sequence[_Fitted], size: Size) -> list[Tensor]:
        """What the last of `walked` gives for every image."""
        from converters.families.segformer.graph import run_stage
        from converters.ops.eager import EagerOps

        last = walked[-1]
        if last.key is None:
            return [trace.stages[len(walked) - 1].given for trace in self._calibration.traces_at(size)]
        if last.key not in self._given:
            ops = EagerOps()
            self._remember(last.key, [run_stage(ops, x, last.stage) for x in self._entering(walked[:-1], size)])
        self._given.move_to_end(last.key)
        return self._given[last.key]

    def _remember(self, key: str, given: list[Tensor]) -> None:
        self._given[key] = given
        while len(self._given) > _IN_MEMORY:
            self._given.popitem(last=False)


def _knobs(path: ExecutionPath, number: int) -> tuple[object, ...]:
    """What the path does to one stage: blocks kept, share of hidden channels, pooling, merging."""
    return (
        path.blocks[number],
        *(getattr(path, k)[number] if getattr(path, k) else 1 for k in ("ffn", "pool", "merge")),
    )
