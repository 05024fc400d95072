"""Small labelled sets in the published layouts, drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

HEIGHT, WIDTH = 6, 8


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A random picture; what is returned is what was drawn (a JPEG gives about that back)."""
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return image


def write_mask(path: Path, ids: Sequence[int], mode: str = "L", size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A mask in which the `ids` follow each other."""
    mask = np.resize(np.array(ids, np.uint8), size)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PillowImage.fromarray(mask)
    if mode == "P":
        picture = picture.convert("P")
        picture.putdata(mask.ravel().tolist())
        picture.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
    picture.save(path)
    return mask


def instances(**changes: Any) -> dict[str, Any]:
    """Two images, two categories with gaps in their ids as COCO has them, three boxes."""
    content: dict[str, Any] = {
        "info": {"year": 2017},
        "images": [
            {"id": 139, "file_name": "000000000139.jpg", "width": WIDTH, "height": HEIGHT, "license": 2},
            {"id": 285, "file_name": "000000000285.jpg", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [
            {"id": 5, "image_id": 139, "category_id": 1, "bbox": [1, 1, 3, 2], "area": 5.5, "iscrowd": 0},
            {"id": 6, "image_id": 139, "category_id": 90, "bbox": [0.5, 0, 7, 5], "segmentation": []},
            {"id": 9, "image_id": 285, "category_id": 1, "bbox": [2, 2, 4, 3], "area": 12, "iscrowd": 1},
        ],
    }
    return {**content, **changes}


def write_coco(root: Path, content: object) -> Path:
    """`root`/val2017 and `root`/annotations; gives the folder of the images."""
    for number in (139, 285):
        write_image(root / "val2017" / f"{number:012d}.jpg", number)
    (root / "annotations").mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "annotations" / "instances_val2017.json").write_text(text, encoding="utf-8")
    return root / "val2017"
