"""A board whose energy a calibration models: from what runs (table), or from a sensor that sees a part of it (affine).

The table model's energy is a counter: watts of the state that the runtime notes, integrated exactly from edge to edge,
so that sampling misses no short inference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

from boards.assembly import RAIL_PERIOD_S, SIDE_RAIL_PERIOD_S, SLOW_PERIOD_S, SensorBoard
from boards.board import Activity, Board, BoardInfo, Channel, Quantity
from boards.calibration import DEFAULT_PLACE, AffineModel, Calibration, TableModel, load_calibration, mismatch
from boards.counter import BreakingCounter
from boards.roots import Roots
from boards.sensor import BoardError, Method, Reading, Sensor, SensorLost
from boards.sysfs import Clock

ENERGY_CHANNEL = "board-energy"
POWER_CHANNEL = "board-power"
_S_PER_NS = 1e-9
_COUNTER_CHECK_NS = 1_000_000_000


class CalibratedBoard(SensorBoard):
    """`board` with its energy taken from `calibration`; its other channels stay as they are.

    A table adds ``board-energy`` (J, 50 Hz) and ``board-power`` (W, the mean of each second); a correction of a channel
    adds ``board-power`` in its place (or ``board-energy`` where the channel counts energy). `source` says for people
    where the calibration comes from. Raises BoardError for another board's calibration, or where the channel to correct
    is not there.
    """

    def __init__(self, board: Board, calibration: Calibration, clock: Clock, source: str = "calibration") -> None:
        why = mismatch(calibration, board.info)
        if why is not None:
            raise BoardError(f"{source} cannot be used: {why}")
        self._board = board
        self._table: StateEnergy | None = None
        if isinstance(calibration.model, TableModel):
            self._table = StateEnergy(calibration.model, clock)
            added = self._table_channels(self._table, calibration, source)
            kept = board.channels
        else:
            inner = _to_correct(board, calibration.model, source)
            corrected = AffineCounter if inner.quantity is Quantity.ENERGY else AffineSensor
            sensor = corrected(inner.sensor, calibration.model)
            added = (_corrected(board, inner, sensor, calibration, source),)
            # What the sensor said stays visible, without reading it twice: some make their readers wait.
            raw = replace(inner, sensor=LastRaw(sensor), period_s=max(inner.period_s, SIDE_RAIL_PERIOD_S))
            kept = tuple(raw if channel is inner else channel for channel in board.channels)
        taken = {channel.name for channel in added}
        details = dict(board.info.details) | {
            "calibration": f"{source}: {calibration.describe()}",
            "energy": "modelled by the calibration, its error is part of each frame's uncertainty",
        }
        name = added[0].name
        super().__init__(
            BoardInfo(board.info.name, board.info.model, (name,), True, details),
            (*added, *(channel for channel in kept if channel.name not in taken)),
            name,
        )

    def note(self, activity: Activity) -> None:
        """What runs decides what the table gives."""
        if self._table is not None:
            self._table.note(activity)
        self._board.note(activity)

    def close(self) -> None:
        self._board.close()

    @staticmethod
    def _table_channels(table: StateEnergy, calibration: Calibration, source: str) -> tuple[Channel, ...]:
        error = calibration.relative_error
        energy = Channel(
            ENERGY_CHANNEL, Quantity.ENERGY, table, RAIL_PERIOD_S, Method.MODELLED, source, relative_error=error
        )
        power = Channel(
            POWER_CHANNEL, Quantity.POWER, MeanPower(table), SLOW_PERIOD_S, Method.MODELLED, source,
            relative_error=error,
        )  # fmt: skip
        return energy, power


class StateEnergy:
    """Joules by the table since the start, exact over the edges that were noted; safe from several threads.

    While a variant runs that the table does not know, reading it raises SensorLost, and it starts anew afterwards.
    A reading is taken at the last begin of an inference where there was one since the reading before, else now: frames'
    windows begin there, and so no straight line has to be drawn across them.
    """

    def __init__(self, model: TableModel, clock: Clock) -> None:
        self._idle_w = model.idle.watts
        self._busy_w = {name: state.watts for name, state in model.variants.items()}
        self._clock = clock
        self._lock = Lock()
        self._counter = BreakingCounter()
        self._at_ns = self._read_ns = clock()
        self._joules = 0.0
        self._stretch = 0
        self._variant: str | None = None
        self._power_w: float | None = self._idle_w
        self._began: tuple[float, int, int] | None = None

    def note(self, activity: Activity) -> None:
        """An inference began or ended. What was read already cannot change: an edge before that counts from then."""
        with self._lock:
            self._advance(max(activity.monotonic_ns, self._read_ns))
            before_w, self._power_w = self._power_w, self._watts(activity)
            self._variant = activity.variant
            if before_w is None and self._power_w is not None:
                self._stretch += 1
            if self._power_w is None:
                self._began = None
            elif activity.busy:
                self._began = self._joules, self._stretch, self._at_ns

    def read(self) -> Reading:
        with self._lock:
            joules, stretch, at_ns = self._take()
            self._read_ns = at_ns
            return self._counter.reading(joules, stretch, at_ns)

    def now(self) -> tuple[float, int, int]:
        """Joules so far, the number of the stretch, and the time they hold at, in monotonic ns. Raises SensorLost."""
        with self._lock:
            now_ns = max(self._clock(), self._at_ns)
            power_w = self._known_w()
            return self._joules + power_w * (now_ns - self._at_ns) * _S_PER_NS, self._stretch, now_ns

    def _take(self) -> tuple[float, int, int]:
        self._known_w()
        began, self._began = self._began, None
        if began is not None and began[2] > self._read_ns:
            return began
        self._advance(max(self._clock(), self._read_ns))
        return self._joules, self._stretch, self._at_ns

    def _known_w(self) -> float:
        if self._power_w is None:
            raise SensorLost(
                f"variant {self._variant!r} is not in the calibration: joulepath calibrate reads the meter for it"
            )
        return self._power_w

    def _advance(self, to_ns: int) -> None:
        if to_ns > self._at_ns:
            self._joules += (self._power_w or 0.0) * (to_ns - self._at_ns) * _S_PER_NS
            self._at_ns = to_ns

    def _watts(self, activity: Activity) -> float | None:
        if activity.variant is None:
            return self._idle_w
        busy_w = self._busy_w.get(activity.variant)
        return busy_w if busy_w is None or activity.busy else self._idle_w


class MeanPower:
    """Mean watts of a StateEnergy since the last read."""

    def __init__(self, energy: StateEnergy) -> None:
        self._energy = energy
        self._last = energy.now()

    def read(self) -> Reading:
        (before_j, stretch, before_ns), self._last = self._last, self._energy.now()
        joules, now_stretch, now_ns = self._last
        if now_stretch != stretch or now_ns <= before_ns:
            raise SensorLost("the table did not know all that ran since the last read")
        return Reading((joules - before_j) / ((now_ns - before_ns) * _S_PER_NS), now_ns)


class AffineSensor:
    """Watts of the whole board from a sensor's watts; lost outside the range the line is believed in."""

    def __init__(self, sensor: Sensor, model: AffineModel) -> None:
        self._sensor = sensor
        self._model = model
        self.raw: Reading | None = None

    def read(self) -> Reading:
        self.raw = None
        self.raw = reading = self._sensor.read()
        _require_within(self._model, reading.value)
        return Reading(self._model.scale * reading.value + self._model.offset_w, reading.monotonic_ns)


