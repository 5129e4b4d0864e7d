"""What methods that teach themselves draw, and what of their networks is written otherwise."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from kd.backbones import build_backbone
from kd.backbones.staged import pool
from kd.config import OptimizerConfig, SplitConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods import build_method, config_class
from kd.methods.ban.config import Config as Born
from kd.methods.ban.loss import permuted
from kd.methods.base import Task
from kd.methods.mixskd.loss import symmetric_beta
from kd.parts.teacher import Teacher
from kd.testing import check_method
from kd.training.trainer import Place, Trainer


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_the_shares_of_mixtures_are_of_a_symmetric_beta_distribution(alpha):
    torch.manual_seed(0)
    drawn = [symmetric_beta(torch.tensor(alpha, dtype=torch.float64)) for _ in range(4000)]
    assert stats.kstest(torch.stack(drawn).numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def made(name, epochs=1, **values):
    torch.manual_seed(0)
    shape = {"in_channels": 1, "image_size": (12, 12), "backbone": "resnet8"}
    task = Task(num_classes=5, num_samples=8, epochs=epochs, **shape)
    config = config_class(name)(**values)
    teachers = [Teacher(task.build_network())] if config.teacher == "self" else []
    return build_method(name, config, build_backbone("resnet8", 5, 1), task, teachers)


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


# -- born again, and snapshots ------------------------------------------------------------------


def logits_and_labels():
    generator = torch.Generator().manual_seed(0)
    own, taught = 3 * torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    return own.requires_grad_(), taught, torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("form", ["predictions", "weighted", "permuted"])
def test_what_a_generation_learns_is_its_formula(form, weight, same):
    """∂/∂z of Σ_b a_b·CE(y_b) + mean CE(q_b) is a_b·(p − y) + (p − q)/B."""
    method = made("ban", form=form, label_weight=weight).double()
    own, taught, labels = logits_and_labels()
    torch.manual_seed(1)
    loss = method.loss(own, taught, labels)
    loss.total.backward()
    p, q, y = own.detach().softmax(-1), taught.softmax(-1), F.one_hot(labels, 5)
    shares = torch.full((6, 1), weight / 6, dtype=torch.float64)
    soft = 1.0
    if form == "weighted":
        sure = q.amax(-1, keepdim=True)
        shares, soft = shares + sure / sure.sum(), 0.0
    if form == "permuted":
        torch.manual_seed(1)
        q = permuted(taught).softmax(-1)
    hard = -(shares * y * p.log()).sum()
    same(loss.total, hard - soft * (q * p.log()).sum(-1).mean())
    same(own.grad, shares * (p - y) + soft * (p - q) / 6)


def test_the_highest_stays_where_it_is_and_every_order_of_the_others_is_as_likely():
    torch.manual_seed(0)
    row = torch.tensor([0.3, 2.0, -1.0, 0.5])
    drawn = permuted(row.expand(3000, 4))
    assert (drawn[:, 1] == 2.0).all()
    orders, counts = drawn[:, [0, 2, 3]].unique(dim=0, return_counts=True)
    assert (orders.sort(-1).values == row[[2, 0, 3]]).all()
    assert len(orders) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("values", [{"generations": 3}, {"form": "weighted"}, {"form": "permuted"}])
def test_each_generation_and_each_form_keep_the_contract(values, monkeypatch):
    monkeypatch.setattr(Born, "paper", classmethod(lambda cls, *cell: cls(**values)))
    check_method("ban", "resnet8", 8)


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=50))


def training(name, images, epochs, teachers=(), **values):
    changes = {"kd": config_class(name)(**values), "epochs": epochs, "batch_size": 25}
    changes["optimizer"] = OptimizerConfig(lr=0.02, schedule="cosine")
    settings = TrainConfig.paper(name, "resnet8", "digits", **changes)
    return Trainer(settings, *images, place=Place.local("cpu"), teachers=teachers)


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_generation_is_taught_by_the_one_before_it_and_trained_as_the_student(images):
    """Of three: each is the only one that its phase changes, at the rates of the last one."""
    teacher = Teacher(build_backbone("resnet8", 10, 1))
    trainer = training("ban", images, 2, [teacher], generations=3, generation_epochs=2)
    line = (teacher, *trainer.method.earlier, trainer.student)
    seen, rates = [], []
    for network in line:
        network.register_forward_hook(lambda own, *_: seen.append(own))
    for number in (1, 2, 3):
        seen.clear()
        before = [copied(network) for network in line]
        rates.append([trainer.run_epoch()["lr"] for _ in range(2)])
        assert seen[:2] == [line[number - 1], line[number]]
        same = [equal(*pair) for pair in zip(before, map(copied, line), strict=True)]
        assert same == [n != number for n in range(4)]
    assert trainer.epoch == 2
    assert rates == [rates[0]] * 3


def test_a_snapshot_is_the_network_of_its_cycles_end_and_teaches_in_the_next_one(images):
    trainer, again = (training("sd", images, 4, cycles=2) for _ in range(2))
    students, snapshots, told = [], [], []
    for epoch in range(4):
        told.append(trainer.run_epoch())
        students.append(copied(trainer.student))
        snapshots.append(copied(trainer.method.snapshot))
        loss = told[-1]["loss_ce"] + (told[-1]["loss_kl"] if epoch >= 2 else 0)
        assert told[-1]["train_loss"] == pytest.approx(loss)
        if epoch == 1:
            again.load_state(trainer.state())
    assert [equal(one, students[1]) for one in snapshots] == [False, True, True, False]
    assert equal(snapshots[3], students[3])
    rates = [metrics["lr"] for metrics in told]
    assert rates[0] > rates[1]
    assert rates[2:] == rates[:2]
    again.fit()
    assert equal(copied(again.student), students[3])


def test_a_snapshot_teaches_by_its_softened_logits_alone(same):
    """∂/∂z of λ_S·CE + λ_T·KL(softmax(t/T) ‖ softmax(z)) is (λ_S·(p − y) + λ_T·(p − q))/B."""
    method = made("sd", epochs=4, ce_weight=0.6, kd_weight=1.7, temperature=3.0).double()
    method.begin_epoch(1)
    own, taught, labels = logits_and_labels()
    loss = method.loss(own, taught, labels)
    loss.total.backward()
    p, q, y = own.detach().softmax(-1), (taught / 3).softmax(-1), F.one_hot(labels, 5)
    hard, soft = -(y * p.log()).sum(-1).mean(), (q * (q / p).log()).sum(-1).mean()
    same(loss.total, 0.6 * hard + 1.7 * soft)
    same(own.grad, (0.6 * (p - y) + 1.7 * (p - q)) / 6)
