"""How much the battery holds, and how long it will last.

Where the board counts joules left, those are taken. Where only the state of charge is known, the energy behind one
point of charge is learnt from what was drawn while the charge fell: capacity = drawn / fallen since a mark, held
against what was believed at the mark (at first the stated capacity). Only where the gauge has just moved is the charge
known better than to a step of it, so a mark is set there and read there; and since the gauge is off once, not at each
step, the whole fall since the mark counts, not its parts. Charge curves are not straight and batteries age, so the
capacity walks, and the mark moves on after a fifth of the charge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_PRIOR_SHARE = 0.5  # one standard deviation of an unstated capacity, as a share of it
_WALK_SHARE = 0.01  # of the capacity, for each tenth of charge
_STEP = 0.02  # charge that must fall before anything is learnt: gauges move in hundredths
_LONGEST_FALL = 0.2  # then the mark moves on
_CHARGE_VAR = 0.006**2  # of one difference of two readings
_GUESS_J = 18.5 * 3600  # two 18650 cells of 2.5 Ah
_GAIN_MEMORY_S = 7200.0
_GAIN_RECENT_S = 120.0
_GAIN_HOLDS_S = 900.0  # how long the sky stays as it is
_GAIN_AHEAD = 0.3
_ROUNDING = 0.005
_COUNTED_SPREAD = 0.01
_GAIN_DOUBT = 0.5  # standard deviations
_GAIN_HOPE = 1.65
_RISE = 0.004  # a charge that grew by more was charged meanwhile


@dataclass(frozen=True)
class BatteryModel:
    """`capacity_j` is the energy of a full battery as believed now; `left_j` None while nothing is known."""

    capacity_j: float = _GUESS_J
    capacity_var: float = (_PRIOR_SHARE * _GUESS_J) ** 2
    charge: float | None = None
    counted_j: float | None = None
    mark: float | None = None  # the charge since which `drawn_j` is counted; None until the gauge moves
    drawn_j: float = 0.0
    marked_j: float = _GUESS_J  # what was believed of the capacity at the mark, and its variance
    marked_var: float = (_PRIOR_SHARE * _GUESS_J) ** 2
    since_j: float = 0.0  # drawn since the gauge last moved
    gauge_step: float = 0.01  # the smallest fall of the gauge that was seen
    falls: int = 0
    gain_w: float = 0.0  # what flows in from elsewhere (a panel), mean of half an hour
    recent_gain_w: float = 0.0  # the same of the last two minutes
    gain_var: float = 0.0  # how much the two minutes scatter about the half hour, W**2
    gain_seen_s: float = 0.0

    @classmethod
    def stated(cls, capacity_j: float | None) -> BatteryModel:
        """With a capacity that somebody stated (believed to a fifth: packs age), or without."""
        if capacity_j is None or not capacity_j > 0:
            return cls()
        var = (0.2 * capacity_j) ** 2
        return cls(capacity_j, var, marked_j=capacity_j, marked_var=var)

    def seen(
        self, charge: float | None, counted_j: float | None, power_w: float | None, elapsed_s: float, on_mains: bool
    ) -> BatteryModel:
        """After `elapsed_s` at a mean of `power_w`. Readings that cannot be true are left out; None is unknown."""
        ratio = charge if charge is not None and 0 <= charge <= 1 else None
        counted = counted_j if counted_j is not None and math.isfinite(counted_j) and counted_j >= 0 else None
        drawn = power_w * elapsed_s if power_w is not None and math.isfinite(power_w) and power_w >= 0 else None
        moved = replace(self, charge=self.charge if ratio is None else ratio, counted_j=counted)
        moved = moved._stood(self.charge, drawn or 0.0)
        moved = moved._gained(self.counted_j, drawn, elapsed_s, on_mains)
        if ratio is None:
            return moved if drawn is None else replace(moved, drawn_j=self.drawn_j + drawn)
        fell = self.charge is not None and ratio < self.charge
        if self.mark is None or on_mains or drawn is None or ratio > self.mark + _RISE:
            return moved._marked(ratio if fell and not on_mains else None)
        moved = replace(moved, drawn_j=self.drawn_j + drawn)
        return moved._learnt(self.mark - ratio, ratio) if fell and self.mark - ratio >= _STEP else moved

    def _marked(self, mark: float | None) -> BatteryModel:
        """Counting anew from `mark`, with what is believed now."""
        return replace(self, mark=mark, drawn_j=0.0, marked_j=self.capacity_j, marked_var=self.capacity_var)

    def _stood(self, before: float | None, drawn_j: float) -> BatteryModel:
        """What was drawn while the gauge stood still, and how wide its steps are."""
        if before is None or self.charge is None:
            return self
        fell = before - self.charge
        if abs(fell) < 1e-9:
            return replace(self, since_j=self.since_j + drawn_j)
        if fell < 0:
            return replace(self, since_j=0.0)
        step = min(self.gauge_step, fell) if self.falls else fell
        return replace(self, since_j=0.0, gauge_step=step, falls=min(1, self.falls + 1))

    def _gained(self, before_j: float | None, drawn_j: float | None, elapsed_s: float, on_mains: bool) -> BatteryModel:
        """What flowed in: the change of what is left and what was drawn. Only a gauge that counts can tell."""
        if before_j is None or self.counted_j is None or drawn_j is None or on_mains or not 0 < elapsed_s < 60:
            return self
        gain_w = (self.counted_j - before_j + drawn_j) / elapsed_s
        seen_s = self.gain_seen_s + elapsed_s
        weight, recent_weight = elapsed_s / min(_GAIN_MEMORY_S, seen_s), elapsed_s / min(_GAIN_RECENT_S, seen_s)
        return replace(
            self,
            gain_w=self.gain_w + weight * (gain_w - self.gain_w),
            recent_gain_w=self.recent_gain_w + recent_weight * (gain_w - self.recent_gain_w),
            gain_var=self.gain_var + weight * ((self.recent_gain_w - self.gain_w) ** 2 - self.gain_var),
            gain_seen_s=seen_s,
        )

    def expected_gain_w(self, over_s: float) -> float:
        """What may be counted on over the next `over_s`: for minutes what flows now, for hours what flowed on the mean,
        less what clouds may take of it, which averages out over hours; and only the part that a while of watching
        vouches for."""
        now_share = math.exp(-over_s / _GAIN_HOLDS_S)
        vouched = self.gain_seen_s / max(1e-9, self.gain_seen_s + _GAIN_AHEAD * over_s)
        now_w = min(1.0, self.gain_seen_s / _GAIN_RECENT_S) * self.recent_gain_w
        gain_w = now_share * now_w + (1 - now_share) * vouched * self.gain_w
        doubt_w = _GAIN_DOUBT * math.sqrt(self.gain_var * min(1.0, _GAIN_HOLDS_S / max(1.0, over_s)))
        return max(0.0, gain_w - doubt_w)

    def hoped_gain_w(self, over_s: float) -> float:
        """The most that may reasonably be hoped for over the next `over_s`."""
        scatter_w = math.sqrt(self.gain_var * min(1.0, _GAIN_HOLDS_S / max(1.0, over_s)))
        return max(0.0, self.gain_w, self.recent_gain_w) + _GAIN_HOPE * scatter_w

    def _learnt(self, fallen: float, ratio: float) -> BatteryModel:
        """After `drawn_j` was drawn while the charge fell by `fallen`, to `ratio`."""
        variance = self.marked_var + (_WALK_SHARE * self.marked_j) ** 2 * fallen * 10
        # drawn = capacity * fallen, and the fall is known to `_CHARGE_VAR`.
        innovation = self.drawn_j - self.marked_j * fallen
        spread = fallen**2 * variance + self.marked_j**2 * _CHARGE_VAR
        gain = fallen * variance / spread
        capacity_j = max(0.1 * self.marked_j, self.marked_j + gain * innovation)
        learnt = replace(self, capacity_j=capacity_j, capacity_var=variance * (1 - gain * fallen))
        return learnt._marked(ratio) if fallen >= _LONGEST_FALL else learnt

    @property
    def left_j(self) -> float | None:
        """Joules left: counted where the board counts, else charge times capacity less what was drawn since."""
        if self.counted_j is not None:
            return self.counted_j
        if self.charge is None:
            return None
        # Gauges in hundredths round to the nearest; of coarser ones no more is believed than they show.
        shown = self.charge + min(self.gauge_step / 2, _ROUNDING)
        return max(0.0, shown * self.capacity_j - min(self.since_j, self.gauge_step * self.capacity_j))

    @property
    def left_spread(self) -> float:
        """One standard deviation of `left_j` as a share of it, but for the gauge's steps."""
        return _COUNTED_SPREAD if self.counted_j is not None else math.sqrt(self.capacity_var) / self.capacity_j

    @property
    def left_spread_j(self) -> float:
        """One standard deviation of `left_j`, 0 where it is unknown."""
        gauge_j = 0.0 if self.counted_j is not None else math.sqrt(_CHARGE_VAR) * self.capacity_j
        return math.hypot(self.left_spread * (self.left_j or 0.0), gauge_j)
