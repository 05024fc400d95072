"""Readers of masks against files in the published layouts, and what each says of files that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from converters.datasets import ADE20K_CLASSES, CITYSCAPES_CLASSES, IGNORE, VOC_CLASSES, DatasetError, open_dataset
from edge.errors import UsageError
from tests.converters.datasets.making import write_image, write_mask


def ade20k(root: Path) -> str:
    folder = root / "ADEChallengeData2016"
    write_image(folder / "images" / "validation" / "ADE_val_00000001.jpg")
    write_mask(folder / "annotations" / "validation" / "ADE_val_00000001.png", [0, 1, 2, 150])
    write_image(folder / "images" / "validation" / "ADE_val_00000002.jpg", 1)
    write_mask(folder / "annotations" / "validation" / "ADE_val_00000002.png", [13])
    return f"ade20k:{folder}/images/validation"


def cityscapes(root: Path, kind: str = "labelIds", ids: tuple[int, ...] = (0, 7, 9, 33)) -> str:
    for city, frame in (("lindau", "lindau_000000_000019"), ("frankfurt", "frankfurt_000001_083852")):
        write_image(root / "leftImg8bit" / "val" / city / f"{frame}_leftImg8bit.png")
        write_mask(root / "gtFine" / "val" / city / f"{frame}_gtFine_{kind}.png", ids)
        write_mask(root / "gtFine" / "val" / city / f"{frame}_gtFine_instanceIds.png", [1])
        (root / "gtFine" / "val" / city / f"{frame}_gtFine_polygons.json").write_text("{}")
    return f"cityscapes:{root}/leftImg8bit/val"


def camvid(root: Path) -> str:
    write_image(root / "test" / "0001TP_008550.png")
    write_mask(root / "testannot" / "0001TP_008550.png", [0, 10, 11])
    return f"camvid:{root}/test"


def voc(root: Path) -> str:
    for name in ("2007_000033", "2007_000042"):
        write_image(root / "JPEGImages" / f"{name}.jpg")
        write_mask(root / "SegmentationClass" / f"{name}.png", [0, 20, 255], mode="P")
    write_image(root / "JPEGImages" / "2007_000027.jpg")  # of the detection task: no mask
    listed = root / "ImageSets" / "Segmentation" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("2007_000033\n2007_000042\n")
    return f"voc:{listed}"


def folder(root: Path) -> str:
    write_image(root / "images" / "a.png")
    write_mask(root / "masks" / "a.png", [0, 1, 255], mode="P")
    (root / "labels.txt").write_text("left\nright\n")
    return f"folder:{root}"


MADE = {"ade20k": ade20k, "cityscapes": cityscapes, "camvid": camvid, "voc": voc, "folder": folder}


def ids_of(spec: str) -> list[set[int]]:
    return [set(np.unique(mask).tolist()) for _, mask in open_dataset(spec)]


def test_ade20k_counts_from_one_and_zero_is_void(tmp_path: Path) -> None:
    spec = ade20k(tmp_path)
    assert ids_of(spec) == [{IGNORE, 0, 1, 149}, {12}]
    assert len(ADE20K_CLASSES) == len(set(ADE20K_CLASSES)) == 150
    # objectInfo150.txt: 1 wall, 13 person, 21 car, 128 bicycle, 150 flag.
    names = open_dataset(spec).classes
    assert [names[number - 1] for number in (1, 13, 21, 128, 150)] == ["wall", "person", "car", "bicycle", "flag"]


def test_cityscapes_labels_become_train_ids(tmp_path: Path) -> None:
    spec = cityscapes(tmp_path)
    assert ids_of(spec) == [{IGNORE, 0, 18}] * 2
    assert [pair.image.parent.name for pair in open_dataset(spec).pairs] == ["frankfurt", "lindau"]
    assert len(CITYSCAPES_CLASSES) == 19
    assert (CITYSCAPES_CLASSES[8], CITYSCAPES_CLASSES[13]) == ("vegetation", "car")


def test_every_cityscapes_label_is_void_or_one_class(tmp_path: Path) -> None:
    spec = cityscapes(tmp_path, ids=tuple(range(34)))
    counts = np.bincount(open_dataset(spec).read(0)[1].ravel(), minlength=256)
    assert counts[:19].all()
    assert counts[IGNORE] + counts[:19].sum() == counts.sum()
    assert (np.unique(open_dataset(spec).read(0)[1], return_counts=True)[1][:19] <= 2).all()


def test_cityscapes_train_ids_are_read_where_there_are_no_others(tmp_path: Path) -> None:
    assert ids_of(cityscapes(tmp_path, "labelTrainIds", (0, 18, 255))) == [{0, 18, IGNORE}] * 2


def test_camvid_eleven_is_void(tmp_path: Path) -> None:
    assert ids_of(camvid(tmp_path)) == [{0, 10, IGNORE}]


def test_voc_takes_what_its_list_names_and_reads_palettes_as_ids(tmp_path: Path) -> None:
    spec = voc(tmp_path)
    assert ids_of(spec) == [{0, 20, IGNORE}] * 2
    assert open_dataset(spec).classes == VOC_CLASSES


def test_a_plain_folder_names_its_classes_itself(tmp_path: Path) -> None:
    spec = folder(tmp_path)
    assert open_dataset(spec).classes == ("left", "right")
    image, mask = open_dataset(spec).read(0)
    assert np.array_equal(image, write_image(tmp_path / "again.png"))
    assert set(np.unique(mask)) == {0, 1, IGNORE}


@pytest.mark.parametrize("kind", MADE)
def test_masks_with_an_unknown_id_name_the_file_and_the_id(kind: str, tmp_path: Path) -> None:
    spec = MADE[kind](tmp_path)
    mask = open_dataset(spec).pairs[0].mask
    write_mask(mask, [200])
    with pytest.raises(DatasetError, match=r"holds the id 200, which has no class") as caught:
        open_dataset(spec).read(0)
    assert str(mask) in str(caught.value)
    assert isinstance(caught.value, UsageError)


def _colours(path: Path) -> None:
    PillowImage.new("RGB", (8, 6)).save(path)


def _deep(path: Path) -> None:
    PillowImage.fromarray(np.zeros((6, 8), np.uint16)).save(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _wide(path: Path) -> None:
    write_mask(path, [0], size=(6, 9))


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_colours, "mode RGB"),
        (_deep, "mode I;16"),
        (_cut, "cannot read the mask"),
        (_empty, "cannot read the mask"),
        (_wide, "mask is 9x6 but its image is 8x6"),
        (Path.unlink, "no mask named|is missing|cannot read"),
    ],
)
def test_damaged_masks_are_refused_by_name(
    kind: str, damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    spec = MADE[kind](tmp_path)
    pair = open_dataset(spec).pairs[-1]
    damage(pair.mask)
    with pytest.raises(DatasetError, match=message) as caught:
        list(open_dataset(spec))
    assert any(str(path) in str(caught.value) for path in (pair.mask, pair.image))


@pytest.mark.parametrize("kind", MADE)
def test_images_that_are_none_and_masks_without_image_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    spec = MADE[kind](tmp_path)
    pair = open_dataset(spec).pairs[0]
    pair.image.write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="not an image") as caught:
        open_dataset(spec).read(0)
    assert str(pair.image) in str(caught.value)
    pair.image.unlink()
    with pytest.raises(DatasetError, match=r"no image named|is missing|no images found") as caught:
        open_dataset(spec)
    assert str(pair.image.parent) in str(caught.value)


def test_an_image_cut_short_is_refused_though_opencv_would_take_it(tmp_path: Path) -> None:
    spec = ade20k(tmp_path)
    image = open_dataset(spec).pairs[0].image
    write_image(image, size=(60, 80))
    image.write_bytes(image.read_bytes()[:-400])
    with pytest.raises(DatasetError, match="cut short"):
        open_dataset(spec).image(0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("camvid", "expected KIND:DIR with KIND one of ade20k, camvid, cityscapes, coco, folder, imagenet, voc"),
        ("kitti:{0}", "expected KIND:DIR"),
        ("voc:{0}/nowhere", "no such directory"),
        ("camvid:", "no such directory"),
        ("camvid:\0", "no such directory"),
        ("ade20k:{0}", "name the folder of one split's images, as in ade20k:ADEChallengeData2016/images/validation"),
        ("cityscapes:{0}", "as in cityscapes:cityscapes/leftImg8bit/val"),
        ("folder:{0}", "labels.txt is missing; write one class name a line"),
        ("voc:{0}", "images: no such directory"),
        ("imagenet:{0}", "no images found"),
    ],
)
def test_specs_that_name_nothing_say_what_to_name(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(spec.format(tmp_path))
    assert message in str(caught.value)


def test_empty_folders_and_lists_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="images: no images found"):
        open_dataset(f"voc:{tmp_path}")
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(DatasetError, match=r"name a list, as in voc:.*val\.txt"):
        open_dataset(f"voc:{tmp_path}")
    listed = tmp_path / "ImageSets" / "Segmentation" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("\n")
    with pytest.raises(DatasetError, match="lists no images"):
        open_dataset(f"voc:{listed}")
    listed.write_text("../secret\n")
    with pytest.raises(DatasetError, match="is no name of an image"):
        open_dataset(f"voc:{listed}")
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is not text in UTF-8"):
        open_dataset(f"voc:{listed}")


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    spec = folder(tmp_path)
    write_image(tmp_path / "images" / "a.bmp")
    with pytest.raises(DatasetError, match="has the same name"):
        open_dataset(spec)


def test_labels_of_a_folder_are_one_to_255(tmp_path: Path) -> None:
    spec = folder(tmp_path)
    for names in (0, 256):
        (tmp_path / "labels.txt").write_text("".join(f"class {n}\n" for n in range(names)))
        with pytest.raises(DatasetError, match=f"names {names} classes"):
            open_dataset(spec)
