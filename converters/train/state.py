"""A run on disk: averaged weights in Hugging Face format, the state to go on from, and a record; each by one rename."""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from converters.errors import ConvertError
from converters.train.settings import Progress, TrainSettings
from edge.errors import UsageError

STATE_NAME, RECORD_NAME = "training-state.pt", "training.json"


def read_state(folder: Path, settings: TrainSettings, device: torch.device) -> dict[str, Any] | None:
    """The state of the run in `folder`, None when there is none.

    Raises UsageError for a run with other settings, ConvertError for a file that cannot be read.
    """
    file = folder / STATE_NAME
    if not file.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        saved = state["settings"]
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ConvertError(
            f"{file}: no state that this version can go on from; remove it, or train into another folder"
        ) from error
    changed = settings.differs_from(saved)
    if changed:
        raise UsageError(
            f"{folder}: holds a run with other settings ({'; '.join(changed)}); give the same ones to go on, or "
            "another --out"
        )
    return state


def write_run(
    folder: Path, model: Any, weights: dict[str, Tensor], state: dict[str, Any], settings: TrainSettings, done: Progress
) -> None:
    """Write all of it; what was there before stays until each part is whole. Raises ConvertError (a full disk)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".saving.", dir=folder))
    except OSError as error:
        raise ConvertError(f"{folder}: cannot be written: {error.strerror}") from error
    from safetensors import SafetensorError

    try:
        if settings.half:
            weights = {k: v.half() if v.dtype.is_floating_point else v for k, v in weights.items()}
        model.save_pretrained(str(beside), state_dict=weights)
        record = {"settings": settings.as_json(), "step": done.step, "validation": done.history}
        (beside / RECORD_NAME).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        torch.save({**state, "settings": settings.as_json()}, beside / STATE_NAME)
        # The state last: what it goes on from never is ahead of the weights that it goes with.
        for part in sorted(beside.iterdir(), key=lambda path: path.name == STATE_NAME):
            part.replace(folder / part.name)
    except (OSError, RuntimeError, SafetensorError) as error:  # all three are what a full disk becomes
        raise ConvertError(
            f"{folder}: the run cannot be saved ({error}); is the disk full? What was saved before is still there"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
