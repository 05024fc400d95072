"""Networks to train and to learn from: fresh, from a checkpoint, with a classifier for the data; and where they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from converters.errors import WeightsError
from converters.families import segformer
from edge.errors import UsageError

# Blocks a stage, decoder width; B0 and B1 are narrow in different ways (Xie et al., 2021, table 6).
_WIDE = {"hidden_sizes": [64, 128, 320, 512]}
SIZES: dict[str, dict[str, Any]] = {
    "b0": {},
    "b1": _WIDE,
    "b2": {**_WIDE, "depths": [3, 4, 6, 3], "decoder_hidden_size": 768},
    "b3": {**_WIDE, "depths": [3, 4, 18, 3], "decoder_hidden_size": 768},
    "b4": {**_WIDE, "depths": [3, 8, 27, 3], "decoder_hidden_size": 768},
    "b5": {**_WIDE, "depths": [3, 6, 40, 3], "decoder_hidden_size": 768},
}


def load_network(weights: Path | None, labels: Sequence[str], model: str = "b0") -> Any:
    """`SegformerForSemanticSegmentation` in float32 from a Hugging Face folder, or a fresh one with `labels`.

    Raises WeightsError naming a tensor that is missing, left over or of another shape, UsageError for another `model`.
    """
    _define_torchvision_operators()
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files that are written in a second
    if weights is not None:
        segformer.load(str(weights))  # transformers would draw what is missing at random
        return SegformerForSemanticSegmentation.from_pretrained(str(weights)).float()
    if model not in SIZES:
        raise UsageError(f"--model {model!r}: choose from {', '.join(SIZES)}")
    names = dict(enumerate(labels))
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            id2label=names,
            label2id={name: number for number, name in names.items()},
            semantic_loss_ignore_index=255,
            classifier_dropout_prob=0.0,
            **SIZES[model],
        )
    )


def fit_classifier(network: Any, labels: Sequence[str], *, fresh: bool) -> None:
    """See that the network tells apart the classes of the data; `fresh` gives it a new classifier for them.

    Raises UsageError when its classes are others.
    """
    known = labels_of(network)
    if fresh:
        width = network.decode_head.classifier.weight.shape[1]
        network.decode_head.classifier = nn.Conv2d(width, len(labels), 1)
        network.config.id2label = dict(enumerate(labels))
        network.config.label2id = {name: number for number, name in enumerate(labels)}
        return
    if not _alike(known, labels):
        raise UsageError(
            f"the weights know {len(known)} classes ({', '.join(known[:3])}, ..), the data has {len(labels)} "
            f"({', '.join(labels[:3])}, ..); --new-classifier starts a new classifier for the data"
        )


def load_teacher(name: str, labels: Sequence[str]) -> Any:
    """A network to learn from: any of transformers' for segmentation, a folder or a hub id, with the same classes.

    Raises WeightsError when it cannot be loaded, UsageError when its classes are others.
    """
    _define_torchvision_operators()
    from transformers import AutoModelForSemanticSegmentation

    try:
        teacher = AutoModelForSemanticSegmentation.from_pretrained(name).float().eval()
    except Exception as error:  # whatever its readers raise: OSError, ValueError, SafetensorError
        raise WeightsError(f"teacher {name}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    if not _alike(labels_of(teacher), labels):
        raise UsageError(
            f"teacher {name}: knows the classes {', '.join(labels_of(teacher)[:4])}, .., the data has "
            f"{', '.join(labels[:4])}, ..; a teacher needs the same ones"
        )
    return teacher.requires_grad_(False)


def labels_of(network: Any) -> tuple[str, ...]:
    """Class names in the order of the logits."""
    names = {int(key): str(value) for key, value in network.config.id2label.items()}
    return tuple(names[number] for number in sorted(names))


def pick_device(name: str) -> torch.device:
    """The device that `name` means: ``auto`` takes a GPU where there is one. Raises UsageError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name!r}: expected auto, cpu, cuda or cuda:NUMBER") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name!r}: expected auto, cpu, cuda or cuda:NUMBER")
    if device.type == "cuda" and not torch.cuda.is_available():
        built = "sees no GPU" if torch.backends.cuda.is_built() else "is built for the CPU alone"
        raise UsageError(f"--device {name}: PyTorch {torch.__version__} {built}; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0")
    return device


def _alike(known: Sequence[str], wanted: Sequence[str]) -> bool:
    if len(known) != len(wanted):
        return False
    unnamed = all(name == f"LABEL_{number}" for number, name in enumerate(known))
    return unnamed or [n.strip().lower() for n in known] == [n.strip().lower() for n in wanted]


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
