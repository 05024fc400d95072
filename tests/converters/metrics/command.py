"""The command line with the rooms that these tests need."""

from __future__ import annotations

import subprocess
import sys


def joulepath(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`joulepath ARGUMENTS` in a process of its own."""
    code = (
        "import sys, typer, converters.cli, edge.cli_bundle; import edge.cli as cli; app = typer.Typer();"
        "converters.cli.register(app); edge.cli_bundle.register(app); cli.build_app = lambda: app;"
        "sys.exit(cli.run(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
