"""All examinations, one after the other; one that fails itself is a finding too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from boards.roots import Roots
from edge.cli_run import bundle_folder
from edge.config import DEFAULT_CONFIG, Config, load_config
from edge.doctor.finding import Finding
from edge.doctor.hardware import board_findings, camera_findings, pace_findings, power_mode_findings
from edge.doctor.service import service_findings
from edge.doctor.software import software_findings
from edge.doctor.storage import bundle_findings, clock_findings, storage_findings
from edge.errors import UsageError


def examine(*, config: Path | None = None, board: str | None = None, roots: Roots | None = None) -> list[Finding]:
    """Look at everything. `config` None is the default file where it exists. Never raises for what it finds."""
    where = roots or Roots()
    settings, findings = _settings(config)
    rooms: list[Callable[[], Iterable[Finding]]] = [
        software_findings,
        lambda: board_findings(board or settings.board or "auto", where),
        lambda: camera_findings(settings.camera, where),
        lambda: pace_findings(where),
        lambda: power_mode_findings(settings.power_modes, where),
        lambda: bundle_findings(None if settings.bundle is None else bundle_folder(settings.bundle)),
        lambda: storage_findings(settings.journal_file, where, settings.journal.max_bytes),
        clock_findings,
        lambda: service_findings(settings.socket, where),
    ]
    for room in rooms:
        try:
            findings += room()
        except Exception as error:  # an examination that fails must not hide the others
            findings.append(Finding("warning", "doctor", f"an examination failed: {type(error).__name__}: {error}"))
    return findings


def _settings(path: Path | None) -> tuple[Config, list[Finding]]:
    try:
        settings = load_config(path)
    except UsageError as error:
        return Config(), [
            Finding("wrong", "configuration", str(error), "correct the file; the rest is looked at as if it were empty")
        ]
    if path is None and not DEFAULT_CONFIG.is_file():
        return settings, [
            Finding("note", "configuration", f"none ({DEFAULT_CONFIG} does not exist): defaults are used")
        ]
    return settings, [Finding("ok", "configuration", f"{path or DEFAULT_CONFIG} is valid")]
