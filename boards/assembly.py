"""A board being put together: channels are added as sensors are found, then it is closed into a Board."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.roots import Roots
from boards.sysfs import Clock, read_once_word

RAIL_PERIOD_S = 0.02  # 50 Hz for what a frame's energy is taken from
SIDE_RAIL_PERIOD_S = 0.2  # 5 Hz for the other rails: some chips hold their reader for milliseconds
SLOW_PERIOD_S = 1.0
BATTERY_PERIOD_S = 5.0


@runtime_checkable
class Closes(Protocol):
    """A sensor that holds something open."""

    def close(self) -> None: ...


class Assembly:
    """What was found so far. `details` are facts for people: what was passed over and why, where a value comes from."""

    def __init__(self, roots: Roots, clock: Clock = time.monotonic_ns) -> None:
        self.roots = roots
        self.clock = clock
        self.details: dict[str, str] = {}
        self.energy_channel: str | None = None
        self.rails_included: tuple[str, ...] = ()
        self.whole_board = False
        self._channels: dict[str, Channel] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._channels)

    def has(self, name: str) -> bool:
        return name in self._channels

    def add(self, channel: Channel) -> None:
        """Add a channel; raises ValueError for a name that is taken, which is a mistake in the board's code."""
        if channel.name in self._channels:
            raise ValueError(f"channel {channel.name!r} is there already")
        self._channels[channel.name] = channel

    def take_energy_from(self, name: str, included: tuple[str, ...], *, whole_board: bool = True) -> None:
        """Take frames' energy from the POWER or ENERGY channel `name`; `included` are the rails in it, and
        `whole_board` whether nothing of what the board draws goes past them."""
        channel = self._channels.get(name)
        if channel is None or channel.quantity not in {Quantity.POWER, Quantity.ENERGY}:
            raise ValueError(f"{name!r} is no channel of power or energy")
        self.energy_channel, self.rails_included, self.whole_board = name, included, whole_board

    def board(self, name: str, model: str) -> SensorBoard:
        """The board of all that was added."""
        info = BoardInfo(name, model, self.rails_included, self.whole_board, dict(self.details))
        return SensorBoard(info, tuple(self._channels.values()), self.energy_channel)


class SensorBoard:
    """A board that is its channels and nothing more."""

    def __init__(self, info: BoardInfo, channels: tuple[Channel, ...], energy_channel: str | None) -> None:
        self._info = info
        self._channels = channels
        self._energy_channel = energy_channel

    @property
    def info(self) -> BoardInfo:
        return self._info

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self._channels

    @property
    def energy_channel(self) -> str | None:
        return self._energy_channel

    def note(self, activity: Activity) -> None:
        """Real boards need not be told what they do."""

    def close(self) -> None:
        for channel in self._channels:
            if isinstance(channel.sensor, Closes):
                channel.sensor.close()


def model_name(roots: Roots) -> str | None:
    """The machine's own name: device tree (boards), else DMI (PCs)."""
    places: tuple[Path, ...] = (
        roots.sys / "firmware/devicetree/base/model",
        roots.proc / "device-tree/model",
        roots.sys / "class/dmi/id/product_name",
    )
    return next((word for place in places if (word := read_once_word(place))), None)


def compatible(roots: Roots) -> tuple[str, ...]:
    """The device tree's `compatible` strings of the whole machine, most specific first; empty without a device tree."""
    for place in (roots.sys / "firmware/devicetree/base/compatible", roots.proc / "device-tree/compatible"):
        try:
            raw = place.read_bytes()
        except OSError:
            continue
        return tuple(part.decode("ascii", "replace") for part in raw.split(b"\0") if part)
    return ()
