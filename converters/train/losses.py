"""What is made small: weighted cross-entropy, Dice, and cross-entropy to another network's answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from converters.datasets import IGNORE, Mask


def hard_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, dice_weight: float) -> Tensor:
    """Cross-entropy to labels NxHxW (255 void), weighted by class, and Dice."""
    loss = F.cross_entropy(logits, targets, weight=weights, ignore_index=IGNORE)
    return loss + dice_weight * dice_loss(logits, targets) if dice_weight else loss


def soft_loss(logits: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy to probabilities NxKxHxW of another network or path."""
    return -(answer * F.log_softmax(logits, dim=1)).sum(1).mean()


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - mean Dice coefficient over the classes present in the batch (Milletari et al., 2016)."""
    known = targets != IGNORE
    probabilities = F.softmax(logits, dim=1) * known[:, None]
    truth = F.one_hot(targets.where(known, torch.zeros_like(targets)), logits.shape[1]).permute(0, 3, 1, 2)
    truth = (truth * known[:, None]).to(probabilities.dtype)
    overlap = (probabilities * truth).sum((0, 2, 3))
    sizes = probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    return 1 - (2 * overlap[present] / sizes[present].clamp_min(1.0)).mean()


def class_weights_of(masks: Sequence[Mask], classes: int, power: float = 0.4) -> tuple[float, ...]:
    """Cross-entropy weights, frequency ** -power, scaled to a pixel-weighted mean of one."""
    counts = np.zeros(classes)
    for mask in masks:
        counts += np.bincount(mask[mask != IGNORE].ravel(), minlength=classes)[:classes]
    frequency = np.maximum(counts / counts.sum(), 1e-4)
    raw = frequency**-power
    return tuple(float(v) for v in raw / (raw * frequency).sum())
