"""The manifest of a bundle: what each variant takes in, what its output means, and what is known about it.

One schema (version 1), checked by pydantic; unknown keys are refused so that a typo never passes silently.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
GOLDEN_NAME = "golden.npz"

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(Strict):
    """What a variant takes: one NHWC image tensor with batch 1.

    A pixel p (0..255, in `colour` order) becomes ``(p - offset) * scale`` and then, when `zero_point` is set, is
    quantized: ``round(value / quantum) + zero_point``. A folded network takes raw pixels: offset 0, scale 1.
    """

    height: int = Field(gt=0, le=16384, description="pixels")
    width: int = Field(gt=0, le=16384, description="pixels")
    dtype: Literal["float32", "uint8", "int8"] = "float32"
    colour: Literal["BGR", "RGB"] = "BGR"
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quantum: float | None = Field(None, gt=0, description="quantization scale of an integer input")
    zero_point: int | None = None


class OutputSpec(Strict):
    """What the output tensor means.

    ``logits``: 1xhxwxK, the largest wins, resized bilinearly to the frame before the argmax;
    ``class_ids``: 1xHxW (or 1xHxWx1) ids; ``probability``: 1xHxWx1, foreground (class 1) where >= `threshold`;
    ``scores``: 1xK, one score for each class (classification).
    """

    kind: Literal["logits", "class_ids", "probability", "scores"]
    shape: tuple[int, ...]
    dtype: str
    index: int = Field(0, ge=0, description="which of the model's outputs")
    quantum: float | None = None
    zero_point: int | None = None
    threshold: float = 0.5


class Accuracy(Strict):
    """One measured accuracy; an accuracy names its images."""

    metric: str
    value: float = Field(ge=0, le=1, description="ratio, 0..1")
    dataset: str
    images: int = Field(gt=0)
    confidence_interval: tuple[float, float] | None = Field(None, description="95 %, ratio")
    per_class: dict[str, float | None] | None = None
    pixel_accuracy: float | None = Field(None, ge=0, le=1)


class PathSpec(Strict):
    """The route through the network: blocks kept for each stage, channels kept in the decoder."""

    name: Identifier
    depths: tuple[int, ...] | None = None
    decoder_width: int | None = None
    description: str = ""


class Variant(Strict):
    """One runnable artefact: a path at a precision for an engine."""

    id: Identifier
    path: Identifier
    engine: Literal["litert", "tensorrt"] = "litert"
    precision: str = Field(description="float32, float16, int8, ...")
    file: str
    signature: str | None = Field(None, description="several paths may be signatures of one file")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0, description="size of the file, shared by all its signatures")
    added_bytes: int | None = Field(
        None, ge=0, description="of the file's bytes, weights that no variant before this one uses"
    )
    input: InputSpec
    output: OutputSpec
    macs: int | None = Field(None, ge=0, description="multiply-accumulates of one inference")
    parameters: int | None = Field(None, ge=0)
    peak_memory_bytes: int | None = Field(None, ge=0)
    accuracy: tuple[Accuracy, ...] = ()
    accuracy_unknown: str | None = Field(None, description="why there is no accuracy")
    golden_tolerance: float = Field(
        1e-3, ge=0, description="max |difference| as a share of max |golden|; share of differing ids for class_ids"
    )

    @field_validator("file")
    @classmethod
    def _file_stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value or value in ("", "."):
            raise ValueError(f"file {value!r} leaves the bundle; use a plain relative path inside it")
        return value


class Provenance(Strict):
    """Where the weights come from and what made the bundle."""

    weights: str = "unknown"
    weights_sha256: str | None = None
    licence: str = "unknown"
    data: str = ""
    tools: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    notes: str = ""


class Manifest(Strict):
    """A bundle: variants of one model family for one task."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=128)
    family: str
    task: Literal["segment", "classify", "detect"]
    labels: tuple[str, ...] = Field(min_length=1)
    palette: tuple[tuple[int, int, int], ...] | None = Field(None, description="RGB for each label")
    paths: tuple[PathSpec, ...] = ()
    variants: tuple[Variant, ...] = Field(min_length=1)
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        ids = [variant.id for variant in self.variants]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise ValueError(f"variant ids must be unique; repeated: {', '.join(repeated)}")
        if self.palette is not None and len(self.palette) < len(self.labels):
            raise ValueError(f"palette has {len(self.palette)} colours for {len(self.labels)} labels")
        if self.paths:
            known = {path.name for path in self.paths}
            lost = sorted({v.path for v in self.variants} - known)
            if lost:
                raise ValueError(f"variants name paths that the manifest does not define: {', '.join(lost)}")
        return self

    def variant(self, variant_id: str) -> Variant:
        """The variant with this id; KeyError when there is none."""
        for variant in self.variants:
            if variant.id == variant_id:
                return variant
        raise KeyError(variant_id)
