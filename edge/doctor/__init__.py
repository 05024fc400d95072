"""`joulepath doctor`: everything that may keep a board from serving well, each with its remedy."""

from edge.doctor.examine import examine
from edge.doctor.finding import Finding

__all__ = ["Finding", "examine"]
