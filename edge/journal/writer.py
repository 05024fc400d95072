"""The journal as the runtime sees it: rows go into memory at once, one thread writes them down from time to time."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from boards.board import Quantity
from boards.sensor import Method
from edge.journal.batch import Batch
from edge.journal.clock import kernel_synchronised
from edge.journal.errors import JournalError
from edge.journal.recovery import WriterLock, is_damage, salvage, set_aside
from edge.journal.rollup import RollUps
from edge.journal.rows import BASE_UNITS, FrameRow, JournalSettings, Level
from edge.journal.samples import Stretches
from edge.journal.store import Known, Store, energy_totals

OnEvent = Callable[[Level, str, str], None]
URGENT_KINDS = frozenset({"battery_critical", "undervoltage"})
_MESSAGE_CHARS = 2000
_QUIET_NS = 600 * 1_000_000_000
# Ids are given out before the file can be read when the disk refuses at start: leave room for what its WAL may hold.
_UNSEEN_IDS = 1000


def _say_nothing(level: Level, kind: str, message: str) -> None:
    return None


class Journal:
    """A journal open for writing; make one with `Journal.open`.

    Every method that adds rows returns at once and never waits for the disk. Rows reach the disk every
    `commit_interval_s`, when `batch_rows` wait, and at once after the first switch for a while, a critical event,
    undervoltage, `flush` and `close`. While the disk refuses, the newest `max_pending_rows` stay in memory (twice as
    many during a save).
    """

    def __init__(
        self,
        path: Path,
        settings: JournalSettings,
        monotonic_ns: Callable[[], int],
        utc_ns: Callable[[], int],
        synchronised: Callable[[], bool | None],
        on_event: OnEvent,
    ) -> None:
        self.path = path
        self.settings = settings
        self._last_switch_ns: int | None = None
        self._monotonic_ns = monotonic_ns
        self._utc_ns = utc_ns
        self._synchronised = synchronised
        self._on_event = on_event
        self._lock = WriterLock(path)
        self._store: Store | None = None
        self._checked = False
        self._unsaved = Batch()  # the writer's; the queue below is everybody's, under _changed
        self._blocked: str | None = None
        self._id_gap = 0
        self._changed = threading.Condition()
        self._queue = Batch()
        self._urgent = False
        self._closing = False
        self._closed = False
        self._asked = 0
        self._answered = 0
        self._last_save_ok = True
        self._next_save_ns = 0
        self._next_clock_ns = 0
        self._run_id = 0
        self._running = False
        self._run_row: tuple[Any, ...] | None = None
        self._known = Known()
        self._scales: dict[int, float] = {}
        self._channel_ids: dict[str, int] = {}
        self._row_s: dict[int, int] = {}
        self._stretches = Stretches()
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls,
        path: Path | str,
        settings: JournalSettings | None = None,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
        synchronised: Callable[[], bool | None] = kernel_synchronised,
        on_event: OnEvent = _say_nothing,
        threaded: bool = True,
    ) -> Journal:
        """Open or make a journal. `on_event` is called from the writer's thread and must return soon.

        Without a thread the caller drives the journal with `tick`. Raises JournalError where another process writes it,
        or where the file is no journal or a newer one. A disk that refuses is no error: rows wait in memory.
        """
        journal = cls(Path(path), settings or JournalSettings(), monotonic_ns, utc_ns, synchronised, on_event)
        try:
            journal._attach_first()
        except JournalError:
            journal._lock.release()
            raise
        journal._next_save_ns = monotonic_ns() + int(journal.settings.commit_interval_s * 1e9)
        if threaded:
            # The integrity check reads the whole file: in the thread, so that a start does not wait for it.
            journal._urgent = True
            journal._thread = threading.Thread(target=journal._write_until_closed, name="journal", daemon=True)
            journal._thread.start()
        else:
            journal._save()
        return journal

    # What producers call

    def register_variant(self, name: str, path: str = "", precision: str = "", engine: str = "") -> int:
        """The number under which frames name this variant, the same across restarts."""
        key = (name, path, precision, engine)
        with self._changed:
            number = self._known.variants.get(key)
            if number is None:
                number = max(self._known.variants.values(), default=0) + 1 + self._id_gap
                self._known.variants[key] = number
                self._queue.add("variant", (number, *key))
            return number

    def register_channel(self, name: str, quantity: Quantity, method: Method = Method.MEASURED, row_s: int = 1) -> None:
        """Say what a channel measures, before its first sample, and how many seconds one row of it covers."""
        unit, scale = BASE_UNITS[quantity]
        key = (name, quantity.value, int(method))
        with self._changed:
            number = self._known.channels.get(key)
            if number is None:
                number = max(self._known.channels.values(), default=0) + 1 + self._id_gap
                self._known.channels[key] = number
                self._queue.add("channel", (number, name, quantity.value, unit, scale, int(method)))
            self._channel_ids[name] = number
            self._scales[number] = scale
            self._row_s[number] = row_s

    def start_run(self, board: str, bundle: str, config_json: str = "{}", rails_included: Sequence[str] = ()) -> int:
        """Begin a run; the one before is ended if it still goes on. Returns its number."""
        if self._running:
            self.end_run("replaced")
        start_ns = self._monotonic_ns()
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed")
        with self._changed:
            self._known.last_run_id += 1
            self._run_id = self._known.last_run_id
            self._running = True
            rails = json.dumps(list(rails_included))
            self._run_row = (self._run_id, self._utc_ns(), start_ns, board, bundle, config_json, rails)
            self._queue.add("run", self._run_row)
            self._next_clock_ns = start_ns
        self._note_clock()
        return self._run_id

    def end_run(self, outcome: str = "finished") -> None:
        """End the run; its energy is written beside it at the next save."""
        self._note_clock(always=True)
        with self._changed:
            self._close_stretches()
            self._queue.add("run_end", (self._monotonic_ns(), self._utc_ns(), outcome, self._require_run()))
            self._running = False
        self.commit_soon()

    def append_frame(self, row: FrameRow) -> None:
        """Add one frame of the present run."""
        self.append_frames((row,))

    def append_frames(self, rows: Sequence[FrameRow]) -> None:
        """Add frames of the present run, oldest first."""
        with self._changed:
            self._queue.add_frames(self._require_run(), rows)
            self._bound_queue()

    def sample(self, channel: str, time_ns: int, value: float) -> None:
        """Add a reading, in the unit of its channel's quantity; a row keeps their mean, least and greatest."""
        if not math.isfinite(value):
            raise ValueError(f"a sample of {channel} is {value}: a sensor that gave nothing has no sample")
        with self._changed:
            run_id = self._require_run()
            number = self._channel_ids.get(channel)
            if number is None:
                raise JournalError(f"channel {channel!r} was not registered before its first sample")
            scale = self._scales[number]
            row = self._stretches.add(number, time_ns, value, scale, self._row_s[number])
            if row is not None:
                self._queue.add("sample", (run_id, *row))
                self._bound_queue()
            if self.settings.raw_ring_rows:
                self._known.raw_slot = (self._known.raw_slot + 1) % self.settings.raw_ring_rows
                self._queue.add("raw_sample", (self._known.raw_slot, run_id, time_ns, number, round(value * scale)))

    def switch(
        self,
        time_ns: int,
        from_id: int | None,
        to_id: int,
        reason: str,
        detail: Mapping[str, Any] | None = None,
        cost_us: int | None = None,
    ) -> None:
        """Note that another variant runs from `time_ns` on; committed at once when it is the first for ten minutes.

        Variants that share time switch every few seconds: a commit for each would multiply what a card has to bear.
        """
        self._add("switch", (int(time_ns), from_id, int(to_id), reason, json.dumps(detail or {}), cost_us))
        now_ns, last_ns = self._monotonic_ns(), self._last_switch_ns
        self._last_switch_ns = now_ns
        if last_ns is None or now_ns - last_ns >= _QUIET_NS:
            self.commit_soon()

    def observation(self, time_ns: int, body: Mapping[str, Any]) -> int:
        """Note what the controller saw; returns the number that its decision refers to."""
        text = json.dumps(body, separators=(",", ":"))
        with self._changed:
            self._known.last_observation_id += 1
            number = self._known.last_observation_id
            self._queue.add("observation", (number, self._require_run(), int(time_ns), text))
            self._bound_queue()
        return number

    def decision(
        self,
        time_ns: int,
        observation_id: int | None,
        variant_id: int,
        reason: str,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what the controller decided, and the numbers behind it."""
        text = json.dumps(body or {}, separators=(",", ":"))
        self._add("decision", (int(time_ns), observation_id, int(variant_id), reason, text))

    def clock(self, monotonic_ns: int, utc_ns: int, synchronised: bool | None) -> None:
        """Note what the wall clock said; the journal does so by itself at start, at end, and every ten minutes."""
        self._add("clock", (int(monotonic_ns), int(utc_ns), None if synchronised is None else int(synchronised)))

    def event(self, level: Level, kind: str, message: str, time_ns: int | None = None) -> None:
        """Note something worth telling, in a run or outside; critical ones are committed at once."""
        at_ns = self._monotonic_ns() if time_ns is None else int(time_ns)
        with self._changed:
            run_id = self._run_id if self._running else None
            self._queue.add("event", (run_id, at_ns, int(level), kind, message[:_MESSAGE_CHARS]))
            self._bound_queue()
        if level >= Level.CRITICAL or kind in URGENT_KINDS:
            self.commit_soon()

    # Saving

    def commit_soon(self) -> None:
        """Ask for a commit now, without waiting for it."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything added before is on the disk; False when the disk refused or time ran out."""
        if self._thread is None:
            return self._save()
        with self._changed:
            if self._closed:
                return self._last_save_ok
            self._asked += 1
            mine = self._asked
            self._urgent = True
            self._changed.notify_all()
            answered = self._changed.wait_for(lambda: self._answered >= mine, timeout_s)
            return answered and self._last_save_ok

    def tick(self) -> bool:
        """Save if it is time to; for a journal without a thread. True when a save was tried and succeeded."""
        self._note_clock()
        with self._changed:
            due = self._urgent or self._monotonic_ns() >= self._next_save_ns
            due = due or len(self._queue) >= self.settings.batch_rows
        return due and self._save()

    def close(self) -> bool:
        """End the run, save, let go of the file. False when rows could not be saved; safe to call twice."""
        if self._closed:
            return self._last_save_ok
        if self._running:
            self.end_run()
        if self._thread is None:
            self._save()
            self._save_what_is_left()
        else:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            if self._store is not None and not self._checked:
                self._store.interrupt()
            self._thread.join()
        if self._store is not None:
            self._store.close()
        self._lock.release()
        self._closed = True
        return self._last_save_ok

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pending_rows(self) -> int:
        """Rows in memory that no commit has written yet."""
        return len(self._queue) + len(self._unsaved)

    @property
    def blocked(self) -> str | None:
        """Why the disk takes no rows at present; None when it does."""
        return self._blocked

    @property
    def saved_energy_uj(self) -> dict[Method, int]:
        """Energy of all frames ever committed, over all runs, by method, in microjoules."""
        return energy_totals(self._known.totals)

    # Under _changed

    def _require_run(self) -> int:
        if not self._running:
            raise JournalError("the journal has no run under way: call start_run first")
        return self._run_id

    def _add(self, table: str, row: tuple[Any, ...]) -> None:
        with self._changed:
            self._queue.add(table, (self._require_run(), *row))
            self._bound_queue()

    def _bound_queue(self) -> None:
        waiting = len(self._queue)
        if waiting > self.settings.max_pending_rows:
            self._queue.trim(self.settings.max_pending_rows)
        if waiting >= self.settings.batch_rows and not self._urgent:
            self._urgent = True
            self._changed.notify_all()

    def _close_stretches(self) -> None:
        for row in self._stretches.close(self._scales):
            self._queue.add("sample", (self._run_id, *row))

    def _note_clock(self, always: bool = False) -> None:
        with self._changed:
            now_ns = self._monotonic_ns()
            if not self._running or (now_ns < self._next_clock_ns and not always):
                return
            self._next_clock_ns = now_ns + int(self.settings.clock_interval_s * 1e9)
            self.clock(now_ns, self._utc_ns(), self._synchronised())

    # In the writer's thread

    def _write_until_closed(self) -> None:
        while True:
            with self._changed:
                wait_s = max(0.0, (self._next_save_ns - self._monotonic_ns()) / 1e9)
                self._changed.wait_for(lambda: self._urgent or self._closing, wait_s)
                closing = self._closing
            self._note_clock()
            self._save()
            if closing:
                self._save_what_is_left()
                return

    def _save(self) -> bool:
        with self._changed:
            self._unsaved.extend(self._queue)
            self._queue = Batch()
            self._urgent = False
            asked = self._asked
            self._next_save_ns = self._monotonic_ns() + int(self.settings.commit_interval_s * 1e9)
        self._unsaved.trim(self.settings.max_pending_rows)
        saved = self._try_to_save()
        with self._changed:
            self._last_save_ok = saved
            self._answered = asked
            self._changed.notify_all()
        return saved

    def _save_what_is_left(self) -> None:
        """What the last save itself had to tell, or all of it when it failed or was interrupted with the check."""
        if self._unsaved:
            self._save()

    def _try_to_save(self) -> bool:
        try:
            try:
                self._commit()
            except sqlite3.Error as error:
                if not is_damage(error, self.path):
                    raise
                self._replace_damaged(str(error))
                self._commit()
        except (sqlite3.Error, OSError, JournalError) as error:
            self._now_blocked(str(error))
            return False
        self._tidy()
        return True

    def _commit(self) -> None:
        store = self._attach()
        if not self._checked:
            self._check(store)
        if not self._unsaved and self._blocked is None:
            return
        news = self._note_recovery()
        dropped = store.commit(self._unsaved)
        self._unsaved = Batch()
        self._known.totals = dict(store.known.totals)
        self._blocked = None
        if news:
            self._call(Level.WARNING, *news)
        if dropped:
            self._tell(Level.ERROR, "journal_bad_rows", f"{dropped} frames held values that a journal cannot store")

    def _check(self, store: Store) -> None:
        """A check takes seconds on a large file; one who wants to leave does not wait for it."""
        if not self._closing:
            try:
                store.check()
            except sqlite3.OperationalError:
                if not self._closing:
                    raise
        self._checked = True

    def _tidy(self) -> None:
        if self._store is not None:
            with contextlib.suppress(sqlite3.OperationalError):  # a full or busy disk: the next save tries again
                self._store.tidy()

    def _note_recovery(self) -> tuple[str, str] | None:
        """Put the end of a blockade, or rows lost to the bound, into the very commit that ends it."""
        lost = self._unsaved.lost
        if self._blocked is None and not lost:
            return None
        resumed = self._blocked is not None
        why = f"after: {self._blocked}" if resumed else "as rows came faster than they could be saved"
        kind = "journal_resumed" if resumed else "journal_overrun"
        message = f"the journal went on {why}; {lost} rows were lost, their energy is in the totals"
        self._unsaved.remove("event", lambda row: row[3] == kind)  # of an attempt that failed
        self._add_event(Level.WARNING, kind, message)
        return kind, message

    def _now_blocked(self, reason: str) -> None:
        first = self._blocked is None
        self._blocked = reason
        if first:
            self._call(
                Level.ERROR,
                "journal_blocked",
                f"the journal {self.path} cannot be written ({reason}); the newest {self.settings.max_pending_rows}"
                " rows are kept in memory: free the disk or make it writable",
            )

    def _attach_first(self) -> None:
        """Open the file and learn which numbers are taken, from whatever of it can be read."""
        try:
            self._known = self._attach().known.copy()
        except sqlite3.Error as error:
            if not is_damage(error, self.path):
                self._read_what_can_be_read(str(error))
                return
            self._known = salvage(self.path) or Known()
            try:
                self._replace_damaged(str(error))
            except (sqlite3.Error, OSError) as refusal:
                self._now_blocked(str(refusal))
        except OSError as error:
            self._read_what_can_be_read(str(error))

    def _read_what_can_be_read(self, reason: str) -> None:
        known = salvage(self.path)
        if known is not None:
            self._known = known
            self._id_gap = _UNSEEN_IDS
            self._known.last_run_id += _UNSEEN_IDS
            self._known.last_observation_id += _UNSEEN_IDS * _UNSEEN_IDS
        self._now_blocked(reason)

    def _attach(self) -> Store:
        if self._store is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._store = Store(self.path, self.settings)
        return self._store

    def _replace_damaged(self, reason: str) -> None:
        store, self._store = self._store, None
        rollups = RollUps()
        if store is not None:
            rollups = store.rollups
            with contextlib.suppress(sqlite3.Error):
                store.close()
        aside = set_aside(self.path)
        fresh = Store(self.path, self.settings)
        fresh.carry_over(self._known.totals, rollups)
        self._store = fresh
        self._checked = True
        self._define_again()
        message = f"the journal was damaged ({reason}); it was set aside as {aside.name} and a new one was started"
        self._tell(Level.ERROR, "journal_corrupt", message)

    def _define_again(self) -> None:
        """What the new file's rows refer to must be in the new file."""
        if self._run_row is not None:
            self._unsaved.add("run", self._run_row)
        for key, number in list(self._known.variants.items()):
            self._unsaved.add("variant", (number, *key))
        for (name, quantity, method), number in list(self._known.channels.items()):
            unit, scale = BASE_UNITS[Quantity(quantity)]
            self._unsaved.add("channel", (number, name, quantity, unit, scale, method))

    def _tell(self, level: Level, kind: str, message: str) -> None:
        self._add_event(level, kind, message)
        self._call(level, kind, message)

    def _add_event(self, level: Level, kind: str, message: str) -> None:
        run_id = self._run_id if self._running else None
        self._unsaved.add("event", (run_id, self._monotonic_ns(), int(level), kind, message[:_MESSAGE_CHARS]))

    def _call(self, level: Level, kind: str, message: str) -> None:
        with contextlib.suppress(Exception):  # a listener's mistake must not end the journal
            self._on_event(level, kind, message)
