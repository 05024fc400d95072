"""Which layers suffer from int8: each group of layers alone in int8, and all groups but that one.

Layers of one kind, width and grid form a group (`converters.quantize.Layer.group`): they are what a person would
change, and few enough to measure each. The ranges are measured once; a way to quantize then takes part of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.errors import ConvertError
from converters.litert import LiteRtFile
from converters.quantize import Calibration, Images, Pixels, to_int8

PROBE_EVERY = 4  # a network is run twice for each group: not on all images
Score = Callable[[bytes], float]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """One group: the score with it alone in int8, and with every group in int8 but this one. Higher is better.

    `damage` is what the group alone takes from the float network's score.
    """

    group: str
    layers: int
    macs_share: float
    alone: float
    without: float
    damage: float


def rank(calibration: Calibration, score: Score, *, say: Say = lambda _: None) -> tuple[Sensitivity, ...]:
    """Every group that may become int8, the most sensitive first.

    `score` rates a .tflite file (`agreement`, or an mIoU). The convolution that reads pixels is a group too.
    """
    layers = calibration.layers
    total = sum(layer.macs for layer in layers)
    whole = score(calibration.content)
    found = []
    groups = list(dict.fromkeys(layer.group for layer in layers))
    for number, group in enumerate(groups, start=1):
        inside = [layer for layer in layers if layer.group == group]
        outside = [layer for layer in layers if layer.group != group]
        alone = score(calibration.quantized(inside).content)
        without = score(calibration.quantized(outside).content) if outside else whole
        share = sum(layer.macs for layer in inside) / total
        found.append(Sensitivity(group, len(inside), share, alone, without, whole - alone))
        say(f"group {number} of {len(groups)}: {group}: {alone:.4f} alone, {without:.4f} without it")
    return tuple(sorted(found, key=lambda one: (-one.damage, one.group)))


def to_protect(ranking: Sequence[Sensitivity], share: float = 0.5) -> tuple[str, ...]:
    """The groups to leave in float: the most sensitive, until the others do at most `share` of all damage together."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    damages = [max(one.damage, 0.0) for one in ranking]
    left = allowed = sum(damages)
    allowed *= share
    chosen = []
    for one, damage in zip(ranking, damages, strict=True):
        if left <= allowed:
            break
        chosen.append(one.group)
        left -= damage
    return tuple(chosen)


def to_mixed(
    content: bytes,
    images: Images,
    first_path: bytes,
    first_images: Sequence[Pixels],
    *,
    share: float = 0.5,
    say: Say = lambda _: None,
) -> LiteRtFile:
    """Wide int8 with the most sensitive layers in float; `content` is the float32 file, `first_path` one path of it.

    Groups are ranked on that path by the agreement with float on every fourth of its calibration images: no labels
    are needed. `share` is how much of the damage of all groups those in int8 may do together.
    """
    ranking = rank(Calibration(first_path, first_images), agreement(first_path, first_images[::PROBE_EVERY]), say=say)
    protected = to_protect(ranking, share)
    say(f"left in float: {', '.join(protected) or 'nothing'}")
    return to_int8(content, images, wide=True, in_float=protected)


def agreement(reference: bytes, images: Sequence[Pixels]) -> Score:
    """A score without labels: the share of positions of `images` where a file's largest logit is the reference's."""
    if not images:
        raise ConvertError("sensitivity needs images and got none; name a training set, such as camvid:DIR")
    wanted = _labels(reference, images)
    return lambda content: float((_labels(content, images) == wanted).mean())


def _labels(content: bytes, images: Sequence[Pixels]) -> npt.NDArray[np.intp]:
    from ai_edge_litert.interpreter import Interpreter

    engine: Any = Interpreter(model_content=content, num_threads=1)
    engine.allocate_tensors()
    (given,), result = engine.get_input_details(), engine.get_output_details()[0]["index"]
    labels = []
    for image in images:
        engine.set_tensor(given["index"], image.reshape(given["shape"]).astype(np.float32))
        engine.invoke()
        labels.append(engine.get_tensor(result).argmax(-1))
    return np.stack(labels)
