"""The paths that the search may propose: ladders of cuts, a step down one at a time, and genes for an optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from converters.paths import Choice, Compensation, ExecutionPath
from edge.errors import UsageError

KNOBS = ("blocks", "ffn", "decoder", "pool", "merge", "stride", "chain", "size")
_FFN = (1.0, 0.75, 0.5, 0.375, 0.25)
_DECODER = (1.0, 0.75, 0.5, 0.375, 0.25, 0.125)
_FACTORS = (1, 2)
_STRIDES = (1, 2)
_CHAINS = (False, True)
_SCALES = (1.0, 0.875, 0.75, 0.625, 0.5)
_SIZE_STEP = 32  # every stage of a SegFormer then has whole positions


@dataclass(frozen=True)
class Action:
    """One cut: `key` says which ladder it goes down, `path` is where it leads."""

    key: str
    path: ExecutionPath


@dataclass(frozen=True)
class Gene:
    """One choice of an optimiser: `count` rungs, 0 the uncut one."""

    name: str
    count: int


@dataclass(frozen=True)
class SearchSpace:
    """Ladders over the full network, each from uncut downwards. A knob that is not searched has one rung."""

    depths: tuple[int, ...]
    skips: bool
    widths: tuple[int, ...]
    ffn: tuple[float, ...]
    pool: tuple[int, ...]
    merge: tuple[int, ...]
    strides: tuple[int, ...]
    chains: tuple[bool, ...]
    sizes: tuple[tuple[int, int], ...]
    choice: Choice
    compensation: Compensation

    @classmethod
    def of(
        cls,
        depths: Sequence[int],
        decoder_width: int,
        size: tuple[int, int],
        knobs: Sequence[str] = KNOBS,
        choice: Choice = "importance",
        compensation: Compensation = "ridge",
    ) -> SearchSpace:
        """The space of a network at an input size; raises UsageError for a knob that there is not."""
        unknown = [knob for knob in knobs if knob not in KNOBS]
        if unknown or not knobs:
            raise UsageError(f"--knobs {','.join(knobs)!r}: choose from {', '.join(KNOBS)}")
        widths = dict.fromkeys(max(8, int(decoder_width * share) // 8 * 8) for share in _DECODER)
        return cls(
            depths=tuple(depths),
            skips="blocks" in knobs,
            widths=(decoder_width, *[w for w in widths if w < decoder_width])
            if "decoder" in knobs
            else (decoder_width,),
            ffn=_FFN if "ffn" in knobs else (1.0,),
            pool=_FACTORS if "pool" in knobs else (1,),
            merge=_FACTORS if "merge" in knobs else (1,),
            strides=_STRIDES if "stride" in knobs else (1,),
            chains=_CHAINS if "chain" in knobs else (False,),
            sizes=tuple(_sizes(size)) if "size" in knobs else (size,),
            choice=choice,
            compensation=compensation,
        )

    @property
    def size(self) -> tuple[int, int]:
        """The uncut input (height, width)."""
        return self.sizes[0]

    def full(self) -> ExecutionPath:
        """The path that keeps everything."""
        return self.path_of({})

    def genes(self) -> tuple[Gene, ...]:
        """Every choice that has more than one answer."""
        stages = range(1, len(self.depths) + 1)
        skips = [
            Gene(f"skip_{stage}_{block}", 2)
            for stage, depth in zip(stages, self.depths, strict=True)
            for block in range(1, depth + 1)
        ]
        found = [
            *(skips if self.skips else []),
            *(Gene(f"ffn_{stage}", len(self.ffn)) for stage in stages),
            *(Gene(f"pool_{stage}", len(self.pool)) for stage in stages),
            *(Gene(f"merge_{stage}", len(self.merge)) for stage in stages),
            Gene("decoder", len(self.widths)),
            Gene("stride", len(self.strides)),
            Gene("chain", len(self.chains)),
            Gene("size", len(self.sizes)),
        ]
        return tuple(gene for gene in found if gene.count > 1)

    def path_of(self, rungs: Mapping[str, int]) -> ExecutionPath:
        """The path with these rungs, the others uncut.

        What a stage without blocks would do with its feed-forward, pooling and merging is left uncut: it has none.
        """
        stages = range(1, len(self.depths) + 1)
        blocks = tuple(
            tuple(block for block in range(depth) if not rungs.get(f"skip_{stage}_{block + 1}", 0))
            for stage, depth in zip(stages, self.depths, strict=True)
        )

        def rung(knob: str, stage: int) -> int:
            return rungs.get(f"{knob}_{stage}", 0) if blocks[stage - 1] else 0

        ffn = tuple(self.ffn[rung("ffn", stage)] for stage in stages)
        pool = tuple(self.pool[rung("pool", stage)] for stage in stages)
        merge = tuple(self.merge[rung("merge", stage)] for stage in stages)
        size = self.sizes[rungs.get("size", 0)]
        cuts = any(rungs.values())
        return ExecutionPath(
            name="path",
            blocks=blocks,
            decoder_width=self.widths[rungs.get("decoder", 0)],
            size=None if size == self.size else size,
            ffn=ffn if any(share < 1 for share in ffn) else (),
            pool=pool if any(factor > 1 for factor in pool) else (),
            merge=merge if any(factor > 1 for factor in merge) else (),
            decoder_stride=self.strides[rungs.get("stride", 0)],
            decoder_chain=self.chains[rungs.get("chain", 0)],
            choice=self.choice if cuts else "first",
            compensation=self.compensation if cuts else "none",
        )

    def rungs_of(self, path: ExecutionPath) -> dict[str, int]:
        """The rungs of a path of this space; raises ValueError for a path of another."""
        stages = len(self.depths)
        rungs = {
            f"skip_{stage}_{block + 1}": int(block not in path.blocks[stage - 1])
            for stage, depth in enumerate(self.depths, start=1)
            for block in range(depth)
        }
        for number in range(stages):
            rungs[f"ffn_{number + 1}"] = self.ffn.index(path.ffn[number] if path.ffn else 1.0)
            rungs[f"pool_{number + 1}"] = self.pool.index(path.pool[number] if path.pool else 1)
            rungs[f"merge_{number + 1}"] = self.merge.index(path.merge[number] if path.merge else 1)
        rungs["decoder"] = self.widths.index(path.decoder_width)
        rungs["stride"] = self.strides.index(path.decoder_stride)
        rungs["chain"] = self.chains.index(path.decoder_chain)
        rungs["size"] = self.sizes.index(path.size or self.size)
        wanted = {gene.name for gene in self.genes()}
        return {name: rung for name, rung in rungs.items() if name in wanted}

    def evenly(self) -> tuple[ExecutionPath, ...]:
        """Paths that go down all ladders together, at each input size.

        What a cut alone costs says little of many at once, once they are repaired together; and one cut after the other
        seldom comes here. Positions are merged in the first stage, which has most of them, and keys pooled in the
        others; every stage gives up the same share of its channels.
        """
        genes = {gene.name: gene.count for gene in self.genes()}
        stages = range(1, len(self.depths) + 1)
        found: dict[ExecutionPath, None] = {}
        for size in range(genes.get("size", 1)):
            for rung in range(1, max((count for name, count in genes.items() if name.startswith("ffn")), default=2)):
                wanted = {"size": size, "chain": 1, "merge_1": 1, "decoder": rung}
                wanted |= {f"pool_{stage}": 1 for stage in stages if stage > 1}
                wanted |= {f"ffn_{stage}": rung for stage in stages}
                rungs = {name: min(at, genes[name] - 1) for name, at in wanted.items() if name in genes}
                found[self.path_of(rungs)] = None
        return tuple(path for path in found if path != self.full())

    def actions(self, path: ExecutionPath) -> tuple[Action, ...]:
        """Every path one rung further down one ladder, in the order of `genes`."""
        rungs = self.rungs_of(path)
        steps = (
            Action(gene.name, self.path_of({**rungs, gene.name: rungs[gene.name] + 1}))
            for gene in self.genes()
            if rungs[gene.name] + 1 < gene.count
        )
        return tuple(step for step in steps if step.path != path)


def _sizes(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The size itself, then smaller ones of about its shape, each side a multiple of 32."""
    yield size
    last = size
    for scale in _SCALES[1:]:
        height, width = (max(_SIZE_STEP, round(side * scale / _SIZE_STEP) * _SIZE_STEP) for side in size)
        if height < last[0] and width < last[1]:
            last = (height, width)
            yield last
