"""What shapes a run of training, and what it has done so far."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.paths import ExecutionPath
from converters.train.crops import CropSettings

# What may be another when a run goes on: it says when to stop, save and look, not what is learnt in a step.
_MAY_CHANGE = ("steps", "validate_every", "save_every", "half", "validation_size")


@dataclass(frozen=True)
class TrainSettings:
    """Everything that shapes a run; written beside the weights as ``training.json``.

    `paths` are trained beside the full one, `random_paths` of them in each step; when there are none, random ones are.
    """

    steps: int
    crop: CropSettings
    learning_rate: float = 6e-4
    warmup_steps: int = 200
    weight_decay: float = 0.05
    average_decay: float = 0.999
    dice_weight: float = 0.5
    random_paths: int = 0
    min_decoder_width: int = 64
    paths: tuple[ExecutionPath, ...] = ()
    teacher: str | None = None
    teacher_weight: float = 1.0
    freeze_batch_norm: bool = False
    seed: int = 0
    validate_every: int = 1000
    validation_size: tuple[int, int] | None = None
    save_every: int = 500
    half: bool = False
    class_weights: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """What JSON makes of it: tuples are lists."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def differs_from(self, saved: dict[str, Any]) -> list[str]:
        """The settings that a run saved as `as_json` cannot go on with, each with both values."""
        now = self.as_json()
        keys = [key for key in now if key not in _MAY_CHANGE and now[key] != saved.get(key)]
        return [f"{key.replace('_', '-')} was {saved.get(key)}, now {now[key]}" for key in keys]


@dataclass
class Progress:
    """What a run has done so far; `history` has an entry for each path at each validation."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
