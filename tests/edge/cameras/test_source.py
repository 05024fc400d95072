from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.frame import SourceSyntaxError
from edge.cameras.source import SourceSpec, parse_source
from edge.errors import UsageError


def test_synthetic_forms() -> None:
    plain = parse_source("synthetic")
    assert (plain.kind, plain.height, plain.width, plain.fps, plain.seed) == ("synthetic", 360, 480, 15.0, 0)
    assert plain.live
    full = parse_source("synthetic:540x960@30,seed=7")
    assert (full.height, full.width, full.fps, full.seed) == (540, 960, 30.0, 7)
    assert not parse_source("synthetic@0").live
    assert parse_source("synthetic,seed=3").seed == 3


@pytest.mark.parametrize("text", ["0", "/dev/video0"])
def test_device_forms(text: str) -> None:
    spec = parse_source(text)
    assert (spec.kind, spec.path, spec.fourcc, spec.live) == ("v4l2", "/dev/video0", "YUYV", True)
    spec = parse_source(text + ":480x640@30,mjpg")
    assert (spec.height, spec.width, spec.fps, spec.fourcc) == (480, 640, 30.0, "MJPG")


BY_PATH = "/dev/v4l/by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.4:1.0-video-index0"


def test_a_device_by_its_lasting_name_need_not_be_plugged_in() -> None:
    spec = parse_source(BY_PATH)
    assert (spec.kind, spec.path, spec.text, spec.height, spec.fourcc) == ("v4l2", BY_PATH, BY_PATH, None, "YUYV")
    text = f"{BY_PATH}:480x640@30,MJPG"
    spec = parse_source(text)
    assert (spec.path, spec.text) == (BY_PATH, text)
    assert (spec.height, spec.width, spec.fps, spec.fourcc) == (480, 640, 30.0, "MJPG")
    with pytest.raises(SourceSyntaxError, match="unknown option 'seed'"):
        parse_source(f"{BY_PATH},seed=1")


def test_file_and_folder_forms(tmp_path: Path) -> None:
    clip, images = tmp_path / "a.mp4", tmp_path / "val"
    clip.touch()
    images.mkdir()
    assert (parse_source(str(clip)).kind, parse_source(str(clip)).live) == ("video", False)
    assert parse_source(f"{clip}@12.5").fps == 12.5
    assert parse_source(f"{clip}@realtime").live
    assert not parse_source(f"{clip}@0").live
    assert parse_source(str(images)).masks is None
    (tmp_path / "valannot").mkdir()
    spec = parse_source(f"{images}/@15")
    assert (spec.kind, spec.fps, spec.masks, spec.void) == ("folder", 15.0, str(tmp_path / "valannot"), 11)
    assert parse_source(f"{images},masks=none").masks is None
    other = parse_source(f"{images},masks={tmp_path},void=0")
    assert (other.masks, other.void) == (str(tmp_path), 0)
    assert parse_source(f"{images},masks={tmp_path}").void is None


def test_a_path_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    odd = tmp_path / "a@30,x=1.avi"
    odd.touch()
    assert parse_source(str(odd)).path == str(odd)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no camera named"),
        ("nowhere.mp4", "no such file, directory or device: 'nowhere.mp4'"),
        ("nowhere.mp4@15", "no such file"),
        ("synthetic:480", "not a size"),
        ("synthetic:8x480", "outside 16..8192"),
        ("synthetic@fast", "not a rate"),
        ("synthetic@nan", "outside 0.01..1000"),
        ("synthetic@-1", "outside 0.01..1000"),
        ("synthetic,seed=x", "expected a whole number"),
        ("synthetic,sead=1", "unknown option 'sead'"),
        ("synthetic,seed=1,seed=2", "given twice"),
        ("/dev/video0@0", "outside 0.01..1000"),
        ("0,YUYV,MJPG", "one pixel format, not 2"),
        ("0,seed=1", "unknown option 'seed'"),
        ("a\0b", "NUL"),
    ],
)
def test_mistakes_are_named(text: str, why: str) -> None:
    with pytest.raises(SourceSyntaxError, match=why.replace("(", r"\(")) as caught:
        parse_source(text)
    assert isinstance(caught.value, UsageError)


def test_a_mistake_lists_the_forms(tmp_path: Path) -> None:
    with pytest.raises(SourceSyntaxError, match=r"use one of: synthetic\[:HxW\]"):
        parse_source(f"{tmp_path}@realtime")


@given(st.integers(16, 8192), st.integers(16, 8192), st.integers(1, 1000), st.integers(0, 2**63 - 1), st.booleans())
def test_every_synthetic_text_is_read_back(height: int, width: int, fps: int, seed: int, paced: bool) -> None:
    rate = fps if paced else 0
    spec = parse_source(f"synthetic:{height}x{width}@{rate},seed={seed}")
    assert (spec.height, spec.width, spec.fps, spec.seed, spec.live) == (height, width, rate, seed, paced)
    assert SourceSpec.from_json(spec.to_json()) == spec


@given(st.text(max_size=60) | st.from_regex(r"(synthetic|[0-9]+|/dev/video[0-9]+|/)[:@,=x0-9a-z.]*", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        spec = parse_source(text)
    except SourceSyntaxError:  # any other exception fails the test
        return
    assert SourceSpec.from_json(spec.to_json()) == spec
