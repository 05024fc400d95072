"""A simulated board: battery, heat, throttling, and a power that depends on what runs. Every joule of it is modelled.

Power is piecewise constant: `idle_w`, or the running variant's busy power while an inference is under way. A
throttled board gives up the same share of its dynamic power as of its speed. The case is one thermal capacity behind
one resistance, C dT/dt = P - (T - ambient)/R, solved in closed form between the instants at which anything changes,
so that what is read does not depend on how often it is read.

Where the constants come from (public traces, `../shared/data/traces`):

- idle 3.0 W and busy 5.83 W at the wall: 1st percentile and median of rpi4-fan-off, a Raspberry Pi 4 idle and running
  TFLite ResNet-50 (the fan of rpi4-fan-on adds 0.87 W); the scatter of one reading under steady load there is 0.058 W;
- heat capacity 124 J/K: fitted to the board temperature and VDD_IN of tegrastats-tx2 (time constant 436 s at 3.5 K/W
  with its heat sink and fan, 0.27 K rms). The resistance of 9 K/W for a fanless case is an assumption, not fitted;
- throttling from 80 °C with 5 °C of hysteresis is the Raspberry Pi's documented behaviour; the factor 1.5 stands for
  1500 MHz falling to 1000 MHz.
"""

from __future__ import annotations

import math
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import attrgetter
from threading import Lock

from boards.board import Activity, BoardInfo, Channel, Quantity
from boards.sensor import BoardError, Method, Reading

Clock = Callable[[], int]

IDLE_W = 3.0
BUSY_W = 5.83
NOISE_W = 0.058
CAPACITY_J_PER_K = 124.0
RESISTANCE_K_PER_W = 9.0
_GRID_NS = 10_000_000  # throttling is decided on this grid, whoever reads in between
_KEPT = 400_000  # changes of power remembered for the exact integral
_S_PER_NS = 1e-9
_J_PER_WH = 3600.0


