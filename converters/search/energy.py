"""What an inference costs in energy on a board, from a profile of another bundle there: watts while it lasts, and work.

``energy = power * time + per multiply-accumulate * multiply-accumulates``, both at least zero, fitted by least squares
to the profile's float variants. A model, and labelled so wherever it is shown: it ranks cuts, it does not measure any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.bundle import load_bundle
from edge.errors import UsageError

FEWEST = 3
_FLOATS = ("float32", "float16")


@dataclass(frozen=True)
class EnergyModel:
    """`power_w` is drawn for as long as an inference takes; `gmac_mj` comes on top for 1e9 multiply-accumulates."""

    power_w: float
    gmac_mj: float

    def energy_mj(self, latency_ms: float, macs: int) -> float:
        """One inference. A watt is a millijoule a millisecond."""
        return self.power_w * latency_ms + self.gmac_mj * macs / 1e9


def fitted(points: Sequence[tuple[float, int, float]]) -> EnergyModel:
    """From (latency_ms, macs, energy_mj) of several variants; raises ValueError for fewer than `FEWEST`."""
    if len(points) < FEWEST:
        raise ValueError(f"{len(points)} variants with known energy; {FEWEST} are the least")
    latency_ms, macs, energy_mj = (np.array(column, np.float64) for column in zip(*points, strict=True))
    terms = np.column_stack([latency_ms, macs / 1e9])
    both = np.linalg.lstsq(terms, energy_mj, rcond=None)[0]
    if (both >= 0).all():
        return EnergyModel(float(both[0]), float(both[1]))
    # With two terms the best that is not negative has one of them at zero: the one that explains more stays.
    alone = [float(term @ energy_mj / (term @ term)) for term in terms.T]
    errors = [float(((energy_mj - factor * term) ** 2).sum()) for factor, term in zip(alone, terms.T, strict=True)]
    return EnergyModel(alone[0], 0.0) if errors[0] <= errors[1] else EnergyModel(0.0, alone[1])


def of_profile(profile: Path, bundle: Path) -> EnergyModel:
    """From what `joulepath profile` stored of `bundle` on a board; raises UsageError saying what does not fit."""
    loaded = load_bundle(bundle)
    try:
        body = json.loads(profile.read_text(encoding="utf-8"))
        digest, costs = body["digest"], dict(body["costs"])
    except OSError as error:
        raise UsageError(f"--profile {profile}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"--profile {profile}: is no profile that joulepath profile wrote") from error
    if digest != loaded.digest:
        raise UsageError(f"--profile {profile}: was made of another bundle than {bundle}; profile that one")
    points = [
        (float(costs[v.id]["latency_ms"]), v.macs, float(costs[v.id]["energy_mj"]))
        for v in loaded.manifest.variants
        if v.precision in _FLOATS and v.macs is not None and (costs.get(v.id) or {}).get("energy_mj") is not None
    ]
    try:
        return fitted(points)
    except ValueError as error:
        raise UsageError(f"--profile {profile}: {error}; does the board measure energy?") from error
