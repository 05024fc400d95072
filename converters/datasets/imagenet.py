"""ImageNet-style folders: one folder a class, or one flat folder of images with a list of their classes.

Folders named by synset (n01440764) get their readable names from `synset_words.txt` or `LOC_synset_mapping.txt`; with
either, classes are numbered in the file's order, which is that of the synsets. A flat folder needs one of the lists in
`_LISTS`, beside the images or one folder above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from converters.datasets.contract import ClassificationDataset, Labelled
from converters.datasets.error import DatasetError
from converters.datasets.files import images_in, read_text

_SYNSET = re.compile(r"n[0-9]{8}")
_NUMBER = re.compile(r"[0-9]{1,6}")
_NAMES = ("synset_words.txt", "LOC_synset_mapping.txt")
_LISTS = ("val.txt", "LOC_val_solution.csv", "imagenet_2012_validation_synset_labels.txt", "synset_labels.txt")


def open_imagenet(spec: str, folder: Path) -> ClassificationDataset:
    """Classes are the subfolders of `folder` in order of their names, or what its list names. Raises DatasetError."""
    names = _synset_names(folder)
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if below:
        return _by_folder(spec, below, names)
    return _by_list(spec, folder, names)


def _by_folder(spec: str, folders: Sequence[Path], names: dict[str, str] | None) -> ClassificationDataset:
    numbers = {key: number for number, key in enumerate(names)} if names else {f.name: i for i, f in enumerate(folders)}
    items = []
    for folder in folders:
        if folder.name not in numbers:
            raise DatasetError(f"{folder}: the list of synsets does not name {folder.name!r}")
        items += [Labelled(image, numbers[folder.name]) for image in images_in(folder)]
    return ClassificationDataset(spec, tuple(names.values() if names else numbers), tuple(items))


def _by_list(spec: str, folder: Path, names: dict[str, str] | None) -> ClassificationDataset:
    images, file = images_in(folder), _beside(folder, _LISTS)
    if file is None:
        raise DatasetError(
            f"dataset {spec!r}: {folder} holds no class folders, so its images need a list of their classes; "
            f"put one of these there or one folder above: {', '.join(_LISTS)}"
        )
    listed = dict(_entries(file, images))
    for image in images:
        if image.stem not in listed:
            raise DatasetError(f"{image}: {file} does not say which class it is")
    keys = tuple(names) if names else _keys_of(file, listed.values())
    numbers = {key: number for number, key in enumerate(keys)}
    present = {image.stem for image in images}
    for stem, key in listed.items():
        if stem not in present:
            raise DatasetError(f"{file}: lists {stem}, which is not in {folder}")
        if not _NUMBER.fullmatch(key) and key not in numbers:
            raise DatasetError(f"{file}: {stem} is of {key!r}, which the list of synsets does not name")
        if _NUMBER.fullmatch(key) and int(key) >= len(keys):
            raise DatasetError(f"{file}: {stem} is of class {key}, but there are 0..{len(keys) - 1}")
    labels = [listed[image.stem] for image in images]
    items = tuple(
        Labelled(image, int(key) if _NUMBER.fullmatch(key) else numbers[key])
        for image, key in zip(images, labels, strict=True)
    )
    return ClassificationDataset(spec, tuple(names.values() if names else keys), items)


def _keys_of(file: Path, listed: Iterable[str]) -> tuple[str, ...]:
    """The classes of a list that nothing else names: its synsets in order, or numbers up to the highest."""
    keys = set(listed)
    if all(_NUMBER.fullmatch(key) for key in keys):
        highest = max(map(int, keys))
        return tuple(str(number) for number in range(highest + 1))
    if any(_NUMBER.fullmatch(key) for key in keys):
        raise DatasetError(f"{file}: names some classes by number and others by synset; use one way")
    return tuple(sorted(keys))


def _entries(file: Path, images: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Stem and class (a number or a synset) of each image."""
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    if file.suffix == ".csv":
        lines = [line.replace(",", " ") for line in lines[1:]]  # ImageId,PredictionString: synset and boxes
    words = [line.split() for line in lines]
    if words and all(len(parts) == 1 for parts in words):
        if len(words) != len(images):
            raise DatasetError(f"{file}: has {len(words)} lines for {len(images)} images; expected one for each")
        yield from ((image.stem, parts[0]) for image, parts in zip(images, words, strict=True))
        return
    seen: set[str] = set()
    for number, parts in enumerate(words, start=1):
        if len(parts) < 2 or not (_NUMBER.fullmatch(parts[1]) or _SYNSET.fullmatch(parts[1])):
            raise DatasetError(f"{file}: entry {number} is {' '.join(parts)!r}; expected an image and its class")
        stem = Path(parts[0]).stem
        if stem in seen:
            raise DatasetError(f"{file}: lists {stem} twice")
        seen.add(stem)
        yield stem, parts[1]


def _synset_names(folder: Path) -> dict[str, str] | None:
    """Readable names by synset, in the file's order; None when no file gives them."""
    file = _beside(folder, _NAMES)
    if file is None:
        return None
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        synset, _, name = line.strip().partition(" ")
        if not _SYNSET.fullmatch(synset) or not name.strip() or synset in names:
            raise DatasetError(f"{file}: line {number} is {line.strip()!r}; expected a new synset and its name")
        names[synset] = name.strip()
    if not names:
        raise DatasetError(f"{file}: names no synsets")
    return names


def _beside(folder: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        for place in (folder, folder.parent):
            if (place / name).is_file():
                return place / name
    return None
