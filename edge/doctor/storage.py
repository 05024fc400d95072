"""Bundle, disk, journal, clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from boards.roots import Roots
from edge.bundle import load_bundle
from edge.config import Config
from edge.doctor.finding import Finding
from edge.errors import JoulepathError
from edge.journal.clock import kernel_synchronised
from edge.journal.place import journal_to_read
from edge.journal.reader import connect_for_reading

_WRITTEN_A_DAY = 200_000_000  # bytes at 10 fps, as measured in docs/bench/journal.md, rounded


def bundle_findings(bundle: Path | None) -> Iterator[Finding]:
    """Whether the configured bundle is whole."""
    if bundle is None:
        yield Finding("note", "bundle", "none configured", "set bundle in the configuration, or pass --bundle to run")
        return
    try:
        loaded = load_bundle(bundle)
    except JoulepathError as error:
        yield Finding("wrong", "bundle", str(error), "install the bundle again")
        return
    manifest = loaded.manifest
    yield Finding("ok", "bundle", f"{manifest.name}: {len(manifest.variants)} variants, every hash as it should be")


def storage_findings(
    journal: Path | None, roots: Roots, max_bytes: int = Config().journal.max_bytes
) -> Iterator[Finding]:
    """Room and right to write where the journal goes, and whether the journal is sound."""
    path = journal or journal_to_read()
    folder = next(parent for parent in path.parents if parent.exists())
    if not os.access(path if path.exists() else folder, os.W_OK):
        remedy = "run as the service's user, or name another journal with --journal"
        yield Finding("warning", "journal", f"{path}: this user may not write there", remedy)
    free = shutil.disk_usage(folder).free
    room = max_bytes - (path.stat().st_size if path.exists() else 0)
    if free < room:
        text = f"{free / 1e6:.0f} MB are free in {folder}; the journal may still grow by {room / 1e6:.0f} MB"
        yield Finding("warning", "disk", text, "free some space, or lower journal.max_bytes")
    else:
        yield Finding("ok", "disk", f"{free / 1e9:.1f} GB are free in {folder}")
    if _on_flash_card(folder, roots):
        text = f"the journal is on an SD card or eMMC; about {_WRITTEN_A_DAY / 1e6:.0f} MB a day are written at 10 fps"
        yield Finding("note", "disk", text)
    if path.exists():
        yield _soundness(path)


def _soundness(path: Path) -> Finding:
    try:
        with closing(connect_for_reading(path)) as database:
            verdict = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except (sqlite3.Error, JoulepathError) as error:
        return Finding("warning", "journal", f"{path}: {error}", "the daemon sets a damaged journal aside and goes on")
    if verdict != "ok":
        return Finding("warning", "journal", f"{path}: {verdict}", "the daemon sets it aside at its next start")
    return Finding("ok", "journal", f"{path} is sound, {path.stat().st_size / 1e6:.1f} MB")


def _on_flash_card(folder: Path, roots: Roots) -> bool:
    device = os.stat(folder).st_dev
    try:
        return "mmcblk" in os.readlink(roots.sys / f"dev/block/{os.major(device)}:{os.minor(device)}")
    except OSError:
        return False


def clock_findings() -> Iterator[Finding]:
    """Whether wall times in the journal can be trusted."""
    synchronised = kernel_synchronised()
    if synchronised is False:
        text = "the clock is not synchronised: wall times may be wrong (intervals and energies are not affected)"
        yield Finding("note", "clock", text, "sudo timedatectl set-ntp true, where there is a network")
    elif synchronised:
        yield Finding("ok", "clock", "synchronised")