class AffineCounter:
    """The same for a counter of joules: the offset grows with time; the range is checked on means of a second."""

    def __init__(self, sensor: Sensor, model: AffineModel) -> None:
        self._sensor = sensor
        self._model = model
        self._counter = BreakingCounter()
        self._stretch = 0
        self._first: Reading | None = None
        self._mark: Reading | None = None
        self.raw: Reading | None = None

    def read(self) -> Reading:
        self.raw = None
        self.raw = reading = self._sensor.read()
        first, mark = self._first, self._mark
        if first is None or mark is None or reading.value < mark.value:
            self._stretch += first is not None
            self._first = self._mark = first = reading
        elif reading.monotonic_ns - mark.monotonic_ns >= _COUNTER_CHECK_NS:
            self._mark = reading
            watts = (reading.value - mark.value) / ((reading.monotonic_ns - mark.monotonic_ns) * _S_PER_NS)
            try:
                _require_within(self._model, watts)
            except SensorLost:
                self._stretch += 1
                raise
        elapsed_s = (reading.monotonic_ns - first.monotonic_ns) * _S_PER_NS
        joules = self._model.scale * (reading.value - first.value) + self._model.offset_w * elapsed_s
        return self._counter.reading(joules, self._stretch, reading.monotonic_ns)


class LastRaw:
    """What the corrected sensor read last."""

    def __init__(self, corrected: AffineSensor | AffineCounter) -> None:
        self._corrected = corrected

    def read(self) -> Reading:
        raw = self._corrected.raw
        if raw is None:
            raise SensorLost("the sensor behind it gave nothing")
        return raw


