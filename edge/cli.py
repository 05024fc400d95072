"""The one command line. Rooms add their commands through the entry point group ``joulepath.commands``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from edge.errors import JoulepathError, UsageError

COMMAND_GROUP = "joulepath.commands"

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def build_app() -> typer.Typer:
    """The application with every installed command: a room gives a group, or a function that adds its commands.

    A room that cannot load says so when it is asked for.
    """
    app = typer.Typer(
        name="joulepath",
        help="Vision models on boards: paths hot-switched by power, heat and battery, every frame's energy kept.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for entry in sorted(entry_points(group=COMMAND_GROUP), key=lambda e: e.name):
        try:
            room = entry.load()
        except ImportError as error:
            room = _unavailable(entry.name, error)
        if isinstance(room, typer.Typer):
            app.add_typer(room, name=entry.name)
        else:
            room(app)
    return app


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", is_eager=True, callback=lambda asked: _version(asked)
        ),
    ] = False,
) -> None:
    """Options before any command."""


def _version(asked: bool) -> None:
    if asked:
        print(f"joulepath {distribution_version('joulepath')}")
        raise typer.Exit


def _unavailable(name: str, error: ImportError) -> Callable[[typer.Typer], None]:
    """Stands in for a room that cannot load: its command says why when it is asked for."""
    reason = str(error)

    def register(app: typer.Typer) -> None:
        @app.command(name, help=f"Not available here: {reason}")
        def refuse() -> None:
            raise JoulepathError(f"{name} is not available here: {reason}; is its extra installed?")

    return register


def main() -> None:
    """Run the command line: 0 fine, 1 the work failed, 2 bad usage or configuration. No traceback reaches a user."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    try:
        code = build_app()(arguments, standalone_mode=False)
    except UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    except JoulepathError as error:
        return _fail(str(error), EXIT_FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (| head): nothing to say, and nobody to say it to
        return 0
    except Exception as error:
        code = _usage_code(error)
        if code is None:
            raise
        return code
    return code if isinstance(code, int) else 0


def _usage_code(error: Exception) -> int | None:
    # typer vendors or imports click depending on its version: both give their usage errors these two names.
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if not callable(show) or not isinstance(code, int):
        return None
    show()
    return EXIT_USAGE if code == EXIT_USAGE else code


def _fail(message: str, code: int) -> int:
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}joulepath: {message}{plain}", file=sys.stderr)
    return code
