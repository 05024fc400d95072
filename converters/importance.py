"""Which channels matter, from unlabelled images: those from which the outputs of all can best be rebuilt.

Backward elimination in the sense of the optimal brain surgeon (Hassibi and Stork, 1993). Let G be the covariance of
the channels and W the least-squares map from those that are left to the outputs. Dropping channel q and fitting the
others again raises the squared error by ``|W_q|^2 / (G^-1)_qq``. The channel with the smallest rise goes, and G^-1
loses its row by one rank-one update. The order in which channels went, reversed, ranks them; its prefixes are nested.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Wide = npt.NDArray[np.float64]
# Keeps the inverse finite where channels copy each other; a share of the mean variance.
_JITTER = 1e-7


def ranking(products: Wide, crossed: Wide) -> tuple[int, ...]:
    """Channels from the most to the least important.

    `products` is X'X (channels + 1 squared) and `crossed` X'Y (channels + 1, outputs), the last feature a constant, as
    `converters.compensate.Moments.total` gives them.
    """
    covariance, relation = _centred(products, crossed)
    n = len(covariance)
    jitter = _JITTER * max(float(np.trace(covariance)) / n, np.finfo(np.float64).tiny)
    inverse = np.linalg.inv(covariance + jitter * np.eye(n))
    weight = inverse @ relation
    left = np.ones(n, bool)
    gone: list[int] = []
    for _ in range(n - 1):
        rise = np.einsum("ij,ij->i", weight, weight) / np.maximum(np.diag(inverse), np.finfo(np.float64).tiny)
        channel = int(np.argmin(np.where(left, rise, np.inf)))
        column = inverse[:, channel] / inverse[channel, channel]
        weight -= np.outer(column, weight[channel])
        inverse -= np.outer(column, inverse[channel])
        inverse[channel, :] = inverse[:, channel] = 0.0
        weight[channel] = 0.0
        left[channel] = False
        gone.append(channel)
    return (int(np.flatnonzero(left)[0]), *reversed(gone))


def _centred(products: Wide, crossed: Wide) -> tuple[Wide, Wide]:
    """Covariances (times the count) from sums whose last feature is a constant one."""
    count, sums, wanted = products[-1, -1], products[-1, :-1], crossed[-1]
    return products[:-1, :-1] - np.outer(sums, sums) / count, crossed[:-1] - np.outer(sums, wanted) / count


def divergence(full: npt.NDArray[np.float32], cut: npt.NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence, in nats a position, of a cut network's classes from the full network's.

    Both are logits (positions, classes).
    """
    p, q = _log_softmax(full.astype(np.float64)), _log_softmax(cut.astype(np.float64))
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=-1)))


def _log_softmax(logits: Wide) -> Wide:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Wide = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
