"""COCO detection: `instances_*.json` with its images, and results as detectors write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from converters.datasets.contract import Box, DetectionDataset, DetectionImage
from converters.datasets.error import DatasetError

_Size = Annotated[FiniteFloat, Field(ge=0)]
_Rectangle = tuple[FiniteFloat, FiniteFloat, _Size, _Size]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Image(_Entry):
    id: int
    file_name: str = Field(min_length=1)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class _Category(_Entry):
    id: int
    name: str = Field(min_length=1)


class _Annotation(_Entry):
    id: int
    image_id: int
    category_id: int
    bbox: _Rectangle
    area: _Size | None = None
    iscrowd: int = Field(0, ge=0, le=1)


class _Instances(_Entry):
    images: list[_Image] = Field(min_length=1)
    categories: list[_Category] = Field(min_length=1)
    annotations: list[_Annotation]


class _Result(_Entry):
    image_id: int
    category_id: int
    bbox: _Rectangle
    score: FiniteFloat


@dataclass(frozen=True)
class Prediction:
    """One found box and how sure the detector is of it; a larger `score` is surer."""

    image_id: int
    category_id: int
    x: float
    y: float
    width: float
    height: float
    score: float


_INSTANCES, _RESULTS = TypeAdapter(_Instances), TypeAdapter(list[_Result])
_T = TypeVar("_T")


def open_coco(spec: str, where: Path, *, need_images: bool = True) -> DetectionDataset:
    """`where` is one split's images (`coco/val2017`, beside `coco/annotations`), or the JSON file itself.

    Without `need_images` the image files may be elsewhere: scoring predictions takes the annotations alone. Raises
    DatasetError naming the file and the entry: malformed JSON, an id used twice, a reference to nothing.
    """
    file, folder = _places(spec, where)
    content = _parsed(file, _INSTANCES)
    images = {image.id: image for image in content.images}
    categories = {category.id: category.name for category in content.categories}
    _unique(file, "images", [image.id for image in content.images])
    _unique(file, "categories", [category.id for category in content.categories])
    _unique(file, "annotations", [annotation.id for annotation in content.annotations])
    for annotation in content.annotations:
        where_is = f"{file}: annotation {annotation.id}"
        if annotation.image_id not in images:
            raise DatasetError(f"{where_is} lies in image {annotation.image_id}, which the file does not list")
        if annotation.category_id not in categories:
            raise DatasetError(f"{where_is} is of category {annotation.category_id}, which the file does not name")
    files = {image.id: _image_file(file, folder, image) for image in content.images}
    if need_images:
        _need_files(file, folder, files)
    return DetectionDataset(
        spec,
        categories,
        tuple(DetectionImage(image.id, files[image.id], image.width, image.height) for image in content.images),
        tuple(_box(annotation) for annotation in content.annotations),
    )


def read_predictions(file: Path, dataset: DetectionDataset) -> tuple[Prediction, ...]:
    """Boxes of a results file ``[{"image_id", "category_id", "bbox": [x, y, width, height], "score"}, ...]``.

    Raises DatasetError naming the entry: an image or a category that `dataset` does not know, a number that is none.
    """
    images = {image.id for image in dataset.images}
    results = _parsed(file, _RESULTS)
    for number, result in enumerate(results):
        if result.image_id not in images:
            raise DatasetError(f"{file}: entry {number} lies in image {result.image_id}, unknown to {dataset.spec!r}")
        if result.category_id not in dataset.categories:
            raise DatasetError(
                f"{file}: entry {number} is of category {result.category_id}, unknown to {dataset.spec!r}; "
                "COCO's own category ids are expected, not positions in a list"
            )
    return tuple(Prediction(r.image_id, r.category_id, *r.bbox, r.score) for r in results)


def _places(spec: str, where: Path) -> tuple[Path, Path]:
    """The annotations' file and the images' folder."""
    if where.is_file():
        split = where.stem.removeprefix("instances_")
        return where, _first(where.parent.parent / split, where.parent / split, where.parent / "images", where.parent)
    published = where.parent / "annotations" / f"instances_{where.name}.json"
    if published.is_file():
        return published, where
    found = sorted(where.glob("instances_*.json")) + sorted(where.glob("annotations/instances_*.json"))
    if len(found) != 1:
        raise DatasetError(
            f"dataset {spec!r}: found {len(found)} files instances_*.json there and no {published}; name one split's "
            "images, as in coco:coco/val2017, or the file itself"
        )
    split = found[0].stem.removeprefix("instances_")
    return found[0], _first(where / split, where / "images", where)


def _first(*folders: Path) -> Path:
    return next(folder for folder in folders if folder.is_dir())


def _parsed(file: Path, adapter: TypeAdapter[_T]) -> _T:
    try:
        return adapter.validate_json(file.read_bytes())
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise DatasetError(f"{file}: {place + ': ' if place else ''}{first['msg']}") from error


def _unique(file: Path, what: str, ids: Sequence[int]) -> None:
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            raise DatasetError(f"{file}: {what} has the id {number} twice")
        seen.add(number)


def _image_file(file: Path, folder: Path, image: _Image) -> Path:
    name = PurePosixPath(image.file_name)
    if name.is_absolute() or ".." in name.parts or "\\" in image.file_name or "\0" in image.file_name:
        raise DatasetError(f"{file}: image {image.id} has the file name {image.file_name!r}, which leaves {folder}")
    return folder / name


def _need_files(file: Path, folder: Path, files: dict[int, Path]) -> None:
    there = {parent: {path.name for path in parent.glob("*")} for parent in {path.parent for path in files.values()}}
    for number, path in files.items():
        if path.name not in there[path.parent]:
            raise DatasetError(
                f"{path}: is missing, but {file} lists it as image {number}; are the images in {folder}?"
            )


def _box(annotation: _Annotation) -> Box:
    x, y, width, height = annotation.bbox
    area = width * height if annotation.area is None else annotation.area
    return Box(annotation.image_id, annotation.category_id, x, y, width, height, area, bool(annotation.iscrowd))
