"""How long the battery of a running daemon will last: the board's channels, handed to `edge.endurance`."""

from __future__ import annotations

from collections.abc import Callable

from boards.board import Board
from boards.sensor import Method
from edge.endurance import Endurance
from edge.status import BatteryLeft

_NS_PER_S = 1_000_000_000
_PERIOD_NS = 4 * _NS_PER_S  # two channels tell of one battery: it is looked at once for both


class Outlook:
    """Fed from the sampler's thread; `left` may be asked from any."""

    def __init__(self, board: Board) -> None:
        methods = {channel.name: channel.method for channel in board.channels}
        self._whole = board.info.whole_board
        self._endurance = Endurance(
            charge_method=methods.get("battery", methods.get("battery_energy_j", Method.MEASURED)),
            power_method=methods.get(board.energy_channel or "", Method.MEASURED),
        )
        self._last_ns: int | None = None
        self._left: BatteryLeft | None = None

    def look(self, at_ns: int, value: Callable[[str], float | None], power_w: float | None) -> None:
        """Take in what the channels say now. Power that is not all of the draw would promise too long: it is left
        out."""
        if self._last_ns is not None and at_ns - self._last_ns < _PERIOD_NS:
            return
        self._last_ns = at_ns
        mains = value("mains")
        self._endurance.feed(
            at_ns,
            remaining_j=value("battery_energy_j"),
            ratio=value("battery"),
            power_w=power_w if self._whole else None,
            on_mains=None if mains is None else mains >= 0.5,
        )
        estimate = self._endurance.estimate()
        self._left = None
        if estimate is not None:
            low_h, likely_h, high_h = (s / 3600 for s in (estimate.low_s, estimate.likely_s, estimate.high_s))
            self._left = BatteryLeft(low_h, likely_h, high_h, estimate.method.name.lower())

    def left(self) -> BatteryLeft | None:
        """Hours until empty; None while it is not known or the board is on mains."""
        return self._left
