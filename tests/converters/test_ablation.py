"""The ablation: its paths fit, its figures are what they say, and a small one runs from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.ablation import FULL, Measured, goals, measure, repaired, result
from converters.ablation_paths import FOUND, LADDER, Row, rows
from converters.families import segformer
from converters.keep import Kept
from converters.paths import ExecutionPath, PathSpace
from converters.workshop import Workshop
from edge.bench.interleave import Ratio
from edge.bench.record import markdown


@pytest.mark.parametrize("space", [PathSpace((2, 2, 2, 2), 256), PathSpace((3, 4, 6, 3), 768)])
def test_every_path_fits_and_has_a_name_of_its_own(space: PathSpace) -> None:
    found = rows(space, (288, 384))
    assert len({row.name for row in found}) == len({row.path.name for row in found}) == len(found)
    assert len({(row.path, row.way) for row in found}) == len(found)
    assert {(row.path.choice, row.path.compensation) for row in found} == {
        ("first", "none"), ("importance", "none"), ("first", "ridge"), ("importance", "ridge"),
    }  # fmt: skip


def test_paths_of_a_search_stand_beside_the_others_but_for_the_full_one() -> None:
    space = PathSpace((2, 2, 2, 2), 256)
    small = replace(space.full(), name="p3", decoder_width=64, choice="importance", compensation="ridge")
    found = rows(space, (288, 384), [space.full(), small])
    assert [(row.cut, row.way, row.path) for row in found if row.section == FOUND] == [
        ("p3: decoder 64 of 256", "searched", small)
    ]


def measured(cut: str, way: str, miou: float, faster: float) -> Measured:
    row = Row(LADDER, cut, way, ExecutionPath("x", (), 1))
    return Measured(row, 10**6, miou, miou - 0.5, (0.0, 0.0), 10.0, Ratio(faster, faster, faster, 3))


def test_goals_of_known_figures() -> None:
    found = [
        replace(measured("a", "", 0.5, 1.0), row=None),
        measured("a", "naive", 0.3, 1.5),
        measured("a", "chosen", 0.4, 1.5),
        measured("a", "both", 0.49, 1.5),
        measured("b", "naive", 0.4, 2.0),
        measured("b", "fitted", 0.45, 1.99),
        measured("c", "naive", 0.45, 2.5),
        measured("c", "fitted", 0.52, 1.2),
    ]
    assert goals([*found, measured("p1", "searched", 0.45, 2.46)])[2].measured == 1.0
    fastest, share, beaten = goals(found)
    assert fastest.measured == 1.5
    # a: 0.1 lost, 0.01 with repair; b: 0.1 and 0.05; c: nothing is left of 0.05.
    assert share.measured == pytest.approx((0.9 + 0.5 + 1.0) / 3)
    # c's naive path is the fastest of all, and no repaired path reaches it.
    assert beaten.measured == pytest.approx(2 / 3)
    assert beaten.met is False
    assert repaired(found[:2]) is None


def write_set(folder: Path, count: int) -> str:
    rng = np.random.default_rng(1)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        blocks = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8).repeat(12, axis=0).repeat(12, axis=1)
        Image.fromarray(blocks).save(folder / "images" / f"{number}.png")
        Image.fromarray(blocks[..., 0] % 3).save(folder / "masks" / f"{number}.png")
    (folder / "labels.txt").write_text("low\nmiddle\nhigh\n")
    return f"folder:{folder}"


def test_a_small_ablation_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="converting needs the extra [convert]")
    dataset, said = write_set(tmp_path / "set", 3), []
    config = segformer.SegformerConfig(
        depths=(1, 1, 1, 1), hidden_sizes=(8, 16, 40, 64), decoder_width=32, labels=("low", "middle", "high")
    )
    images = list(np.random.default_rng(2).integers(0, 256, (8, 48, 96, 3), dtype=np.uint8))
    shop = Workshop(segformer.random_weights(config, 0), images, (64, 96))
    path = ExecutionPath("half", ((0,),) * 4, 16)
    wanted = [
        Row(LADDER, "decoder 16", "naive", path),
        Row(
            LADDER, "decoder 16", "both", ExecutionPath("b", ((0,),) * 4, 16, choice="importance", compensation="ridge")
        ),
    ]
    found = measure(shop, dataset, wanted, Kept(tmp_path / "work"), 2, said.append)
    assert [one.row for one in found] == [None, *wanted]
    assert found[0].change == 0
    assert found[1].macs == found[2].macs < found[0].macs
    assert all(one.faster.rounds == 2 and one.median_ms > 0 and 0 <= one.miou <= 1 for one in found)
    assert len(list((tmp_path / "work").iterdir())) == 3
    page = markdown(result(found, shop, len(images), dataset, "2030-01-01T00:00:00Z"))
    assert f"| {FULL} |" in page
    assert "| decoder 16 | both |" in page
    assert str(tmp_path) not in page
