"""COCO annotations and results: what is read, and what each says of entries that are wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from converters.datasets import Box, DatasetError, DetectionDataset, open_any
from converters.datasets.coco import Prediction, open_coco, read_predictions
from tests.converters.datasets.making import HEIGHT, WIDTH, instances, write_coco, write_image


def opened(folder: Path) -> DetectionDataset:
    dataset = open_any(f"coco:{folder}")
    assert isinstance(dataset, DetectionDataset)
    return dataset


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, instances())
    dataset = opened(folder)
    assert dataset.categories == {1: "person", 90: "toothbrush"}
    assert dataset.classes == ("person", "toothbrush")
    assert [image.file.name for image in dataset.images] == ["000000000139.jpg", "000000000285.jpg"]
    image, boxes = dataset.read(0)
    assert image.shape == (HEIGHT, WIDTH, 3)
    # Without an area it is the rectangle's.
    assert boxes == (Box(139, 1, 1, 1, 3, 2, 5.5), Box(139, 90, 0.5, 0, 7, 5, 35))
    assert dataset.read(1)[1] == (Box(285, 1, 2, 2, 4, 3, 12, crowd=True),)
    by_file = opened(tmp_path / "annotations" / "instances_val2017.json")
    assert (by_file.images, by_file.boxes) == (dataset.images, dataset.boxes)


def test_one_annotation_file_among_its_images_will_do(tmp_path: Path) -> None:
    for number in (139, 285):
        write_image(tmp_path / "images" / f"{number:012d}.jpg", number)
    (tmp_path / "instances_mine.json").write_text(json.dumps(instances()))
    assert len(opened(tmp_path)) == 2
    (tmp_path / "instances_other.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"found 2 files instances_\*\.json there"):
        opened(tmp_path)


def changed(part: str, number: int, **values: Any) -> dict[str, Any]:
    content = copy.deepcopy(instances())
    content[part][number].update(values)
    return content


WRONG = [
    ("[", "EOF|JSON"),
    ("{}", "images: Field required"),
    (instances(images=[]), "images: List should have at least 1 item"),
    (instances(annotations={}), "annotations: Input should be a valid list|array"),
    (changed("annotations", 1, image_id=7), "annotation 6 lies in image 7, which the file does not list"),
    (changed("annotations", 1, category_id=2), "annotation 6 is of category 2, which the file does not name"),
    (changed("annotations", 1, id=5), "annotations has the id 5 twice"),
    (changed("images", 1, id=139), "images has the id 139 twice"),
    (changed("categories", 1, id=1), "categories has the id 1 twice"),
    (changed("annotations", 2, bbox=[1, 2, 3]), r"annotations\[2\]\.bbox"),
    (changed("annotations", 2, bbox=[1, 2, -3, 4]), r"annotations\[2\]\.bbox\[2\]: .*greater than or equal to 0"),
    (changed("annotations", 2, bbox=[1, 2, float("nan"), 4]), r"annotations\[2\]\.bbox\[2\]: .*finite"),
    (changed("annotations", 0, image_id="139"), r"annotations\[0\]\.image_id: .*integer"),
    (changed("images", 0, width=0), r"images\[0\]\.width: .*greater than 0"),
    (changed("images", 0, file_name="../../etc/passwd.jpg"), "leaves"),
    (changed("images", 0, file_name="/etc/passwd.jpg"), "leaves"),
    (changed("images", 1, file_name="lost.jpg"), r"lost\.jpg: is missing, but .* lists it as image 285"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_wrong_annotations_name_the_file_and_the_entry(content: object, message: str, tmp_path: Path) -> None:
    folder = write_coco(tmp_path, content)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(folder)
    assert "instances_val2017.json" in str(caught.value)


def test_images_of_another_size_do_not_belong(tmp_path: Path) -> None:
    dataset = opened(write_coco(tmp_path, changed("images", 0, width=99)))
    with pytest.raises(DatasetError, match="image is 8x6, its annotations say 99x6"):
        dataset.read(0)


def test_predictions_need_no_images(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, instances())
    for image in folder.iterdir():
        image.unlink()
    spec = f"coco:{folder}"
    with pytest.raises(DatasetError, match="is missing"):
        open_any(spec)
    dataset = open_coco(spec, folder, need_images=False)
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{"image_id": 139, "category_id": 90, "bbox": [0, 1, 2, 3], "score": 0.5, "id": 1}]))
    assert read_predictions(results, dataset) == (Prediction(139, 90, 0, 1, 2, 3, 0.5),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 1}, "entry 1 lies in image 1, unknown to 'coco:"),
        ({"category_id": 0}, "entry 1 is of category 0, unknown to .*COCO's own category ids"),
        ({"score": float("inf")}, r"\[1\]\.score: .*finite"),
        ({"score": None}, r"\[1\]\.score"),
        ({"bbox": [0, 0, 1]}, r"\[1\]\.bbox"),
    ],
)
def test_wrong_predictions_name_the_entry(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    dataset = opened(write_coco(tmp_path, instances()))
    entry = {"image_id": 139, "category_id": 90, "bbox": [0, 1, 2, 3], "score": 0.5}
    results = tmp_path / "results.json"
    results.write_text(json.dumps([entry, {**entry, **change}]))
    with pytest.raises(DatasetError, match=message):
        read_predictions(results, dataset)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_predictions(tmp_path / "nowhere.json", dataset)
