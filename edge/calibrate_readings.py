"""An external meter's readings: typed in, from a table, or from the meter's log laid over a journal."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from boards.board import Quantity
from boards.calibration import IDLE, Point
from boards.recording import Floats, Recording, Series
from boards.recordings.files import read_recording
from boards.sensor import BoardError
from edge.calibrate_load import ChannelMean, Load
from edge.errors import UsageError
from edge.journal.clock import UtcMap
from edge.journal.reader import JournalReader
from edge.journal.summary import variant_name
from edge.replay import read_journal

BLOCK_S = 10.0  # readings of a log are taken together, so that the meter's own averaging does not matter
SETTLE_S = 3.0  # left out after each change of state
IDLE_MARGIN_S = 10.0  # and before and after each run: loading, winding down
MOST_BLOCKS = 500
LEAST_COVERED = 0.9


@dataclass(frozen=True)
class Readings:
    """Points, and the smallest step that the meter shows in them."""

    points: tuple[Point, ...]
    resolution_w: float


# -- typed in -------------------------------------------------------------------------------------------------------


def ask_readings(
    load: Load, sensor: ChannelMean | None, prompt: Callable[[str], str], say: Callable[[str], None], wanted: int = 3
) -> Readings:
    """Go through the load's states; in each, readings until an empty line."""
    points: list[Point] = []
    texts: list[str] = []
    for number, state in enumerate(load.order, 1):
        say(f"\n[{number}/{len(load.order)}] {state}: {load.begin(state)}")
        say(f"Wait until the meter's figure stands still (a minute or so), then type it, {wanted} times or more,")
        say("some seconds apart. An empty line ends this state, 'undo' takes the last reading back.")
        if sensor is not None:
            sensor.restart()
        for point, text in _ask_state(state, load, sensor, prompt, say):
            points.append(point)
            texts.append(text)
    return Readings(tuple(points), resolution_of(texts))


def _ask_state(
    state: str, load: Load, sensor: ChannelMean | None, prompt: Callable[[str], str], say: Callable[[str], None]
) -> list[tuple[Point, str]]:
    found: list[tuple[Point, str]] = []
    while True:
        text = prompt(f"{state}, reading {len(found) + 1}, watts").strip()
        if not text:
            return found
        if text.lower() == "undo":
            if found:
                found.pop()
            continue
        try:
            watts = number_of(text)
        except ValueError as error:
            say(f"  {error}")
            continue
        share = load.busy_share()
        sensor_w = sensor.watts() if sensor is not None else None
        found.append((Point(state=state, watts=watts, busy_share=share, sensor_w=sensor_w), text))
        busy = "" if state == IDLE else f", busy {share:.0%} of the time"
        beside = "" if sensor_w is None else f", the board's channel says {sensor_w:.3f} W"
        say(f"  {watts:g} W{busy}{beside}")


def number_of(text: str) -> float:
    """Watts as a person types them: 5.83, 5,83, 5.83 W. Raises ValueError with a sentence."""
    plain = text.strip().removesuffix("W").removesuffix("w").strip().replace(",", ".")
    try:
        watts = float(plain)
    except ValueError:
        raise ValueError(f"{text!r} is no number; type the watts that the meter shows, such as 5.83") from None
    if not (math.isfinite(watts) and 0 <= watts <= 100_000):
        raise ValueError(f"{text!r} is no power from 0 to 100000 W")
    return watts


def resolution_of(texts: Sequence[str]) -> float:
    """The smallest step of readings as they were written: the most decimals that any of them has."""
    decimals = 0
    for text in texts:
        _, point, after = text.strip().rstrip("Ww ").replace(",", ".").partition(".")
        decimals = max(decimals, len(after) if point and after.isdigit() else 0)
    return 10.0 ** -min(decimals, 9) if texts else 0.0


# -- a table --------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> Readings:
    """A CSV with the columns `state` (or `variant`) and `watts`, or `sensor_w` and `watts`; and `busy_share` (0..1)
    where it is not 1. Raises UsageError that names the line.
    """
    points: list[Point] = []
    texts: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
            state_name = names.get("state") or names.get("variant")
            if "watts" not in names or (state_name is None and "sensor_w" not in names):
                raise UsageError(
                    f"{path}: the header must name watts and state (or variant), or watts and sensor_w; "
                    f"it names: {', '.join(names) or 'nothing'}"
                )
            for row in rows:
                points.append(_table_point(path, rows.line_num, row, names, state_name))
                texts.append(row[names["watts"]])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error}); check --readings") from error
    return Readings(tuple(points), resolution_of(texts))


