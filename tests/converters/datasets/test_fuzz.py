"""Whatever bytes stand in a file: it is read, or refused by name; nothing else happens."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from converters.datasets import DatasetError, open_any
from converters.datasets.coco import open_coco, read_predictions
from converters.datasets.files import read_image
from converters.datasets.masks import plain_masks
from tests.converters.datasets.making import instances, write_coco, write_image, write_mask

QUICK = settings(
    deadline=None, max_examples=int(os.environ.get("JOULEPATH_FUZZ", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 400) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def mangled(content: Any, draw: st.DrawFn) -> Any:
    """One place of a JSON tree replaced by something else, or taken away."""
    parent, key, here = None, None, content
    while isinstance(here, dict | list) and here and draw(st.integers(0, 3)):
        parent = here
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        here = here[key]
    if parent is None:
        return draw(JSON)
    if draw(st.booleans()):
        parent[key] = draw(JSON)
    else:
        del parent[key]
    return content


@st.composite
def annotations(draw: st.DrawFn) -> str:
    content = mangled(json.loads(json.dumps(instances())), draw)
    text = json.dumps(content)
    cut = draw(st.integers(0, 12))
    return text if cut else text[: draw(st.integers(0, len(text)))]


@QUICK
@given(text=annotations())
def test_any_annotations_are_read_or_refused_by_name(text: str, tmp_path: Path) -> None:
    folder = write_coco(tmp_path, text)
    try:
        dataset = open_any(f"coco:{folder}")
    except DatasetError as error:
        assert "instances_val2017.json" in str(error)  # noqa: PT017
    else:
        assert len(dataset) >= 1


@QUICK
@given(data=st.data())
def test_any_results_are_read_or_refused_by_name(data: st.DataObject, tmp_path: Path) -> None:
    dataset = open_coco("coco:x", write_coco(tmp_path, instances()), need_images=False)
    good = [{"image_id": 139, "category_id": 90, "bbox": [0, 1, 2, 3], "score": 0.5}, {"image_id": 285}]
    good[1] = {**good[0], **good[1]}
    file = tmp_path / "results.json"
    file.write_text(json.dumps(mangled(good, data.draw)), encoding="utf-8")
    try:
        found = read_predictions(file, dataset)
    except DatasetError as error:
        assert "results.json" in str(error)  # noqa: PT017
    else:
        assert all(prediction.image_id in (139, 285) for prediction in found)


def damaged(content: bytes, draw: st.DrawFn) -> bytes:
    out = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        out[draw(st.integers(0, len(out) - 1))] = draw(st.integers(0, 255))
    return bytes(out[: draw(st.integers(0, len(out)))] if draw(st.booleans()) else out)


@pytest.mark.parametrize("mode", ["L", "P"])
@QUICK
@given(data=st.data())
def test_any_mask_is_read_or_refused_by_name(mode: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    write_mask(path, [0, 1, 2, 255], mode)
    path.write_bytes(damaged(path.read_bytes(), data.draw))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what it repairs
            mask = plain_masks(3)(path)
    except DatasetError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert mask.ndim == 2
        assert set(mask.ravel().tolist()) <= {0, 1, 2, 255}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@QUICK
@given(data=st.data())
def test_any_image_is_read_or_refused_by_name(suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path)
    path.write_bytes(damaged(path.read_bytes(), data.draw))
    try:
        image = read_image(path)
    except DatasetError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert image.ndim == 3
        assert image.dtype == "uint8"


@QUICK
@given(text=st.text(max_size=60))
@example(text="²\n")
@example(text="ILSVRC2012_val_00000001.JPEG ²\n")
def test_any_list_of_classes_is_read_or_refused_by_name(text: str, tmp_path: Path) -> None:
    write_image(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "val" / "val.txt").write_text(text, encoding="utf-8")
    try:
        dataset = open_any(f"imagenet:{tmp_path / 'val'}")
    except DatasetError as error:
        assert "val" in str(error)  # noqa: PT017
    else:
        assert len(dataset) == 1
