"""The figures that the gate decides by, taken through the engine that serves: accuracy on a set, latency in rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from converters.precision.gate import Bounds, Verdict, gate
from edge.bench.interleave import Rounds, interleave
from edge.bundle import Bundle, load_bundle
from edge.bundle.load import write_golden
from edge.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME
from edge.variants import Pool

ROUNDS = 30
Say = Callable[[str], None]


def judge(
    bundle: Bundle,
    accuracy: Mapping[str, float],
    bounds: Bounds,
    *,
    threads: int = 1,
    rounds: int = ROUNDS,
    library: str = "auto",
    say: Say = lambda _: None,
) -> Verdict:
    """Time the variants of `bundle` that have an `accuracy` (mIoU by id) on this machine and let the gate decide."""
    candidates = [variant for variant in bundle.manifest.variants if variant.id in accuracy]
    say(f"timing {len(candidates)} variants, {rounds} interleaved rounds, {threads} thread(s)")
    timed = time_variants(bundle, [v.id for v in candidates], threads=threads, rounds=rounds, library=library)
    return gate(candidates, accuracy, timed.values, bounds)


def keep_worthy(
    folder: Path, bounds: Bounds, *, threads: int = 1, rounds: int = ROUNDS, say: Say = lambda _: None
) -> Verdict:
    """Judge the scored variants of the bundle in `folder`, and take those that are refused out of it.

    What was refused, and why, stays in the notes of the manifest. Raises ConvertError, EngineError.
    """
    bundle = load_bundle(folder)
    manifest = bundle.manifest
    accuracy = {v.id: v.accuracy[0].value for v in manifest.variants if v.accuracy}
    verdict = judge(bundle, accuracy, bounds, threads=threads, rounds=rounds, say=say)
    for one in verdict.refused:
        say(f"refused: {one.variant} {one.reason}")
    gone = {one.variant for one in verdict.refused}
    kept = tuple(variant for variant in manifest.variants if variant.id not in gone)
    reasons = [f"refused: {one.variant} {one.reason}" for one in verdict.refused]
    notes = "\n".join(filter(None, [manifest.provenance.notes, *reasons]))
    changed = manifest.model_copy(
        update={"variants": kept, "provenance": manifest.provenance.model_copy(update={"notes": notes})}
    )
    (folder / MANIFEST_NAME).write_text(changed.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
    for file in {variant.file for variant in manifest.variants} - {variant.file for variant in kept}:
        (folder / file).unlink()
    if bundle.golden is not None:
        outputs = {name: output for name, output in bundle.golden.outputs.items() if name not in gone}
        write_golden(folder / GOLDEN_NAME, bundle.golden.image, outputs)
    return verdict


def time_variants(
    bundle: Bundle, ids: Sequence[str], *, threads: int = 1, rounds: int = ROUNDS, library: str = "auto"
) -> Rounds:
    """Milliseconds of the model alone for each variant and round, all resident, in turns; each settles by one run.

    The frame is the golden image, or grey. Raises EngineError.
    """
    image = bundle.golden.image if bundle.golden is not None else np.full((8, 8, 3), 128, np.uint8)
    files = len({variant.file for variant in bundle.manifest.variants})
    with Pool(bundle, threads=threads, library=library, max_resident_files=files) as pool:

        def measure(name: str) -> float:
            pool.infer(name, image)
            return pool.infer(name, image).invoke_ns / 1e6

        for name in ids:
            pool.wait(name)
        return interleave({name: lambda name=name: measure(name) for name in ids}, rounds)  # type: ignore[misc]
