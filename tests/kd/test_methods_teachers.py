"""KD, DR-KD and label smoothing as methods, against golden numbers."""

import pytest
import torch

from kd.backbones import build_backbone
from kd.errors import UserError
from kd.methods import build_method, config_class
from kd.methods.base import Batch, Task
from kd.parts.teacher import Teacher


def build(name, *, teacher=True, **values):
    config = config_class(name)(**values)
    task = Task(num_classes=10, num_samples=8, epochs=10)
    student, its_teacher = build_backbone("resnet8", 10), build_backbone("resnet8", 10)
    return build_method(name, config, student, task, [Teacher(its_teacher)] if teacher else [])


@pytest.mark.parametrize("key", ["kd_total_0.1ce_0.9kl_T4__RepDistiller", "REF_review_eq1_a0.9_T4"])
def test_kd(golden, same, key):
    data = golden("kd")
    z = data["student_logits"].requires_grad_()
    loss = build("kd").loss(z, data["teacher_logits"], data["labels"])
    same(loss.total, data[key])
    same(torch.autograd.grad(loss.total, z)[0], data[f"{key}__grad_student"])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("drkd_a0.95_T20_mult1_meanNC__official", ("per_class", 0.95, 20.0, 1.0)),
        ("drkd_a0.95_T6_mult50_meanNC__official", ("per_class", 0.95, 6.0, 50.0)),
        ("drkd_a0.4_T20_mult50_meanNC__official", ("per_class", 0.40, 20.0, 50.0)),
        ("drkd_a0.1_T20_mult1_meanNC__official", ("per_class", 0.10, 20.0, 1.0)),
        ("drkd_a0.15_T20_mult1_meanNC__official", ("per_class", 0.15, 20.0, 1.0)),
        ("REF_drkd_eq4_noT2_batchmean_a0.95_T20", ("paper", 0.95, 20.0, 1.0)),
        ("REF_drkd_T2_batchmean_a0.95_T20", ("tau_squared", 0.95, 20.0, 1.0)),
    ],
)
def test_drkd(golden, same, key, values):
    data = golden("drkd")
    names = ("scaling", "alpha", "temperature", "multiplier")
    method = build("drkd", **dict(zip(names, values, strict=True)))
    z = data["student_logits"].requires_grad_()
    loss = method.loss(z, data["teacher_logits"], data["labels"])
    same(loss.total, data[key])
    same(torch.autograd.grad(loss.total, z)[0], data[f"{key}__grad_student"])


@pytest.mark.parametrize(
    ("backbone", "dataset", "values"),
    [
        ("resnet18", "cifar100", (0.95, 6.0, 50.0)),
        ("mobilenetv2", "cifar100", (0.95, 20.0, 1.0)),
        ("googlenet", "cifar100", (0.40, 20.0, 50.0)),
        ("densenet121", "tiny-imagenet", (0.15, 20.0, 1.0)),
        ("resnet8", "digits", (0.95, 20.0, 1.0)),
    ],
)
def test_drkd_publishes_values_for_the_scaling_they_were_found_with(backbone, dataset, values):
    config = config_class("drkd").paper(backbone, dataset)
    assert (config.alpha, config.temperature, config.multiplier) == values
    assert config.scaling == "per_class"


@pytest.mark.parametrize("name", ["kd", "drkd"])
def test_a_method_that_learns_from_a_teacher_asks_for_one(name):
    with pytest.raises(UserError, match=r"teacher\.weights"):
        build(name, teacher=False)


@pytest.mark.parametrize("name", ["kd", "drkd"])
def test_a_teacher_is_used_in_eval_mode_and_is_left_as_it_was(name):
    method = build(name).train()
    before = {k: v.clone() for k, v in method.teachers.state_dict().items()}
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.tensor([3, 0, 3, 9]), torch.arange(4))
    method(batch).total.backward()
    assert all(torch.equal(v, before[k]) for k, v in method.teachers.state_dict().items())


@pytest.mark.parametrize(
    ("spread", "key"),
    [
        ("uniform", "ls_eps0.1_uniform_eps_over_C__torch"),
        ("others", "ls_eps0.1_offclass_eps_over_Cminus1__TfKD"),
    ],
)
def test_label_smoothing_spreads_where_it_says(golden, same, spread, key):
    data = golden("label_smoothing_tfkd_reg")
    method = build("ce", teacher=False, label_smoothing=0.1, smoothing_spread=spread)
    method.student = torch.nn.Identity()
    loss = method(Batch(data["student_logits"], data["labels"], torch.arange(8)))
    same(loss.total, data[key])


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("ce", {"label_smoothing": -0.1}, "kd.label_smoothing is -0.1"),
        ("kd", {"alpha": 1.1}, "kd.alpha is 1.1"),
        ("kd", {"temperature": 0.0}, "kd.temperature is 0.0"),
        ("drkd", {"multiplier": 0.0}, "kd.multiplier is 0.0"),
        ("pskd", {"alpha": -1.0}, "kd.alpha is -1.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(name, values, sentence):
    with pytest.raises(UserError, match=sentence):
        config_class(name)(**values)
