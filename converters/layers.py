"""The layers that networks are made of, as numpy weights in the layout that the operations take (channels last)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """``y = x @ weight + bias``; weight is (inputs, outputs) float32, bias (outputs,) or None."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Conv:
    """A convolution; weight is (height, width, inputs, outputs) float32, zeros padded on all four sides."""

    weight: Array
    bias: Array | None = None
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Depthwise:
    """A convolution of each channel by itself, stride one; weight is (height, width, channels) float32."""

    weight: Array
    bias: Array | None = None
    padding: int = 1


@dataclass(frozen=True)
class LayerNorm:
    """Normalisation over channels: ``(x - mean) / sqrt(var + eps) * scale + shift``.

    `centred` states that every input has a mean of zero, so that the root mean square is the deviation.
    """

    scale: Array | None
    shift: Array | None
    eps: float
    centred: bool = False


@dataclass(frozen=True)
class BatchNorm:
    """Inference-time batch norm: ``(x - mean) / sqrt(variance + eps) * scale + shift``, each (channels,) float32."""

    scale: Array
    shift: Array
    mean: Array
    variance: Array
    eps: float

    def affine(self) -> tuple[Array, Array]:
        """The same map as ``x * scale + shift``."""
        scale = self.scale.astype(np.float64) / np.sqrt(self.variance.astype(np.float64) + self.eps)
        shift = self.shift.astype(np.float64) - self.mean.astype(np.float64) * scale
        return scale.astype(np.float32), shift.astype(np.float32)
