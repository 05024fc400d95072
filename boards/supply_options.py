"""What a user states about the supply, because no chip tells it: a pack's cells and energy, a UPS's name.

As options of a board: ``raspberry-pi:pack=3s-li-ion,pack_wh=38,pack_sag=0.6`` or ``linux:nut=ups@127.0.0.1``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from boards.discharge_curve import CURVES, DischargeCurve
from boards.sensor import BoardError

SUPPLY_OPTIONS = ("pack", "pack_wh", "pack_monitor", "pack_mohm", "pack_sag", "pack_discharge", "nut", "pisugar")
NUT_PORT = 3493

_PACK = re.compile(rf"([1-9][0-9]?)s-({'|'.join(CURVES)})")
_NUT = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?:@([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)?"
)


@dataclass(frozen=True)
class StatedPack:
    """Cells in series of one chemistry, and what lies between them and the meter.

    `ohm` is the resistance that the discharge current sags over, `sag_v` what is lost beside it (a diode).
    `discharge_sign` is the sign that the monitor gives the current while the pack feeds the board; boards of one maker
    differ in it, so it is None unless stated.
    """

    cells: int
    curve: DischargeCurve
    ohm: float = 0.0
    sag_v: float = 0.0
    discharge_sign: int | None = None


@dataclass(frozen=True)
class NutAddress:
    """A UPS of a NUT server."""

    name: str
    host: str = "127.0.0.1"
    port: int = NUT_PORT


@dataclass(frozen=True)
class SupplyOptions:
    """Everything stated; the default states nothing."""

    pack: StatedPack | None = None
    pack_wh: float | None = None
    monitor: str | None = None
    nut: NutAddress | None = None
    pisugar: bool = True


def supply_options(kind: str, options: Mapping[str, str]) -> SupplyOptions:
    """The supply's part of a board's options. Raises BoardError for a value that cannot be."""
    pack_wh = _number(kind, options, "pack_wh", 0.01, 100_000.0)
    return SupplyOptions(
        _pack(kind, options), pack_wh, options.get("pack_monitor"), _nut(kind, options), _pisugar(kind, options)
    )


def _pack(kind: str, options: Mapping[str, str]) -> StatedPack | None:
    details = {key for key in ("pack_monitor", "pack_mohm", "pack_sag", "pack_discharge") if key in options}
    if "pack" not in options:
        if details:
            raise BoardError(
                f"{kind} board: {', '.join(sorted(details))} says nothing without pack=, as in pack=3s-li-ion"
            )
        return None
    found = _PACK.fullmatch(options["pack"])
    if found is None:
        raise BoardError(
            f"{kind} board: pack must be cells in series and chemistry, as in 3s-li-ion, not {options['pack']!r}; "
            f"chemistries: {', '.join(CURVES)}"
        )
    sign = options.get("pack_discharge")
    if sign not in {None, "negative", "positive"}:
        raise BoardError(f"{kind} board: pack_discharge is the current's sign, negative or positive, not {sign!r}")
    if "pack_mohm" in options and sign is None:
        raise BoardError(f"{kind} board: pack_mohm needs pack_discharge=, the current's sign while the pack gives")
    return StatedPack(
        int(found[1]),
        CURVES[found[2]],
        (_number(kind, options, "pack_mohm", 0.0, 10_000.0) or 0.0) * 1e-3,
        _number(kind, options, "pack_sag", 0.0, 5.0) or 0.0,
        {None: None, "negative": -1, "positive": 1}[sign],
    )


def _number(kind: str, options: Mapping[str, str], key: str, low: float, high: float) -> float | None:
    text = options.get(key)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise BoardError(f"{kind} board: {key} must be a number from {low:g} to {high:g}, not {text!r}")
    return value


def _nut(kind: str, options: Mapping[str, str]) -> NutAddress | None:
    text = options.get("nut")
    if text is None:
        return None
    found = _NUT.fullmatch(text)
    if found is None or not 0 < int(found[3] or NUT_PORT) < 65_536:
        raise BoardError(f"{kind} board: nut must be NAME, NAME@HOST or NAME@HOST:PORT, not {text!r}")
    return NutAddress(found[1], (found[2] or "127.0.0.1").strip("[]"), int(found[3] or NUT_PORT))


def _pisugar(kind: str, options: Mapping[str, str]) -> bool:
    text = options.get("pisugar", "yes")
    if text not in {"yes", "no"}:
        raise BoardError(f"{kind} board: pisugar must be yes or no, not {text!r}")
    return text == "yes"
