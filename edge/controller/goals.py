"""What a person wants of the board, in their own units. Anything left out is not asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goals:
    """Limits are hard in the order of `priorities`: when two cannot both be kept, the later gives way.

    `last_until_s` is a time of day (seconds after local midnight): its next occurrence after the clock was first seen
    to be synchronised. `battery_hours` counts from the start of the run. With both, the earlier end holds; with neither
    the charge below `battery_saving_from` is spent ever more sparingly. ``rate`` among the priorities says when fewer
    frames a second are preferred to a less accurate variant; not named it stands before ``accuracy``.
    """

    battery_hours: float | None = None
    last_until_s: float | None = None
    max_temperature_c: float | None = 75.0
    max_power_w: float | None = None
    deadline_ms: float | None = None
    min_fps: float | None = None
    allow_lower_fps: bool = False  # fewer frames than the source gives, down to `min_fps`
    min_accuracy: float | None = None
    emergency_temperature_c: float | None = 85.0
    battery_saving_from: float = 0.5  # ratio
    battery_critical: float = 0.05  # ratio
    battery_capacity_wh: float | None = None  # of a full battery, where nobody counts it
    dwell_s: float = 5.0
    priorities: tuple[str, ...] = ("temperature", "power", "deadline", "battery", "accuracy")

    @property
    def longest_ms(self) -> float | None:
        """The stricter of `deadline_ms` and what `min_fps` leaves for one frame."""
        limits = [self.deadline_ms, None if self.min_fps is None else 1000.0 / self.min_fps]
        return min((limit for limit in limits if limit is not None), default=None)
