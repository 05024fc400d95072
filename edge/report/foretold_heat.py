"""What came of a temperature that was foretold a minute ahead.

It was foretold for the variant of the decision, so it counts only where no decision changed the variant or the rate
within the minute. It is held against what the controller itself saw then: between two observations on a line, since one
is recorded with each decision.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from edge.journal.reader import JournalReader
from edge.report.series import Floats

AHEAD_NS = 60_000_000_000
_MOST_APART_NS = 45_000_000_000  # observations come each 30 s at least: further apart, one is missing


def came_in_a_minute(
    journal: JournalReader, run_id: int, at_ns: npt.NDArray[np.int64], choices: Sequence[Hashable]
) -> Floats:
    """The temperature a minute after each decision, °C; NaN where it is unknown or another choice came in between."""
    seen = [(at, body["temperature_c"]) for _, at, body in journal.observations(run_id) if "temperature_c" in body]
    if not len(at_ns) or not seen:
        return np.full(len(at_ns), np.nan)
    seen_ns, seen_c = np.array([at for at, _ in seen], dtype=np.int64), np.array([value for _, value in seen])
    due_ns = at_ns + AHEAD_NS
    changes = np.cumsum([False, *(a != b for a, b in zip(choices[1:], choices[:-1], strict=True))])
    stood = changes == changes[np.searchsorted(at_ns, due_ns, side="right") - 1]
    before, after = np.searchsorted(seen_ns, due_ns, side="right") - 1, np.searchsorted(seen_ns, due_ns, side="left")
    within = (before >= 0) & (after < len(seen_ns))
    apart_ns = seen_ns[np.minimum(after, len(seen_ns) - 1)] - seen_ns[np.maximum(before, 0)]
    # Nanoseconds of the monotonic clock are exact in a float up to 104 days of uptime, and far finer than heat after.
    came = np.interp(due_ns.astype(np.float64), seen_ns.astype(np.float64), seen_c)
    return np.where(stood & within & (apart_ns <= _MOST_APART_NS), came, np.nan)
