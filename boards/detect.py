"""From a word on the command line to a board: `simulated`, `simulated:preset=demo,seed=3`, `linux:total=VDD_IN`."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boards.board import Board
from boards.linux import LinuxBoard
from boards.sensor import BoardError
from boards.simulated import PRESETS, Settings, SimulatedBoard, power_table
from boards.sysfs import Clock

SYS_ROOT = Path("/sys")


def open_board(
    spec: str,
    *,
    sys_root: Path = SYS_ROOT,
    clock: Clock = time.monotonic_ns,
    relative_cost: Mapping[str, float] | None = None,
) -> Board:
    """The board that `spec` names: a kind, and after a colon its options as key=value, separated by commas.

    `relative_cost` by variant id (MACs, say) gives the simulated board a power for each variant; real boards need none.
    Raises BoardError, listing what is known, for an unknown kind, option or value.
    """
    kind, _, rest = spec.partition(":")
    maker = _KINDS.get(kind)
    if maker is None:
        raise BoardError(f"unknown board {kind!r}{_nearest(kind, _KINDS)}; known: {', '.join(_KINDS)}")
    return maker(_options(spec, rest), sys_root, clock, relative_cost or {})


def _linux(options: dict[str, str], sys_root: Path, clock: Clock, relative_cost: Mapping[str, float]) -> Board:
    _refuse_unknown("linux", options, ("total",))
    return LinuxBoard(sys_root, clock=clock, total=options.get("total"))


def _simulated(options: dict[str, str], sys_root: Path, clock: Clock, relative_cost: Mapping[str, float]) -> Board:
    _refuse_unknown("simulated", options, ("preset", "ambient_c", *_PLAIN_FIELDS))
    name = options.pop("preset", "plain")
    preset = PRESETS.get(name)
    if preset is None:
        raise BoardError(
            f"unknown preset {name!r} of the simulated board{_nearest(name, PRESETS)}; known: {', '.join(PRESETS)}"
        )
    changes: dict[str, Any] = {key: _value(key, text) for key, text in options.items()}
    if "ambient_c" in changes:
        changes["ambient"] = ((0.0, changes.pop("ambient_c")),)
    settings = replace(preset, **changes)
    table = power_table(relative_cost, settings.idle_w, settings.busy_w)
    return SimulatedBoard(replace(settings, power_table=table), clock=clock)


_Maker = Callable[[dict[str, str], Path, Clock, Mapping[str, float]], Board]
_KINDS: dict[str, _Maker] = {"simulated": _simulated, "linux": _linux}
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
    for key in options:
        if key not in known:
            raise BoardError(f"board {kind!r} has no option {key!r}{_nearest(key, known)}; known: {', '.join(known)}")


def _value(key: str, text: str) -> float | int | bool:
    try:
        if key == "on_mains":
            return {"yes": True, "no": False}[text]
        if key == "seed":
            return int(text)
        value = float(text)
    except (ValueError, KeyError):
        wanted = {"on_mains": "yes or no", "seed": "a whole number"}.get(key, "a number")
        raise BoardError(f"simulated board: {key} must be {wanted}, not {text!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise BoardError(f"simulated board: {key} must be finite, not {text!r}")
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
