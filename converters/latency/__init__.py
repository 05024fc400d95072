"""Latency on a board: networks as units with keys, a board's table of units, predictions from it.

Timing and tables themselves are `edge.study`, which a board runs; here graphs are built and predictions made.
"""

from __future__ import annotations

from converters.latency.keys import KeyOps, Unit
from converters.latency.measure import build_kit, measure_table
from converters.latency.model import Correction, LatencyModel
from edge.study import Kit, LatencyTable, StudyError, Timing, time_graphs, time_kit

__all__ = [
    "Correction",
    "KeyOps",
    "Kit",
    "LatencyModel",
    "LatencyTable",
    "StudyError",
    "Timing",
    "Unit",
    "build_kit",
    "measure_table",
    "time_graphs",
    "time_kit",
]