def write_table(readings: Readings, path: Path) -> None:
    """The same CSV from readings. Raises UsageError where it cannot be written."""
    decimals = max(0, round(-math.log10(readings.resolution_w))) if readings.resolution_w > 0 else 3
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["state", "watts", "busy_share", "sensor_w"])
            for point in readings.points:
                beside = "" if point.sensor_w is None else f"{point.sensor_w:.6f}"
                rows.writerow([point.state, f"{point.watts:.{decimals}f}", f"{point.busy_share:.6f}", beside])
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error


def _table_point(path: Path, line: int, row: dict[str, str], names: dict[str, str], state_name: str | None) -> Point:
    def number(name: str) -> float | None:
        text = (row.get(names.get(name, "")) or "").strip()
        if not text:
            return None
        try:
            return number_of(text)
        except ValueError as error:
            raise UsageError(f"{path}: line {line}: {name}: {error}") from error

    state = (row.get(state_name) or "").strip() if state_name is not None else IDLE
    watts, share = number("watts"), number("busy_share")
    if watts is None or not state:
        raise UsageError(f"{path}: line {line}: watts or state is missing")
    default = 0.0 if state == IDLE else 1.0
    try:
        return Point(
            state=state, watts=watts, busy_share=default if share is None else share, sensor_w=number("sensor_w")
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"{path}: line {line}: {problem['loc'][0]}: {problem['msg']}") from error


# -- a log over a journal -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A time in which one state held, seconds UTC; of its inferences the starts and how long they took, seconds."""

    state: str
    begin_s: float
    end_s: float
    starts_s: Floats = field(default_factory=lambda: np.empty(0))
    infer_s: Floats = field(default_factory=lambda: np.empty(0))

    def busy_share(self, begin_s: float, end_s: float) -> float:
        """The share of a window that inferences took."""
        first = max(0, int(np.searchsorted(self.starts_s, begin_s)) - 1)
        last = int(np.searchsorted(self.starts_s, end_s))
        starts_s, ends_s = self.starts_s[first:last], self.starts_s[first:last] + self.infer_s[first:last]
        within_s = np.minimum(ends_s, end_s) - np.maximum(starts_s, begin_s)
        return min(1.0, float(np.maximum(within_s, 0.0).sum()) / (end_s - begin_s))


def read_log(
    log: Path, journal: Path, run: int | None, *, offset_s: float = 0.0, channel: str | None = None
) -> Readings:
    """Means of ten seconds of the meter's log, in each of which the journal knows one state only.

    The log is any recording with a power and time stamps; `offset_s` is added to its times. Times in which no run went
    on are ``idle``. `channel` takes the journal's means of that channel beside them. Raises BoardError or UsageError.
    """
    recording = read_recording(log)
    watts = recording.find(recording.energy) if recording.energy is not None else None
    if watts is None or recording.began_utc_s is None:
        raise UsageError(f"{log}: a meter's log needs one column of watts (power_w) and time stamps (time, ISO)")
    began_s = recording.began_utc_s + offset_s
    with JournalReader(journal) as reader:
        chosen = reader.run(run)
        stretches = [*_running(reader, chosen.id), *_resting(reader, began_s, began_s + recording.duration_s)]
    sensor, sensor_began_s = _sensor(journal, chosen.id, channel) if channel is not None else (None, 0.0)
    span_s = sum(stretch.end_s - stretch.begin_s for stretch in stretches)
    block_s = max(BLOCK_S, span_s / MOST_BLOCKS)
    points = []
    for stretch in stretches:
        for begin_s in np.arange(stretch.begin_s + SETTLE_S, stretch.end_s - block_s, block_s).tolist():
            point = _block(stretch, begin_s, begin_s + block_s, watts, began_s)
            if point is not None and sensor is not None:
                beside = _mean(sensor, begin_s - sensor_began_s, begin_s + block_s - sensor_began_s)
                point = None if beside is None else _beside(point, beside)
            if point is not None:
                points.append(point)
    if not points:
        raise UsageError(_no_overlap(log, began_s, recording, stretches))
    return Readings(tuple(points), 0.0)  # means of many readings have no step of their own


