"""The training loop: sampled execution paths, averaged weights, resumable, validation for each path.

Paths are trained as slimmable networks are (Yu & Huang, 2019, "Universally Slimmable Networks"): every step runs the
full path on the labels, then the cheapest and some random paths on the full path's own soft answer (the sandwich rule
with in-place distillation).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.datasets import IGNORE, Image, Mask
from converters.train.crops import BatchLoader, CropSettings, Source, resize
from converters.train.network import (
    TrainPath,
    classify,
    decode,
    encode,
    logits_of,
    normalise,
)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that shapes a run; written beside the weights as ``training.json``."""

    steps: int
    crop: CropSettings
    learning_rate: float = 6e-4
    warmup_steps: int = 200
    weight_decay: float = 0.05
    average_decay: float = 0.999
    dice_weight: float = 0.5
    random_paths: int = 0
    min_decoder_width: int = 64
    freeze_batch_norm: bool = False
    seed: int = 0
    validate_every: int = 1000
    validation_size: tuple[int, int] | None = None
    save_every: int = 500
    half: bool = False
    class_weights: tuple[float, ...] | None = None


@dataclass
class Progress:
    """What a run has done so far."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """One run in one folder; a second `Trainer` on the same folder goes on where the first one stopped."""

    def __init__(
        self,
        model: Any,
        sources: Sequence[Source],
        settings: TrainSettings,
        out: Path,
        validation: Sequence[tuple[Image, Mask]] = (),
        auxiliary_classes: int = 0,
        say: Callable[[str], None] = print,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.settings, self.out, self.validation, self.say = settings, out, validation, say
        torch.manual_seed(settings.seed)
        self.model = model.to(self.device)
        width = model.decode_head.classifier.weight.shape[1]
        self.auxiliary = nn.Conv2d(width, auxiliary_classes, 1).to(self.device) if auxiliary_classes else None
        self.sources = list(sources)
        self.depths = tuple(len(stage.blocks) for stage in model.segformer.stages)
        self.width = width
        modules = nn.ModuleList([self.model] + ([self.auxiliary] if self.auxiliary else []))
        self.modules = modules
        decayed = [p for p in modules.parameters() if p.ndim > 1]
        plain = [p for p in modules.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=settings.learning_rate,
        )
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.progress = Progress()
        self.random = np.random.default_rng(settings.seed + 1)
        self._resume()

    # -- one step ---------------------------------------------------------------------------------------------

    def _learning_rate(self, step: int) -> float:
        s = self.settings
        if step < s.warmup_steps:
            return s.learning_rate * (step + 1) / s.warmup_steps
        done = (step - s.warmup_steps) / max(1, s.steps - s.warmup_steps)
        return s.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done))))

    def _random_path(self) -> TrainPath:
        depths = tuple(int(self.random.integers(max(1, d - d // 2), d + 1)) for d in self.depths)
        choices = list(range(self.settings.min_decoder_width, self.width + 1, 32))
        return TrainPath(depths, int(self.random.choice(choices)))

    def _smallest_path(self) -> TrainPath:
        return TrainPath(tuple(max(1, d - d // 2) for d in self.depths), self.settings.min_decoder_width)

    def _sampled_paths(self) -> list[TrainPath]:
        # The sandwich's lower slice and random fillings; with one path a step the two take turns.
        count = self.settings.random_paths
        if count == 1:
            return [self._smallest_path() if self.progress.step % 2 else self._random_path()]
        return [self._smallest_path()] + [self._random_path() for _ in range(count - 1)]

    def _targets(self, masks: Tensor, size: torch.Size) -> Tensor:
        # Labels at half resolution, from a random corner of each 2x2 so that no shift is learnt.
        step = masks.shape[1] // size[0]
        offset_y, offset_x = self.random.integers(step, size=2)
        return masks[:, offset_y::step, offset_x::step].long()

    def _hard_loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        loss = F.cross_entropy(logits, targets, weight=weights, ignore_index=IGNORE)
        if self.settings.dice_weight:
            loss = loss + self.settings.dice_weight * _dice_loss(logits, targets)
        return loss

    def _step(self, images: Tensor, masks: Tensor, weights: Tensor | None) -> float:
        pixels = normalise(images)
        full = TrainPath()
        main = sum(s.count for s in self.sources if s.head == 0)
        upscale = 2
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            features = decode(self.model, encode(self.model, pixels, full), full)
            logits = classify(self.model.decode_head.classifier, features[:main])
            extra = classify(self.auxiliary, features[main:]) if self.auxiliary is not None else None
        logits = F.interpolate(logits.float(), scale_factor=upscale, mode="bilinear", align_corners=False)
        targets = self._targets(masks[:main], logits.shape[2:])
        loss = self._hard_loss(logits, targets, weights)
        if extra is not None:
            small = self._targets(masks[main:], extra.shape[2:])
            loss = loss + 0.3 * F.cross_entropy(extra.float(), small, ignore_index=IGNORE)
        loss.backward()
        if self.settings.random_paths:
            teacher = F.softmax(logits.detach(), dim=1)
            for path in self._sampled_paths():
                self._distil(pixels[:main], path, teacher, targets, weights)
        nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _distil(
        self, pixels: Tensor, path: TrainPath, teacher: Tensor, targets: Tensor, weights: Tensor | None
    ) -> None:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = logits_of(self.model, pixels, path)
        logits = F.interpolate(logits.float(), scale_factor=2, mode="bilinear", align_corners=False)
        soft = -(teacher * F.log_softmax(logits, dim=1)).sum(1).mean()
        (0.5 * soft + 0.5 * self._hard_loss(logits, targets, weights)).backward()

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train to the last step; Ctrl-C saves the state and ends the run."""
        s = self.settings
        loader = BatchLoader(self.sources, s.crop, seed=s.seed + self.progress.step)
        weights = torch.tensor(s.class_weights, device=self.device) if s.class_weights else None
        self.modules.train()
        if s.freeze_batch_norm:
            self.model.decode_head.batch_norm.eval()
        losses: list[float] = []
        began, first = time.monotonic(), self.progress.step
        try:
            while self.progress.step < s.steps:
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate(self.progress.step)
                images, masks = loader.next()
                losses.append(
                    self._step(
                        torch.from_numpy(images).to(self.device), torch.from_numpy(masks).to(self.device), weights
                    )
                )
                self._average()
                self.progress.step += 1
                step = self.progress.step
                if step % 50 == 0 or step == s.steps:
                    each = (time.monotonic() - began) / (step - first)
                    left = (s.steps - step) * each / 60
                    self.say(
                        f"step {step}/{s.steps}  loss {np.mean(losses):.3f}  {each:.2f} s/step  {left:.0f} min left"
                    )
                    losses = []
                if step % s.validate_every == 0 or step == s.steps:
                    self._validate()
                if step % s.save_every == 0 or step == s.steps:
                    self.save()
        except KeyboardInterrupt:
            self.say(f"stopped at step {self.progress.step}; run the same command again to go on")
            self.save()
            raise
        return self.progress

    def _average(self) -> None:
        decay = min(self.settings.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            now = self.model.state_dict()
            floats = [k for k, v in now.items() if v.dtype.is_floating_point]
            torch._foreach_lerp_([self.average[k] for k in floats], [now[k] for k in floats], 1 - decay)

    def _validate(self) -> None:
        if not self.validation:
            return
        kept = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        paths = {"full": TrainPath()}
        if self.settings.random_paths:
            paths["smallest"] = self._smallest_path()
        for name, path in paths.items():
            score = evaluate_model(self.model, self.validation, path, self.device, self.settings.validation_size)
            self.progress.history.append({"step": self.progress.step, "path": name, **score})
            ious = " ".join(f"{100 * v:.0f}" for v in score["iou"])
            miou, accuracy = 100 * score["miou"], 100 * score["accuracy"]
            self.say(f"  validation {name}: {miou:.1f} % mIoU, {accuracy:.1f} % of pixels [{ious}]")
        self.model.load_state_dict(kept)
        self.modules.train()
        if self.settings.freeze_batch_norm:
            self.model.decode_head.batch_norm.eval()

    # -- state on disk ----------------------------------------------------------------------------------------

    @property
    def _state_file(self) -> Path:
        return self.out / "training-state.pt"

    def save(self) -> None:
        """Write the averaged weights in Hugging Face format and the state to go on from; each by one rename."""
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.progress.step,
            "history": self.progress.history,
        }
        partial = self._state_file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._state_file)
        kept = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        weights = self.model.state_dict()
        if self.settings.half:
            weights = {k: v.half() if v.dtype.is_floating_point else v for k, v in weights.items()}
        self.model.save_pretrained(str(self.out), state_dict=weights)
        self.model.load_state_dict(kept)
        record = {"settings": asdict(self.settings), "step": self.progress.step, "validation": self.progress.history}
        (self.out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _resume(self) -> None:
        if not self._state_file.is_file():
            return
        state = torch.load(self._state_file, map_location=self.device, weights_only=True)
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.progress = Progress(state["step"], state["history"])
        self.say(f"going on from step {self.progress.step}")


def _dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
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


def evaluate_model(
    model: Any,
    pairs: Sequence[tuple[Image, Mask]],
    path: TrainPath,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """mIoU, pixel accuracy and IoU of each class at the masks' own resolution, void ignored.

    Images are stretched to `size` (height, width) where it is given, as a variant's input would be.
    """
    model.eval()
    classes = int(model.decode_head.classifier.weight.shape[0])
    confusion = np.zeros((classes, classes), np.int64)
    for image, mask in pairs:
        if size is not None:
            image = resize(image, size)
        pixels = normalise(torch.from_numpy(np.ascontiguousarray(image[None])).to(device))
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            logits = logits_of(model, pixels, path)
        logits = F.interpolate(logits.float(), size=mask.shape, mode="bilinear", align_corners=False)
        answer = logits.argmax(1)[0].cpu().numpy()
        known = mask != IGNORE
        pairs_of_ids = mask[known].astype(np.int64) * classes + answer[known]
        confusion += np.bincount(pairs_of_ids, minlength=classes * classes).reshape(classes, classes)
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = np.divide(hit, union, out=np.full(classes, np.nan), where=union > 0)
    return {
        "miou": float(np.nanmean(iou)),
        "accuracy": float(hit.sum() / confusion.sum()),
        "iou": [float(v) for v in iou],
    }
