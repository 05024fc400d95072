"""A breakdown as tables, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from converters.analyze.accelerator import METHOD, Accelerator, Energy, total, unit_energy
from converters.analyze.layers import Breakdown, Layer
from converters.analyze.shares import finding
from edge.bench.record import Cell, Table


def kind_table(found: Breakdown) -> Table:
    """Sums by kind, with each kind's share of multiply-accumulates, bytes and time."""
    kinds = found.by_kind()
    bytes_moved = sum(layer.bytes_moved for layer in found.layers)
    rows = [_row(found, kind, summed.name, summed, bytes_moved) for kind, summed in kinds.items()]
    rows.append(_row(found, "all", str(len(found.layers)), _all(found), bytes_moved))
    columns = ("kind", "layers", "G MACs", "% MACs", "M parameters", "MB moved", "% bytes", "ms", "% time")
    return Table(_title(found), columns, tuple(rows))


def layer_table(found: Breakdown, least: int | None = None) -> Table:
    """Every layer, or the `least` dearest in time (in multiply-accumulates where nothing was timed)."""
    bytes_moved = sum(layer.bytes_moved for layer in found.layers)
    layers: Sequence[Layer] = found.layers
    if least is not None:
        layers = sorted(layers, key=lambda layer: (layer.median_ms or 0.0, layer.macs), reverse=True)[:least]
    rows = tuple(_row(found, layer.name, layer.kind, layer, bytes_moved) for layer in layers)
    columns = ("layer", "kind", "G MACs", "% MACs", "M parameters", "MB moved", "% bytes", "ms", "% time")
    which = "layers" if least is None else f"the {len(rows)} dearest layers"
    return Table(f"{found.title}: {which}", columns, rows)


def energy_table(found: Breakdown, machine: Accelerator) -> Table:
    """Modelled energy by kind and level, mJ."""
    kinds: dict[str, list[Energy]] = {}
    for layer, energy in zip(found.layers, layer_energies(found, machine), strict=True):
        kinds.setdefault(layer.kind, []).append(energy)
    sums = sorted(((kind, total(parts)) for kind, parts in kinds.items()), key=lambda item: -item[1].total_pj)
    whole = total([energy for _, energy in sums])
    rows = tuple(_energy_row(kind, energy, whole) for kind, energy in [*sums, ("all", whole)])
    columns = ("kind", "mJ", "% energy", "MACs mJ", "registers mJ", "array mJ", "buffer mJ", "DRAM mJ")
    return Table(
        f"{found.title}: energy on a weight-stationary {machine.rows}x{machine.columns} array, {METHOD}", columns, rows
    )


def layer_energies(found: Breakdown, machine: Accelerator) -> list[Energy]:
    """Modelled, one a layer."""
    return [unit_energy(unit, machine) for unit in found.units]


def as_json(found: Breakdown, machine: Accelerator | None) -> dict[str, Any]:
    """Everything that the tables show, layer by layer."""
    energies = None if machine is None else layer_energies(found, machine)
    said = finding(found)
    return {
        "title": found.title,
        "macs": found.macs,
        "parameters": found.parameters,
        "bytes_moved": sum(layer.bytes_moved for layer in found.layers),
        "layers_ms": found.layers_ms,
        "whole_ms": found.whole_ms,
        "finding": None
        if said is None
        else asdict(said) | {"holds": said.holds, "sentence": said.sentence(found.title)},
        "energy": None if energies is None else asdict(total(energies)) | {"method": METHOD},
        "layers": [
            asdict(layer) | ({} if energies is None else {"energy": asdict(energies[n]) | {"method": METHOD}})
            for n, layer in enumerate(found.layers)
        ],
    }


def _title(found: Breakdown) -> str:
    times = ""
    if found.whole_ms is not None and found.layers_ms is not None:
        times = f", measured {found.whole_ms:.1f} ms, the layers one by one {found.layers_ms:.1f} ms"
    return f"{found.title}: {found.macs / 1e9:.2f} G MACs, {found.parameters / 1e6:.2f} M parameters{times}"


def _row(found: Breakdown, name: str, second: str, layer: Layer, bytes_moved: int) -> tuple[Cell, ...]:
    whole_ms = found.layers_ms
    time = None if layer.median_ms is None or not whole_ms else f"{100 * layer.median_ms / whole_ms:.1f}"
    return (
        name,
        second,
        f"{layer.macs / 1e9:.3f}",
        f"{100 * layer.macs / max(1, found.macs):.1f}",
        f"{layer.parameters / 1e6:.3f}",
        f"{layer.bytes_moved / 1e6:.1f}",
        f"{100 * layer.bytes_moved / bytes_moved:.1f}",
        None if layer.median_ms is None else layer.median_ms,
        time,
    )


def _all(found: Breakdown) -> Layer:
    return Layer(
        name="all",
        kind="all",
        macs=found.macs,
        parameters=found.parameters,
        bytes_read=sum(layer.bytes_read for layer in found.layers),
        bytes_written=sum(layer.bytes_written for layer in found.layers),
        key="",
        median_ms=found.layers_ms,
    )


def _energy_row(kind: str, energy: Energy, whole: Energy) -> tuple[Cell, ...]:
    levels = (energy.mac_pj, energy.register_pj, energy.array_pj, energy.buffer_pj, energy.dram_pj)
    share = f"{100 * energy.total_pj / whole.total_pj:.1f}"
    return (kind, energy.total_pj / 1e9, share, *(level / 1e9 for level in levels))


def groups(
    found: Breakdown, machine: Accelerator | None
) -> Iterator[tuple[str, float, float, float | None, float | None]]:
    """For a plot: part of the network, then its share of multiply-accumulates, bytes, time, modelled energy."""
    energies = None if machine is None else [energy.total_pj for energy in layer_energies(found, machine)]
    parts: dict[str, list[int]] = {}
    for number, layer in enumerate(found.layers):
        parts.setdefault(_part(layer.name), []).append(number)
    moved = [layer.bytes_moved for layer in found.layers]
    for part, numbers in parts.items():
        yield (
            part,
            sum(found.layers[n].macs for n in numbers) / max(1, found.macs),
            sum(moved[n] for n in numbers) / sum(moved),
            None if not found.layers_ms else sum(found.layers[n].median_ms or 0.0 for n in numbers) / found.layers_ms,
            None if energies is None else sum(energies[n] for n in numbers) / sum(energies),
        )


def _part(name: str) -> str:
    """``stage 1 block 2 feed-forward up`` belongs to ``stage 1 feed-forward``."""
    words = name.split()
    if words[0] != "stage":
        return name if words[0] == "decoder" else "input"
    if "block" in words:
        return " ".join([*words[:2], words[4]])
    return " ".join([*words[:2], "embedding" if words[2] == "patch" else "norm"])
