"""The part of a SegFormer ``config.json`` that shapes the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converters.errors import WeightsError

_DEFAULTS: dict[str, Any] = {
    # What transformers' SegformerConfig assumes for a key that is absent: SegFormer-B0.
    "depths": [2, 2, 2, 2],
    "hidden_sizes": [32, 64, 160, 256],
    "num_attention_heads": [1, 2, 5, 8],
    "sr_ratios": [8, 4, 2, 1],
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "mlp_ratios": [4, 4, 4, 4],
    "decoder_hidden_size": 256,
    "num_channels": 3,
    "hidden_act": "gelu",
}
_PER_STAGE = ("depths", "hidden_sizes", "num_attention_heads", "sr_ratios", "patch_sizes", "strides", "mlp_ratios")


@dataclass(frozen=True)
class SegformerConfig:
    """Sizes of a SegFormer; tuples have one entry a stage."""

    depths: tuple[int, ...] = (2, 2, 2, 2)
    hidden_sizes: tuple[int, ...] = (32, 64, 160, 256)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    strides: tuple[int, ...] = (4, 2, 2, 2)
    mlp_ratios: tuple[int, ...] = (4, 4, 4, 4)
    decoder_width: int = 256
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    @classmethod
    def b0(cls, classes: int) -> SegformerConfig:
        """SegFormer-B0 with numbered class names."""
        return cls(labels=tuple(f"class {i}" for i in range(classes)))

    @classmethod
    def b2(cls, classes: int) -> SegformerConfig:
        """SegFormer-B2 with numbered class names."""
        labels = tuple(f"class {i}" for i in range(classes))
        return cls(depths=(3, 4, 6, 3), hidden_sizes=(64, 128, 320, 512), decoder_width=768, labels=labels)

    @classmethod
    def parse(cls, config: Mapping[str, Any], source: str) -> SegformerConfig:
        """Check a ``config.json``; raises WeightsError naming the key that does not fit."""
        if config.get("model_type", "segformer") != "segformer":
            raise WeightsError(f"{source}: config.json says model_type {config['model_type']!r}, expected 'segformer'")
        values = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
        for key in _PER_STAGE:
            entry = values[key]
            if not isinstance(entry, list) or not entry or not all(isinstance(n, int) and n > 0 for n in entry):
                raise WeightsError(f"{source}: config.json has {key} {entry!r}, expected a list of positive numbers")
            if len(entry) != len(values["depths"]):
                raise WeightsError(
                    f"{source}: config.json has {len(entry)} {key} for {len(values['depths'])} stages (depths)"
                )
        for key, expected in (("hidden_act", "gelu"), ("num_channels", 3)):
            if values[key] != expected:
                raise WeightsError(f"{source}: config.json has {key} {values[key]!r}; only {expected!r} is supported")
        for size, heads in zip(values["hidden_sizes"], values["num_attention_heads"], strict=True):
            if size % heads:
                raise WeightsError(f"{source}: config.json splits {size} channels into {heads} heads unevenly")
        return cls(
            depths=tuple(values["depths"]),
            hidden_sizes=tuple(values["hidden_sizes"]),
            heads=tuple(values["num_attention_heads"]),
            reductions=tuple(values["sr_ratios"]),
            patch_sizes=tuple(values["patch_sizes"]),
            strides=tuple(values["strides"]),
            mlp_ratios=tuple(values["mlp_ratios"]),
            decoder_width=int(values["decoder_hidden_size"]),
            labels=_labels(config, source),
        )

    def as_json(self) -> dict[str, Any]:
        """The keys of a ``config.json`` that `parse` reads."""
        per_stage = (
            self.depths, self.hidden_sizes, self.heads, self.reductions, self.patch_sizes, self.strides,
            self.mlp_ratios,
        )  # fmt: skip
        return {
            "model_type": "segformer",
            **{key: list(value) for key, value in zip(_PER_STAGE, per_stage, strict=True)},
            "decoder_hidden_size": self.decoder_width,
            "id2label": {str(i): label for i, label in enumerate(self.labels)},
        }


def _labels(config: Mapping[str, Any], source: str) -> tuple[str, ...]:
    names = config.get("id2label")
    if names is None:
        return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels", 2))))
    try:
        by_id = {int(key): str(value) for key, value in names.items()}
    except (AttributeError, ValueError) as error:
        raise WeightsError(f"{source}: config.json has an id2label that is no map of numbers to names") from error
    if sorted(by_id) != list(range(len(by_id))):
        raise WeightsError(f"{source}: config.json has id2label numbers that do not run from 0 to {len(by_id) - 1}")
    return tuple(by_id[i] for i in range(len(by_id)))
