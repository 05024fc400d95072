"""The paper's headline points under the model, and OFA's ResNet-50."""

from __future__ import annotations

import pytest

from converters.analyze.accelerator import Accelerator
from converters.analyze.headline import at_saving, resnet_points, segformer_points, sentences
from converters.analyze.resnet import PUBLISHED, Product, Subnet, choices, nearest


def test_a_subnet_is_the_convolutions_of_its_code() -> None:
    # Depth 1 has 3, 3, 5, 3 blocks of three convolutions, four shortcuts, a stem of two, the classifier.
    layers = Subnet(1, 0.25, 1.0, 224).products()
    assert layers[0] == Product(112 * 112, 27, 32, 224 * 224 * 3)
    assert layers[1] == Product(112 * 112, 9 * 32, 64, 112 * 112 * 32)
    assert layers[2] == Product(56 * 56, 64, 64, 56 * 56 * 64)
    assert layers[-1] == Product(1, 2048, 1000, 2048)
    assert len(layers) == 2 + 3 * (3 + 3 + 5 + 3) + 4 + 1
    assert Subnet(1, 0.25, 1.0, 224).macs == 3_776_487_424


def test_a_residual_convolution_joins_the_stem_at_full_depth() -> None:
    assert len(Subnet(2, 0.25, 1.0, 224).products()) == 3 + 3 * (4 + 4 + 6 + 4) + 4 + 1


@pytest.mark.parametrize("giga", [giga for giga, _ in PUBLISHED])
def test_a_uniform_choice_is_near_every_published_subnet(giga: float) -> None:
    assert nearest(giga).macs / 1e9 == pytest.approx(giga, rel=0.05)
    assert nearest(giga) in set(choices())


def test_the_paper_s_savings_and_what_the_fold_does_to_them() -> None:
    b2, subnets = segformer_points(Accelerator()), resnet_points(Accelerator())
    path = at_saving(b2, 0.28)
    assert path.name == "published, 2048 channels into fuse"
    assert path.saving == pytest.approx(0.2855, abs=1e-3)
    folded = next(point for point in b2 if point.name.startswith("folded: exact"))
    assert folded.saving == pytest.approx(0.6597, abs=1e-3)
    assert at_saving(subnets, 0.53).name == "published 1.8 G"
    said = " ".join(sentences(b2, subnets))
    assert said.count("modelled") >= 3
    assert "MAGNet" in said
