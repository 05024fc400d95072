"""A bundle out of models that people already have: their inputs and outputs are read from the files themselves.

What a file does not say must be given: how pixels are normalised, what the output means. Nothing is guessed silently:
float inputs without embedded metadata are refused until `mean` and `std` are given. Byte inputs take raw pixels, which
is how such models are published (the quantization of their input *is* the normalisation).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge.bundle.load import Bundle, load_bundle, write_golden
from edge.bundle.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    InputSpec,
    Manifest,
    OutputSpec,
    PathSpec,
    Provenance,
    Variant,
)
from edge.engines.contract import Array, ModelRefused, TensorSpec
from edge.engines.flatfile import Graph, ModelFile, read_model_file
from edge.errors import JoulepathError, UsageError
from edge.prepare import Frame
from edge.tasks import open_task
from edge.variants import Pool

Kind = Literal["logits", "class_ids", "probability", "scores"]
KINDS: tuple[Kind, ...] = ("logits", "class_ids", "probability", "scores")

# How far another library's or machine's kernels may be from the ones that made the golden pair. Wide enough for the
# last bits of a resize and of int8 arithmetic, far below what a wrong kernel gives.
_TOLERANCE = {"float": 0.02, "quantized": 0.1, "class_ids": 0.05}
_GOLDEN_SIZE = (120, 160)


class WrapError(JoulepathError):
    """A model that cannot be wrapped; the message says what to give or change."""


@dataclass(frozen=True)
class WrapOptions:
    """What the files do not say. `mean` and `std` are one number or three, in the model's colour order."""

    task: Literal["segment", "classify"]
    name: str | None = None
    labels: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    colour: Literal["RGB", "BGR"] = "RGB"
    output_kind: Kind | None = None
    output_index: int | None = None
    threshold: float = 0.5
    golden_image: Path | None = None
    library: str = "auto"
    command: str = ""
    seed: int = field(default=7)


def wrap(files: Sequence[Path], out: Path, options: WrapOptions) -> Bundle:
    """Make the bundle directory `out` from model files; it appears whole or not at all.

    Raises WrapError, ModelRefused (a damaged file, an operation that the engine lacks: by name), UsageError.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already; remove it or choose another place for the bundle")
    if not files:
        raise UsageError("no model files were given; give at least one .tflite file")
    _refuse_equal_names(files)
    models = [(path, read_model_file(path)) for path in files]
    labels = _labels(options, models)
    variants = [v for path, model in models for v in _variants(path, model, options, labels)]
    manifest = _manifest(options, labels, variants, models)
    open_task(manifest)  # refuses what the task cannot make sense of
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for path in files:
            shutil.copyfile(path, beside / path.name)
        (beside / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
        image = _golden_image(options)
        write_golden(beside / GOLDEN_NAME, image, _golden_outputs(load_bundle(beside), image, options))
        _prove(load_bundle(beside), options)
        beside.chmod(0o755)
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return load_bundle(out)


def _refuse_equal_names(files: Sequence[Path]) -> None:
    names = [path.name for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two files are called {twice[0]!r}; rename one, a bundle keeps the files' names")


# -- what the files say ---------------------------------------------------------------------------------------------


def _labels(options: WrapOptions, models: Sequence[tuple[Path, ModelFile]]) -> tuple[str, ...]:
    if options.labels is not None:
        return read_labels(options.labels)
    embedded = [model.labels for _, model in models if model.labels]
    if embedded:
        return embedded[0]
    raise UsageError("no labels: give --labels FILE with one class name a line (no model file has them inside)")


def read_labels(path: Path) -> tuple[str, ...]:
    """One name a line; a blank line ends the list, what follows it is a note. Raises WrapError."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise WrapError(f"{path}: cannot be read as labels ({error}); give a text file, one name a line") from error
    while lines and not lines[0]:
        lines.pop(0)
    labels = tuple(lines[: lines.index("")] if "" in lines else lines)
    if not labels:
        raise WrapError(f"{path}: holds no labels; write one class name a line")
    return labels


