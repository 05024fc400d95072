"""Studies of a board's inference engine: what pieces of networks cost there. Needs no TensorFlow.

Hosts build the graphs (`converters.latency`), boards time them: a `Kit` goes one way, a `LatencyTable` the other.
"""

from __future__ import annotations

from edge.study.errors import StudyError
from edge.study.kit import Kit, WholeGraph, time_kit
from edge.study.table import Entry, LatencyTable, Whole
from edge.study.timing import Timing, time_graphs

__all__ = ["Entry", "Kit", "LatencyTable", "StudyError", "Timing", "Whole", "WholeGraph", "time_graphs", "time_kit"]