@dataclass(frozen=True)
class Settings:
    """What a simulated board is like; units are in the names.

    `busy_w` holds for variants that `power_table` does not name. `ambient` is (seconds since start, degrees Celsius),
    straight lines between, flat beyond. `accelerate` divides the battery's and the case's capacity, so that hours
    pass in minutes while watts, and with them joules a frame, stay as they are.
    """

    seed: int = 0
    idle_w: float = IDLE_W
    busy_w: float = BUSY_W
    power_table: Mapping[str, float] = field(default_factory=dict)
    noise_w: float = NOISE_W
    battery: float = 1.0
    battery_wh: float = 18.5  # two 18650 cells of 2.5 Ah
    on_mains: bool = False
    ambient: tuple[tuple[float, float], ...] = ((0.0, 25.0),)
    start_c: float | None = None  # None: in balance with idling
    resistance_k_per_w: float = RESISTANCE_K_PER_W
    capacity_j_per_k: float = CAPACITY_J_PER_K
    throttle_c: float = 80.0
    throttle_hysteresis_c: float = 5.0
    throttle_factor: float = 1.5
    accelerate: float = 1.0
    period_s: float = 0.01
    slow_period_s: float = 0.25

    def __post_init__(self) -> None:
        above_zero = ("battery_wh", "resistance_k_per_w", "capacity_j_per_k", "accelerate", "period_s", "slow_period_s")
        for name in above_zero:
            if not getattr(self, name) > 0:
                raise BoardError(f"simulated board: {name} must be above 0, it is {getattr(self, name)}")
        for name in ("idle_w", "busy_w", "noise_w"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BoardError(f"simulated board: {name} must be 0 W or more, it is {getattr(self, name)}")
        if not 0 <= self.battery <= 1:
            raise BoardError(f"simulated board: battery is a ratio from 0 to 1, it is {self.battery}")
        if not self.throttle_factor >= 1:
            raise BoardError(f"simulated board: throttle_factor must be 1 or more, it is {self.throttle_factor}")
        times = [at_s for at_s, _ in self.ambient]
        if not times or times != sorted(set(times)):
            raise BoardError("simulated board: ambient needs at least one point, times rising")


# Forty seconds under load take the battery from 60 % to about 10 %, and the case past 70 °C while ambient climbs by
# 15 °C (a box in the sun); a light load stays below. Battery and heat capacity are divided by 150: the 40 s stand for
# 100 minutes.
PRESETS: dict[str, Settings] = {
    "plain": Settings(),
    "demo": Settings(
        battery=0.6,
        battery_wh=16.0,
        accelerate=150.0,
        ambient=((0.0, 32.0), (40.0, 47.0)),
        start_c=52.0,
        resistance_k_per_w=6.2,
        capacity_j_per_k=180.0,
        throttle_c=82.0,
    ),
}


def power_table(relative_cost: Mapping[str, float], idle_w: float = IDLE_W, busy_w: float = BUSY_W) -> dict[str, float]:
    """Busy power by variant from a relative cost (MACs, say): the dearest draws `busy_w`, one of no cost 60 % of its
    dynamic part.

    The 60 % are an assumption: a processor at work draws most of its dynamic power whatever it computes; the saving
    of a cheap variant is chiefly that it is done sooner.
    """
    dearest = max(relative_cost.values(), default=0.0)
    if dearest <= 0:
        return {}
    return {name: idle_w + (busy_w - idle_w) * (0.6 + 0.4 * cost / dearest) for name, cost in relative_cost.items()}


@dataclass(frozen=True)
class _State:
    """The board at one instant; from then on power is constant until the next change."""

    time_ns: int
    power_w: float
    energy_j: float  # since the start
    busy_ns: int  # time spent inferring since the start
    temperature_c: float
    throttled: bool
    activity: Activity


_time_of = attrgetter("time_ns")


class SimulatedBoard:
    """Advances to the time it is asked for, whenever it is asked; safe from several threads."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock = time.monotonic_ns) -> None:
        self.settings = settings or Settings()
        self._clock = clock
        self._lock = Lock()
        self._random = random.Random(self.settings.seed)
        self._start_ns = clock()
        self._grid_ns = self._start_ns
        self._seen_ns = self._start_ns
        idle = Activity(None, False, self._start_ns)
        start_c = self.settings.start_c
        if start_c is None:
            start_c = self._ambient_c(self._start_ns) + self.settings.idle_w * self.settings.resistance_k_per_w
        self._state = _State(self._start_ns, self.settings.idle_w, 0.0, 0, start_c, False, idle)
        self._history = [self._state]

    # -- what a board is --------------------------------------------------------------------------------------

    @property
    def info(self) -> BoardInfo:
        details = {
            "energy": "modelled: nothing here is measured",
            "accelerate": f"battery and heat capacity divided by {self.settings.accelerate:g}",
        }
        return BoardInfo("simulated", "simulated board, constants of a Raspberry Pi 4", ("board",), True, details)

    @property
    def channels(self) -> tuple[Channel, ...]:
        slow_s = self.settings.slow_period_s
        return (
            Channel(
                "board", Quantity.POWER, _Line(self, self._power_w), self.settings.period_s, Method.MODELLED, "model"
            ),
            self._slow("cpu-thermal", Quantity.TEMPERATURE, lambda state: state.temperature_c, slow_s),
            self._slow("battery", Quantity.RATIO, self._battery, slow_s),
            self._slow("battery_energy_j", Quantity.ENERGY, self._battery_energy_j, slow_s),
            self._slow("throttled", Quantity.FLAG, lambda state: float(state.throttled), slow_s),
            self._slow("mains", Quantity.FLAG, lambda state: float(self.settings.on_mains), slow_s),
            self._slow("load", Quantity.RATIO, self._load, slow_s),
        )

    def _slow(self, name: str, quantity: Quantity, value: Callable[[_State], float], period_s: float) -> Channel:
        return Channel(name, quantity, _Line(self, value), period_s, Method.MODELLED, "model")

    @property
    def energy_channel(self) -> str:
        return "board"

    def note(self, activity: Activity) -> None:
        """An inference began or ended. An instant that was already looked at cannot change any more: it counts from
        then."""
        with self._lock:
            at_ns = max(activity.monotonic_ns, self._seen_ns)
            self._advance(at_ns)
            self._seen_ns = at_ns
            state = replace(self._ahead(at_ns), activity=activity)
            self._commit(replace(state, power_w=self._power_now_w(state)))

    def close(self) -> None:
        """Nothing to let go of."""

    # -- what tests and the runtime ask -----------------------------------------------------------------------

    @property
    def slowdown(self) -> float:
        """How many times longer an inference takes now, 1 or more: the runtime holds a frame's result back so long."""
        return self.settings.throttle_factor if self.look().throttled else 1.0

    def look(self) -> _State:
        """The state at the clock's time."""
        with self._lock:
            now_ns = max(self._clock(), self._seen_ns)
            self._advance(now_ns)
            self._seen_ns = now_ns
            return self._ahead(now_ns)

    def true_energy_j(self, start_ns: int, end_ns: int) -> float:
        """The exact integral of power from `start_ns` to `end_ns`, joules, within what was simulated and is remembered.

        Raises BoardError for a time before that.
        """
        with self._lock:
            self._seen_ns = max(self._seen_ns, end_ns)
            self._advance(self._seen_ns)
            return self._energy_at_j(end_ns) - self._energy_at_j(start_ns)

    def _energy_at_j(self, at_ns: int) -> float:
        index = bisect_right(self._history, at_ns, key=_time_of) - 1
        if index < 0:
            raise BoardError("simulated board: asked for energy before its start, or longer ago than it remembers")
        state = self._history[index]
        return state.energy_j + state.power_w * (at_ns - state.time_ns) * _S_PER_NS

    # -- the model --------------------------------------------------------------------------------------------

    def _advance(self, to_ns: int) -> None:
        """Take every decision of the grid up to `to_ns`. What lies beyond the last one is drawn on by `_ahead`."""
        while self._grid_ns + _GRID_NS <= to_ns:
            self._grid_ns += _GRID_NS
            state = self._ahead(self._grid_ns)
            limit_c = self.settings.throttle_c
            if state.throttled:
                throttled = state.temperature_c > limit_c - self.settings.throttle_hysteresis_c
            else:
                throttled = state.temperature_c >= limit_c
            changed = throttled != state.throttled
            state = replace(state, throttled=throttled)
            if changed:
                self._commit(replace(state, power_w=self._power_now_w(state)))
            else:
                self._state = state

    def _commit(self, state: _State) -> None:
        self._state = state
        if self._history[-1].time_ns == state.time_ns:
            self._history[-1] = state
        else:
            self._history.append(state)
        if len(self._history) >= 2 * _KEPT:
            del self._history[:_KEPT]

    def _ahead(self, at_ns: int) -> _State:
        """The last state drawn on to `at_ns` by the closed solution; decides nothing."""
        last = self._state
        if at_ns == last.time_ns:
            return last
        elapsed_s = (at_ns - last.time_ns) * _S_PER_NS
        set_ = self.settings
        tau_s = set_.resistance_k_per_w * set_.capacity_j_per_k / set_.accelerate
        begin_c, end_c = self._ambient_c(last.time_ns), self._ambient_c(at_ns)
        # Ambient is taken as a straight line over the stretch: T follows it with a lag of tau times its slope.
        lag_c = (end_c - begin_c) / elapsed_s * tau_s
        rise_c = last.power_w * set_.resistance_k_per_w - lag_c
        decay = math.exp(-elapsed_s / tau_s)
        return replace(
            last,
            time_ns=at_ns,
            energy_j=last.energy_j + last.power_w * elapsed_s,
            busy_ns=last.busy_ns + (at_ns - last.time_ns if last.activity.busy else 0),
            temperature_c=end_c + rise_c + (last.temperature_c - begin_c - rise_c) * decay,
        )

    def _power_now_w(self, state: _State) -> float:
        idle_w = self.settings.idle_w
        if not state.activity.busy:
            return idle_w
        busy_w = self.settings.power_table.get(state.activity.variant or "", self.settings.busy_w)
        return idle_w + (busy_w - idle_w) / (self.settings.throttle_factor if state.throttled else 1.0)

    def _ambient_c(self, at_ns: int) -> float:
        at_s = (at_ns - self._start_ns) * _S_PER_NS
        points = self.settings.ambient
        if at_s <= points[0][0]:
            return points[0][1]
        for (begin_s, begin_c), (end_s, end_c) in pairwise(points):
            if at_s <= end_s:
                return begin_c + (end_c - begin_c) * (at_s - begin_s) / (end_s - begin_s)
        return points[-1][1]

    # -- what its sensors say ---------------------------------------------------------------------------------

    def _power_w(self, state: _State) -> float:
        return max(0.0, state.power_w + self._random.gauss(0.0, self.settings.noise_w))

    def _battery_energy_j(self, state: _State) -> float:
        full_j = self.settings.battery_wh * _J_PER_WH / self.settings.accelerate
        spent_j = 0.0 if self.settings.on_mains else state.energy_j
        return max(0.0, full_j * self.settings.battery - spent_j)

    def _battery(self, state: _State) -> float:
        return self._battery_energy_j(state) / (self.settings.battery_wh * _J_PER_WH / self.settings.accelerate)

    def _load(self, state: _State) -> float:
        """Share of the last second spent inferring."""
        since_ns = max(self._start_ns, state.time_ns - 1_000_000_000)
        with self._lock:
            index = max(0, bisect_right(self._history, since_ns, key=_time_of) - 1)
            then = self._history[index]
        busy_then_ns = then.busy_ns + (since_ns - then.time_ns if then.activity.busy else 0)
        span_ns = state.time_ns - since_ns
        return min(1.0, max(0.0, (state.busy_ns - busy_then_ns) / span_ns)) if span_ns > 0 else 0.0


@dataclass(frozen=True)
class _Line:
    """One sensor of the simulated board."""

    board: SimulatedBoard
    value: Callable[[_State], float]

    def read(self) -> Reading:
        state = self.board.look()
        return Reading(self.value(state), state.time_ns)
