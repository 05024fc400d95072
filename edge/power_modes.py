"""Clocks and power modes of the whole board: touched only where the configuration says so and the system permits it.

What is set is what was asked for and nothing else, what was there before is put back at the end of the saving and of
the run, and a value that somebody else has changed meanwhile is left to them. Setting runs on a thread of its own:
nvpmodel takes its time, and no frame waits for it. A process that is killed outright puts nothing back: the journal
says what was there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from boards.roots import Roots
from boards.sysfs import numbered, read_once_int, read_once_word
from edge.config import PowerModesConfig
from edge.controller.contract import Decision
from edge.errors import JoulepathError

NS_PER_S = 1_000_000_000
_NVPMODEL_S = 20.0
_MODE = re.compile(r"pmode:0*(\d{1,3})\b")
_SAVING_GOALS = frozenset({"temperature", "power", "battery"})
OnEvent = Callable[[str, str, str], None]
Command = Callable[[Sequence[str]], tuple[int, str]]


class PowerModeError(JoulepathError):
    """A clock or a power mode that cannot be set; the message says which and what to do."""


class Knob(Protocol):
    """One thing that can be set: what it is, why it cannot be (None where it can), its value now, and a new one."""

    name: str
    wanted: str

    def problem(self) -> str | None: ...

    def read(self) -> str | None: ...

    def write(self, value: str) -> None: ...


class SysfsKnob:
    """A file of cpufreq; `allowed` are the words that it takes, None for any."""

    def __init__(self, path: Path, wanted: str, allowed: Sequence[str] | None = None) -> None:
        self.name, self.wanted = f"{path.parent.name}/{path.name}", wanted
        self._path, self._allowed = path, allowed

    def problem(self) -> str | None:
        if self._allowed is not None and self.wanted not in self._allowed:
            return f"{self._path}: {self.wanted!r} is not one of {', '.join(self._allowed) or 'none'}"
        if not os.access(self._path, os.W_OK):
            return f"{self._path}: this user may not write it (docs/controller.md tells how to permit it)"
        return None

    def read(self) -> str | None:
        return read_once_word(self._path)

    def write(self, value: str) -> None:
        try:
            self._path.write_text(value + "\n")
        except OSError as error:
            raise PowerModeError(f"{self._path}: {value!r} was refused ({error.strerror})") from error


class NvpmodelKnob:
    """NVIDIA's power mode of a Jetson, by its number."""

    def __init__(self, mode: int, roots: Roots, command: Command, program: str | None, superuser: bool) -> None:
        self.name, self.wanted = "nvpmodel", str(mode)
        # Its status file can be read without being root; Roots has no /var, it lies beside /etc.
        self._status = roots.etc.parent / "var/lib/nvpmodel/status"
        self._command, self._program, self._superuser = command, program, superuser

    def problem(self) -> str | None:
        if self._program is None:
            return "nvpmodel is not there: only Jetsons have it"
        if not self._superuser:
            return "nvpmodel sets a mode for root alone: run as root, or leave power_modes.nvpmodel out"
        return None

    def read(self) -> str | None:
        try:
            found = _MODE.search(self._status.read_text(errors="replace"))
        except OSError:
            return None
        return None if found is None else found[1]

    def write(self, value: str) -> None:
        # Nobody answers when it asks for a reboot, and then it sets nothing.
        code, said = self._command([self._program or "nvpmodel", "-m", value])
        if code != 0:
            raise PowerModeError(f"nvpmodel -m {value} failed ({code}): {said.strip()[-200:]}")


def knobs(
    config: PowerModesConfig,
    roots: Roots,
    *,
    command: Command | None = None,
    which: Callable[[str], str | None] = shutil.which,
    superuser: bool | None = None,
) -> list[Knob]:
    """All that the configuration wants set; raises PowerModeError where the board has no such thing at all."""
    found: list[Knob] = []
    if config.governor is not None or config.max_frequency_mhz is not None:
        policies = numbered(roots.sys / "devices/system/cpu/cpufreq", "policy")
        if not policies:
            raise PowerModeError(f"{roots.sys}/devices/system/cpu/cpufreq: this board lets nobody set its clocks")
        for folder in policies:
            found += _of_policy(folder, config)
    if config.nvpmodel is not None:
        root = os.geteuid() == 0 if superuser is None else superuser
        found.append(NvpmodelKnob(config.nvpmodel, roots, command or _run, which("nvpmodel"), root))
    return found