def _variants(path: Path, model: ModelFile, options: WrapOptions, labels: tuple[str, ...]) -> list[Variant]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    found = []
    for graph in model.graphs:
        where = str(path) + (f" [{graph.signature}]" if graph.signature else "")
        identity = _identifier(path.stem + (f"-{graph.signature}" if graph.signature else ""))
        found.append(
            Variant(
                id=identity,
                path=identity,
                precision=graph.precision,
                file=path.name,
                signature=graph.signature,
                sha256=digest,
                bytes=len(content),
                input=_input(where, graph, model, options),
                output=(output := _output(where, graph, options, labels)),
                macs=graph.macs,
                parameters=graph.parameters,
                accuracy_unknown="not scored yet; joulepath evaluate does",
                golden_tolerance=_tolerance(output),
            )
        )
    return found


def _identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:64] or "model"


def _input(where: str, graph: Graph, model: ModelFile, options: WrapOptions) -> InputSpec:
    if len(graph.inputs) != 1:
        raise WrapError(f"{where}: takes {len(graph.inputs)} inputs; a bundle's model takes one image")
    tensor = graph.inputs[0]
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[3] != 3:
        shape = "x".join(map(str, tensor.shape))
        raise WrapError(f"{where}: its input is {shape}; a bundle's model takes 1xHxWx3, one colour image")
    if tensor.dtype not in ("float32", "uint8", "int8"):
        raise WrapError(f"{where}: its input is {tensor.dtype}; float32, uint8 and int8 are understood")
    scale, offset, quantized = _normalisation(where, tensor, model, options)
    return InputSpec.model_validate(
        {
            "height": tensor.shape[1],
            "width": tensor.shape[2],
            "dtype": tensor.dtype,
            "colour": options.colour,
            "scale": scale,
            "offset": offset,
            "quantum": tensor.quantum if quantized else None,
            "zero_point": tensor.zero_point if quantized else None,
        }
    )


