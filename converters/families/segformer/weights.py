"""SegFormer weights by their published file keys: which exist, how they are shaped, and reading them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.checkpoint import Checkpoint, read_checkpoint
from converters.errors import WeightsError
from converters.families.segformer.config import SegformerConfig
from converters.layers import Array
from converters.paths import PathSpace

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_NAMED_AT_MOST = 6


@dataclass(frozen=True)
class SegformerWeights:
    """A checked checkpoint: float32 tensors in PyTorch's layout by file key; mean and deviation are RGB in 0..1."""

    config: SegformerConfig
    tensors: Mapping[str, Array]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    source: str = ""
    sha256: str | None = None

    @property
    def space(self) -> PathSpace:
        """The execution paths that these weights offer."""
        return PathSpace(self.config.depths, self.config.decoder_width, self.config.labels)


def load(weights: str | Path) -> SegformerWeights:
    """Read and check a Hugging Face folder or hub id. Raises WeightsError naming what does not fit."""
    return checked(read_checkpoint(weights))


def checked(checkpoint: Checkpoint) -> SegformerWeights:
    """Match a checkpoint's tensors with its configuration; raises WeightsError naming the tensors at fault."""
    config = SegformerConfig.parse(checkpoint.config, checkpoint.source)
    expected = expected_shapes(config)
    found = checkpoint.tensors
    if not any(name.startswith("decode_head.") for name in found):
        raise WeightsError(
            f"{checkpoint.source}: holds no decode_head (an ImageNet encoder?); "
            "give a checkpoint of SegformerForSemanticSegmentation"
        )
    _refuse_wrong_classes(checkpoint, config)
    problems = [f"missing {name} {shape}" for name, shape in expected.items() if name not in found]
    problems += [f"unexpected {name} {found[name].shape}" for name in found if name not in expected]
    problems += [
        f"{name} is {found[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    problems += [f"{name} holds NaN or infinity" for name in expected if not _finite(found.get(name))]
    if problems:
        more = f"; and {len(problems) - _NAMED_AT_MOST} more" if len(problems) > _NAMED_AT_MOST else ""
        raise WeightsError(
            f"{checkpoint.source}: tensors do not match config.json: {'; '.join(problems[:_NAMED_AT_MOST])}{more}"
        )
    mean, std = _normalisation(checkpoint)
    return SegformerWeights(
        config, {name: found[name] for name in expected}, mean, std, checkpoint.source, checkpoint.sha256
    )


def expected_shapes(config: SegformerConfig) -> dict[str, tuple[int, ...]]:
    """File key to shape (PyTorch's layout) of every tensor of a SegFormer with a segmentation head."""
    shapes: dict[str, tuple[int, ...]] = {}

    def weight_and_bias(prefix: str, *shape: int) -> None:
        shapes[f"{prefix}.weight"] = shape
        shapes[f"{prefix}.bias"] = shape[:1]

    inputs = 3
    for stage, size in enumerate(config.hidden_sizes):
        encoder, kernel = "segformer.encoder", config.patch_sizes[stage]
        weight_and_bias(f"{encoder}.patch_embeddings.{stage}.proj", size, inputs, kernel, kernel)
        weight_and_bias(f"{encoder}.patch_embeddings.{stage}.layer_norm", size)
        for block in range(config.depths[stage]):
            prefix, reduction = f"{encoder}.block.{stage}.{block}", config.reductions[stage]
            hidden = size * config.mlp_ratios[stage]
            weight_and_bias(f"{prefix}.layer_norm_1", size)
            for name in ("self.query", "self.key", "self.value", "output.dense"):
                weight_and_bias(f"{prefix}.attention.{name}", size, size)
            if reduction > 1:
                weight_and_bias(f"{prefix}.attention.self.sr", size, size, reduction, reduction)
                weight_and_bias(f"{prefix}.attention.self.layer_norm", size)
            weight_and_bias(f"{prefix}.layer_norm_2", size)
            weight_and_bias(f"{prefix}.mlp.dense1", hidden, size)
            weight_and_bias(f"{prefix}.mlp.dwconv.dwconv", hidden, 1, 3, 3)
            weight_and_bias(f"{prefix}.mlp.dense2", size, hidden)
        weight_and_bias(f"{encoder}.layer_norm.{stage}", size)
        weight_and_bias(f"decode_head.linear_c.{stage}.proj", config.decoder_width, size)
        inputs = size
    width = config.decoder_width
    shapes["decode_head.linear_fuse.weight"] = (width, width * len(config.depths), 1, 1)
    for name in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"decode_head.batch_norm.{name}"] = (width,)
    weight_and_bias("decode_head.classifier", config.classes, width, 1, 1)
    return shapes


def random_weights(config: SegformerConfig, seed: int) -> SegformerWeights:
    """Weights in which every bias, norm and running statistic is random, and logits spread by one or more.

    Default initialisation (zero biases, unit norms) would let a wrong rewrite pass; these let none.
    """
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        # Uniform draws of unit deviation: the simplest stream of numpy's generator.
        value = (rng.random(shape) - 0.5) * math.sqrt(12.0)
        if name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
            value = 1.0 + 0.25 * value
        elif name.endswith("weight"):
            value = value / math.sqrt(math.prod(shape[1:])) * (3.0 if "classifier" in name else 1.0)
        else:
            value = 0.4 * value
        return value.astype(np.float32)

    tensors = {name: draw(name, shape) for name, shape in expected_shapes(config).items()}
    return SegformerWeights(config, tensors, source=f"random weights of seed {seed}")


def _refuse_wrong_classes(checkpoint: Checkpoint, config: SegformerConfig) -> None:
    classifier = checkpoint.tensors.get("decode_head.classifier.weight")
    if classifier is not None and classifier.shape[0] != config.classes:
        raise WeightsError(
            f"{checkpoint.source}: the classifier has {classifier.shape[0]} classes but config.json names "
            f"{config.classes} in id2label; correct id2label"
        )


def _finite(tensor: Array | None) -> bool:
    return tensor is None or bool(np.isfinite(tensor).all())


def _normalisation(checkpoint: Checkpoint) -> tuple[tuple[float, ...], tuple[float, ...]]:
    settings = checkpoint.preprocessor or {}
    mean = tuple(float(v) for v in settings.get("image_mean") or IMAGENET_MEAN)
    std = tuple(float(v) for v in settings.get("image_std") or IMAGENET_STD)
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise WeightsError(
            f"{checkpoint.source}: preprocessor_config.json has image_mean {mean} and image_std {std}; "
            "expected three numbers each, deviations above zero"
        )
    return mean, std
