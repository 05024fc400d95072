"""Opening a bundle: schema, file hashes, sizes and containment are checked before anything is run.

The golden pair is checked where the variant is loaded (`edge.engines`), since that needs an engine.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from edge.bundle.manifest import GOLDEN_NAME, MANIFEST_NAME, Manifest, Variant
from edge.errors import JoulepathError


class BundleError(JoulepathError):
    """A bundle that may not be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Golden:
    """A small raw image and the outputs that each variant must give for it.

    `image` is HxWx3 uint8 BGR of any size; it is prepared for a variant as any frame is.
    """

    image: npt.NDArray[np.uint8]
    outputs: dict[str, npt.NDArray[np.generic]]  # by variant id


@dataclass(frozen=True)
class Bundle:
    """A checked bundle on disk."""

    root: Path
    manifest: Manifest
    golden: Golden | None
    digest: str  # sha256 of manifest.json: what the journal calls this bundle

    def file(self, variant: Variant) -> Path:
        """The variant's file, inside the bundle."""
        return self.root / variant.file


def load_bundle(root: Path, *, verify: bool = True) -> Bundle:
    """Open the bundle in `root`.

    With `verify` each file's size and sha256 are compared with the manifest. Raises BundleError.
    """
    manifest_path = root / MANIFEST_NAME
    if not root.is_dir():
        raise BundleError(f"{root}: no such bundle directory; a bundle is a folder that holds {MANIFEST_NAME}")
    try:
        raw = manifest_path.read_bytes()
        manifest = Manifest.model_validate(json.loads(raw))
    except OSError as error:
        raise BundleError(f"{manifest_path}: cannot be read ({error.strerror}); is {root} a bundle?") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{manifest_path}: not valid JSON ({error}); copy the bundle again") from error
    except ValidationError as error:
        raise BundleError(f"{manifest_path}: {_first_problem(error)}") from error
    checked: dict[str, tuple[int, str]] = {}
    for variant in manifest.variants:
        _check_file(root, variant, checked, verify)
    return Bundle(root, manifest, _read_golden(root / GOLDEN_NAME), hashlib.sha256(raw).hexdigest())


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "manifest"
    more = error.error_count() - 1
    return f"{where}: {problem['msg']}" + (f" (and {more} more problems)" if more else "")


def _check_file(root: Path, variant: Variant, checked: dict[str, tuple[int, str]], verify: bool) -> None:
    path = root / variant.file
    # A symbolic link may point anywhere, whatever the name in the manifest says.
    if not path.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"{path}: leaves the bundle through a link; put the file itself into the bundle")
    if not path.is_file():
        raise BundleError(f"{path}: missing; variant {variant.id!r} needs it. Copy the bundle again")
    if variant.file not in checked:
        digest = _sha256(path) if verify else variant.sha256
        checked[variant.file] = (path.stat().st_size, digest)
    size, digest = checked[variant.file]
    if size != variant.bytes:
        raise BundleError(
            f"{path}: has {size} bytes, the manifest says {variant.bytes}; the copy is incomplete, copy it again"
        )
    if digest != variant.sha256:
        raise BundleError(f"{path}: its sha256 is not the manifest's; the file is damaged, copy the bundle again")


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        digest = hashlib.sha256()
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _read_golden(path: Path) -> Golden | None:
    if not path.is_file():
        return None
    try:
        # Opened here: numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            outputs = {k.removeprefix("output/"): archive[k] for k in archive.files if k.startswith("output/")}
            image = archive["image"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise BundleError(f"{path}: not a golden file ({error}); copy the bundle again") from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BundleError(f"{path}: golden image must be HxWx3 uint8, it is {image.shape} {image.dtype}")
    return Golden(image, outputs)


def write_golden(path: Path, image: npt.NDArray[np.uint8], outputs: dict[str, npt.NDArray[np.generic]]) -> None:
    """Write the golden file: the raw image (HxWx3 uint8 BGR) and the expected output of each variant by id."""
    arrays: dict[str, npt.NDArray[np.generic]] = {"image": image}
    arrays |= {f"output/{key}": value for key, value in outputs.items()}
    # numpy reads this archive as its own; LZMA makes it a third smaller than numpy's writer would.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")  # without a time: the same arrays make the same file
            info.compress_type = zipfile.ZIP_LZMA
            with archive.open(info, "w") as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
