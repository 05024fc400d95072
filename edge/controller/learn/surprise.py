"""How far the load may rise before the next decision: the largest rise of late, fading over an hour.

A chip's temperature and a supply's current follow the load at once; a plan that sits at a limit is over it as soon as
another process takes the processor. What came once may come again: the margin at a limit is what came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_FADES_S = 3600.0
_HEADROOM = 1.15  # the next one may be larger
_USUAL_SLOW = 0.1  # one of five frames half as long again: an interrupt, a page fault


@dataclass(frozen=True)
class Surprise:
    """`slow`: by what share inferences took longer than foretold between two decisions; `rest_w`: by how many watts
    everything else rose."""

    slow: float = _USUAL_SLOW
    rest_w: float = 0.0

    def seen(self, slow: float, rest_w: float, elapsed_s: float) -> Surprise:
        """After one more decision's worth of frames; what is not a rise only fades."""
        kept = math.exp(-elapsed_s / _FADES_S)
        return Surprise(max(_USUAL_SLOW, kept * self.slow, min(slow, 10.0)), max(kept * self.rest_w, rest_w))

    def worst_w(self, dynamic_w: float, busy: float) -> float:
        """How many watts a variant with this dynamic power and busy share may suddenly draw beyond what is foretold:
        no processor is busier than all the time."""
        return dynamic_w * (min(1.0, busy * (1 + _HEADROOM * self.slow)) - busy) + _HEADROOM * self.rest_w
