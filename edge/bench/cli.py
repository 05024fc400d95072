"""`joulepath bench`: the measurements behind every published figure, one command each.

Other packages add theirs through the entry point group ``joulepath.bench`` (the `model` benchmark needs converters),
so that nothing here imports them.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from edge.bench.change import change_command
from edge.bench.child import JOULEPATH
from edge.bench.controller import controller_command
from edge.bench.idle import idle_command
from edge.bench.memory import memory_command
from edge.bench.pipeline import pipeline_command
from edge.bench.prediction import prediction_command
from edge.bench.record import BenchError

GROUP = "joulepath.bench"
_HELP = "Measure this machine, one figure at a time; each says how, and can be recorded."
_RECORD = typer.Option(help="write NAME.json and NAME.md into this folder")
_JSON = typer.Option("--json", help="print JSON")


def register(app: typer.Typer) -> None:
    """Add the group `bench` to the one command line."""
    bench = typer.Typer(help=_HELP, no_args_is_help=True)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        # Benchmarks of the host's packages are not there where only the board's part is installed.
        with suppress(ImportError):
            entry.load()(bench)
    bench.command("pipeline", help=_PIPELINE)(pipeline_command)
    bench.command("switch", help=_SWITCH)(switch)
    bench.command("journal", help=_JOURNAL)(journal)
    bench.command("energy", help=_ENERGY)(energy)
    bench.command("sampling", help=_SAMPLING)(sampling)
    bench.command("idle", help=_IDLE)(idle_command)
    bench.command("controller")(controller_command)
    bench.command("prediction")(prediction_command)
    bench.command("memory")(memory_command)
    bench.command("change")(change_command)
    bench.command("all", help=_ALL)(every)
    app.add_typer(bench, name="bench")


_PIPELINE = """Frames a second of the whole daemon against a loop that only invokes the model; frame age; a slow camera.

Example:

  joulepath bench pipeline --bundle streets-512 --record docs/bench
"""
_SWITCH = """From a decision to the first inference on the new variant, over all ordered pairs of a bundle.

Example:

  joulepath bench switch --bundle streets
"""
_JOURNAL = """Frames a second into the journal, bytes a frame, summary time, bytes written in a day.

Example:

  joulepath bench journal --frames 200000
"""
_ENERGY = """Frame energies and their uncertainty against waveforms whose integral is known.

Example:

  joulepath bench energy --seconds 60
"""
_SAMPLING = """Processor time of reading three rails, by itself.

Example:

  joulepath bench sampling --seconds 10
"""
_IDLE = """Processor time of a daemon that has nothing to do, and the time from its start to the first frame.

Example:

  joulepath bench idle --seconds 60
"""
_ALL = """Every benchmark, one after the other, each in a process of its own; about 20 minutes.

Example:

  joulepath bench all --pipeline-bundle streets-512 --work ~/.cache/joulepath-bench --record docs/bench
"""


def switch(
    bundle: Annotated[Path | None, typer.Option(help="bundle directory; the shipped one when absent")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often each ordered pair is measured")] = 40,
    threads: Annotated[int, typer.Option(min=1, help="inference threads")] = 1,
    record: Annotated[Path | None, _RECORD] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    from edge.bench.output import finish, own_command
    from edge.bench.switch import bench_switch
    from edge.bundle.load import load_bundle
    from edge.demo.run import BUNDLE

    result = bench_switch(load_bundle(bundle or BUNDLE), rounds=rounds, threads=threads, command=own_command())
    finish(result, record, as_json)


def journal(
    frames: Annotated[int, typer.Option(min=1000, help="frames to ingest")] = 2_600_000,
    record: Annotated[Path | None, _RECORD] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    from edge.bench.goals import measure_journal
    from edge.bench.output import finish, own_command

    finish(measure_journal(frames, own_command()), record, as_json)


def energy(
    seconds: Annotated[float, typer.Option(min=10, help="length of each waveform, s")] = 300.0,
    seed: Annotated[int, typer.Option(help="of waveforms, noise and frame lengths")] = 0,
    record: Annotated[Path | None, _RECORD] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    from edge.bench.goals import measure_energy
    from edge.bench.output import finish, own_command

    finish(measure_energy(seconds, seed, own_command()), record, as_json)


def sampling(
    seconds: Annotated[float, typer.Option(min=0.5, help="length of a run, s")] = 10.0,
    runs: Annotated[int, typer.Option(min=1, help="runs at each rate")] = 3,
    record: Annotated[Path | None, _RECORD] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    from edge.bench.goals import measure_sampling
    from edge.bench.output import finish, own_command

    finish(measure_sampling(seconds, runs, own_command()), record, as_json)


def every(
    bundle: Annotated[Path | None, typer.Option(help="for switch and idle; the shipped one when absent")] = None,
    pipeline_bundle: Annotated[Path | None, typer.Option(help="for pipeline; `bundle` when absent")] = None,
    work: Annotated[Path | None, typer.Option(help="keeps the graph files of model between runs")] = None,
    tflite_python: Annotated[Path | None, typer.Option(help="interpreter with tflite-runtime and numpy 1")] = None,
    record: Annotated[Path | None, typer.Option("--record", "--out", help="write results into this folder")] = None,
) -> None:
    from edge.demo.run import BUNDLE

    chosen = bundle or BUNDLE
    plan: dict[str, list[tuple[str, Path | None]]] = {
        "energy": [],
        "sampling": [],
        "idle": [("--bundle", chosen)],
        "switch": [("--bundle", chosen)],
        "pipeline": [("--bundle", pipeline_bundle or chosen)],
        "model": [("--work", work), ("--tflite-python", tflite_python)],
        "journal": [],
    }
    failed = [name for name, options in plan.items() if not _run(name, [*options, ("--record", record)])]
    if failed:
        raise BenchError(f"these benchmarks did not finish: {', '.join(failed)}; run them by themselves to see why")


def _run(name: str, options: list[tuple[str, Path | None]]) -> bool:
    given = [text for option, value in options if value is not None for text in (option, str(value))]
    print(f"\n--- bench {name}", flush=True)
    return subprocess.run([*JOULEPATH, "bench", name, *given]).returncode == 0
