from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import Config, load_config
from edge.errors import UsageError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_read_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'board = "linux"\n[controller]\nmax_temperature_c = 60.5\n'))
    assert config.board == "linux"
    assert config.controller.max_temperature_c == 60.5
    assert config.controller.limits().max_temperature_c == 60.5
    assert config.journal.commit_interval_s == Config().journal.commit_interval_s == 120.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[controller]\nmax_temprature_c = 60\n",
            "unknown key 'controller.max_temprature_c'; did you mean 'max_temperature_c'?",
        ),
        ("borad = 'linux'\n", "unknown key 'borad'; did you mean 'board'?"),
        ("zzz = 1\n", "known here: bundle, camera"),
        ("[engine]\nthreads = -1\n", "engine.threads: Input should be greater than or equal to 0"),
        ("[controller]\nbattery_critical = 0.9\n", "battery_critical must not be above battery_saving_from"),
        ("[controller\n", "not valid TOML"),
        ("[controller]\nallow_lower_fps = true\n", "allow_lower_fps needs min_fps"),
        ("[controller]\nallow_lower_fps = true\nmin_fps = 0.25\n", "leaves the camera alone for 4 s"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config(write(tmp_path, text))
    assert message in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(broken)


def test_every_field_has_a_description() -> None:
    def walk(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            nested = field.annotation
            if isinstance(nested, type) and hasattr(nested, "model_fields"):
                walk(nested)
            else:
                assert field.description, name

    walk(Config)


def test_fewer_frames_and_reuse_are_by_choice(tmp_path: Path) -> None:
    assert not Config().controller.goals().allow_lower_fps
    assert not Config().inference.skip_unchanged
    text = '[controller]\nmin_fps = 2\nallow_lower_fps = true\npriorities = ["temperature", "accuracy", "rate"]\n'
    goals = load_config(write(tmp_path, text)).controller.goals()
    assert (goals.min_fps, goals.allow_lower_fps) == (2.0, True)
    assert goals.priorities == ("temperature", "accuracy", "rate")
