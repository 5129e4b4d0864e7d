"""LSSKD against golden numbers, over two epochs, and its network against published sizes."""

import pytest
import torch

from kd.backbones import build_backbone
from kd.errors import UserError
from kd.methods.base import Batch, Task
from kd.methods.lsskd.config import Config
from kd.methods.lsskd.loss import LayeredSelfSupervised, Outputs

RUNS = {
    "growing_alphaT0.8_Tend10": Config(alpha=0.8, alpha_schedule="linear"),
    "const_alpha0.5": Config(alpha=0.5, alpha_schedule="constant"),
}


def build(config, backbone="resnet8", classes=5, samples=8):
    task = Task(num_classes=classes, num_samples=samples, epochs=10)
    return LayeredSelfSupervised(config, build_backbone(backbone, classes), task)


def outputs(data, epoch, indices):
    """The golden network outputs of samples `indices`, as leaves of the graph."""
    tensors = (
        data["z_epoch_sample_rot_class"][epoch, indices, 0],
        data["q_epoch_stage_sample_rot_joint"][epoch][:, indices].transpose(0, 1),
        data["feat_aux"][epoch][:, indices].transpose(0, 1),
        data["feat_backbone"][epoch, indices],
    )
    return Outputs(*(tensor.clone().requires_grad_() for tensor in tensors))


@pytest.mark.parametrize("run", RUNS)
def test_two_epochs(golden, same, run):
    data = golden("REF_lsskd")
    expected = {key.split("__")[1]: data[key] for key in data if key.startswith(run)}
    table = expected["tot_ceresp_cehier_kl_l2deep_l2bb_alpha"]
    method = build(RUNS[run]).double()
    for epoch, order in enumerate(data["order"]):
        method.begin_epoch(epoch)
        for step, indices in enumerate(order.split(4)):
            out = outputs(data, epoch, indices)
            loss = method.loss(out, data["labels"][indices], indices)
            loss.total.backward()
            names = ("loss_cls", "loss_hier", "loss_kl", "loss_feat")
            got = torch.stack([loss.total, *(loss.terms[name] for name in names)])
            same(got, table[epoch, step][[0, 1, 2, 3, 5]])
            same(out.logits.grad, expected["grad_z"][epoch, indices, 0])
            same(out.joint_logits.grad, expected["grad_q"][epoch][:, indices].transpose(0, 1))
            same(out.features.grad, expected["grad_f"][epoch][:, indices].transpose(0, 1))
            assert out.final_features.grad is None
        method.end_epoch()
        same(method.history.values, expected["hist_p"][epoch])
        joint = method.joint_history.values.view(8, 3, 4, 20)
        same(joint, expected["hist_q"][epoch].transpose(0, 1))


def test_features_drawn_to_the_deepest_head(golden, same):
    data = golden("REF_lsskd")
    table = data["const_alpha0.5__tot_ceresp_cehier_kl_l2deep_l2bb_alpha"]
    method = build(Config(feature_target="deepest", gamma=0.3)).double()
    for epoch, order in enumerate(data["order"]):
        method.begin_epoch(epoch)
        for step, indices in enumerate(order.split(4)):
            out = outputs(data, epoch, indices)
            loss = method.loss(out, data["labels"][indices], indices)
            loss.total.backward()
            same(loss.terms["loss_feat"], table[epoch, step, 4])
            difference = out.features[:, :-1] - out.features[:, -1:]
            same(out.features.grad[:, :-1], 0.3 * 2 * difference / (4 * 4))
            assert not out.features.grad[:, -1].any()


def test_the_weights_weigh_their_terms(golden, same):
    data = golden("REF_lsskd")
    indices = data["order"][0, :4]
    out, labels = outputs(data, 0, indices), data["labels"][indices]
    loss = build(Config(beta=2.0, gamma=0.5)).double().loss(out, labels, indices)
    terms = loss.terms
    weighted = 2.0 * terms["loss_kl"] + 0.5 * terms["loss_feat"]
    same(loss.total, terms["loss_cls"] + terms["loss_hier"] + weighted)


def test_forward_shows_the_loss_every_view_of_every_image_in_its_place():
    """Replays the network view by view, in eval mode, where views do not mix in a BatchNorm."""
    method = build(Config()).eval()
    seen = []
    method.loss = lambda out, *args: seen.append(out)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        method(Batch(images, torch.tensor([1, 4]), torch.tensor([0, 5])))
        (out,) = seen
        torch.testing.assert_close(out.logits, method.student(images))
        for view in range(4):
            features = method.student.features(torch.rot90(images, view, (2, 3)))
            final = features[-1].mean((2, 3))
            torch.testing.assert_close(out.final_features[:, view], final)
            for stage, (head, feature) in enumerate(zip(method.heads, features, strict=True)):
                _, pooled, logits = head(feature)
                torch.testing.assert_close(out.features[:, stage, view], pooled)
                torch.testing.assert_close(out.joint_logits[:, stage, view], logits)


def test_without_hierarchical_labels_every_view_has_the_images_class(same):
    """Closed forms: CE of C classes over all stages and views, then with the past of each view."""
    method = build(Config(hierarchical_labels=False, alpha=0.5, alpha_schedule="constant")).double()
    assert method.joint_history.shape == (3, 4, 5)
    generator = torch.Generator().manual_seed(0)
    labels, indices = torch.tensor([4, 1]), torch.tensor([6, 2])
    past = torch.nn.functional.one_hot(labels, 5).double()[:, None, None].expand(2, 3, 4, 5)
    for _ in range(2):
        shapes = ((2, 5), (2, 3, 4, 5), (2, 3, 4, 7), (2, 4, 7))
        drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        out = Outputs(*drawn)
        terms = method.loss(out, labels, indices).terms
        hard = torch.nn.functional.one_hot(labels, 5).double()[:, None, None]
        log_q = out.joint_logits.log_softmax(-1)
        soft = -((0.5 * hard + 0.5 * past) * log_q).sum(-1)
        same(terms["loss_hier"], soft.mean((0, 2)).sum())
        log_p = (out.joint_logits / 3).log_softmax(-1)
        kl = (log_p[:, -1:].exp() * (log_p[:, -1:] - log_p[:, :-1])).sum(-1)
        same(terms["loss_kl"], 9 * kl.mean((0, 2)).sum())
        past = log_q.exp()


def test_without_hierarchical_labels_the_backbone_and_the_views_are_the_same():
    """The heads' last layers alone are others, C wide."""
    joint, plain = build(Config()), build(Config(hierarchical_labels=False))
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (joint, plain)]
    other = {name for name, shape in shapes[0].items() if shapes[1][name] != shape}
    assert other == {f"heads.{i}.classifier.{p}" for i in range(3) for p in ("weight", "bias")}
    batch = Batch(torch.randn(4, 3, 16, 16), torch.tensor([1, 4, 0, 0]), torch.arange(4))
    assert plain(batch).total.isfinite()


@pytest.mark.parametrize(
    ("backbone", "parameters"), [("wrn_16_2", 2_631_588), ("resnet56", 3_067_684)]
)
def test_parameters_with_heads_are_the_published_ones(backbone, parameters):
    method = build(Config(), backbone, classes=100)
    assert sum(p.numel() for p in method.parameters()) == parameters


@pytest.mark.parametrize(
    "values", [{"alpha": 1.2}, {"beta": -1.0}, {"gamma": float("nan")}, {"temperature": 0.0}]
)
def test_values_that_make_no_sense_are_refused(values):
    with pytest.raises(UserError, match=f"kd.{next(iter(values))} is"):
        Config(**values)