def _of_policy(folder: Path, config: PowerModesConfig) -> list[Knob]:
    found: list[Knob] = []
    if config.governor is not None:
        found.append(SysfsKnob(folder / "scaling_governor", config.governor, _words(folder)))
    if config.max_frequency_mhz is not None:
        # Clusters differ: each gets what is wanted, or the nearest that it has.
        wanted = config.max_frequency_mhz * 1000
        least, most = read_once_int(folder / "cpuinfo_min_freq"), read_once_int(folder / "cpuinfo_max_freq")
        wanted = max(wanted, least or wanted)
        found.append(SysfsKnob(folder / "scaling_max_freq", str(min(wanted, most or wanted))))
    return found


def _words(folder: Path) -> list[str] | None:
    try:
        return (folder / "scaling_available_governors").read_text().split()
    except OSError:
        return None


def _run(arguments: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_NVPMODEL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout + done.stderr


def asks_for_saving(decision: Decision, when: str) -> bool:
    """Whether a decision is a reason to slow the board: an emergency; and, with ``when_saving``, a limit of heat, power
    or battery that is at risk with all that variants and rate can do."""
    if decision.emergency:
        return True
    hard_pressed = any(s.goal in _SAVING_GOALS and s.state in ("at risk", "not feasible") for s in decision.goals)
    return when == "when_saving" and hard_pressed


class PowerModes:
    """Sets the knobs while it is asked to, and puts them back. `follow` and `close` belong to one thread."""

    def __init__(
        self,
        chosen: Sequence[Knob],
        config: PowerModesConfig,
        on_event: OnEvent,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._config, self._on_event, self._clock = config, on_event, clock
        self._knobs = [knob for knob in chosen if self._permitted(knob)]
        self._before: list[tuple[Knob, str]] = []  # the setting thread's
        self._saving, self._needed_ns = False, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="power-modes")

    def follow(self, decision: Decision) -> None:
        """Set or put back as `decision` asks; what was set stays for `hold_s` after the last reason for it."""
        if not self._knobs:
            return
        now_ns = self._clock()
        if asks_for_saving(decision, self._config.when):
            self._needed_ns = now_ns
            if not self._saving:
                self._saving = True
                self._thread.submit(self._set, decision.reason)
        elif self._saving and now_ns - self._needed_ns >= self._config.hold_s * NS_PER_S:
            self._saving = False
            self._thread.submit(self._put_back)

    def close(self) -> None:
        """Put everything back."""
        self._thread.submit(self._put_back)
        self._thread.shutdown(wait=True)

    def _permitted(self, knob: Knob) -> bool:
        problem = knob.problem()
        if problem is not None:
            self._on_event("warning", "power_mode_refused", f"{knob.name} is left alone: {problem}")
        return problem is None

    def _set(self, reason: str) -> None:
        for knob in self._knobs:
            before = knob.read()
            if before is None:
                self._on_event("warning", "power_mode_refused", f"{knob.name} is left alone: its value cannot be read")
            elif before != knob.wanted and self._wrote(knob, knob.wanted, f"was {before}; {reason}"):
                self._before.append((knob, before))

    def _put_back(self) -> None:
        while self._before:
            knob, before = self._before.pop()
            now = knob.read()
            if now == knob.wanted:
                self._wrote(knob, before, "as it was")
            else:
                self._on_event("info", "power_mode", f"{knob.name} is left at {now}: somebody else set it")

    def _wrote(self, knob: Knob, value: str, why: str) -> bool:
        try:
            knob.write(value)
        except PowerModeError as error:
            self._on_event("error", "power_mode_refused", str(error))
            return False
        self._on_event("info", "power_mode", f"{knob.name} = {value} ({why})")
        return True


def open_power_modes(config: PowerModesConfig, roots: Roots, on_event: OnEvent) -> PowerModes | None:
    """None where the configuration wants nothing touched; what cannot be set is said and left alone."""
    if config.when == "never":
        return None
    try:
        chosen = knobs(config, roots)
    except PowerModeError as error:
        on_event("warning", "power_mode_refused", str(error))
        return None
    return PowerModes(chosen, config, on_event)
