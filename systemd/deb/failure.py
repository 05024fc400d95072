"""The one exception of the package's build: what was wrong, where, and what to do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class BuildError(Exception):
    """The package cannot be built; the message says why and what helps."""


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """The standard output of `command`. Raises BuildError with what it said last, or when it is not installed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=cwd, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{words[0]} is not installed here; apt-get install {_package(words[0])}") from error
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise BuildError(f"{' '.join(words[:4])} ... failed ({done.returncode}):\n{said}")
    return done.stdout


def _package(program: str) -> str:
    return {"dpkg-deb": "dpkg", "readelf": "binutils"}.get(Path(program).name, program)
