"""The HTML report of a run: one page that needs nothing else."""

from __future__ import annotations

from edge.report.page import write_report

__all__ = ["write_report"]
