"""The daemon: puts the rooms together for one run, answers the control socket, and takes it all down again in order."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from boards.board import Board, Quantity
from boards.roots import Roots
from boards.sensor import Method
from edge.alarms import AlarmWatch
from edge.board import open_named_board
from edge.bundle import Variant, load_bundle
from edge.cameras.supervise import Patience, SupervisedCamera
from edge.cameras.synthetic import CLASSES as STREET_CLASSES
from edge.change import ChangeDetector
from edge.config import Config
from edge.control import ControlServer
from edge.controller import Decision, GoalStatus, Observation
from edge.errors import UsageError
from edge.journal import FrameRow, Journal, JournalSettings, Level
from edge.ledger import Ledger
from edge.meter import Meter
from edge.observe import Observer, worth_keeping
from edge.outlook import Outlook
from edge.pipeline import Pipeline, Shown, Sink
from edge.power_modes import open_power_modes
from edge.prepare import Preparers
from edge.profile import load_profile
from edge.sampler import Sampler
from edge.service import OVERDUE_S, START_LIMIT_S, Progress
from edge.status import Status
from edge.steward import Known, Steward, Switch
from edge.tasks import open_task
from edge.variants import Pool

NS_PER_S = 1_000_000_000
DECISION_RECORD_NS = 30 * NS_PER_S
Clock = Callable[[], int]
OnEvent = Callable[[str, str, str], None]


@dataclass(frozen=True)
class RunOptions:
    """What one run is asked to do."""

    bundle: Path
    camera: str
    board: str
    journal: Path
    config: Config = field(default_factory=Config)
    reload: Callable[[], Config] | None = None
    frames: int | None = None
    socket: Path | None = None
    pin: str | None = None
    library: str | None = None
    threads: int | None = None
    wait_for_camera: bool = False  # a device that cannot be used at the start is an outage, not an error


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    run_id: int
    frames: int
    skipped: int
    reused: int
    retried: int
    seconds: float
    energy_j: float | None
    energy_method: str
    switches: int
    first_frame_s: float | None
    journal: str

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Daemon:
    """One run from start to end; a context manager. `run` blocks, `stop` may be called from a signal handler."""

    def __init__(
        self,
        options: RunOptions,
        *,
        clock: Clock = time.monotonic_ns,
        on_note: Callable[[str, str], None] = lambda level, line: None,
        board: Board | None = None,
    ) -> None:
        self.options, self._clock, self._on_note = options, clock, on_note
        self._began_ns = clock()
        self._given_board = board
        self._stack = ExitStack()
        self._lock = Lock()
        self._switches = 0
        self._goals: tuple[GoalStatus, ...] = ()
        self._recent_miou: deque[float] = deque(maxlen=30)
        self._camera_state = "starting"
        self._sinks: list[Sink] = []
        self._early: list[tuple[str, str, str]] | None = []  # events from before the journal was open
        self._run_id = 0
        self._energy_uj = 0
        self._energy_known = False
        self._emergency = False
        self._last_decision: tuple[str | None, float | None] = (None, None)
        self._last_decision_ns = 0

    # -- setting up, in the order that gets the first frame soonest -------------------------------------------

    def __enter__(self) -> Daemon:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        options, config = self.options, self.options.config
        camera = config.camera_process
        patience = Patience(freeze_timeout_s=camera.freeze_timeout_s, open_timeout_s=camera.open_timeout_s)
        self.camera = SupervisedCamera(options.camera, on_event=self._event, patience=patience)
        self.bundle = load_bundle(options.bundle)
        self.variants: dict[str, Variant] = {v.id: v for v in self.bundle.manifest.variants}
        if options.pin is not None and options.pin not in self.variants:
            raise UsageError(f"variant {options.pin!r} is not in the bundle; it has: {', '.join(self.variants)}")
        self.task = open_task(self.bundle.manifest)
        self.pool = Pool(
            self.bundle,
            threads=config.engine.threads if options.threads is None else options.threads,
            library=options.library or config.engine.library,
            max_resident_files=config.engine.max_resident_files,
            slots=Pipeline.SLOTS,
            on_event=self._event,
        )
        self._stack.callback(self.pool.close)
        # The engine loads in a process of its own while the rest is opened here.
        self.pool.ensure(options.pin or self._best_guess())
        self._stack.callback(self.camera.close)
        self.camera.open(wait=options.wait_for_camera)
        self.board = self._given_board or self._open_board()
        self._stack.callback(self.board.close)
        self._open_journal()
        self._open_meter()
        self._open_steward()
        self.power_modes = open_power_modes(config.power_modes, Roots(), self._event)
        if self.power_modes is not None:
            self._stack.callback(self.power_modes.close)
        if options.socket is not None:
            server = ControlServer(options.socket, self.handle)
            self._stack.callback(server.close)

    def _open_board(self) -> Board:
        # What a variant draws on the simulated board follows its multiply-accumulates.
        costs = {v.id: float(v.macs) for v in self.variants.values() if v.macs}
        return open_named_board(self.options.board, clock=self._clock, relative_cost=costs)

    def _best_guess(self) -> str:
        known = self._known_variants()
        return max(known, key=lambda k: (k.accuracy or -1.0, k.macs or 0)).id

    def _all_that_fit(self) -> tuple[str, ...]:
        # More files than may be resident would push one another out: those load when they are wanted.
        files = {v.file for v in self.variants.values()}
        return tuple(self.variants) if len(files) <= self.options.config.engine.max_resident_files else ()

    def _known_variants(self) -> tuple[Known, ...]:
        profile = load_profile(self.bundle, threads=self.pool.threads)
        measured = {} if profile is None else profile.latencies_ms
        energies = {} if profile is None else profile.energies_mj
        known = []
        for variant in self.bundle.manifest.variants:
            accuracy = variant.accuracy[0].value if variant.accuracy else None
            latency_ms, energy_mj = measured.get(variant.id), energies.get(variant.id)
            power_w = energy_mj / latency_ms if energy_mj and latency_ms else None
            idle_w = None if profile is None else profile.idle_w
            known.append(Known(variant.id, accuracy, variant.macs, latency_ms, power_w, idle_w))
        return tuple(known)

    def _open_journal(self) -> None:
        config = self.options.config.journal
        self.options.journal.parent.mkdir(parents=True, exist_ok=True)
        self.journal = Journal.open(
            self.options.journal,
            JournalSettings(
                commit_interval_s=config.commit_interval_s,
                max_bytes=config.max_bytes,
                raw_ring_rows=config.raw_samples,
            ),
            monotonic_ns=self._clock,
            on_event=lambda level, kind, message: self._note(level.name.lower(), message),
        )
        self._stack.callback(self.journal.close)
        for channel in self.board.channels:
            fast = channel.name == self.board.energy_channel or channel.quantity is Quantity.ENERGY
            row_s = 1 if fast else config.slow_row_s
            self.journal.register_channel(channel.name, channel.quantity, channel.method, row_s)
        self.numbers = {
            v.id: self.journal.register_variant(v.id, v.path, v.precision, v.engine)
            for v in self.bundle.manifest.variants
        }
        described = self.options.config.model_dump(mode="json") | {"camera_source": self.options.camera}
        info = self.board.info
        self._run_id = self.journal.start_run(
            info.name,
            f"{self.bundle.manifest.name}@{self.bundle.digest[:12]}",
            json.dumps(described),
            info.rails_included,
        )
        early, self._early = self._early, None
        for level, kind, message in early or ():
            self.journal.event(Level[level.upper()], kind, message)

    def _open_meter(self) -> None:
        rate_hz = self.options.config.sampler.power_rate_hz
        channel = next((c for c in self.board.channels if c.name == self.board.energy_channel), None)
        if channel is not None and rate_hz is not None:
            channel = replace(channel, period_s=1 / rate_hz)
        self.meter = None if channel is None else Meter.for_channel(channel)
        self._energy_period_s = 0.0 if channel is None else channel.period_s
        self.method = Method.UNAVAILABLE if channel is None else channel.method
        self.alarms = AlarmWatch(self.board.channels, self._event)
        self.outlook = Outlook(self.board)
        self.sampler = Sampler(
            self.board,
            clock=self._clock,
            meter=self.meter,
            on_sample=self._sampled,
            on_event=self._event,
            rate_hz=rate_hz,
        )
        self.observer = Observer(
            self.board,
            self.sampler,
            self.meter,
            self.camera,
            {number: name for name, number in self.numbers.items()},
            lambda: self.pipeline.counters.recent_done_ns,
            clock=self._clock,
        )
        self.sampler.start()
        self._stack.callback(self.sampler.close)

    def _open_steward(self) -> None:
        config = self.options.config.controller
        self.steward = Steward(
            self._known_variants(),
            self.options.config.controller.make(),
            self.pool,
            self.observer.look,
            period_ns=int(config.period_s * NS_PER_S),
            on_switch=self._switched,
            on_decision=self._decided,
            on_event=self._event,
            prewarm=self._all_that_fit(),
        )
        if self.options.pin is not None:
            self.steward.pin(self.options.pin)
        patience_ns = max(NS_PER_S, round(4 * self._energy_period_s * NS_PER_S))
        self.ledger = Ledger(self.meter, self._row, patience_ns)
        self.pipeline = Pipeline(
            self.camera,
            self.pool,
            self.steward,
            self.task,
            self.variants,
            self.numbers,
            self.ledger,
            Preparers,
            clock=self._clock,
            sinks=[_Quality(self._recent_miou)],
            note=self.board.note,
            slowdown=lambda: float(getattr(self.board, "slowdown", 1.0)),
            on_event=self._event,
            # The street's truth means the street's classes; another bundle's masks cannot be held against it.
            detector=self._detector(),
            scored=self.camera.spec.kind != "synthetic" or self.bundle.manifest.labels == STREET_CLASSES,
        )

    def _detector(self) -> ChangeDetector | None:
        config = self.options.config.inference
        return ChangeDetector(config.change_threshold, config.longest_reuse_s) if config.skip_unchanged else None

    # -- running ----------------------------------------------------------------------------------------------

    def add_sink(self, sink: Sink) -> None:
        """Show finished frames to `sink` as well; it is closed with the daemon."""
        self._sinks.append(sink)
        self.pipeline.add_sink(sink)

    def run(self) -> Summary:
        """Serve until the stream ends, the frames are done, or `stop`; then settle every row."""
        outcome = "failed"
        try:
            if not self.camera.out:
                self._camera_state = "streaming"
            counters = self.pipeline.run(self.options.frames)
            outcome = "finished"
        finally:
            end_ns = self._clock()
            self.sampler.wait_past(end_ns, timeout_s=0.3)
            self.ledger.close(end_ns)
            self.sampler.close()
            self.journal.end_run(outcome)
            for sink in self._sinks:
                sink.close()
        first = counters.first_frame_ns
        return Summary(
            run_id=self._run_id,
            frames=counters.frames,
            skipped=counters.skipped,
            reused=counters.reused,
            retried=counters.retried,
            seconds=(end_ns - self._began_ns) / NS_PER_S,
            energy_j=self._energy_uj / 1e6 if self._energy_known else None,
            energy_method=self.method.name.lower(),
            switches=self._switches,
            first_frame_s=None if first is None else (first - self._began_ns) / NS_PER_S,
            journal=str(self.options.journal),
        )

    def stop(self) -> None:
        """End the run after the frame under way."""
        self.pipeline.stop()

    def reload(self) -> None:
        """Read the configuration again (SIGHUP); what only a restart can change is named in the journal."""
        if self.options.reload is None:
            self._event("warning", "reload", "there is no configuration file to read again")
            return
        try:
            config = self.options.reload()
        except UsageError as error:
            self._event("error", "reload", f"configuration kept as it was: {error}")
            return
        old, self.options = self.options.config, replace(self.options, config=config)
        self.steward.replace_controller(config.controller.make(), int(config.controller.period_s * NS_PER_S))
        fixed = [
            name
            for name in type(config).model_fields
            if name != "controller" and getattr(config, name) != getattr(old, name)
        ]
        message = "configuration read again"
        if fixed:
            message += f"; these take effect at the next start: {', '.join(fixed)}"
        self._event("info", "reload", message)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- what the rooms tell each other -----------------------------------------------------------------------

    def _sampled(self, name: str, at_ns: int, value: float) -> None:
        self.journal.sample(name, at_ns, value)
        self.alarms.sample(name, value)
        if name in ("battery", "battery_energy_j"):
            self.outlook.look(at_ns, self.observer.value, self.observer.power_w())

    def _row(self, row: FrameRow) -> None:
        self.journal.append_frame(row)
        self.observer.row(row)
        with self._lock:
            if row.energy_uj is not None:
                self._energy_uj += row.energy_uj
                self._energy_known = True

    def _switched(self, switch: Switch) -> None:
        before = None if switch.before is None else self.numbers[switch.before]
        self.journal.switch(
            switch.time_ns, before, self.numbers[switch.after], switch.reason, dict(switch.numbers), switch.cost_us
        )
        if switch.before is not None:
            self._switches += 1
        self._note("switch", f"{switch.before or 'start'} -> {switch.after}: {switch.reason}")

    def _decided(self, seen: Observation, decision: Decision) -> None:
        if decision.emergency and not self._emergency:
            self._event("critical", "emergency", decision.reason)  # critical events are committed at once
        self._emergency = decision.emergency
        self._tell_of_goals(decision)
        if self.power_modes is not None:
            self.power_modes.follow(decision)
        # Four decisions a second would be a hundred megabytes a day: kept are changes, and one in thirty seconds.
        due = seen.monotonic_ns - self._last_decision_ns >= DECISION_RECORD_NS
        decided = (decision.variant, decision.max_fps)
        if not due and decided == self._last_decision:
            return
        if decision.max_fps != self._last_decision[1]:
            rate = "every frame" if decision.max_fps is None else f"at most {decision.max_fps:.1f} frames a second"
            self._note("switch", f"{rate}: {decision.reason}")
        self._last_decision, self._last_decision_ns = decided, seen.monotonic_ns
        body = worth_keeping(seen)
        number = self.journal.observation(seen.monotonic_ns, body)
        self.journal.decision(
            seen.monotonic_ns, number, self.numbers[decision.variant], decision.reason,
            {name: value for name, value in decision.numbers.items() if name not in body}
            | {f"expected_{name}": value for name, value in decision.expected.items()},
        )  # fmt: skip

    def _tell_of_goals(self, decision: Decision) -> None:
        for note in decision.notes:
            self._event("warning", "reading_refused", note)
        before = {status.goal: status.state for status in self._goals}
        for status in decision.goals:
            old = before.get(status.goal)
            if status.state != old and (old is not None or status.state != "met"):
                level = "info" if status.state == "met" else "warning"
                self._event(level, "goal", f"{status.goal} {status.state}: {status.text}")
        self._goals = decision.goals

    def _event(self, level: str, kind: str, message: str) -> None:
        if kind.startswith("camera"):
            self._camera_state = "streaming" if kind == "camera_back" else message
        if self._early is not None:
            self._early.append((level, kind, message))
        else:
            self.journal.event(Level[level.upper()], kind, message)
        self._note(level, message)

    def _note(self, level: str, line: str) -> None:
        at_s = (self._clock() - self._began_ns) / NS_PER_S
        self._on_note(level, f"{at_s:6.1f} s  {level}: {line}")

    # -- what people ask --------------------------------------------------------------------------------------

    def status(self) -> Status:
        """A snapshot; safe from any thread."""
        counters = self.pipeline.counters
        with self._lock:
            energy_j = self._energy_uj / 1e6 if self._energy_known else None
        recent = list(self._recent_miou)
        return Status(
            variant=self.steward.active,
            reason=self.steward.reason,
            pinned=self.steward.pinned,
            max_fps=self.steward.max_fps,
            frames=counters.frames,
            skipped=counters.skipped,
            reused=counters.reused,
            fps=self.observer.fps(),
            infer_ms=counters.last_infer_ms,
            age_ms=counters.last_age_ms,
            power_w=self.observer.power_w(),
            power_method=self.method.name.lower(),
            energy_per_frame_j=self.observer.energy_per_frame_j(),
            energy_j=energy_j,
            temperature_c=self.observer.temperature_c(),
            battery=self.observer.value("battery"),
            battery_left=self.outlook.left(),
            goals=tuple(map(str, self._goals)),
            throttled=self.observer.flag("throttled"),
            load=self.observer.value("load"),
            miou=sum(recent) / len(recent) if recent else None,
            camera=self._camera_state,
            journal=self.journal.blocked or "writing",
            elapsed_s=(self._clock() - self._began_ns) / NS_PER_S,
            switches=self._switches,
        )

    def progress(self) -> Progress:
        """How far the threads have come, for the service's watchdog; safe from any thread, once `run` was called."""
        counters = self.pipeline.counters
        young = self._clock() - self._began_ns < round(START_LIMIT_S * NS_PER_S)
        return Progress(
            sampler_turns=self.sampler.turns,
            turns=counters.turns,
            looks=counters.looks,
            taken=counters.taken,
            frames=counters.frames,
            loading=young and counters.taken == 0 and self.steward.active is None,
            outage=self.camera.out,
            overdue=self.camera.overdue_s > OVERDUE_S,
        )

    def stalled(self, message: str) -> None:
        """The watchdog is no longer fed: written down while there is time."""
        self._event("critical", "stalled", message)  # critical events are committed at once

    def handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request of the control socket."""
        command = request["command"]
        if command == "status":
            return {"status": self.status().as_dict(), "variants": list(self.variants)}
        if command == "switch":
            return self._pin(request.get("variant"))
        raise UsageError(f"unknown command {str(command)[:40]!r}; known: status, switch")

    def _pin(self, variant: object) -> Mapping[str, Any]:
        if variant is not None and variant not in self.variants:
            raise UsageError(f"variant {str(variant)[:80]!r} is not in the bundle; it has: {', '.join(self.variants)}")
        chosen = None if variant is None else str(variant)
        self.steward.pin(chosen)
        self._event("info", "pin", f"pinned to {chosen} by hand" if chosen else "the controller chooses again")
        return {"pinned": chosen}


class _Quality:
    """A sink that keeps the mask quality of the last frames."""

    def __init__(self, recent: deque[float]) -> None:
        self._recent = recent

    def show(self, shown: Shown) -> None:
        if shown.miou is not None:
            self._recent.append(shown.miou)

    def close(self) -> None:
        return None
