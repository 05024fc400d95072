"""SegFormer B0-B5 (Xie et al., 2021), read from Hugging Face checkpoints.

A checkpoint becomes a `Network`, a plain tree of layers, along one execution path (`network`); exact rewrites turn it
into a cheaper equal one (`folded`); `build` runs whichever tree it is given on any operations.
"""

from __future__ import annotations

from converters.families.segformer.config import SegformerConfig
from converters.families.segformer.graph import INPUT, OUTPUT, build, builders
from converters.families.segformer.rewrite import folded
from converters.families.segformer.structure import Network, network
from converters.families.segformer.weights import SegformerWeights, load, random_weights

__all__ = [
    "INPUT",
    "OUTPUT",
    "Network",
    "SegformerConfig",
    "SegformerWeights",
    "build",
    "builders",
    "folded",
    "load",
    "network",
    "random_weights",
]
