"""What methods that teach themselves draw, and what of their networks is written otherwise."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from kd.backbones import build_backbone
from kd.backbones.staged import pool
from kd.methods import build_method, config_class
from kd.methods.base import Task
from kd.methods.mixskd.loss import symmetric_beta


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_the_shares_of_mixtures_are_of_a_symmetric_beta_distribution(alpha):
    torch.manual_seed(0)
    drawn = [symmetric_beta(torch.tensor(alpha, dtype=torch.float64)) for _ in range(4000)]
    assert stats.kstest(torch.stack(drawn).numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def made(name):
    torch.manual_seed(0)
    task = Task(num_classes=5, num_samples=8, epochs=1, in_channels=1, image_size=(12, 12))
    return build_method(name, config_class(name)(), build_backbone("resnet8", 5, 1), task)


def test_a_self_teacher_that_pools_first_is_a_convolution_over_all_maps():
    """MixSKD's: a 1×1 convolution, pooling, a linear layer."""
    method = made("mixskd")
    reduce, classify = method.self_teacher
    maps = [torch.randn(2, 64, 4, 4) for _ in method.student.stages]
    reduced = F.conv2d(torch.cat(maps, 1), reduce.weight[:, :, None, None])
    said = method.said(torch.zeros(3, 2, 5), maps).ensemble
    torch.testing.assert_close(said, classify(pool(reduced)))


def test_a_self_teacher_keeps_the_sizes_of_the_stages():
    """FRSKD's, each at twice the width of its stage."""
    method = made("frskd")
    features = method.student.features(torch.randn(2, 1, 12, 12))
    refined, logits = method.self_teacher(features)
    assert [g.shape[2:] for g in refined] == [f.shape[2:] for f in features]
    assert [g.shape[1] for g in refined] == [2 * f.shape[1] for f in features]
    assert logits.shape == (2, 5)


def test_every_classifier_of_byot_ends_at_the_deepest_size():
    method = made("byot")
    features = method.student.features(torch.randn(2, 1, 12, 12))
    for head, feature in zip(method.heads, features[:-1], strict=True):
        assert head.bottleneck(feature).shape == features[-1].shape
