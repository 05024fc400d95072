"""transformers' own SegFormer, run along any execution path.

The modules and weights are transformers' classes; only the order in which they are called is ours, so that blocks can
be left out and layers narrowed: the same cuts that `converters.families.segformer.cut` makes, of the first channels
each. The decoder is evaluated folded (see `converters.fold`): the per-stage linear maps and the fuse convolution are
one linear map each, which commutes with bilinear upsampling. That is the same function with the same gradients at half
of the multiply-accumulates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.families.segformer.cut import kept_count
from converters.paths import ExecutionPath

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class StageCut:
    """What a path does to one stage; `blocks` None keeps all. See `ExecutionPath`."""

    blocks: tuple[int, ...] | None = None
    ffn: float = 1.0
    pool: int = 1
    merge: int = 1


def stage_cut(path: ExecutionPath | None, stage: int) -> StageCut:
    """The cut of one stage along `path`, nothing at all for None."""
    if path is None:
        return StageCut()
    return StageCut(
        path.blocks[stage],
        path.ffn[stage] if path.ffn else 1.0,
        path.pool[stage] if path.pool else 1,
        path.merge[stage] if path.merge else 1,
    )


def normalise(images: Tensor) -> Tensor:
    """NxHxWx3 uint8 BGR to Nx3xHxW float32 RGB with the ImageNet mean and deviation (channels last in memory)."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device) * 255
    std = torch.tensor(IMAGENET_STD, device=images.device) * 255
    return ((images.flip(-1).float() - mean) / std).permute(0, 3, 1, 2)


def encode(model: Any, pixels: Tensor, path: ExecutionPath | None = None) -> list[Tensor]:
    """The four stage outputs, each NxCxhxw, along `path` (all of the network when None)."""
    hidden, outputs = pixels, []
    for index, stage in enumerate(model.segformer.stages):
        hidden, height, width = stage.patch_embeddings(hidden)
        hidden = _run_blocks(stage, hidden, height, width, stage_cut(path, index))
        hidden = _to_grid(stage.layer_norm(hidden), height, width)
        outputs.append(hidden)
    return outputs


