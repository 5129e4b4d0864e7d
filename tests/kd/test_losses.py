"""The pure losses against golden numbers, values and gradients, and at their edges."""

import pytest
import torch

from kd.parts.losses import (
    SOFT,
    cross_entropy,
    distillation_kl,
    feature_distance,
    log_probabilities,
    probabilities,
    rectify,
    soft_cross_entropy,
    soft_targets,
    target_kl,
)


def gradient(value, logits):
    return torch.autograd.grad(value, logits)[0]


def test_cross_entropy(golden, same):
    data = golden("kd")
    z = data["student_logits"].requires_grad_()
    loss = cross_entropy(z, data["labels"]).mean()
    same(loss, data["ce"])
    same(gradient(loss, z), data["ce__grad_student"])


@pytest.mark.parametrize(
    ("key", "smoothing"),
    [
        ("ls_eps0.1_uniform_eps_over_C__torch", 0.1),
        ("ls_eps0.1_offclass_eps_over_Cminus1__TfKD", 0.1 * 10 / 9),
        ("ls_eps0.1__SelfKDLib", 0.1 * 10 / 9),
    ],
)
def test_label_smoothing(golden, same, key, smoothing):
    data = golden("label_smoothing_tfkd_reg")
    z = data["student_logits"].requires_grad_()
    loss = cross_entropy(z, data["labels"], smoothing).mean()
    same(loss, data[key])
    same(gradient(loss, z), data[f"{key}__grad_student"])


@pytest.mark.parametrize(
    ("key", "alpha", "temperature", "scale"),
    [
        ("kl_T4_batchmean_timesT2__RepDistiller", 1, 4, 16),
        ("kl_T4_batchmean_timesT2__mdistiller", 1, 4, 16),
        ("kl_T4_batchmean_timesT2__cskd", 1, 4, 16),
        ("kl_T3_batchmean_timesT2__HSAKD", 1, 3, 9),
        ("kd_total_a0.9_T4_meanNC__TfKD_loss_kd", 0.9, 4, 16 / 10),
        ("tfkd_self_a0.95_T20_mult1_meanNC__TfKD", 0.95, 20, 400 / 10),
        ("tfkd_self_a0.95_T6_mult50_meanNC__TfKD", 0.95, 6, 50 * 36 / 10),
        ("REF_drkd_eq2_noT2_a0.9_T4", 0.9, 4, 1),
    ],
)
def test_distillation_kl(golden, same, key, alpha, temperature, scale):
    data = golden("kd")
    z = data["student_logits"].requires_grad_()
    kl = distillation_kl(z, data["teacher_logits"], temperature).mean()
    loss = (1 - alpha) * cross_entropy(z, data["labels"]).mean() + alpha * scale * kl
    same(loss, data[key])
    same(gradient(loss, z), data[f"{key}__grad_student"])


def distilled(student, teacher, temperature, dtype):
    """T²·KL_T a row, and its derivatives by both logits, as float64."""
    s, t = (logits.to(dtype).requires_grad_() for logits in (student, teacher))
    kl = temperature**2 * distillation_kl(s, t, temperature)
    return [x.detach().double() for x in (kl, *torch.autograd.grad(kl.sum(), (s, t)))]


@pytest.mark.parametrize("place", range(13))
def test_distillation_keeps_its_precision_at_every_temperature(golden, place):
    data = golden("REF_kl_temperatures")
    logits, temperature = (data["student_logits"], data["teacher_logits"]), data["temperatures"]
    expected = [data[key][place] for key in ("kl_timesT2", "grad_student", "grad_teacher")]
    temperature = float(temperature[place])
    # Row 3's networks differ by hundredths, which float32 cannot hold beside a logarithm.
    plain = temperature <= SOFT
    for dtype, near, rows in (
        (torch.float64, 1e-9, slice(4)),
        (torch.float32, 1e-4 if plain else 1e-6, slice(3 if plain else 4)),
    ):
        for got, right in zip(distilled(*logits, temperature, dtype), expected, strict=True):
            allowed = near * right.abs().amax(-1, keepdim=True) + 4 * torch.finfo(dtype).eps
            assert ((got - right).abs() <= allowed)[rows].all()


