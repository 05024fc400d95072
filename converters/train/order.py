"""Channels put in order of importance before training over paths: the first ones, which paths keep, then matter most.

An exact rewrite: hidden channels of a feed-forward layer, and fused channels of the decoder, may stand in any order as
long as what reads them follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters.datasets import Image
from edge.errors import UsageError


def order_by_importance(model: Any, weights: Path, images: Sequence[Image], size: tuple[int, int]) -> None:
    """Reorder `model`, as loaded from the folder `weights`, by what HxWx3 uint8 BGR `images` show at `size`.

    The orders are those of `converters.workshop`. Raises UsageError without TensorFlow, which measures them, and
    ConvertError for too few images.
    """
    if find_spec("tensorflow") is None:
        raise UsageError("--order-channels measures with TensorFlow: pip install 'joulepath[convert]'")
    from converters.quiet import hush_tensorflow

    hush_tensorflow()
    from converters.families import segformer
    from converters.workshop import Workshop

    importance = Workshop(segformer.load(str(weights)), images, size).importance
    for number, stage in enumerate(model.segformer.stages):
        for index, block in enumerate(stage.blocks):
            order_hidden(block.mlp, importance.hidden(number, index))
    order_decoder(model.decode_head, importance.decoder())


def order_hidden(mlp: Any, order: Sequence[int]) -> None:
    """The hidden channels of one feed-forward layer in another order; `order` is a permutation of them."""
    depthwise = mlp.dwconv.dwconv
    for parameter in (mlp.fc1.weight, mlp.fc1.bias, depthwise.weight, depthwise.bias):
        _permute(parameter, order)
    _permute(mlp.fc2.weight, order, dim=1)


def order_decoder(head: Any, order: Sequence[int]) -> None:
    """The fused channels of the decoder in another order; `order` is a permutation of them."""
    norm: nn.BatchNorm2d = head.batch_norm
    for value in (head.linear_fuse.weight, head.linear_fuse.bias, norm.weight, norm.bias):
        if value is not None:
            _permute(value, order)
    for statistic in (norm.running_mean, norm.running_var):
        if statistic is not None:
            _permute(statistic, order)
    _permute(head.classifier.weight, order, dim=1)


def _permute(value: Tensor, order: Sequence[int], dim: int = 0) -> None:
    with torch.no_grad():
        value.copy_(value.index_select(dim, torch.tensor(list(order), device=value.device)))