def decode(model: Any, stages: list[Tensor], path: ExecutionPath | None = None) -> Tensor:
    """Decoder features (after ReLU), NxWxhxw, at the first stage's resolution or coarser by the path's stride."""
    head = model.decode_head
    width = head.linear_fuse.weight.shape[0] if path is None else path.decoder_width
    stride, chain = (1, False) if path is None else (path.decoder_stride, path.decoder_chain)
    if stride > 1:
        stages = [average_pool(stages[0], stride), *stages[1:]]
    fuse = head.linear_fuse.weight[:width, :, 0, 0]
    # transformers concatenates the stages last to first.
    parts = fuse.split(fuse.shape[1] // len(stages), dim=1)[::-1]
    total: Tensor | None = None
    for index in reversed(range(len(stages))):
        stage, projection = stages[index], head.linear_projections[index].proj
        weight, bias = parts[index] @ projection.weight, parts[index] @ projection.bias
        mapped = F.conv2d(stage, weight[:, :, None, None].to(stage.dtype), bias.to(stage.dtype))
        size = mapped.shape[2:] if chain else stages[0].shape[2:]
        mapped = _resized(mapped, size)
        total = mapped if total is None else _resized(total, size) + mapped
    assert total is not None
    return F.relu(_batch_norm(head.batch_norm, total, width))


def classify(classifier: nn.Conv2d, features: Tensor) -> Tensor:
    """Logits NxKxhxw from the first channels of the classifier that `features` has."""
    return F.conv2d(features, classifier.weight[:, : features.shape[1]], classifier.bias)


def logits_of(model: Any, pixels: Tensor, path: ExecutionPath | None = None) -> Tensor:
    """Logits NxKx(H/4)x(W/4) of `model` along `path` (the full one when None)."""
    return classify(model.decode_head.classifier, decode(model, encode(model, pixels, path), path))


def average_pool(x: Tensor, factor: int) -> Tensor:
    """The mean of every `factor` x `factor` positions; where the grid does not divide, of those that are there.

    What is missing is taken from both sides, as TensorFlow's SAME does.
    """
    pads: list[int] = []
    for length in (x.shape[3], x.shape[2]):
        missing = -length % factor
        pads += [missing // 2, missing - missing // 2]
    if not any(pads):
        return F.avg_pool2d(x, factor)
    there = F.pad(x.new_ones(1, 1, *x.shape[2:]), pads)
    return F.avg_pool2d(F.pad(x, pads), factor) / F.avg_pool2d(there, factor)


def _run_blocks(stage: Any, hidden: Tensor, height: int, width: int, cut: StageCut) -> Tensor:
    kept = range(len(stage.blocks)) if cut.blocks is None else cut.blocks
    if cut.ffn == 1 and cut.pool == 1 and cut.merge == 1:
        for number in kept:
            hidden = stage.blocks[number](hidden, height, width)
        return hidden
    if cut.merge == 1 or not kept:
        for number in kept:
            for write in _writers(stage.blocks[number], height, width, cut):
                hidden = hidden + write(hidden)
        return hidden
    # Every position keeps its own stream; only what the blocks add to it is shared by those that were merged.
    grid = average_pool(_to_grid(hidden, height, width), cut.merge)
    coarse, added = _to_tokens(grid), torch.zeros_like(_to_tokens(grid))
    for number in kept:
        for write in _writers(stage.blocks[number], grid.shape[2], grid.shape[3], cut):
            written = write(coarse)
            coarse, added = coarse + written, added + written
    spread = _resized(_to_grid(added, grid.shape[2], grid.shape[3]), (height, width))
    return hidden + _to_tokens(spread)


def _writers(block: Any, height: int, width: int, cut: StageCut) -> tuple[Callable[[Tensor], Tensor], ...]:
    """The two halves of a block, each from the residual stream to what it adds to it."""

    def attend(x: Tensor) -> Tensor:
        mixed = _attention(block.attention, block.layernorm_before(x), height, width, cut)
        written: Tensor = block.drop_path(block.hidden_dropout(mixed))
        return written

    def feed_forward(x: Tensor) -> Tensor:
        written: Tensor = block.drop_path(_mlp(block.mlp, block.layernorm_after(x), height, width, cut))
        return written

    return attend, feed_forward


def _attention(layer: Any, x: Tensor, height: int, width: int, cut: StageCut) -> Tensor:
    around, ratio = x, layer.sequence_reduction_ratio
    if ratio > 1:
        reduction = layer.sequence_reduction
        grid = reduction.sequence_reduction(_to_grid(x, height, width))
        around = reduction.layer_norm(_to_tokens(grid))
    if cut.pool > 1:
        around = _to_tokens(average_pool(_to_grid(around, height // ratio, width // ratio), cut.pool))

    def heads(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (-1, layer.head_dim)).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(
        heads(layer.q_proj(x)),
        heads(layer.k_proj(around)),
        heads(layer.v_proj(around)),
        dropout_p=layer.attention_dropout if layer.training else 0.0,
        scale=layer.scaling,
    )
    out: Tensor = layer.o_proj(mixed.transpose(1, 2).flatten(2))
    return out


def _mlp(layer: Any, x: Tensor, height: int, width: int, cut: StageCut) -> Tensor:
    kept = kept_count(layer.fc1.out_features, cut.ffn)
    depthwise = layer.dwconv.dwconv
    hidden = _to_grid(F.linear(x, layer.fc1.weight[:kept], layer.fc1.bias[:kept]), height, width)
    hidden = F.conv2d(hidden, depthwise.weight[:kept], depthwise.bias[:kept], padding=1, groups=kept)
    hidden = layer.dropout(layer.activation_fn(_to_tokens(hidden)))
    out: Tensor = layer.dropout(F.linear(hidden, layer.fc2.weight[:, :kept], layer.fc2.bias))
    return out


def _batch_norm(norm: nn.BatchNorm2d, x: Tensor, width: int) -> Tensor:
    return F.batch_norm(
        x,
        norm.running_mean[:width] if norm.running_mean is not None else None,
        norm.running_var[:width] if norm.running_var is not None else None,
        norm.weight[:width],
        norm.bias[:width],
        norm.training,
        norm.momentum or 0.1,
        norm.eps,
    )


def _resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if x.shape[2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def _to_grid(tokens: Tensor, height: int, width: int) -> Tensor:
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, height, width)


def _to_tokens(grid: Tensor) -> Tensor:
    return grid.flatten(2).transpose(1, 2)
