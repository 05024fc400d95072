"""The conversion job: weights in, a bundle of execution paths at several precisions out, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError
from converters.evaluate import evaluate, readable, spread
from converters.families import segformer
from converters.flatbuffer import added_bytes, read_model
from converters.litert import LiteRtFile, to_litert
from converters.ops.count import Cost, CountOps
from converters.paths import ExecutionPath
from converters.precision import REFERENCES, Bounds, keep_worthy, to_mixed
from converters.quantize import to_int8
from converters.workshop import Workshop
from edge.bundle import Bundle, InputSpec, Manifest, OutputSpec, PathSpec, Provenance, Variant, load_bundle
from edge.bundle.load import write_golden
from edge.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME
from edge.engines.contract import Array
from edge.errors import UsageError
from edge.prepare import Frame, prepare
from edge.variants import Pool

PRECISIONS = ("float32", "float16", "int8", "int8-wide", "int8-mixed")
CALIBRATION_IMAGES = 32
Say = Callable[[str], None]

# The golden answer is kept in steps of this share of its largest value: small on disk, far finer than any mistake.
_GOLDEN_STEP = {"float32": 1 / 32, "float16": 1 / 32, "int8": 1 / 16, "int8-wide": 1 / 16, "int8-mixed": 1 / 16}
# How far another machine's kernels may be from ours, the step included; int8 rounds differently where rounding ties.
_TOLERANCE = {"float32": 0.025, "float16": 0.025, "int8": 0.1, "int8-wide": 0.1, "int8-mixed": 0.1}
_TOOLS = ("joulepath", "tensorflow-cpu", "tensorflow", "ai-edge-litert", "ai-edge-quantizer", "numpy")


@dataclass(frozen=True)
class ConvertJob:
    """What to convert and where to; `size` is (height, width) in pixels, `calibration` and `dataset` are specs.

    `paths` None is the default set of the network. int8 needs `calibration`: images to measure ranges on, from a
    training set; so do paths that are chosen or repaired by what images show. `cache` is a folder where such repairs
    are kept. `replace` allows an existing bundle to be replaced.
    """

    weights: str
    size: tuple[int, int]
    out: Path
    paths: Callable[[segformer.SegformerWeights], Sequence[ExecutionPath]] | None = None
    precisions: Sequence[str] = ("float32", "float16")
    calibration: str | None = None
    calibration_images: int = CALIBRATION_IMAGES
    cache: Path | None = None
    dataset: str | None = None
    limit: int | None = None
    threads: int | None = None
    gate: Bounds | None = None
    name: str | None = None
    licence: str = "unknown"
    data: str = ""
    notes: str = ""
    command: str = ""
    replace: bool = False
    palette: tuple[tuple[int, int, int], ...] | None = field(default=None)


def convert_segformer(job: ConvertJob, say: Say = lambda _: None) -> Bundle:
    """Convert SegFormer weights to the bundle `job.out`; it appears by one rename when everything worked.

    Raises WeightsError, ConvertError, UsageError, EngineError.
    """
    _check(job)
    say(f"reading {job.weights}")
    weights = segformer.load(job.weights)
    paths = tuple(job.paths(weights)) if job.paths is not None else weights.space.default_set()
    say(f"folding {len(paths)} paths: {', '.join(path.name for path in paths)}")
    networks = _networks(job, weights, paths, say)
    sizes = {path.name: path.size or job.size for path in paths}
    costs = {name: _cost(network, sizes[name]) for name, network in networks.items()}
    files = _files(job, networks, sizes, say)
    with _beside(job.out, job.replace) as beside:
        for precision, file in files.items():
            (beside / _file_name(precision)).write_bytes(file.content)
        manifest = _manifest(job, weights, paths, costs, files)
        _write_manifest(beside, manifest)
        say("running every variant on the golden image")
        _write_golden(beside, job)
        if job.dataset is not None:
            scores = evaluate(load_bundle(beside), job.dataset, limit=job.limit, threads=job.threads, say=say)
            by_id = {score.variant_id: score.as_accuracy() for score in scores}
            variants = tuple(
                v.model_copy(update={"accuracy": (by_id[v.id],), "accuracy_unknown": None}) for v in manifest.variants
            )
            _write_manifest(beside, manifest.model_copy(update={"variants": variants}))
        if job.gate is not None:
            keep_worthy(beside, job.gate, say=say)
    total = sum(file.stat().st_size for file in job.out.iterdir())
    bundle = load_bundle(job.out)
    say(f"{job.out}: {len(bundle.manifest.variants)} variants, {total / 1e6:.2f} MB")
    return bundle


def _check(job: ConvertJob) -> None:
    unknown = [precision for precision in job.precisions if precision not in PRECISIONS]
    if unknown or not job.precisions:
        raise UsageError(f"precision {', '.join(unknown) or 'list is empty'}: choose from {', '.join(PRECISIONS)}")
    if any(precision.startswith("int8") for precision in job.precisions) and job.calibration is None:
        raise UsageError(
            "int8 needs images to measure ranges on: give --calibration, a training set such as camvid:DIR"
        )
    if job.gate is not None and job.dataset is None:
        raise UsageError("the gate needs to know what each variant loses: give --dataset, or leave --gate out")
    if job.gate is not None and not set(job.precisions) & set(REFERENCES):
        raise UsageError(f"the gate compares with a float variant: add {' or '.join(REFERENCES)} to --precision")
    for spec in (job.calibration, job.dataset):
        if spec is not None:
            with readable(spec):
                pass  # a wrong spec is better said now than after minutes of work
    if job.out.exists() and not job.replace:
        raise UsageError(f"{job.out}: exists already; remove it, choose another place, or give --replace")
    if job.out.exists() and not (job.out / MANIFEST_NAME).is_file():
        raise UsageError(f"{job.out}: exists and is no bundle (no {MANIFEST_NAME}); it is not replaced")


def _networks(
    job: ConvertJob, weights: segformer.SegformerWeights, paths: Sequence[ExecutionPath], say: Say
) -> dict[str, segformer.Network]:
    if len({path.classes for path in paths}) > 1:
        raise UsageError("the paths keep different classes; a bundle has one list of labels: give all paths the same")
    chosen = [path.name for path in paths if path.choice == "importance" or path.compensation == "ridge"]
    images: list[npt.NDArray[np.uint8]] = []
    if chosen:
        if job.calibration is None:
            raise UsageError(
                f"path {chosen[0]!r} is chosen or repaired by what images show: give --calibration, a training set "
                "such as camvid:DIR (its labels are not used)"
            )
        with readable(job.calibration) as dataset:
            images = [dataset.read(index)[0] for index in spread(len(dataset), job.calibration_images)]
    shop = Workshop(weights, images, job.size, cache=job.cache, say=say)
    return {path.name: shop.network(path) for path in paths}


def _cost(network: segformer.Network, size: tuple[int, int]) -> tuple[Cost, tuple[int, ...]]:
    """The cost of one inference, and the shape of the logits."""
    ops = CountOps()
    segformer.build(ops, network, size)
    return ops.cost(), ops.outputs[segformer.OUTPUT]


# -- files ------------------------------------------------------------------------------------------------------------


def _files(
    job: ConvertJob, networks: Mapping[str, segformer.Network], sizes: Mapping[str, tuple[int, int]], say: Say
) -> dict[str, LiteRtFile]:
    builders = segformer.builders(networks, sizes)
    inputs = {name: {segformer.INPUT: (1, *size, 3)} for name, size in sizes.items()}
    made: dict[str, LiteRtFile] = {}

    def float_file(precision: str) -> LiteRtFile:
        if precision not in made:
            say(f"converting to {precision}")
            made[precision] = to_litert(builders, inputs, precision)
        return made[precision]

    for precision in job.precisions:
        if not precision.startswith("int8"):
            float_file(precision)
    integers = [precision for precision in job.precisions if precision.startswith("int8")]
    if integers:
        assert job.calibration is not None
        source, count = job.calibration, job.calibration_images
        by_size = {size: calibration_images(source, count, size) for size in dict.fromkeys(sizes.values())}
        images = {name: by_size[size] for name, size in sizes.items()}
        first = next(iter(sizes))
        say(f"quantizing to {', '.join(integers)} on {len(images[first])} images of {source}")
        content = float_file("float32").content
        for precision in integers:
            if precision == "int8-mixed":
                # The most sensitive layers are found on the first path alone: all of them would take many times longer.
                lone = to_litert({first: builders[first]}, {first: inputs[first]}).content
                made[precision] = to_mixed(content, images, lone, images[first], say=say)
            else:
                made[precision] = to_int8(content, images, wide=precision == "int8-wide")
    return {precision: made[precision] for precision in job.precisions}


def calibration_images(spec: str, count: int, size: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """Images evenly spread over a dataset, brought to the input as the runtime does it."""
    wanted = InputSpec(height=size[0], width=size[1], dtype="uint8")
    images = []
    with readable(spec) as dataset:
        for index in spread(len(dataset), count):
            out: npt.NDArray[np.uint8] = np.empty((*size, 3), np.uint8)
            prepare(dataset.read(index)[0], wanted, out)
            images.append(out)
    return images


def _file_name(precision: str) -> str:
    return f"{precision}.tflite"


@contextmanager
def _beside(out: Path, replace: bool) -> Iterator[Path]:
    """A folder next to `out` that takes its place when the body succeeds, and is removed when it does not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield beside
        beside.chmod(0o755)
        if replace and out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
            out.rename(old / out.name)
            beside.rename(out)
            shutil.rmtree(old)
        else:
            beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


