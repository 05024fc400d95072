"""What is in a bundle, for people and as JSON: every variant's path, precision, size, work, accuracy and speed here."""

from __future__ import annotations

import sys
from typing import Any

from edge.bundle.load import Bundle
from edge.bundle.manifest import Variant
from edge.profile import Cost, Profile


def describe(bundle: Bundle, profile: Profile | None) -> dict[str, Any]:
    """The bundle as JSON-ready values; what is not known is None, with the reason where there is one."""
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "family": manifest.family,
        "task": manifest.task,
        "digest": bundle.digest,
        "labels": len(manifest.labels),
        "golden": bundle.golden is not None,
        "licence": manifest.provenance.licence,
        "threads": profile.threads if profile else None,
        "library": profile.library if profile else None,
        "measured_utc": profile.measured_utc if profile else None,
        "variants": [_variant(v, profile.costs.get(v.id) if profile else None) for v in manifest.variants],
    }


def _variant(variant: Variant, cost: Cost | None) -> dict[str, Any]:
    accuracy = variant.accuracy[0] if variant.accuracy else None
    return {
        "id": variant.id,
        "path": variant.path,
        "precision": variant.precision,
        "engine": variant.engine,
        "file": variant.file,
        "signature": variant.signature,
        "bytes": variant.bytes,
        "added_bytes": variant.added_bytes,
        "input": f"{variant.input.width}x{variant.input.height} {variant.input.dtype}",
        "output": variant.output.kind,
        "macs": variant.macs,
        "parameters": variant.parameters,
        "accuracy": accuracy.value if accuracy else None,
        "accuracy_metric": accuracy.metric if accuracy else None,
        "accuracy_dataset": accuracy.dataset if accuracy else None,
        "accuracy_images": accuracy.images if accuracy else None,
        "accuracy_unknown": None if accuracy else variant.accuracy_unknown or "not measured",
        "latency_ms": cost.latency_ms if cost else None,
        "latency_p95_ms": cost.p95_ms if cost else None,
        "latency_runs": cost.runs if cost else 0,
        "energy_mj": cost.energy_mj if cost else None,
        "energy_method": cost.method if cost else "unavailable",
        "problem": cost.why_unknown if cost else None,
    }


def show(described: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    # Into a pipe the table keeps a width that holds it.
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"{described['name']} ({described['family']}, {described['task']}, {described['labels']} labels)")
    table = Table()
    table.add_column("variant", overflow="fold", min_width=12)
    table.add_column("path", overflow="fold", min_width=6)
    table.add_column("precision", no_wrap=True)
    for column in ("input", "file MB", "adds MB", "GMAC", "accuracy", "ms", "p95 ms"):
        table.add_column(column, justify="right", no_wrap=True)
    for v in described["variants"]:
        table.add_row(
            v["id"],
            v["path"] if v["path"] != v["id"] else "-",
            v["precision"],
            v["input"].split()[0],
            f"{v['bytes'] / 1e6:.2f}" + ("*" if v["signature"] else ""),
            _number(None if v["added_bytes"] is None else v["added_bytes"] / 1e6, "{:.2f}"),
            _number(v["macs"] and v["macs"] / 1e9, "{:.2f}"),
            _number(v["accuracy"] and 100 * v["accuracy"], "{:.1f} %"),
            _number(v["latency_ms"], "{:.2f}"),
            _number(v["latency_p95_ms"], "{:.2f}"),
        )
    console.print(table)
    for line in _notes(described):
        console.print(line, style="dim", highlight=False)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _notes(described: dict[str, Any]) -> list[str]:
    variants = described["variants"]
    notes = []
    if any(v["signature"] for v in variants):
        notes.append("* one file with several paths, which share its weights")
    if any(v["added_bytes"] is not None for v in variants):
        notes.append("adds: weights in the file that no variant above it uses")
    scored = {
        f"{v['accuracy_metric']} on {v['accuracy_dataset']}, {v['accuracy_images']} images"
        for v in variants
        if v["accuracy"] is not None
    }
    notes += [f"accuracy: {line}" for line in sorted(scored)]
    notes += sorted({f"no accuracy: {v['accuracy_unknown']}" for v in variants if v["accuracy"] is None})
    if described["threads"] is not None:
        runs = min(v["latency_runs"] for v in variants)
        plural = "s" if described["threads"] > 1 else ""
        notes.append(
            f"latency: here, {described['threads']} thread{plural}, {described['library']}, at least {runs} runs each, "
            f"{described['measured_utc']}"
        )
    notes += [f"{v['id']}: {v['problem']}" for v in variants if v["problem"]]
    return notes
