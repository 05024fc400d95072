"""From a word on the command line to a board: `auto`, `linux:total=VDD_IN`, `simulated:preset=demo,seed=3`."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boards.board import Board
from boards.calibrated import with_calibration, with_default_calibration
from boards.jetson import is_jetson, open_jetson
from boards.linux import open_linux
from boards.raspberry_pi import is_raspberry_pi, open_raspberry_pi
from boards.replay import ReadsRecording, open_replay
from boards.roots import Roots
from boards.sensor import BoardError
from boards.simulated import PRESETS, Settings, SimulatedBoard, power_table
from boards.supply_options import SUPPLY_OPTIONS, supply_options
from boards.sysfs import Clock


@dataclass(frozen=True)
class _Place:
    """What a board is opened with besides its own options."""

    roots: Roots
    clock: Clock
    relative_cost: Mapping[str, float] = field(default_factory=dict)
    recordings: tuple[ReadsRecording, ...] = ()


def open_board(
    spec: str = "auto",
    *,
    roots: Roots | None = None,
    clock: Clock = time.monotonic_ns,
    relative_cost: Mapping[str, float] | None = None,
    recordings: tuple[ReadsRecording, ...] = (),
) -> Board:
    """The board that `spec` names: a kind, and after a colon its options as key=value, separated by commas.

    `auto` looks which board this is. `relative_cost` by variant id (MACs, say) gives the simulated board a power for
    each variant; real boards need none. `recordings` are further readers for the replay board (journals). A real board
    takes the option calibration=FILE (or no); without it, the calibration under /etc is used where it fits the board.
    Raises BoardError, listing what is known, for an unknown kind, option or value.
    """
    kind, _, rest = spec.partition(":")
    place = _Place(roots or Roots(), clock, relative_cost or {}, recordings)
    if kind == "auto":
        kind = board_kind(place.roots)
    maker = _KINDS.get(kind)
    if maker is None:
        raise BoardError(f"unknown board {kind!r}{_nearest(kind, _KINDS)}; known: auto, {', '.join(_KINDS)}")
    options = _options(spec, rest)
    if kind not in _REAL:
        return maker(options, place)
    calibration = options.pop("calibration", None)
    board = maker(options, place)
    if calibration == "no":
        return board
    if calibration is not None:
        return with_calibration(board, Path(calibration), clock)
    return with_default_calibration(board, place.roots, clock)


def board_kind(roots: Roots) -> str:
    """Which kind of board this machine is: `jetson`, `raspberry-pi`, or `linux` for any other."""
    if is_jetson(roots):
        return "jetson"
    return "raspberry-pi" if is_raspberry_pi(roots) else "linux"


def _linux(options: dict[str, str], place: _Place) -> Board:
    _refuse_unknown("linux", options, ("total", *SUPPLY_OPTIONS))
    supplies = supply_options("linux", options)
    return open_linux(place.roots, clock=place.clock, total=options.get("total"), supplies=supplies)


def _jetson(options: dict[str, str], place: _Place) -> Board:
    _refuse_unknown("jetson", options, ("total", "jtop", *SUPPLY_OPTIONS))
    supplies = supply_options("jetson", options)
    jtop = _yes_or_no("jetson", "jtop", options["jtop"]) if "jtop" in options else None
    return open_jetson(place.roots, clock=place.clock, total=options.get("total"), jtop=jtop, supplies=supplies)


def _raspberry_pi(options: dict[str, str], place: _Place) -> Board:
    _refuse_unknown("raspberry-pi", options, ("total", *SUPPLY_OPTIONS))
    supplies = supply_options("raspberry-pi", options)
    return open_raspberry_pi(place.roots, clock=place.clock, total=options.get("total"), supplies=supplies)


def _replay(options: dict[str, str], place: _Place) -> Board:
    _refuse_unknown("replay", options, ("file", "speed", "loop", "total", "interval", "cells", "run"))
    if "file" not in options:
        raise BoardError("board 'replay' needs file=PATH: a journal, spl.txt of MLPerf, tegrastats output, or a CSV")
    return open_replay(
        Path(options["file"]),
        clock=place.clock,
        speed=float(_value("replay", "speed", options.get("speed", "1"))),
        loop=_yes_or_no("replay", "loop", options.get("loop", "no")),
        total=options.get("total"),
        interval_s=float(_value("replay", "interval", options["interval"])) if "interval" in options else None,
        cells=int(_value("replay", "cells", options["cells"])) if "cells" in options else None,
        options={"run": options["run"]} if "run" in options else {},
        readers=place.recordings,
    )


def _simulated(options: dict[str, str], place: _Place) -> Board:
    _refuse_unknown("simulated", options, ("preset", "ambient_c", *_PLAIN_FIELDS))
    name = options.pop("preset", "plain")
    preset = PRESETS.get(name)
    if preset is None:
        raise BoardError(
            f"unknown preset {name!r} of the simulated board{_nearest(name, PRESETS)}; known: {', '.join(PRESETS)}"
        )
    changes: dict[str, Any] = {key: _value("simulated", key, text) for key, text in options.items()}
    if "ambient_c" in changes:
        changes["ambient"] = ((0.0, changes.pop("ambient_c")),)
    settings = replace(preset, **changes)
    table = power_table(place.relative_cost, settings.idle_w, settings.busy_w)
    return SimulatedBoard(replace(settings, power_table=table), clock=place.clock)


_Maker = Callable[[dict[str, str], _Place], Board]
_KINDS: dict[str, _Maker] = {
    "jetson": _jetson,
    "raspberry-pi": _raspberry_pi,
    "linux": _linux,
    "simulated": _simulated,
    "replay": _replay,
}
_WHOLE = ("seed", "cells")  # options that are counts
_REAL = ("jetson", "raspberry-pi", "linux")  # boards that a calibration may be of
# Fields of the simulated board that one number (or yes/no) sets.
_PLAIN_FIELDS = tuple(name for name in Settings.__dataclass_fields__ if name not in {"power_table", "ambient"})


def _options(spec: str, rest: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise BoardError(f"board {spec!r}: {part!r} is no option; write key=value, separated by commas")
        if key in options:
            raise BoardError(f"board {spec!r}: {key} is given twice")
        options[key] = value
    return options


def _refuse_unknown(kind: str, options: dict[str, str], known: tuple[str, ...]) -> None:
    if kind in _REAL:
        known = (*known, "calibration")
    for key in options:
        if key not in known:
            raise BoardError(f"board {kind!r} has no option {key!r}{_nearest(key, known)}; known: {', '.join(known)}")


def _yes_or_no(kind: str, key: str, text: str) -> bool:
    if text not in {"yes", "no"}:
        raise BoardError(f"{kind} board: {key} must be yes or no, not {text!r}")
    return text == "yes"


def _value(kind: str, key: str, text: str) -> float | int | bool:
    if key == "on_mains":
        return _yes_or_no(kind, key, text)
    try:
        value = int(text) if key in _WHOLE else float(text)
    except ValueError:
        wanted = "a whole number" if key in _WHOLE else "a number"
        raise BoardError(f"{kind} board: {key} must be {wanted}, not {text!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise BoardError(f"{kind} board: {key} must be finite, not {text!r}")
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
