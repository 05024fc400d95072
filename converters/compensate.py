"""Closed-form repair: the linear map that best gives wanted outputs from the features that a cut network has.

Ridge regression towards the map that is there. With features X (a constant appended), wanted outputs Y, the present
map P and D the diagonal of X'X: minimise ``|X W - Y|^2 + strength * |sqrt(D) (W - P)|^2``, so
``W = P + (X'X + strength D)^-1 (X'Y - X'X P)``. Only X'X, X'Y and Y'Y are kept, in float64, summed image by image:
memory does not grow with images. Every fourth image is held out; the strength is the one that does best on those, with
"leave the map as it is" among the choices; the final map is fitted to all images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.layers import Array, Linear

Wide = npt.NDArray[np.float64]
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
HELD_OUT_EVERY = 4
# A map whose wanted outputs are met to this share of their energy is left as it is: it would change by rounding alone.
_MET = 1e-12


@dataclass
class _Sums:
    xx: Wide
    xy: Wide
    yy: Wide

    @classmethod
    def zero(cls, inputs: int, outputs: int) -> _Sums:
        return cls(np.zeros((inputs, inputs)), np.zeros((inputs, outputs)), np.zeros(outputs))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.xx + other.xx, self.xy + other.xy, self.yy + other.yy)

    def loss(self, weight: Wide) -> float:
        """``|X W - Y|^2`` of these sums."""
        return float(np.einsum("ij,ij->", weight, self.xx @ weight - 2 * self.xy) + self.yy.sum())


class Moments:
    """Sums over images of the products of features (`inputs` channels) and wanted outputs (`outputs` channels)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self._fitted, self._held = _Sums.zero(inputs + 1, outputs), _Sums.zero(inputs + 1, outputs)
        self._images = 0

    def add(self, features: npt.ArrayLike, wanted: npt.ArrayLike) -> None:
        """One image: features (positions, inputs) and wanted outputs (positions, outputs)."""
        x = np.asarray(features, np.float64)
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        y = np.asarray(wanted, np.float64)
        sums = self._held if self._images % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else self._fitted
        sums.xx += x.T @ x
        sums.xy += x.T @ y
        sums.yy += np.einsum("ij,ij->j", y, y)
        self._images += 1

    @property
    def total(self) -> tuple[Wide, Wide]:
        """X'X and X'Y over all images; the constant is the last feature."""
        everything = self._fitted + self._held
        return everything.xx, everything.xy

    def fit(self, present: Linear) -> Linear:
        """The repaired map; the very same one when it meets what is wanted already, or nothing does better."""
        prior = _augmented(present)
        everything = self._fitted + self._held
        if everything.loss(prior) <= _MET * everything.yy.sum():
            return present
        strength = self._strength(prior) if self._images >= HELD_OUT_EVERY else STRENGTHS[3]
        if strength is None:
            return present
        weight = _ridge(everything, prior, strength)
        return Linear(_narrow(weight[:-1]), _narrow(weight[-1]))

    def _strength(self, prior: Wide) -> float | None:
        losses = {strength: self._held.loss(_ridge(self._fitted, prior, strength)) for strength in STRENGTHS}
        best = min(losses, key=lambda strength: losses[strength])
        return best if losses[best] < self._held.loss(prior) else None


def _ridge(sums: _Sums, prior: Wide, strength: float) -> Wide:
    diagonal = np.diag(sums.xx).copy()
    # A channel that is always zero has nothing to say; its weight stays where it is.
    penalty = strength * np.where(diagonal > 0, diagonal, 1.0)
    penalty[-1] = 1e-12 * diagonal[-1]
    change = np.linalg.solve(sums.xx + np.diag(penalty), sums.xy - sums.xx @ prior)
    return np.asarray(prior + change, np.float64)


def _augmented(layer: Linear) -> Wide:
    bias = np.zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
    return np.concatenate([layer.weight, bias[None]]).astype(np.float64)


def _narrow(value: Wide) -> Array:
    return np.ascontiguousarray(value, dtype=np.float32)
