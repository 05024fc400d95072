"""The training loop: sampled execution paths, averaged weights, an optional teacher, validation for each path.

Paths are trained as slimmable networks are (Yu & Huang, 2019, "Universally Slimmable Networks"): every step runs the
full path on the labels (and the teacher's answer), then other paths on the labels and the full path's own soft answer:
the sandwich rule with in-place distillation. All that is random in a step is drawn from the seed and the step's number,
so a run that was interrupted ends with the weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.datasets import IGNORE, Image, Mask
from converters.paths import ExecutionPath, PathSpace
from converters.train.crops import BatchLoader, Source
from converters.train.interrupt import StopRequest, stop_on_signals
from converters.train.losses import hard_loss, soft_loss
from converters.train.network import classify, decode, encode, logits_of, normalise
from converters.train.sample import PathSampler
from converters.train.settings import Progress, TrainSettings
from converters.train.state import read_state, write_run
from converters.train.validate import evaluate_model
from edge.errors import UsageError

_UPSCALE = 2  # losses are taken at twice the resolution of the logits, half that of the image
_AUXILIARY_SHARE = 0.3


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
        teacher: Any | None = None,
        device: torch.device | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Raises UsageError for a path that cannot be trained, or a folder that holds a run with other settings."""
        self.device = device or torch.device("cpu")
        self.settings, self.out, self.validation, self.say = settings, out, validation, say
        self.sources = list(sources)
        torch.manual_seed(settings.seed)
        self.model = model.to(self.device)
        self.teacher = None if teacher is None else teacher.to(self.device)
        width = model.decode_head.classifier.weight.shape[1]
        self.auxiliary = nn.Conv2d(width, auxiliary_classes, 1).to(self.device) if auxiliary_classes else None
        self.modules = nn.ModuleList([self.model] + ([self.auxiliary] if self.auxiliary else []))
        depths = tuple(len(stage.blocks) for stage in model.segformer.stages)
        self.sampler = PathSampler(
            PathSpace(depths, width), settings.random_paths, settings.min_decoder_width, settings.paths
        )
        if settings.validation_size is None and any(path.size for path in settings.paths):
            raise UsageError("a path has an input size of its own; --validation-size says what the others have")
        self.optimizer = self._fresh_optimizer()
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.progress = Progress()
        self._random = np.random.default_rng(settings.seed)
        self._resume()

    def _fresh_optimizer(self) -> torch.optim.AdamW:
        decayed = [p for p in self.modules.parameters() if p.ndim > 1]
        plain = [p for p in self.modules.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate)

    # -- one step ---------------------------------------------------------------------------------------------

    def _learning_rate(self, step: int) -> float:
        s = self.settings
        if step < s.warmup_steps:
            return s.learning_rate * (step + 1) / s.warmup_steps
        done = (step - s.warmup_steps) / max(1, s.steps - s.warmup_steps)
        return s.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done))))

    def _begin_step(self) -> None:
        step, seed = self.progress.step, self.settings.seed
        self._random = np.random.default_rng([seed, step, 1])  # batches are drawn from [seed, step]
        torch.manual_seed((seed << 32) + step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)

    def _targets(self, masks: Tensor, size: torch.Size) -> Tensor:
        # Labels at half resolution, from a random corner of each 2x2 so that no shift is learnt.
        step = masks.shape[1] // size[0]
        offset_y, offset_x = self._random.integers(step, size=2)
        return masks[:, offset_y::step, offset_x::step].long()

    def _step(self, images: Tensor, masks: Tensor, weights: Tensor | None) -> float:
        pixels = normalise(images)
        main = sum(s.count for s in self.sources if s.head == 0)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            features = decode(self.model, encode(self.model, pixels))
            logits = classify(self.model.decode_head.classifier, features[:main])
            extra = classify(self.auxiliary, features[main:]) if self.auxiliary is not None else None
        logits = F.interpolate(logits.float(), scale_factor=_UPSCALE, mode="bilinear", align_corners=False)
        targets = self._targets(masks[:main], logits.shape[2:])
        loss = hard_loss(logits, targets, weights, self.settings.dice_weight)
        if self.teacher is not None:
            answer = self._answer_of(self.teacher, pixels[:main], logits.shape[2:])
            loss = loss + self.settings.teacher_weight * soft_loss(logits, answer)
        if extra is not None:
            small = self._targets(masks[main:], extra.shape[2:])
            loss = loss + _AUXILIARY_SHARE * F.cross_entropy(extra.float(), small, ignore_index=IGNORE)
        loss.backward()
        own = F.softmax(logits.detach(), dim=1)
        for path in self.sampler.draw(self.progress.step, self._random):
            self._distil(pixels[:main], path, own, targets, weights)
        nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _answer_of(self, teacher: Any, pixels: Tensor, size: torch.Size) -> Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = teacher(pixel_values=pixels).logits
        return F.softmax(_resized(logits.float(), size), dim=1)

    def _distil(
        self, pixels: Tensor, path: ExecutionPath, answer: Tensor, targets: Tensor, weights: Tensor | None
    ) -> None:
        seen = self._as_path_sees(pixels, path)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = logits_of(self.model, seen, path)
        logits = _resized(logits.float(), targets.shape[1:])
        hard = hard_loss(logits, targets, weights, self.settings.dice_weight)
        (0.5 * soft_loss(logits, answer) + 0.5 * hard).backward()

    def _as_path_sees(self, pixels: Tensor, path: ExecutionPath) -> Tensor:
        """Crops shrunk as much as the path's input is smaller than the others', to whole multiples of 32."""
        if path.size is None:
            return pixels
        assert self.settings.validation_size is not None
        ratios = zip(path.size, self.settings.validation_size, pixels.shape[2:], strict=True)
        size = [max(1, round(length * own / common / 32)) * 32 for own, common, length in ratios]
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)

    # -- the run ----------------------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train to the last step. Ctrl-C lets the step end, saves, and raises KeyboardInterrupt."""
        with stop_on_signals() as stop, self._batches() as loader:
            self._run(loader, stop)
        return self.progress

    @contextmanager
    def _batches(self) -> Iterator[BatchLoader]:
        loader = BatchLoader(self.sources, self.settings.crop, self.settings.seed, self.progress.step)
        try:
            yield loader
        finally:
            loader.close()

    def _run(self, loader: BatchLoader, stop: StopRequest) -> None:
        s, saved = self.settings, self.progress.step
        weights = torch.tensor(s.class_weights, device=self.device) if s.class_weights else None
        self._train_mode()
        losses: list[float] = []
        began, first = time.monotonic(), self.progress.step
        while self.progress.step < s.steps and not stop.asked:
            self._begin_step()
            images, masks = (torch.from_numpy(part).to(self.device) for part in loader.next())
            losses.append(self._step(images, masks, weights))
            self._average()
            self.progress.step += 1
            step = self.progress.step
            if step % 50 == 0 or step == s.steps:
                each = (time.monotonic() - began) / (step - first)
                left = (s.steps - step) * each / 60
                self.say(f"step {step}/{s.steps}  loss {np.mean(losses):.3f}  {each:.2f} s/step  {left:.0f} min left")
                losses = []
            if step % s.validate_every == 0 or step == s.steps:
                self._validate()
            if step % s.save_every == 0 or step == s.steps:
                self.save()
                saved = step
        if stop.asked:
            if saved != self.progress.step:
                self.save()
            self.say(f"stopped at step {self.progress.step}; run the same command again to go on")
            raise KeyboardInterrupt

    def _train_mode(self) -> None:
        self.modules.train()
        if self.settings.freeze_batch_norm:
            self.model.decode_head.batch_norm.eval()

    def _average(self) -> None:
        decay = min(self.settings.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            now = self.model.state_dict()
            floats = [k for k, v in now.items() if v.dtype.is_floating_point]
            torch._foreach_lerp_([self.average[k] for k in floats], [now[k] for k in floats], 1 - decay)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in the model while this lasts."""
        kept = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            yield
        finally:
            self.model.load_state_dict(kept)

    def _validate(self) -> None:
        if not self.validation:
            return
        with self._averaged():
            for path in self.sampler.validated():
                score = evaluate_model(self.model, self.validation, path, self.device, self.settings.validation_size)
                self.progress.history.append({"step": self.progress.step, "path": path.name, **score})
                ious = " ".join("-" if v is None else f"{100 * v:.0f}" for v in score["iou"])
                miou, accuracy = 100 * score["miou"], 100 * score["accuracy"]
                self.say(f"  validation {path.name}: {miou:.1f} % mIoU, {accuracy:.1f} % of pixels [{ious}]")
        self._train_mode()

    # -- state on disk ----------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the averaged weights in Hugging Face format and the state to go on from. Raises ConvertError."""
        state = {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.progress.step,
            "history": self.progress.history,
        }
        write_run(self.out, self.model, self.average, state, self.settings, self.progress)

    def _resume(self) -> None:
        state = read_state(self.out, self.settings, self.device)
        if state is None:
            return
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.progress = Progress(state["step"], state["history"])
        self.say(f"going on from step {self.progress.step}")


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
