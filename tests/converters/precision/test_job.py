"""What the gate needs is asked for before anything is converted."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.convert import ConvertJob, convert_segformer
from converters.precision import Bounds
from edge.errors import UsageError


def test_a_gate_needs_labels(tmp_path: Path) -> None:
    job = ConvertJob("none", (64, 96), tmp_path / "out", gate=Bounds())
    with pytest.raises(UsageError, match="what each variant loses: give --dataset, or leave --gate out"):
        convert_segformer(job)


def test_a_gate_needs_a_float_variant(tmp_path: Path) -> None:
    job = ConvertJob(
        "none", (64, 96), tmp_path / "out", precisions=("int8-wide",), calibration="folder:x", dataset="folder:y",
        gate=Bounds(),
    )  # fmt: skip
    with pytest.raises(UsageError, match="compares with a float variant: add float32 or float16 to --precision"):
        convert_segformer(job)


@pytest.mark.parametrize("precision", ["int8", "int8-wide", "int8-mixed"])
def test_every_integer_precision_needs_images(tmp_path: Path, precision: str) -> None:
    job = ConvertJob("none", (64, 96), tmp_path / "out", precisions=("float32", precision))
    with pytest.raises(UsageError, match="int8 needs images to measure ranges on: give --calibration"):
        convert_segformer(job)