# -- manifest ---------------------------------------------------------------------------------------------------------


def _manifest(
    job: ConvertJob,
    weights: segformer.SegformerWeights,
    paths: Sequence[ExecutionPath],
    costs: Mapping[str, tuple[Cost, tuple[int, ...]]],
    files: Mapping[str, LiteRtFile],
) -> Manifest:
    names = [path.name for path in paths]
    added = {precision: added_bytes(read_model(file.content), names) for precision, file in files.items()}
    return Manifest(
        name=job.name or Path(job.weights).name or "segformer",
        family="segformer",
        task="segment",
        labels=paths[0].classes or weights.config.labels,
        palette=job.palette,
        paths=tuple(_path_spec(path, weights) for path in paths),
        variants=tuple(
            _variant(
                path.name,
                path.size or job.size,
                precision,
                file.content,
                added[precision][path.name],
                *costs[path.name],
            )
            for precision, file in files.items()
            for path in paths
        ),
        provenance=Provenance(
            weights=Path(job.weights).name,
            weights_sha256=weights.sha256,
            licence=job.licence,
            data=job.data,
            tools=_tools(),
            command=job.command,
            notes=job.notes,
        ),
    )


def _path_spec(path: ExecutionPath, weights: segformer.SegformerWeights) -> PathSpec:
    return PathSpec(
        name=path.name,
        depths=path.depths,
        decoder_width=path.decoder_width,
        description=_described(path, weights),
    )


