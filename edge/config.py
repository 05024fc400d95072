"""The configuration: TOML, typed, each field with a description and a unit; unknown keys are refused by name."""

from __future__ import annotations

import difflib
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.controller.contract import Controller
from edge.controller.goals import Goals
from edge.controller.ladder import LadderController, Limits
from edge.errors import UsageError

DEFAULT_CONFIG = Path("/etc/joulepath/config.toml")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineConfig(Section):
    """How variants are executed."""

    library: Literal["auto", "ai-edge-litert", "tflite-runtime"] = Field("auto", description="which LiteRT library")
    threads: int = Field(0, ge=0, le=256, description="inference threads; 0 is every core")
    max_resident_files: int = Field(4, ge=1, le=64, description="model files kept loaded at once")


class CameraConfig(Section):
    """How frames are captured."""

    freeze_timeout_s: float = Field(3.0, gt=0, le=3600, description="no frame for so long: restart the camera, s")
    open_timeout_s: float = Field(20.0, gt=0, le=300, description="a camera or file is open within this time, s")


class InferenceConfig(Section):
    """Which frames are inferred."""

    skip_unchanged: bool = Field(False, description="answer a frame that shows nothing new with the answer before")
    change_threshold: float = Field(
        6.0, gt=0, le=255, description="a change of this many grey levels in a 32nd of the picture's width is new"
    )
    longest_reuse_s: float = Field(
        1.0, gt=0, le=60, description="an answer is renewed after this time at the latest, s"
    )


class SamplerConfig(Section):
    """How sensors are read."""

    power_rate_hz: float | None = Field(
        None, gt=0, le=1000, description="rate of the energy channel, Hz; board's own by default"
    )


class ControllerConfig(Section):
    """What the controller must respect."""

    kind: Literal["plan", "ladder", "tiers", "alert"] = Field("plan", description="which controller")
    period_s: float = Field(0.25, gt=0, le=60, description="time between two decisions, s")
    last_until: str | None = Field(
        None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description='local time until which the battery must last, "06:00"'
    )
    battery_hours: float | None = Field(None, gt=0, le=10_000, description="how long the battery must last, h")
    battery_capacity_wh: float | None = Field(
        None, gt=0, description="energy of a full battery, Wh, where no gauge counts it"
    )
    deadline_ms: float | None = Field(None, gt=0, description="longest inference time, ms; none by default")
    min_fps: float | None = Field(None, gt=0, le=10_000, description="lowest rate, frames a second; none by default")
    allow_lower_fps: bool = Field(
        False, description="fewer frames than the camera gives, down to min_fps, where power or heat ask for it"
    )
    min_accuracy: float | None = Field(None, ge=0, le=1, description="lowest accuracy of a variant, ratio")
    priorities: tuple[Literal["temperature", "power", "deadline", "battery", "rate", "accuracy"], ...] = Field(
        ("temperature", "power", "deadline", "battery", "accuracy"),
        description="when two goals cannot both be kept, the later one gives way; rate stands before accuracy, unless"
        " it is named after it",
    )
    max_temperature_c: float | None = Field(75.0, description="step down above this temperature, °C")
    temperature_hysteresis_c: float = Field(5.0, gt=0, description="step up again below the limit less this, °C")
    emergency_temperature_c: float | None = Field(85.0, description="cheapest variant at once, °C")
    max_power_w: float | None = Field(None, gt=0, description="step down above this power, W")
    power_hysteresis_w: float = Field(0.5, ge=0, description="step up again below the limit less this, W")
    battery_saving_from: float = Field(
        0.5, ge=0, le=1, description="charge below which cheaper variants are chosen, ratio"
    )
    battery_critical: float = Field(0.05, ge=0, le=1, description="charge below which only the cheapest runs, ratio")
    battery_hysteresis: float = Field(0.02, ge=0, le=1, description="charge to regain before stepping up, ratio")
    dwell_s: float = Field(5.0, ge=0, le=86400, description="shortest stay on a variant, s")

    @model_validator(mode="after")
    def _ordered(self) -> ControllerConfig:
        if self.battery_critical > self.battery_saving_from:
            raise ValueError("battery_critical must not be above battery_saving_from")
        hot, limit = self.emergency_temperature_c, self.max_temperature_c
        if hot is not None and limit is not None and hot < limit:
            raise ValueError("emergency_temperature_c must not be below max_temperature_c")
        if self.allow_lower_fps and self.min_fps is None:
            raise ValueError("allow_lower_fps needs min_fps: how few frames a second are still enough")
        return self

    def limits(self) -> Limits:
        """The same values as the ladder controller takes them."""
        values = self.model_dump(include={field.name for field in fields(Limits)})
        return Limits(**values)

    def goals(self) -> Goals:
        """The same values as the planning controller takes them."""
        values = self.model_dump(include={field.name for field in fields(Goals)})
        last_until_s = None
        if self.last_until is not None:
            hours, minutes = self.last_until.split(":")
            last_until_s = 3600.0 * int(hours) + 60.0 * int(minutes)
        return Goals(**values, last_until_s=last_until_s)

    def make(self) -> Controller:
        """The controller that is configured."""
        from edge.controller.baselines import AlertController, TierController
        from edge.controller.plan import PlanningController

        if self.kind == "ladder":
            return LadderController(self.limits())
        kinds = {"plan": PlanningController, "tiers": TierController, "alert": AlertController}
        made: Controller = kinds[self.kind](self.goals())
        return made


