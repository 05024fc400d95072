"""How good a path is while it is being trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from converters.datasets import Image, Mask
from converters.paths import ExecutionPath
from converters.train.crops import resize
from converters.train.network import logits_of, normalise
from edge.tasks.score import IncrementalConfusion


def evaluate_model(
    model: Any,
    pairs: Sequence[tuple[Image, Mask]],
    path: ExecutionPath | None,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """mIoU, pixel accuracy and IoU of each class (None without truth) at the masks' own resolution, void ignored.

    Images are stretched to `size` (height, width) where it is given, or the path's own, as a variant's input would be.
    """
    model.eval()
    size = path.size if path is not None and path.size is not None else size
    confusion = IncrementalConfusion(int(model.decode_head.classifier.weight.shape[0]))
    for image, mask in pairs:
        stretched = image if size is None else resize(image, size)
        pixels = normalise(torch.from_numpy(np.ascontiguousarray(stretched[None])).to(device))
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            logits = logits_of(model, pixels, path)
        logits = F.interpolate(logits.float(), size=mask.shape, mode="bilinear", align_corners=False)
        confusion.add(logits.argmax(1)[0].to(torch.uint8).cpu().numpy(), mask)
    return {
        "miou": confusion.miou(),
        "accuracy": confusion.pixel_accuracy(),
        "iou": [None if np.isnan(value) else float(value) for value in confusion.iou()],
    }
