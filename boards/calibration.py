"""A board's calibration: what an external meter said of it, the model fitted to that, and how far the model may be off.

Kept as JSON, checked field by field when it is read. `error_w` and `relative_error` are the largest over the states the
model knows, at 95 %: the scatter of the readings around the model (a prediction interval, so with Student's t for few
readings), the smallest step the meter shows, and in `relative_error` the meter's own accuracy as well.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boards.board import BoardInfo
from boards.sensor import BoardError

SCHEMA_VERSION = 1
IDLE = "idle"
DEFAULT_PLACE = "joulepath/calibration.json"  # under /etc
_LARGEST = 4_000_000
_Watts = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Part):
    """One reading of the external meter.

    `state` is ``idle`` or the variant that ran; `busy_share` the share of the time an inference was under way;
    `sensor_w` what the board's own channel said meanwhile, where one is to be corrected.
    """

    watts: _Watts
    state: str = Field(IDLE, min_length=1)
    busy_share: _Share = 0.0
    sensor_w: _Watts | None = None


class State(_Part):
    """Mean watts of the whole board in one state, and the half-width of its 95 % error without the meter's own."""

    watts: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    error_w: _Watts
    readings: int = Field(ge=0)
    origin: Literal["read", "interpolated"] = "read"


class TableModel(_Part):
    """``idle.watts`` while no inference is under way, ``variants[v].watts`` while variant v infers."""

    kind: Literal["table"] = "table"
    idle: State
    variants: dict[str, State] = Field(min_length=1)


class AffineModel(_Part):
    """Board watts = scale * watts of `channel` + offset, believed for channel values from `low_w` to `high_w`."""

    kind: Literal["affine"] = "affine"
    channel: str = Field(min_length=1)
    scale: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
    offset_w: _Finite
    low_w: _Watts
    high_w: _Watts


class Calibration(_Part):
    """One board's calibration file."""

    schema_version: Literal[1] = 1
    board: str = Field(min_length=1)
    board_model: str = Field(min_length=1)
    made_utc: str
    joulepath: str
    meter: str = Field(min_length=1)
    meter_error: _Share
    meter_error_known: bool
    resolution_w: _Watts
    points: tuple[Point, ...] = Field(min_length=1)
    model: Annotated[TableModel | AffineModel, Field(discriminator="kind")]
    scatter_w: _Watts
    freedom: int = Field(ge=1)
    left_out_w: _Watts | None = None
    error_w: _Watts
    relative_error: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
    warnings: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.model.kind} model of {self.made_utc[:10]} after {self.meter}, {len(self.points)} readings, "
            f"within {self.relative_error:.1%} (95 %)"
        )


def load_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises BoardError that names the file and the field."""
    try:
        if path.stat().st_size > _LARGEST:
            raise BoardError(f"{path}: too large to be a calibration")
        raw = path.read_bytes()
    except OSError as error:
        raise BoardError(f"{path}: cannot be read ({error.strerror}); joulepath calibrate makes one") from error
    try:
        return Calibration.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        if where == "schema_version":
            raise BoardError(
                f"{path}: its schema version is not {SCHEMA_VERSION}: another version of Joulepath wrote it; make "
                "it anew with joulepath calibrate"
            ) from error
        raise BoardError(f"{path}: no valid calibration: {where}: {problem['msg']}") from error


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration, at once or not at all, readable for the service's user. Raises BoardError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(calibration.model_dump_json(indent=1) + "\n", "utf-8")
        partial.chmod(0o644)
        os.replace(partial, path)
    except OSError as error:
        raise BoardError(
            f"{path}: cannot be written ({error.strerror}); use sudo, or name another file with --out"
        ) from error


def mismatch(calibration: Calibration, info: BoardInfo) -> str | None:
    """Why a calibration is not this board's, None where it is. Revisions of one model count as one."""
    if calibration.board == info.name and _without_revision(calibration.board_model) == _without_revision(info.model):
        return None
    return (
        f"it was made for {calibration.board_model} ({calibration.board}), this is {info.model} ({info.name}); "
        "make one here with joulepath calibrate"
    )


def _without_revision(model: str) -> str:
    return re.sub(r"\s+Rev\s+[0-9.]+\s*$", "", model, flags=re.IGNORECASE).strip()