def _described(path: ExecutionPath, weights: segformer.SegformerWeights) -> str:
    """Everything that is cut, in words; exact where it says so."""
    first = weights.space.first(path.name, path.depths, path.decoder_width)
    kept = ", ".join(f"{kept} of {depth}" for kept, depth in zip(path.depths, weights.config.depths, strict=True))
    blocks = "" if first.blocks == path.blocks else f" ({', '.join(str(list(stage)) for stage in path.blocks)})"
    told = [f"blocks {kept}{blocks}", f"decoder {path.decoder_width} of {weights.config.decoder_width} channels"]
    if path.size is not None:
        told.append(f"input {path.size[0]}x{path.size[1]}")
    if any(share < 1 for share in path.ffn):
        told.append(f"hidden channels {' '.join(f'{100 * share:.0f}' for share in path.ffn)} %")
    if any(factor > 1 for factor in path.pool):
        told.append(f"keys and values pooled {' '.join(map(str, path.pool))}")
    if any(factor > 1 for factor in path.merge):
        told.append(f"positions merged {' '.join(map(str, path.merge))}")
    if path.decoder_stride > 1:
        told.append(f"decoder at 1/{4 * path.decoder_stride} of the input")
    if path.decoder_chain:
        told.append("coarse stages resized in steps")
    if path.classes is not None:
        told.append(f"{len(path.classes)} of {len(weights.config.labels)} classes (exact for these)")
    if path.choice == "importance":
        told.append("channels chosen by importance")
    if path.compensation == "ridge":
        told.append("repaired by least squares on calibration images")
    return "; ".join(told)


def _variant(
    path: str,
    size: tuple[int, int],
    precision: str,
    content: bytes,
    added: int,
    cost: Cost,
    shape: tuple[int, ...],
) -> Variant:
    return Variant(
        id=f"{path}-{precision}",
        path=path,
        precision=precision,
        file=_file_name(precision),
        signature=path,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        added_bytes=added,
        input=InputSpec(height=size[0], width=size[1], dtype="float32", colour="BGR"),
        output=OutputSpec(kind="logits", shape=shape, dtype="float32"),
        macs=cost.macs,
        parameters=cost.parameters,
        accuracy_unknown="no dataset was given to the conversion; joulepath evaluate scores it",
        golden_tolerance=_TOLERANCE[precision],
    )


def _tools() -> dict[str, str]:
    found = {}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")


# -- the golden pair --------------------------------------------------------------------------------------------------


def golden_image() -> Frame:
    """60x80 BGR: twelve patches of colour from a seed. Nobody's picture, and its logits take little space."""
    patches = np.random.default_rng(20).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return patches.repeat(20, axis=0).repeat(20, axis=1)


def _write_golden(folder: Path, job: ConvertJob) -> None:
    bundle, image = load_bundle(folder), golden_image()
    outputs: dict[str, Array] = {}
    with Pool(bundle, threads=job.threads or 1, max_resident_files=1) as pool:
        for variant in bundle.manifest.variants:
            pool.wait(variant.id)
            logits = pool.infer(variant.id, image).output.astype(np.float32)
            if not np.isfinite(logits).all() or not logits.any():
                raise ConvertError(f"variant {variant.id}: its logits on the golden image are not finite, or all zero")
            outputs[variant.id] = _in_steps(logits, _GOLDEN_STEP[variant.precision])
    write_golden(folder / GOLDEN_NAME, image, outputs)
    # As a board will do it: each variant is loaded against its golden pair before it may serve.
    with Pool(load_bundle(folder), threads=job.threads or 1, max_resident_files=1) as pool:
        for variant in bundle.manifest.variants:
            pool.wait(variant.id)


def _in_steps(logits: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    """Rounded to a power of two of about `share` of the largest: most bits of each number are zero and compress."""
    step = 2.0 ** np.floor(np.log2(float(np.abs(logits).max()) * share))
    rounded: npt.NDArray[np.float32] = (np.round(logits / step) * step).astype(np.float32)
    return rounded