def _beside(point: Point, sensor_w: float) -> Point:
    """The point with a channel's value."""
    return point.model_copy(update={"sensor_w": sensor_w})


def _running(reader: JournalReader, run_id: int) -> Iterator[_Stretch]:
    """Stretches of one variant each."""
    clock, names = reader.clock(run_id), reader.variants()
    variant: int | None = None
    starts, infers = array("d"), array("d")
    end_s = 0.0

    def closed() -> Iterator[_Stretch]:
        if len(starts) and variant is not None:
            name = variant_name(names, variant)
            yield _Stretch(name, starts[0], end_s, np.array(starts), np.array(infers))

    for frame in reader.frames(run_id):
        begin_s, frame_end_s = _utc_s(clock, frame.start_ns), _utc_s(clock, frame.end_ns)
        if frame.variant_id != variant or begin_s - end_s > 1.0:
            yield from closed()
            variant, starts, infers = frame.variant_id, array("d"), array("d")
        starts.append(begin_s)
        infers.append(frame.infer_us / 1e6)
        end_s = frame_end_s
    yield from closed()


def _resting(reader: JournalReader, begin_s: float, end_s: float) -> Iterator[_Stretch]:
    """What of begin..end lies outside of all runs."""
    at_s = begin_s
    spans = []
    for run in reader.runs():
        clock = reader.clock(run.id)
        began_s = clock.utc_ns(run.start_ns)
        ended_s = None if run.ended_ns is None else clock.utc_ns(run.ended_ns)
        if began_s is not None:
            spans.append((began_s / 1e9, math.inf if ended_s is None else ended_s / 1e9))
    for run_began_s, run_ended_s in sorted(spans):
        if run_began_s - IDLE_MARGIN_S > at_s:
            yield _Stretch(IDLE, at_s, min(end_s, run_began_s - IDLE_MARGIN_S))
        at_s = max(at_s, run_ended_s + IDLE_MARGIN_S)
    if at_s < end_s:
        yield _Stretch(IDLE, at_s, end_s)


def _block(stretch: _Stretch, begin_s: float, end_s: float, watts: Series, log_began_s: float) -> Point | None:
    mean_w = _mean(watts, begin_s - log_began_s, end_s - log_began_s)
    if mean_w is None:
        return None
    return Point(state=stretch.state, watts=mean_w, busy_share=stretch.busy_share(begin_s, end_s))


def _mean(series: Series, begin_s: float, end_s: float) -> float | None:
    """Mean of a held series over a window, None where it covers less than nine tenths of it."""
    lasts = np.minimum(end_s, series.ends_s) - np.maximum(begin_s, series.times_s)
    lasts = np.maximum(lasts, 0.0)
    covered = float(lasts.sum())
    return float((lasts * series.values).sum()) / covered if covered >= LEAST_COVERED * (end_s - begin_s) else None


def _sensor(journal: Path, run_id: int, channel: str) -> tuple[Series, float]:
    recording = read_journal(journal, {"run": str(run_id)})
    assert recording is not None  # it was read as a journal just now
    for name in (channel, f"{channel}-power"):
        series = recording.find(name)
        if series is not None and series.quantity is Quantity.POWER and recording.began_utc_s is not None:
            return series, recording.began_utc_s
    known = ", ".join(each.name for each in recording.series if each.quantity is Quantity.POWER) or "none"
    raise BoardError(f"{journal}: run {run_id} has no power channel {channel!r}; it has: {known}")


def _utc_s(clock: UtcMap, at_ns: int) -> float:
    utc_ns = clock.utc_ns(at_ns)
    if utc_ns is None:
        raise UsageError("the journal does not know the time of day of that run, so no log can be laid over it")
    return utc_ns / 1e9


def _no_overlap(log: Path, began_s: float, recording: Recording, stretches: Sequence[_Stretch]) -> str:
    from datetime import datetime, timezone

    def when(at_s: float) -> str:
        return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")

    runs = [stretch for stretch in stretches if stretch.state != IDLE]
    journal = f"{when(runs[0].begin_s)} to {when(runs[-1].end_s)}" if runs else "no frames"
    return (
        f"{log}: no ten seconds of it lie within one state of the journal. The log is of {when(began_s)} to "
        f"{when(began_s + recording.duration_s)}, the run of {journal}; --log-offset SECONDS shifts the log"
    )