def _normalisation(
    where: str, tensor: TensorSpec, model: ModelFile, options: WrapOptions
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Scale, offset, and whether the input's quantization follows them."""
    if (options.mean is None) != (options.std is None):
        raise UsageError("--mean and --std belong together: a pixel p becomes (p - mean) / std")
    mean, std = options.mean, options.std
    if mean is None or std is None:
        if tensor.dtype != "float32":
            return (1.0,) * 3, (128.0 if tensor.dtype == "int8" else 0.0,) * 3, False
        mean, std = model.mean, model.std
        if not mean or not std:
            raise WrapError(
                f"{where}: does not say how its float input is normalised. Give --mean and --std as it was trained: "
                "a pixel p (0..255) becomes (p - mean) / std; --mean 127.5 --std 127.5 for -1..1, --mean 0 --std 255 "
                "for 0..1"
            )
    if any(s <= 0 for s in std):
        raise UsageError(f"--std must be above zero, not {min(std):g}")
    return tuple(1 / s for s in _three(where, std)), _three(where, mean), tensor.dtype != "float32"


def _three(where: str, values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) not in (1, 3):
        raise WrapError(f"{where}: normalisation has {len(values)} numbers; one or three (one a colour) are needed")
    return values if len(values) == 3 else values * 3


def _output(where: str, graph: Graph, options: WrapOptions, labels: tuple[str, ...]) -> OutputSpec:
    index = options.output_index
    if index is None:
        if len(graph.outputs) != 1:
            listed = "; ".join(f"{i}: {o.name} {o.shape} {o.dtype}" for i, o in enumerate(graph.outputs))
            raise WrapError(f"{where}: has several outputs ({listed}); choose one with --output-index")
        index = 0
    if index >= len(graph.outputs):
        raise WrapError(f"{where}: has {len(graph.outputs)} outputs; --output-index counts from 0")
    tensor = graph.outputs[index]
    kind = options.output_kind or _kind(where, tensor, options.task)
    _check_labels(where, tensor, kind, labels)
    return OutputSpec(
        kind=kind,
        shape=tensor.shape,
        dtype=tensor.dtype,
        index=index,
        quantum=tensor.quantum,
        zero_point=tensor.zero_point,
        threshold=options.threshold,
    )


def _kind(where: str, tensor: TensorSpec, task: str) -> Kind:
    """What the shape and dtype of an output can only mean."""
    shape = tensor.shape
    if task == "classify":
        return "scores"
    whole = np.dtype(tensor.dtype).kind in "iu" and tensor.quantum is None
    if whole and (len(shape) == 3 or (len(shape) == 4 and shape[3] == 1)):
        return "class_ids"
    if len(shape) == 4 and not whole:
        return "logits" if shape[3] > 1 else "probability"
    raise WrapError(
        f"{where}: cannot tell what its output {'x'.join(map(str, shape))} {tensor.dtype} means; "
        f"say so with --output-kind ({', '.join(KINDS)})"
    )


def _check_labels(where: str, tensor: TensorSpec, kind: Kind, labels: tuple[str, ...]) -> None:
    expected = {"logits": tensor.shape[-1], "scores": int(np.prod(tensor.shape)), "probability": 2}.get(kind)
    if expected is not None and expected != len(labels):
        meaning = "background and foreground" if kind == "probability" else f"its {kind}"
        raise WrapError(f"{where}: needs {expected} labels ({meaning}), there are {len(labels)}; check --labels")


def _tolerance(output: OutputSpec) -> float:
    if output.kind == "class_ids":
        return _TOLERANCE["class_ids"]
    return _TOLERANCE["float" if output.quantum is None else "quantized"]


def _manifest(
    options: WrapOptions,
    labels: tuple[str, ...],
    variants: Sequence[Variant],
    models: Sequence[tuple[Path, ModelFile]],
) -> Manifest:
    ids = [v.id for v in variants]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise UsageError(f"two models would both be called {twice[0]!r}; rename one file")
    licences = sorted({" ".join(m.licence.split())[:200] for _, m in models if m.licence})
    return Manifest(
        name=options.name or models[0][0].stem,
        family="wrapped",
        task=options.task,
        labels=labels,
        paths=tuple(PathSpec(name=v.path, description=f"{v.file} as it is") for v in variants),
        variants=tuple(variants),
        provenance=Provenance(
            weights=", ".join(path.name for path, _ in models),
            licence="; ".join(licences) or "unknown",
            tools={"joulepath": _own_version()},
            command=options.command,
            notes="Wrapped unchanged; inputs and outputs as the files declare them.",
        ),
    )


def _own_version() -> str:
    try:
        return version("joulepath")
    except PackageNotFoundError:
        return "unknown"


# -- the golden pair ------------------------------------------------------------------------------------------------


def _golden_image(options: WrapOptions) -> Frame:
    """The given image, or gradients with soft noise: smooth, so that resizing it anywhere gives the same pixels."""
    height, width = _GOLDEN_SIZE
    if options.golden_image is not None:
        read: Frame | None = cv2.imread(str(options.golden_image), cv2.IMREAD_COLOR)
        if read is None:
            raise WrapError(f"{options.golden_image}: not an image that can be read; give a PNG or JPEG")
        return read
    random = np.random.default_rng(options.seed)
    noise = cv2.resize(random.normal(0, 40, (12, 16, 3)).astype(np.float32), (width, height))
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    gradient = np.stack([200 * across, 200 * down, 200 * (1 - across * down)], axis=2) + 28
    image: Frame = np.clip(gradient + noise, 0, 255).astype(np.uint8)
    return image


def _golden_outputs(bundle: Bundle, image: Frame, options: WrapOptions) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    with Pool(bundle, library=options.library, max_resident_files=1) as pool:
        for variant in bundle.manifest.variants:
            pool.wait(variant.id)
            output = pool.infer(variant.id, image).output
            if output.dtype.kind == "f" and not np.isfinite(output).all():
                raise ModelRefused(f"variant {variant.id!r}: gives numbers that are not finite; is the file damaged?")
            outputs[variant.id] = output.copy()
    return outputs


def golden_says_little(bundle: Bundle) -> list[str]:
    """The ids of variants whose golden output is one class all over: much could be wrong and still reproduce it."""
    golden = bundle.golden.outputs if bundle.golden is not None else {}
    flat = []
    for variant in bundle.manifest.variants:
        if variant.output.kind == "class_ids" and variant.id in golden and np.unique(golden[variant.id]).size < 2:
            flat.append(variant.id)
    return flat


def _prove(bundle: Bundle, options: WrapOptions) -> None:
    """Load each variant once more as a daemon would: against its golden pair."""
    with Pool(bundle, library=options.library, max_resident_files=1) as pool:
        for variant in bundle.manifest.variants:
            pool.wait(variant.id)
