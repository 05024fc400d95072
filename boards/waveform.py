"""A power line that follows a known waveform, with its exact integral: the yardstick for measured energy."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from boards.sensor import Reading

Clock = Callable[[], int]
_S_PER_NS = 1e-9


@dataclass(frozen=True)
class Piece:
    """Power that goes in a straight line from `first_w` to `last_w` within `duration_ns`."""

    duration_ns: int
    first_w: float
    last_w: float

    def energy_j(self, elapsed_ns: int) -> float:
        """Energy of the first `elapsed_ns` of the piece, in joules."""
        reached_w = self.first_w + (self.last_w - self.first_w) * elapsed_ns / self.duration_ns
        return (self.first_w + reached_w) / 2 * elapsed_ns * _S_PER_NS


class Waveform:
    """Pieces one after another from `start_ns`; between pieces power may jump. Outside, the ends' power goes on."""

    def __init__(self, pieces: Sequence[Piece], start_ns: int = 0) -> None:
        if not pieces or any(piece.duration_ns <= 0 for piece in pieces):
            raise ValueError("a waveform needs pieces, and each a duration above zero")
        self.pieces = tuple(pieces)
        self.start_ns = start_ns
        ends = list(accumulate((piece.duration_ns for piece in self.pieces), initial=start_ns))
        self._starts, self.end_ns = ends[:-1], ends[-1]
        self._energies_j = list(accumulate((p.energy_j(p.duration_ns) for p in self.pieces), initial=0.0))

    def power_w(self, at_ns: int) -> float:
        """Power at an instant; at a jump, what comes after it."""
        if at_ns < self.start_ns:
            return self.pieces[0].first_w
        if at_ns >= self.end_ns:
            return self.pieces[-1].last_w
        index = bisect_right(self._starts, at_ns) - 1
        piece = self.pieces[index]
        share = (at_ns - self._starts[index]) / piece.duration_ns
        return piece.first_w + (piece.last_w - piece.first_w) * share

    def energy_j(self, start_ns: int, end_ns: int) -> float:
        """The exact integral of power from `start_ns` to `end_ns`, in joules."""
        return self._since_start_j(end_ns) - self._since_start_j(start_ns)

    def _since_start_j(self, at_ns: int) -> float:
        if at_ns < self.start_ns:
            return (at_ns - self.start_ns) * _S_PER_NS * self.pieces[0].first_w
        if at_ns >= self.end_ns:
            return self._energies_j[-1] + (at_ns - self.end_ns) * _S_PER_NS * self.pieces[-1].last_w
        index = bisect_right(self._starts, at_ns) - 1
        return self._energies_j[index] + self.pieces[index].energy_j(at_ns - self._starts[index])


@dataclass
class WaveformSensor:
    """Watts of `waveform` at the clock's time, with white Gaussian noise and a register step where they are given."""

    waveform: Waveform
    clock: Clock
    noise_w: float = 0.0
    resolution_w: float = 0.0
    seed: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def read(self) -> Reading:
        now_ns = self.clock()
        watts = self.waveform.power_w(now_ns)
        if self.noise_w:
            watts += self._random.gauss(0.0, self.noise_w)
        return Reading(_stepped(watts, self.resolution_w), now_ns)


@dataclass
class WaveformCounter:
    """Joules since the waveform's start, as a counter that shows whole steps of `resolution_j`."""

    waveform: Waveform
    clock: Clock
    resolution_j: float = 0.0

    def read(self) -> Reading:
        now_ns = self.clock()
        joules = self.waveform.energy_j(self.waveform.start_ns, now_ns)
        if self.resolution_j:
            joules = joules // self.resolution_j * self.resolution_j
        return Reading(joules, now_ns)


def steps(levels_w: Sequence[float], duration_s: float, start_ns: int = 0) -> Waveform:
    """Each level held for `duration_s`."""
    return Waveform([Piece(round(duration_s * 1e9), level, level) for level in levels_w], start_ns)


def ramps(knots_w: Sequence[float], duration_s: float, start_ns: int = 0) -> Waveform:
    """Straight lines from knot to knot, each `duration_s` long, without jumps."""
    pairs = pairwise(knots_w)
    return Waveform([Piece(round(duration_s * 1e9), first, last) for first, last in pairs], start_ns)


def bursts(
    base_w: float, peak_w: float, total_s: float, *, shortest_s: float = 0.05, longest_s: float = 0.2, seed: int = 0
) -> Waveform:
    """Rectangular bursts and pauses with lengths drawn evenly between the two bounds."""
    drawn = random.Random(seed)
    pieces: list[Piece] = []
    left_ns = round(total_s * 1e9)
    while left_ns > 0:
        level = peak_w if len(pieces) % 2 else base_w
        pieces.append(Piece(round(drawn.uniform(shortest_s, longest_s) * 1e9), level, level))
        left_ns -= pieces[-1].duration_ns
    return Waveform(pieces)


def random_steps(low_w: float, high_w: float, total_s: float, *, mean_s: float = 0.4, seed: int = 0) -> Waveform:
    """Levels drawn evenly between two powers, held for 50 ms and longer (exponential beyond that)."""
    drawn = random.Random(seed)
    pieces: list[Piece] = []
    left_ns = round(total_s * 1e9)
    while left_ns > 0:
        level = drawn.uniform(low_w, high_w)
        held_s = 0.05 + drawn.expovariate(1 / (mean_s - 0.05))
        pieces.append(Piece(round(held_s * 1e9), level, level))
        left_ns -= pieces[-1].duration_ns
    return Waveform(pieces)


def random_ramps(low_w: float, high_w: float, total_s: float, *, mean_s: float = 0.5, seed: int = 0) -> Waveform:
    """Straight lines between powers drawn evenly, each 50 ms and longer."""
    drawn = random.Random(seed)
    pieces: list[Piece] = []
    left_ns = round(total_s * 1e9)
    level = drawn.uniform(low_w, high_w)
    while left_ns > 0:
        target = drawn.uniform(low_w, high_w)
        lasts_s = 0.05 + drawn.expovariate(1 / (mean_s - 0.05))
        pieces.append(Piece(round(lasts_s * 1e9), level, target))
        level = target
        left_ns -= pieces[-1].duration_ns
    return Waveform(pieces)


def _stepped(watts: float, step_w: float) -> float:
    return round(watts / step_w) * step_w if step_w else watts
