"""transformers' own SegFormer for comparison: as published, and with its decoder and batch norm folded.

Both take what a published SegFormer takes, a normalised RGB image 1x3xHxW, and give logits 1xKx(H/4)x(W/4): what
prepares the image is not part of their time, as it is not part of any other engine's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.train.load import load_network
from converters.train.network import encode

STOCK, FOLDED = "stock", "folded"


class Stock(nn.Module):  # type: ignore[misc]
    """The network as transformers runs it; only its logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=pixels).logits
        return logits


class Folded(nn.Module):  # type: ignore[misc]
    """The published encoder; the decoder as one map for each stage, with batch norm inside, summed after resizing."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        head = model.decode_head
        norm = head.batch_norm
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        fuse = head.linear_fuse.weight[:, :, 0, 0] * gain[:, None]
        count = len(head.linear_projections)
        parts = fuse.split(fuse.shape[1] // count, dim=1)
        self.maps = nn.ModuleList()
        for index, projection in enumerate(head.linear_projections):
            # transformers concatenates the stages last to first.
            part, proj = parts[count - 1 - index], projection.proj
            layer = nn.Conv2d(proj.in_features, fuse.shape[0], 1)
            layer.weight.data = (part @ proj.weight)[:, :, None, None].detach()
            layer.bias.data = (part @ proj.bias).detach()
            if index == 0:
                layer.bias.data += (norm.bias - norm.running_mean * gain).detach()
            self.maps.append(layer)

    def forward(self, pixels: Tensor) -> Tensor:
        stages = encode(self.model, pixels)
        size = stages[0].shape[2:]
        total = self.maps[0](stages[0])
        for layer, stage in zip(self.maps[1:], stages[1:], strict=True):
            total = total + F.interpolate(layer(stage), size=size, mode="bilinear", align_corners=False)
        logits: Tensor = self.model.decode_head.classifier(F.relu(total))
        return logits


def open_network(folder: Path, form: str) -> nn.Module:
    """The network of a Hugging Face folder, `form` being ``stock`` or ``folded``, ready for inference."""
    model = load_network(folder, ()).eval().requires_grad_(False)
    return (Folded(model) if form == FOLDED else Stock(model)).eval()


def open_eager(name: str) -> nn.Module:
    """The network that ``FOLDER:stock`` or ``FOLDER:folded`` names."""
    folder, _, form = name.rpartition(":")
    return open_network(Path(folder), form)


def export_onnx(folder: Path, form: str, size: tuple[int, int], out: Path) -> None:
    """Write the network for images of `size` (height, width) as one static ONNX file, weights inside."""
    network = open_network(folder, form)
    example = torch.zeros(1, 3, *size)
    program = torch.onnx.export(network, (example,), input_names=["pixels"], output_names=["logits"], dynamo=True)
    assert program is not None
    program.optimize()
    program.save(str(out), external_data=False)
