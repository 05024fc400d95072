"""What of a SegFormer matters, by unlabelled calibration images: hidden channels, decoder channels, whole blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.compensate import Moments
from converters.families.segformer import cut
from converters.families.segformer.calibration import Calibration
from converters.families.segformer.structure import Block
from converters.importance import divergence, ranking
from converters.keep import Kept, digest


class Chooser:
    """Rankings and effects, measured when they are first asked for and kept. Raises ConvertError on too few images."""

    def __init__(self, calibration: Calibration, kept: Kept) -> None:
        self._calibration, self._kept = calibration, kept

    def hidden(self, stage: int, number: int) -> tuple[int, ...]:
        """Hidden channels of the feed-forward layer of block `number`, the most important first."""

        def measure() -> tuple[int, ...]:
            from converters.families.segformer.graph import hidden
            from converters.ops.eager import EagerOps, numpy_of

            block = self._calibration.network.stages[stage].blocks[number]
            assert isinstance(block, Block)
            layer, ops = block.feed_forward, EagerOps()
            moments = Moments(*layer.down.weight.shape)
            for trace in self._calibration.traces:
                read = hidden(ops, trace.stages[stage].streams[2 * number + 1], layer)
                moments.add(numpy_of(read), numpy_of(ops.linear(read, layer.down)))
            return ranking(*moments.total)

        return self._ordered(f"hidden channels of stage {stage + 1}, block {number + 1}", measure)

    def decoder(self) -> tuple[int, ...]:
        """Fused channels of the decoder, the most important first: those that logits can best be rebuilt from."""

        def measure() -> tuple[int, ...]:
            from converters.families.segformer.graph import fused
            from converters.ops.eager import EagerOps, numpy_of

            decoder, ops = cut.folded_decoder(self._calibration.network), EagerOps()
            moments = Moments(*decoder.classifier.weight.shape)
            for trace in self._calibration.traces:
                logits = numpy_of(trace.logits)
                # A constant added to all logits of a position changes nothing.
                centred = logits - logits.mean(axis=-1, keepdims=True)
                moments.add(numpy_of(ops.relu(fused(ops, trace.features, decoder))), centred)
            return ranking(*moments.total)

        return self._ordered("decoder channels", measure)

    def blocks(self) -> dict[tuple[int, int], float]:
        """What leaving out each block (stage, block, from zero) does to the logits: mean `divergence` from the full."""
        depths = [len(stage.blocks) for stage in self._calibration.network.stages]
        every = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]

        def measure() -> list[float]:
            return [
                self._effect([[b for b in range(d) if (s, b) != one] for s, d in enumerate(depths)]) for one in every
            ]

        effects = self._measured("block effects", lambda: np.asarray(measure()))
        return {one: float(effect) for one, effect in zip(every, effects, strict=True)}

    def _effect(self, kept: list[list[int]]) -> float:
        from converters.families.segformer.trace import logits_of
        from converters.ops.eager import numpy_of

        calibration = self._calibration
        network = cut.blocks(calibration.network, kept)
        pairs = zip(calibration.traces, calibration.inputs(calibration.size), strict=True)
        return float(
            np.mean([divergence(numpy_of(t.logits), numpy_of(logits_of(network, image))) for t, image in pairs])
        )

    def _ordered(self, what: str, measure: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
        return tuple(int(c) for c in self._measured(what, lambda: np.asarray(measure(), np.int64)))

    def _measured(self, what: str, measure: Callable[[], np.ndarray]) -> np.ndarray:
        self._calibration.refuse_few(f"importance of {what}")
        key = digest(self._calibration.source, what)
        found = self._kept.get(key)
        if found is None:
            self._calibration.say(f"measuring the importance of {what}")
            found = [measure()]
            self._kept.put(key, found)
        return found[0]
