"""Precision as a measured gate: a variant earns its place by what it loses and what it gains on this machine."""

from __future__ import annotations

from converters.precision.gate import REFERENCES, Bounds, Comparison, Refused, Verdict, gate
from converters.precision.measure import judge, keep_worthy, time_variants
from converters.precision.sensitivity import Sensitivity, agreement, rank, to_mixed, to_protect

__all__ = [
    "REFERENCES",
    "Bounds",
    "Comparison",
    "Refused",
    "Sensitivity",
    "Verdict",
    "agreement",
    "gate",
    "judge",
    "keep_worthy",
    "rank",
    "time_variants",
    "to_mixed",
    "to_protect",
]