@pytest.mark.parametrize("temperature", [1e5, 1e9, 1e12])
def test_distillation_tends_to_half_the_variance_of_the_logits_difference(temperature):
    s, t = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(0))
    value, by_student, by_teacher = distilled(s, t, temperature, torch.float32)
    difference = (s - t).double()
    pull = (difference - difference.mean(-1, keepdim=True)) / 10
    torch.testing.assert_close(value, difference.var(-1, correction=0) / 2, rtol=1e-4, atol=0)
    torch.testing.assert_close(by_student, pull, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(by_teacher, -pull, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("temperature", [65.0, 1e4, 1e12])
def test_a_high_temperature_bears_extreme_logits_and_a_student_that_is_its_teacher(temperature):
    wild = torch.tensor([[1e6, -1e6, 0.0]])
    for values in distilled(wild, -wild, temperature, torch.float32):
        assert values.isfinite().all()
    for values in distilled(wild, wild, temperature, torch.float32):
        assert not values.any()
    nothing = torch.tensor([[float("nan"), 0.0]])
    assert distillation_kl(nothing, wild[:, :2], temperature).isnan().all(), "it is not hidden"


@pytest.mark.parametrize("temperature", [4.0, 100.0])
def test_half_precision_gives_what_its_widened_logits_give(temperature):
    s, t = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    got = distillation_kl(s, t, temperature)
    assert got.dtype == torch.float32
    assert torch.equal(got, distillation_kl(s.float(), t.float(), temperature))


@pytest.mark.parametrize("kind", ["", "_labels_mixed"])
def test_rectify(golden, kind):
    data = golden("drkd")
    labels = data["labels_mixed" if kind else "labels"]
    got = rectify(data["teacher_logits"], labels)
    assert torch.equal(got, data[f"rectified_teacher_logits{kind}"])
    assert torch.equal(got.argmax(1), labels)
    assert torch.equal(got.sort(1).values, data["teacher_logits"].sort(1).values)


def test_soft_targets_mix_the_label_and_the_past():
    past = torch.tensor([[0.2, 0.5, 0.3]])
    got = soft_targets(torch.tensor([2]), past, 0.4)
    torch.testing.assert_close(got, torch.tensor([[0.08, 0.2, 0.72]]))
    assert torch.equal(past, torch.tensor([[0.2, 0.5, 0.3]]))


def test_soft_targets_give_every_row_its_own_label():
    labels = torch.tensor([[[0, 1]], [[2, 0]]])
    got = soft_targets(labels, torch.zeros(2, 3, 2, 3), 0.25)
    assert got.shape == (2, 3, 2, 3)
    assert torch.equal(got.argmax(-1), labels.expand(2, 3, 2))
    torch.testing.assert_close(got.sum(-1), torch.full((2, 3, 2), 0.75))


def test_target_kl_is_soft_cross_entropy_less_the_entropy_of_the_target(same):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    targets = torch.randn(4, 5, dtype=torch.float64, generator=generator).softmax(-1)
    targets[0] = torch.tensor([0, 0, 1, 0, 0])
    kl, ce = target_kl(z, targets), soft_cross_entropy(z, targets)
    same(gradient(kl.sum(), z), gradient(ce.sum(), z))
    same(ce - kl, torch.distributions.Categorical(targets).entropy())
    same(target_kl(z, probabilities(z)), torch.zeros(4))


def test_a_soft_target_that_is_hard_gives_cross_entropy(same):
    z = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 3, 0])
    same(soft_cross_entropy(z, torch.eye(4, dtype=torch.float64)[labels]), cross_entropy(z, labels))


@pytest.mark.parametrize("temperature", [4.0, 400.0])
def test_the_teacher_of_a_kl_broadcasts_and_learns_unless_detached(temperature):
    generator = torch.Generator().manual_seed(0)
    students = torch.randn(2, 3, 5, generator=generator).requires_grad_()
    teacher = torch.randn(2, 1, 5, generator=generator).requires_grad_()
    assert distillation_kl(students, teacher, temperature).shape == (2, 3)
    assert gradient(distillation_kl(students, teacher, temperature).sum(), teacher).any()
    assert gradient(distillation_kl(students, teacher.detach(), temperature).sum(), students).any()


def test_feature_distance_sums_over_the_feature(same):
    got = feature_distance(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
    assert torch.equal(got, torch.tensor([5.0, 16.0]))


def test_half_precision_is_widened_before_anything_is_computed():
    z = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.bfloat16)
    assert log_probabilities(z, 3.0).dtype == torch.float32
    assert torch.equal(log_probabilities(z, 3.0), log_probabilities(z.float(), 3.0))
    assert feature_distance(z, z[:, :1]).dtype == torch.float32
    assert probabilities(z.double()).dtype == torch.float64


def test_extreme_logits_stay_finite():
    z = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = distillation_kl(z, -z.detach(), 1.0) + cross_entropy(z, torch.tensor([1]), 0.1)
    assert loss.isfinite().all()
    assert gradient(loss.sum(), z).isfinite().all()
