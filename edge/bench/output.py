"""How every bench command ends: shown or printed as JSON, and recorded where that is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge.bench.record import Result, command_line, show, write


def own_command() -> str:
    """The command line of this process, as it may be published."""
    return command_line(sys.argv[1:])


def note(line: str) -> None:
    """Progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


def finish(result: Result, record: Path | None, as_json: bool = False) -> None:
    """Show `result`, or print it as JSON; write it into `record`. Raises BenchError when that cannot be written."""
    if as_json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        show(result)
    if record is not None:
        note(f"recorded: {', '.join(map(str, write(result, record)))}")