class PowerModesConfig(Section):
    """Clocks and power modes of the whole board; nothing is touched unless `when` says so."""

    when: Literal["never", "on_emergency", "when_saving"] = Field(
        "never", description="when_saving: also while heat, power or battery are at risk whatever variant runs"
    )
    governor: str | None = Field(None, pattern=r"^[a-z_]+$", description="cpufreq governor while it lasts")
    max_frequency_mhz: int | None = Field(None, gt=0, le=100_000, description="highest clock while it lasts, MHz")
    nvpmodel: int | None = Field(None, ge=0, le=99, description="a Jetson's power mode while it lasts, its number")
    hold_s: float = Field(30.0, ge=1, le=86400, description="stays so long after the last reason for it, s")

    @model_validator(mode="after")
    def _something(self) -> PowerModesConfig:
        if self.when != "never" and (self.governor, self.max_frequency_mhz, self.nvpmodel) == (None, None, None):
            raise ValueError("say what to set: governor, max_frequency_mhz or nvpmodel")
        return self


class JournalConfig(Section):
    """What is recorded."""

    commit_interval_s: float = Field(120.0, gt=0, le=3600, description="a power cut loses at most this much, s")
    max_bytes: int = Field(
        512 * 1024 * 1024, ge=1_000_000, description="size kept on disk, oldest rows go first, bytes"
    )
    raw_samples: int = Field(0, ge=0, description="raw samples kept in a ring beside the rows of means; 0 is none")
    slow_row_s: int = Field(
        10,
        ge=1,
        le=60,
        description="mean, least and greatest of this long are a row, 1 s for what frames' energy comes from, s",
    )


class Config(Section):
    """Everything that can be set."""

    bundle: Path | None = Field(None, description="bundle directory")
    camera: str | None = Field(None, description="camera source, as in joulepath run --camera")
    board: str | None = Field(None, description="board, as in joulepath run --board")
    journal_file: Path | None = Field(None, description="journal database")
    socket: Path | None = Field(None, description="control socket")
    engine: EngineConfig = EngineConfig()
    camera_process: CameraConfig = CameraConfig()
    inference: InferenceConfig = InferenceConfig()
    sampler: SamplerConfig = SamplerConfig()
    controller: ControllerConfig = ControllerConfig()
    power_modes: PowerModesConfig = PowerModesConfig()
    journal: JournalConfig = JournalConfig()

    @model_validator(mode="after")
    def _slow_is_not_frozen(self) -> Config:
        goals, limit_s = self.controller, self.camera_process.freeze_timeout_s
        if goals.allow_lower_fps and goals.min_fps is not None and 1 / goals.min_fps >= limit_s:
            raise ValueError(
                f"controller.min_fps of {goals.min_fps:g} leaves the camera alone for {1 / goals.min_fps:g} s, which "
                f"passes for a freeze: raise it, or camera_process.freeze_timeout_s of {limit_s:g} s"
            )
        return self


def load_config(path: Path | None) -> Config:
    """Read `path`; with None the default file where it exists, else the defaults. Raises UsageError."""
    if path is None:
        if not DEFAULT_CONFIG.is_file():
            return Config()
        path = DEFAULT_CONFIG
    try:
        raw = _parse_toml(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check --config") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, Config)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem in words; for an unknown key the nearest known one."""
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"]]
    name = ".".join(where) or "configuration"
    if problem["type"] != "extra_forbidden":
        return f"{name}: {problem['msg']}"
    known = list(_fields_at(model, where[:-1]))
    near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key {name!r}; {hint}"


def _fields_at(model: type[BaseModel], where: list[str]) -> list[str]:
    for part in where:
        annotation = model.model_fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def _parse_toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
