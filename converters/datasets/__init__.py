"""Readers of labelled sets, one a file; a set is named by a spec ``KIND:DIR`` (docs/datasets.md)."""

from __future__ import annotations

from converters.datasets.ade20k import ADE20K_CLASSES
from converters.datasets.camvid import CAMVID_CLASSES
from converters.datasets.cityscapes import CITYSCAPES_CLASSES
from converters.datasets.contract import (
    IGNORE,
    Box,
    ClassificationDataset,
    DetectionDataset,
    DetectionImage,
    Labelled,
    LabelledSet,
    Mask,
    SegmentationDataset,
)
from converters.datasets.error import DatasetError
from converters.datasets.files import Image, Pair
from converters.datasets.registry import READERS, open_any, open_dataset
from converters.datasets.voc import VOC_CLASSES

__all__ = [
    "ADE20K_CLASSES",
    "CAMVID_CLASSES",
    "CITYSCAPES_CLASSES",
    "IGNORE",
    "READERS",
    "VOC_CLASSES",
    "Box",
    "ClassificationDataset",
    "DatasetError",
    "DetectionDataset",
    "DetectionImage",
    "Image",
    "Labelled",
    "LabelledSet",
    "Mask",
    "Pair",
    "SegmentationDataset",
    "open_any",
    "open_dataset",
]
