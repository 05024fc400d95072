from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np
import pytest

from edge.engines.contract import EngineBroken, EngineMissing, ModelRefused
from edge.engines.litert import LIBRARIES, LiteRtEngine, open_litert
from tests.edge.engines.models import CUSTOM, INT8, MODELS, PLAIN, TWO, WHY_NO_MODELS, pixels


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _works(name: str) -> bool:
    return _installed(name) and not (name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2)


BROKEN_PAIR = _installed("tflite-runtime") and not _works("tflite-runtime")


@pytest.fixture(params=[name for name in LIBRARIES if _works(name)])
def engine(request: pytest.FixtureRequest) -> LiteRtEngine:
    return open_litert(request.param)


def test_auto_takes_the_first_that_is_installed() -> None:
    first = next((name for name in LIBRARIES if _installed(name)), None)
    if first is None:
        pytest.skip("no inference library is installed")
    found = open_litert("auto")
    assert found.name == first
    assert found.version == importlib.metadata.version(first)


@pytest.mark.parametrize("signature", ["full", "half"])
def test_signature_gives_what_the_library_s_own_runner_gives(engine: LiteRtEngine, signature: str) -> None:
    session = engine.load(TWO, ["full", "half"], 1)
    result = np.empty((1, 4, 6, 5), np.float32)
    session.run(signature, pixels(), result)
    interpreter = engine.interpreter(model_path=str(TWO))
    interpreter.allocate_tensors()
    expected = interpreter.get_signature_runner(signature)(image=pixels())["logits"]
    np.testing.assert_array_equal(result, expected)
    assert np.std(result) > 0.1


def test_signatures_differ_and_do_not_disturb_each_other(engine: LiteRtEngine) -> None:
    session = engine.load(TWO, ["full", "half"], 1)
    full, half, again = (np.empty((1, 4, 6, 5), np.float32) for _ in range(3))
    session.run("full", pixels(1), full)
    session.run("half", pixels(2), half)
    session.run("full", pixels(1), again)
    np.testing.assert_array_equal(full, again)
    assert np.abs(full - half).max() > 0.1


def test_plain_file_is_the_full_path(engine: LiteRtEngine) -> None:
    result, expected = (np.empty((1, 4, 6, 5), np.float32) for _ in range(2))
    engine.load(PLAIN, [None], 1).run(None, pixels(), result)
    engine.load(TWO, ["full"], 1).run("full", pixels(), expected)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_quantized_specs(engine: LiteRtEngine) -> None:
    session = engine.load(INT8, [None], 1)
    (given,), (result,) = session.inputs(None), session.outputs(None)
    assert (given.shape, given.dtype, given.quantum, given.zero_point) == ((1, 16, 24, 3), "uint8", 1.0, 0)
    assert (result.shape, result.dtype, result.zero_point) == ((1, 4, 6, 5), "uint8", 154)
    assert result.quantum == pytest.approx(0.10168445)
    assert result.nbytes == 120


def test_times_are_in_order(engine: LiteRtEngine) -> None:
    session = engine.load(PLAIN, [None], 1)
    times = session.run(None, pixels(), np.empty((1, 4, 6, 5), np.float32))
    assert times.start_ns <= times.copied_in_ns <= times.invoked_ns <= times.end_ns


def test_several_threads_give_the_same(engine: LiteRtEngine) -> None:
    one, three = (np.empty((1, 4, 6, 5), np.float32) for _ in range(2))
    engine.load(PLAIN, [None], 1).run(None, pixels(), one)
    engine.load(PLAIN, [None], 3).run(None, pixels(), three)
    np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-5)


def test_unknown_operation_is_named(engine: LiteRtEngine) -> None:
    with pytest.raises(ModelRefused, match=r"tiny_custom.tflite: needs Betainc, which .* does not have"):
        engine.load(CUSTOM, [None], 1)


@pytest.mark.skipif(not MODELS.is_dir(), reason=WHY_NO_MODELS)
@pytest.mark.skipif(not _works("tflite-runtime"), reason="needs a working tflite-runtime (numpy 1)")
def test_an_operation_of_real_models_that_one_library_lacks() -> None:
    with pytest.raises(ModelRefused, match="needs Convolution2DTransposeBias, which tflite-runtime"):
        open_litert("tflite-runtime").load(MODELS / "selfie_segmentation.tflite", [None], 1)