def _require_within(model: AffineModel, watts: float) -> None:
    if not model.low_w <= watts <= model.high_w:
        raise SensorLost(
            f"{model.channel} says {watts:.3f} W, outside the {model.low_w:.3f} to {model.high_w:.3f} W that the "
            "calibration holds for: calibrate with readings at such a load as well"
        )


def _to_correct(board: Board, model: AffineModel, source: str) -> Channel:
    for channel in board.channels:
        if channel.name == model.channel and channel.quantity in {Quantity.POWER, Quantity.ENERGY}:
            return channel
    powers = [c.name for c in board.channels if c.quantity in {Quantity.POWER, Quantity.ENERGY}]
    raise BoardError(
        f"{source} corrects the channel {model.channel!r}, which this board does not have; "
        f"it has: {', '.join(powers) or 'none with power'}"
    )


def _corrected(
    board: Board, inner: Channel, sensor: AffineSensor | AffineCounter, calibration: Calibration, source: str
) -> Channel:
    assert isinstance(calibration.model, AffineModel)
    takes_energy = inner.name == board.energy_channel  # then its period is one that the sensor is known to keep up with
    return Channel(
        name=ENERGY_CHANNEL if inner.quantity is Quantity.ENERGY else POWER_CHANNEL,
        quantity=inner.quantity,
        sensor=sensor,
        period_s=inner.period_s if takes_energy else min(inner.period_s, SIDE_RAIL_PERIOD_S),
        method=Method.MODELLED,
        path=f"{source} of {inner.path}",
        resolution=inner.resolution * calibration.model.scale,
        relative_error=calibration.relative_error,
    )


class _Noted:
    """A board with one more fact about it."""

    def __init__(self, board: Board, name: str, fact: str) -> None:
        self._board = board
        self.info = replace(board.info, details=dict(board.info.details) | {name: fact})
        self.channels = board.channels
        self.energy_channel = board.energy_channel
        self.note = board.note
        self.close = board.close


def with_calibration(board: Board, path: Path, clock: Clock) -> Board:
    """`board` with the calibration in `path`; closes it where that fails. Raises BoardError."""
    try:
        return CalibratedBoard(board, load_calibration(path), clock, str(path))
    except BoardError:
        board.close()
        raise


def with_default_calibration(board: Board, roots: Roots, clock: Clock) -> Board:
    """`board` with the calibration under /etc where there is one that fits; else a detail says why it is not used.

    A table is used only where the board has no energy of its own: what is measured is better than what is modelled.
    """
    path = roots.etc / DEFAULT_PLACE
    try:
        if not path.exists():
            return board
    except OSError as error:
        return _Noted(board, "calibration", f"whether there is {path} cannot be seen ({error.strerror})")
    try:
        calibration = load_calibration(path)
        if isinstance(calibration.model, TableModel) and board.energy_channel is not None:
            why = f"the board measures its own energy ({board.energy_channel}); calibration={path} uses it nevertheless"
            return _Noted(board, "calibration", f"{path} is not used: {why}")
        return CalibratedBoard(board, calibration, clock, str(path))
    except BoardError as error:
        return _Noted(board, "calibration", f"{path} is not used: {error}")
