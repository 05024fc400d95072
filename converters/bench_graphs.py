"""Graph files of a SegFormer with random weights for `joulepath bench model`, made once and kept in a work folder.

Run as a process of its own for each file (``python -m converters.bench_graphs``): TensorFlow and PyTorch in one
process disturb each other, and neither must stay in the memory of the process that measures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.families.segformer import SegformerConfig, build, folded, network, random_weights
from converters.families.segformer.graph import INPUT
from converters.families.segformer.weights import IMAGENET_MEAN, IMAGENET_STD, SegformerWeights
from edge.bench.child import environment
from edge.bench.machine import installed_version

SEED = 20261120
CALIBRATION_IMAGES = 4
# What decides the content of a file: when any of these changes, files are made anew.
_SOURCES = (
    "fold.py", "flatbuffer.py", "layers.py", "litert.py", "quantize.py", "train/network.py", "bench_graphs.py",
    "bench_torch.py",
)  # fmt: skip
_FOLDERS = ("ops", "families/segformer")
_TOOLS = ("tensorflow-cpu", "tensorflow", "ai-edge-quantizer", "torch", "transformers", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True)
class Network:
    """One SegFormer to measure; `config` names a size that `SegformerConfig` knows, or ``tiny`` for tests."""

    config: str
    height: int
    width: int
    classes: int

    @property
    def name(self) -> str:
        """As it is called in file names."""
        return f"{self.config}-{self.height}x{self.width}-{self.classes}"

    def weights(self) -> SegformerWeights:
        """Random weights, the same each time."""
        return random_weights(_config(self.config, self.classes), SEED)

    def image(self, number: int = 0) -> npt.NDArray[np.uint8]:
        """One picture of the synthetic street, HxWx3 uint8 BGR: real activations, not noise."""
        from edge.cameras.synthetic import SyntheticStreet

        return SyntheticStreet(self.height, self.width, SEED).render(4.0 * number)[0]


def _config(name: str, classes: int) -> SegformerConfig:
    if name == "tiny":
        labels = tuple(f"class {i}" for i in range(classes))
        return SegformerConfig(depths=(1, 1, 1, 1), hidden_sizes=(8, 16, 40, 64), decoder_width=32, labels=labels)
    return {"b0": SegformerConfig.b0, "b2": SegformerConfig.b2}[name](classes)


def raw_input(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What our graphs take: 1xHxWx3 float32 BGR in 0..255."""
    return image[None].astype(np.float32)


def published_input(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What published graphs take: 1x3xHxW float32 RGB with the ImageNet mean and deviation."""
    rgb = image[..., ::-1].astype(np.float32) / 255
    value = (rgb - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(value.transpose(2, 0, 1)[None])


# -- making one file ------------------------------------------------------------------------------------------


def _make_checkpoint(wanted: Network, folder: Path, out: Path) -> None:
    from safetensors.numpy import save_file

    weights = wanted.weights()
    out.mkdir(parents=True)
    body = weights.config.as_json() | {"architectures": ["SegformerForSemanticSegmentation"]}
    (out / "config.json").write_text(json.dumps(body))
    save_file({name: np.ascontiguousarray(value) for name, value in weights.tensors.items()}, out / "model.safetensors")


def make_tflite(wanted: Network, out: Path, *, fold: bool) -> None:
    from converters.litert import to_litert

    weights = wanted.weights()
    published = network(weights, weights.space.full())
    tree = folded(published) if fold else published
    size = (wanted.height, wanted.width)
    made = to_litert({"full": lambda ops: build(ops, tree, size)}, {INPUT: (1, *size, 3)})
    out.write_bytes(made.content)


def _make_int8(wanted: Network, folder: Path, out: Path) -> None:
    from converters.quantize import to_int8

    images = [wanted.image(number) for number in range(CALIBRATION_IMAGES)]
    out.write_bytes(to_int8((folder / f"{wanted.name}-folded.tflite").read_bytes(), images).content)


def _make_onnx(wanted: Network, folder: Path, out: Path, form: str) -> None:
    from converters.bench_torch import export_onnx

    export_onnx(folder / f"{wanted.name}-hf", form, (wanted.height, wanted.width), out)


_MAKERS: dict[str, Callable[[Network, Path, Path], None]] = {
    "-hf": _make_checkpoint,
    "-stock.tflite": lambda wanted, folder, out: make_tflite(wanted, out, fold=False),
    "-folded.tflite": lambda wanted, folder, out: make_tflite(wanted, out, fold=True),
    "-int8.tflite": _make_int8,
    "-stock.onnx": lambda wanted, folder, out: _make_onnx(wanted, folder, out, "stock"),
    "-folded.onnx": lambda wanted, folder, out: _make_onnx(wanted, folder, out, "folded"),
}
_NEEDS = {"-int8.tflite": "-folded.tflite", "-stock.onnx": "-hf", "-folded.onnx": "-hf"}


# -- keeping them ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """Where a file lies, or why there is none."""

    path: Path | None
    reason: str = ""


KINDS = tuple(_MAKERS)


def make_files(
    wanted: Network, work: Path, kinds: Collection[str] = KINDS, say: Callable[[str], None] = lambda _: None
) -> Mapping[str, Made]:
    """Files of one network by their kind (the suffix of their name), with those that they are made from.

    Those that are kept from before are not made again. One that cannot be made says why.
    """
    folder = work / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Made] = {}
    needs = {_NEEDS[kind] for kind in kinds if kind in _NEEDS}
    for kind in (kind for kind in KINDS if kind in kinds or kind in needs):
        needed = made.get(_NEEDS.get(kind, ""))
        if needed is not None and needed.path is None:
            made[kind] = Made(None, needed.reason)
            continue
        out = folder / f"{wanted.name}{kind}"
        if not out.exists():
            say(f"making {out.name}")
        made[kind] = Made(out) if out.exists() else _in_a_process(wanted, kind, folder, out)
    return made


def fingerprint() -> str:
    """A name for everything that the files' content depends on besides the network: our sources, the tools."""
    here = Path(__file__).parent
    files = [here / name for name in _SOURCES] + [f for name in _FOLDERS for f in sorted((here / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    digest.update(json.dumps({tool: installed_version(tool) for tool in _TOOLS}).encode())
    return digest.hexdigest()[:12]


def _in_a_process(wanted: Network, kind: str, folder: Path, out: Path) -> Made:
    plan = [wanted.config, str(wanted.height), str(wanted.width), str(wanted.classes), kind, str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "converters.bench_graphs", *plan],
        capture_output=True,
        text=True,
        env=environment(),
    )
    if done.returncode == 0:
        return Made(out)
    return Made(None, _reason(done.stderr))


def _reason(stderr: str) -> str:
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    if last.startswith("ModuleNotFoundError: No module named "):
        return f"{last.split()[-1].strip(chr(39)).split('.')[0]} is not installed"
    return last[:160]


def main(arguments: list[str]) -> None:
    """Make one file: config, height, width, classes, kind, folder."""
    config, height, width, classes, kind, folder = arguments
    wanted = Network(config, int(height), int(width), int(classes))
    out = Path(folder) / f"{wanted.name}{kind}"
    # Made beside and renamed: a file that is there is whole.
    draft = out.with_name(f".{out.name}")
    _clear(draft)
    _MAKERS[kind](wanted, Path(folder), draft)
    draft.rename(out)


def _clear(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft)
    draft.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