@pytest.mark.parametrize(
    ("given", "result", "index", "words"),
    [
        (pixels()[:, :8], np.empty((1, 4, 6, 5), np.float32), 0, "input is 1x16x24x3 float32, not 1x8x24x3 float32"),
        (pixels(dtype="uint8"), np.empty((1, 4, 6, 5), np.float32), 0, "input is .* not 1x16x24x3 uint8"),
        (pixels(), np.empty((1, 4, 6, 4), np.float32), 0, "output is 1x4x6x5 float32, not 1x4x6x4 float32"),
        (pixels(), np.empty((1, 4, 6, 5), np.int64), 0, "output is .* not 1x4x6x5 int64"),
        (pixels(), np.empty((1, 4, 6, 5), np.float32), 1, "has 1 outputs, number 1 was asked for"),
    ],
)
def test_wrong_tensors_are_refused(engine: LiteRtEngine, given: Any, result: Any, index: int, words: str) -> None:
    session = engine.load(PLAIN, [None], 1)
    with pytest.raises(ModelRefused, match=words):
        session.run(None, given, result, index)


def test_unknown_signature_lists_the_known(engine: LiteRtEngine) -> None:
    with pytest.raises(ModelRefused, match="has no signature 'quarter'; it has: full, half"):
        engine.load(TWO, ["quarter"], 1)


@pytest.mark.parametrize("content", [b"", b"abc", b"\0\0\0\0TFL3" + bytes(40)])
def test_what_is_no_model_is_refused(engine: LiteRtEngine, tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "junk.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=r"junk\.tflite: .* cannot load it"):
        engine.load(path, [None], 1)


def test_missing_file(engine: LiteRtEngine, tmp_path: Any) -> None:
    with pytest.raises(ModelRefused, match="no such file"):
        engine.load(tmp_path / "none.tflite", [None], 1)


def test_library_that_is_not_installed_says_how_to_get_one() -> None:
    absent = next((name for name in LIBRARIES if not _installed(name)), None)
    if absent is None:
        pytest.skip("both libraries are installed")
    with pytest.raises(EngineMissing, match=f"{absent} not installed here; install one with: pip install"):
        open_litert(absent)


def test_unknown_library() -> None:
    with pytest.raises(EngineMissing, match="'onnx' is not known; use auto, ai-edge-litert or tflite-runtime"):
        open_litert("onnx")


@pytest.mark.skipif(not BROKEN_PAIR, reason="needs tflite-runtime beside numpy 2")
@pytest.mark.filterwarnings("ignore")
def test_broken_pair_is_named_where_it_is_installed() -> None:
    with pytest.raises(EngineBroken, match=r"tflite-runtime .* cannot work with numpy 2.*pip install 'numpy<2'"):
        open_litert("tflite-runtime").load(PLAIN, [None], 1)


def test_broken_pair_is_recognised_by_what_it_raises() -> None:
    def interpreter(**options: Any) -> None:
        # What tflite-runtime 2.14 does with numpy 2, seen in the test above.
        try:
            raise AttributeError("_ARRAY_API not found")
        except AttributeError:
            raise SystemError(
                "<built-in method CreateWrapperFromFile> returned a result with an exception set"
            ) from None

    with pytest.raises(EngineBroken, match="built for numpy 1"):
        LiteRtEngine("tflite-runtime", "2.14.0", interpreter).load(PLAIN, [None], 1)


def test_outdated_library_names_operation_and_version() -> None:
    def interpreter(**options: Any) -> None:
        raise ValueError("Didn't find op for builtin opcode 'GATHER_ND' version '5'. An older version of this builtin")

    with pytest.raises(ModelRefused, match=r"needs GATHER_ND version 5, which tflite-runtime 2\.14\.0 does not have"):
        LiteRtEngine("tflite-runtime", "2.14.0", interpreter).load(PLAIN, [None], 1)
