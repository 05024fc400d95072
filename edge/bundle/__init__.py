"""Bundles: a directory with a manifest, the variants' files, and a golden input and output for each variant."""

from edge.bundle.load import Bundle, BundleError, load_bundle
from edge.bundle.manifest import Accuracy, InputSpec, Manifest, OutputSpec, PathSpec, Provenance, Variant

__all__ = [
    "Accuracy",
    "Bundle",
    "BundleError",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "PathSpec",
    "Provenance",
    "Variant",
    "load_bundle",
]
