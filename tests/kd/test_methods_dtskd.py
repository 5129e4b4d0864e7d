"""DTSKD against golden numbers: the losses over two epochs, and the Mixed Fusion Module."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from kd.backbones import build_backbone
from kd.errors import UserError
from kd.methods.base import Batch, Task
from kd.methods.dtskd.config import Config
from kd.methods.dtskd.loss import Branch, DualTeachers

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.golden.checks.histories import branch_of

STAGES = {"resnet8": 3, "mobilenetv2": 4, "resnet18": 4}


def build(config, backbone="mobilenetv2", classes=6, epochs=300):
    task = Task(num_classes=classes, num_samples=8, epochs=epochs)
    return DualTeachers(config, build_backbone(backbone, classes), task)


@pytest.mark.parametrize(
    ("name", "detach"), [("detached_teacher", True), ("grad_through_teacher", False)]
)
def test_two_epochs(golden, same, name, detach):
    data = golden(f"REF_dtskd_intended_{name}")
    method = build(Config(detach_teacher=detach)).double()
    for epoch, order in enumerate(data["order"]):
        method.begin_epoch(epoch)
        for step, indices in enumerate(order.split(4)):
            z = data["logits_epoch_branch"][epoch][:, indices].transpose(0, 1).clone()
            loss = method.loss(z.requires_grad_(), data["labels"][indices], indices)
            loss.total.backward()
            got = torch.stack([loss.total, loss.terms["loss_his"], loss.terms["loss_stru"]])
            same(got, data["loss_lossHis_lossStru_beta"][epoch, step, :3])
            same(method.beta(epoch), data["loss_lossHis_lossStru_beta"][epoch, step, 3])
            visited = slice(4 * step, 4 * step + 4)
            same(z.grad.transpose(0, 1), data["grad_in_visit_order"][epoch, :, visited])
        method.end_epoch()
        history = method.history.values.view(8, 4, 6).transpose(0, 1)
        same(history, data["history_after_epoch"][epoch])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_mixed_fusion_module(golden, same, mode):
    data = golden("dtskd_mfm")
    fused = data["s4"].mean((2, 3))
    for number in (3, 2, 1):
        branch = branch_of(data, number).train(mode == "train")
        fused, logits = branch(data[f"s{number}"].mean((2, 3)), fused)
        same(logits, data[f"logits_{mode}_b{number}"])
        if mode == "eval":
            same(fused, data[f"feat_eval_b{number}"])


def test_forward_stacks_the_backbone_and_the_branches_from_the_shallowest_on():
    method = build(Config()).eval()
    seen = []
    method.loss = lambda logits, *args: seen.append(logits)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        method(Batch(images, torch.tensor([1, 4]), torch.tensor([0, 5])))
        (logits,) = seen
        torch.testing.assert_close(logits[:, 0], method.student(images))
        pooled = [feature.mean((2, 3)) for feature in method.student.features(images)]
        deeper = pooled[3]
        for number in (3, 2, 1):
            deeper, expected = method.branches[number - 1](pooled[number - 1], deeper)
            torch.testing.assert_close(logits[:, number], expected)


def test_parameters_with_branches_are_the_published_ones():
    method = build(Config(), "resnet18", classes=100)
    assert sum(p.numel() for p in method.parameters()) == 13_971_920


@pytest.mark.parametrize(
    ("fusion", "depends", "width"),
    [("mixed", True, 16), ("concat", True, 16), ("add", True, None), ("none", False, None)],
)
def test_a_fusion_uses_the_deeper_feature_as_it_says(fusion, depends, width):
    torch.manual_seed(0)
    branch = Branch(5, 8, 4, fusion).eval()
    assert (branch.fuse[0].in_features if hasattr(branch, "fuse") else None) == width
    feature, deeper = torch.randn(3, 5), torch.randn(3, 8)
    moved = not torch.equal(branch(feature, deeper)[1], branch(feature, deeper + 1)[1])
    assert moved == depends


def test_fusion_by_addition_and_by_concatenation_are_the_parts_of_the_mixed_one():
    torch.manual_seed(0)
    mixed = Branch(5, 8, 4, "mixed").eval()
    feature, deeper = torch.randn(3, 5), torch.randn(3, 8)
    lateral, guide = mixed.lateral(feature), mixed.top_down(deeper)
    variants = {fusion: Branch(5, 8, 4, fusion).eval() for fusion in ("add", "concat", "none")}
    for branch in variants.values():
        own = branch.state_dict()
        branch.load_state_dict({k: v for k, v in mixed.state_dict().items() if k in own})
    expected = {
        "add": lateral + guide,
        "concat": mixed.fuse(torch.cat([lateral, guide], 1)),
        "none": lateral,
    }
    for fusion, branch in variants.items():
        torch.testing.assert_close(branch(feature, deeper)[0], expected[fusion])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("cosine", [0.9, 0.5, 0.1]), ("linear", [0.9, 0.5, 0.1]), ("fixed", [0.9, 0.9, 0.9])],
)
def test_the_course_of_beta(same, schedule, expected):
    method = build(Config(beta_max=0.9, beta_min=0.1, beta_schedule=schedule), epochs=10)
    same(torch.tensor([method.beta(e) for e in (0, 5, 10)]), torch.tensor(expected))


def test_the_cosine_course_lies_above_the_line_before_the_middle():
    cosine = build(Config(), epochs=10)
    linear = build(Config(beta_schedule="linear"), epochs=10)
    assert cosine.beta(2) > linear.beta(2)


def test_lambda_weighs_every_branch_on_its_own(golden, same):
    data = golden("REF_dtskd_intended_detached_teacher")
    indices = data["order"][0, :4]
    z = data["logits_epoch_branch"][0][:, indices].transpose(0, 1)
    labels = data["labels"][indices]
    weights = (0.5, 2.0, 3.0, 0.0)
    loss = build(Config(lambda_b=weights, beta_max=1.0)).double().loss(z, labels, indices)
    each = [nn.functional.cross_entropy(z[:, b], labels) for b in range(4)]
    same(loss.terms["loss_his"], sum(w * e for w, e in zip(weights, each, strict=True)))


@pytest.mark.parametrize("backbone", STAGES)
def test_the_paper_gives_every_branch_a_weight(backbone):
    weights = Config.paper(backbone, "cifar100").lambda_b
    assert weights == (3.0, *[1.0] * (STAGES[backbone] - 1))
    assert Config.paper(backbone, "imagenet").lambda_b == (4.0, *weights[1:])


def test_the_wrong_number_of_weights_is_refused():
    with pytest.raises(UserError, match=r"has 3 stages; give 3, for example \[3.0, 1.0, 1.0\]"):
        build(Config(), "resnet8")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"beta_max": 0.2, "beta_min": 0.5}, "swap them"),
        ({"alpha": 1.5}, "kd.alpha is 1.5"),
        ({"lambda_b": (1.0, -1.0)}, "kd.lambda_b is"),
        ({"lambda_b": ()}, "kd.lambda_b is"),
        ({"temperature": -4.0}, "kd.temperature is -4.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Config(**values)
