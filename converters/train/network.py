"""transformers' own SegFormer, run along any execution path.

The modules and weights are transformers' classes; only the order in which they are called is ours, so that blocks can
be left out and the decoder narrowed. The decoder is evaluated folded (see `converters.fold`): the per-stage linear
maps and the fuse convolution are one linear map each, which commutes with bilinear upsampling. That is the same
function with the same gradients at half of the multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainPath:
    """Blocks run in each stage (the first ones) and decoder channels kept (the first ones); None is all."""

    depths: tuple[int, ...] | None = None
    decoder_width: int | None = None


def load_network(weights: Path | None, labels: tuple[str, ...]) -> Any:
    """`SegformerForSemanticSegmentation` from a Hugging Face folder, or a fresh SegFormer-B0 with `labels`."""
    _define_torchvision_operators()
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    if weights is not None:
        return SegformerForSemanticSegmentation.from_pretrained(str(weights))
    id2label = dict(enumerate(labels))
    config = SegformerConfig(
        id2label=id2label,
        label2id={v: k for k, v in id2label.items()},
        semantic_loss_ignore_index=255,
        classifier_dropout_prob=0.0,
    )
    return SegformerForSemanticSegmentation(config)


def _define_torchvision_operators() -> None:
    # CPU builds of torch meet a torchvision without its compiled operators; transformers only needs their names.
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def normalise(images: Tensor) -> Tensor:
    """NxHxWx3 uint8 BGR to Nx3xHxW float32 RGB with the ImageNet mean and deviation (channels last in memory)."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device) * 255
    std = torch.tensor(IMAGENET_STD, device=images.device) * 255
    return ((images.flip(-1).float() - mean) / std).permute(0, 3, 1, 2)


def encode(model: Any, pixels: Tensor, path: TrainPath) -> list[Tensor]:
    """The four stage outputs, each NxCxhxw, along `path`."""
    hidden, outputs = pixels, []
    for index, stage in enumerate(model.segformer.stages):
        hidden, height, width = stage.patch_embeddings(hidden)
        keep = len(stage.blocks) if path.depths is None else path.depths[index]
        for block in stage.blocks[:keep]:
            hidden = block(hidden, height, width)
        hidden = stage.layer_norm(hidden)
        hidden = hidden.reshape(hidden.shape[0], height, width, -1).permute(0, 3, 1, 2)
        outputs.append(hidden)
    return outputs


def decode(model: Any, stages: list[Tensor], path: TrainPath) -> Tensor:
    """Decoder features (after ReLU) at the first stage's resolution: NxWxhxw."""
    head = model.decode_head
    width = path.decoder_width or head.linear_fuse.weight.shape[0]
    fuse = head.linear_fuse.weight[:width, :, 0, 0]
    parts = fuse.split(fuse.shape[1] // len(stages), dim=1)
    size = stages[0].shape[2:]
    total: Tensor | None = None
    for index, stage in enumerate(stages):
        projection = head.linear_projections[index].proj
        # transformers concatenates the stages last to first.
        part = parts[len(stages) - 1 - index]
        weight, bias = part @ projection.weight, part @ projection.bias
        mapped = F.conv2d(stage, weight[:, :, None, None].to(stage.dtype), bias.to(stage.dtype))
        if mapped.shape[2:] != size:
            mapped = F.interpolate(mapped, size=size, mode="bilinear", align_corners=False)
        total = mapped if total is None else total + mapped
    assert total is not None
    norm: nn.BatchNorm2d = head.batch_norm
    training = norm.training
    normed = F.batch_norm(
        total,
        norm.running_mean[:width] if norm.running_mean is not None else None,
        norm.running_var[:width] if norm.running_var is not None else None,
        norm.weight[:width],
        norm.bias[:width],
        training,
        norm.momentum or 0.1,
        norm.eps,
    )
    return F.relu(normed)


def classify(classifier: nn.Conv2d, features: Tensor) -> Tensor:
    """Logits NxKxhxw from the first channels of the classifier that `features` has."""
    return F.conv2d(features, classifier.weight[:, : features.shape[1]], classifier.bias)


def logits_of(model: Any, pixels: Tensor, path: TrainPath | None = None) -> Tensor:
    """Logits NxKx(H/4)x(W/4) of `model` along `path` (the full one when None)."""
    path = path or TrainPath()
    return classify(model.decode_head.classifier, decode(model, encode(model, pixels, path), path))
