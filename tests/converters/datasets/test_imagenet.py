"""ImageNet-style folders: classes by folder, by a list, with and without readable names."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.datasets import ClassificationDataset, DatasetError, open_any, open_dataset
from tests.converters.datasets.making import write_image

SYNSETS = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"


def opened(folder: Path) -> ClassificationDataset:
    dataset = open_any(f"imagenet:{folder}")
    assert isinstance(dataset, ClassificationDataset)
    return dataset


def flat(root: Path, count: int = 3) -> Path:
    for number in range(1, count + 1):
        write_image(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", number)
    return root / "val"


def found(dataset: ClassificationDataset) -> list[tuple[str, str]]:
    return [(item.image.stem[-1], dataset.classes[item.label]) for item in dataset.items]


def test_folders_are_classes_in_order_of_their_names(tmp_path: Path) -> None:
    for name, number in (("cat", 1), ("dog", 2), ("ant", 3)):
        write_image(tmp_path / name / f"{number}.jpg", number)
    dataset = opened(tmp_path)
    assert dataset.classes == ("ant", "cat", "dog")
    assert found(dataset) == [("3", "ant"), ("1", "cat"), ("2", "dog")]
    assert dataset.read(0)[0].shape == (6, 8, 3)
    with pytest.raises(DatasetError, match="has no masks"):
        open_dataset(dataset.spec)


def test_synsets_get_names_and_the_numbers_of_the_whole_list(tmp_path: Path) -> None:
    (tmp_path / "synset_words.txt").write_text(SYNSETS)
    write_image(tmp_path / "train" / "n03126707" / "n03126707_1.JPEG")
    write_image(tmp_path / "train" / "n01440764" / "n01440764_2.JPEG")
    dataset = opened(tmp_path / "train")
    assert dataset.classes == ("tench, Tinca tinca", "crane", "crane")
    assert [item.label for item in dataset.items] == [0, 2]
    write_image(tmp_path / "train" / "n99999999" / "1.JPEG")
    with pytest.raises(DatasetError, match="does not name 'n99999999'"):
        opened(tmp_path / "train")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val.txt", "ILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000003.JPEG 1\n"),
        ("imagenet_2012_validation_synset_labels.txt", "n03126707\nn01440764\nn02012849\n"),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000003,n02012849 1 2 3 4 n02012849 1 2 3 4\n"
            "ILSVRC2012_val_00000001,n03126707 85 1 499 272 \nILSVRC2012_val_00000002,n01440764 1 2 3 4\n",
        ),
    ],
)
def test_a_flat_folder_takes_its_classes_from_a_list(name: str, text: str, tmp_path: Path) -> None:
    folder = flat(tmp_path)
    (tmp_path / "synset_words.txt").write_text(SYNSETS)
    (tmp_path / name).write_text(text)
    assert [item.label for item in opened(folder).items] == [2, 0, 1]


def test_a_list_alone_names_its_classes(tmp_path: Path) -> None:
    folder = flat(tmp_path)
    (folder / "synset_labels.txt").write_text("n03\nn01\nn03\n")
    assert opened(folder).classes == ("n01", "n03")
    assert found(opened(folder)) == [("1", "n03"), ("2", "n01"), ("3", "n03")]
    (folder / "val.txt").write_text("".join(f"ILSVRC2012_val_{n:08d}.JPEG {n}\n" for n in (1, 2, 3)))
    assert opened(folder).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n01440764\n", "has 1 lines for 3 images"),
        ("n01440764\nn01440764\nn00000000\n", "'n00000000', which the list of synsets does not name"),
        ("ILSVRC2012_val_00000001.JPEG 0\n", "does not say which class it is"),
        ("ILSVRC2012_val_00000001.JPEG 0\n" * 2, "twice"),
        ("".join(f"ILSVRC2012_val_{n:08d}.JPEG 0\n" for n in range(1, 5)), "which is not in"),
        ("".join(f"ILSVRC2012_val_{n:08d}.JPEG 9\n" for n in range(1, 4)), "is of class 9, but there are 0..2"),
        ("ILSVRC2012_val_00000001.JPEG cat\nb c\nc d\n", "expected an image and its class"),
    ],
)
def test_wrong_lists_say_which_entry(text: str, message: str, tmp_path: Path) -> None:
    folder = flat(tmp_path)
    (tmp_path / "synset_words.txt").write_text(SYNSETS)
    (folder / "val.txt").write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(folder)
    assert str(folder) in str(caught.value)


def test_numbers_and_synsets_are_not_mixed(tmp_path: Path) -> None:
    folder = flat(tmp_path, 2)
    listed = folder / "val.txt"
    listed.write_text("ILSVRC2012_val_00000001.JPEG 0\nILSVRC2012_val_00000002.JPEG n01440764\n")
    with pytest.raises(DatasetError, match="use one way"):
        opened(folder)
    listed.write_text("ILSVRC2012_val_00000001.JPEG 0\nILSVRC2012_val_00000002.JPEG 99999999999\n")
    with pytest.raises(DatasetError, match="expected an image and its class"):
        opened(folder)


def test_no_list_no_images_and_empty_classes_are_said(tmp_path: Path) -> None:
    folder = flat(tmp_path)
    with pytest.raises(DatasetError, match="need a list of their classes"):
        opened(folder)
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"cat: no images found"):
        opened(tmp_path / "empty")
    (folder / "synset_words.txt").write_text("tench\n")
    with pytest.raises(DatasetError, match="line 1 is 'tench'; expected a new synset"):
        opened(folder)
