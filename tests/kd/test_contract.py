"""Every registered method keeps the contract of kd.testing, on backbones of every family."""

from copy import deepcopy
from itertools import count

import pytest
import torch
from families import pairs
from torch import nn

from kd.methods import method_names
from kd.methods.base import MAIN, Loss
from kd.methods.config import MethodConfig
from kd.methods.kd.loss import KnowledgeDistillation
from kd.methods.pskd.loss import ProgressiveSelfDistillation
from kd.methods.sskd.loss import SelfSupervision
from kd.parts.history import Histories
from kd.testing import check_loss, check_method

# Enough pixels for the last stage to see more than one, where that costs little.
IMAGE_SIZE = {"resnet8": 16}


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize(("method", "backbone"), pairs(method_names()))
def test_contract(method: str, backbone: str):
    check_method(method, backbone, IMAGE_SIZE.get(backbone, 8))


# Of 5 classes and 20 joint ones, whole rows in half precision, and two or three probabilities.
FORMS = [
    Histories(form="bfloat16"),
    Histories(form="compressed"),
    Histories(form="compressed", kept=2),
    Histories(form="compressed", kept=3),
]


@pytest.mark.parametrize("histories", FORMS, ids=lambda h: f"{h.form} {h.kept or ''}")
@pytest.mark.parametrize("method", ["dtskd", "lsskd", "pskd"])
def test_contract_with_memories_of_every_form(method: str, histories: Histories):
    check_method(method, "resnet8", IMAGE_SIZE["resnet8"], histories)


def test_contract_with_memories_on_the_host(tmp_path):
    check_method("lsskd", "resnet8", 16, Histories(host=True, folder=tmp_path))


# -- what the contract catches: each of these methods has one mistake ---------------------------


class ForgetsHistory(ProgressiveSelfDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        history = self.history
        del self.history
        object.__setattr__(self, "history", history)


class ForgetsTeacher(KnowledgeDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.hidden, self.teachers = [self.teachers], nn.ModuleList()

    def teacher_logits(self, images):
        return self.hidden[0][0](images)


class NamesTeacherTwice(KnowledgeDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.expert = self.teachers[0]


class ReplacesTeacher(KnowledgeDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        for value in self.teachers.state_dict().values():
            value.zero_()


class TrainsTeacher(KnowledgeDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.teachers.requires_grad_(True)


class WakesTeacher(KnowledgeDistillation):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class NeverUsesHead(ProgressiveSelfDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.head = nn.Linear(3, 3)


class ChangesStudent(ProgressiveSelfDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.student.register_buffer("mine", torch.zeros(3))


class HasNoMean(ProgressiveSelfDistillation):
    def loss(self, logits, *args):
        return Loss(super().loss(logits, *args).total + 0 * logits.sum(1))


class DividesByZero(ProgressiveSelfDistillation):
    def loss(self, *args):
        return Loss(super().loss(*args).total / 0)


class RollsDice(ProgressiveSelfDistillation):
    dice = count()

    def loss(self, *args):
        return Loss(super().loss(*args).total + next(self.dice))


class ReadsConfig(ProgressiveSelfDistillation):
    def loss(self, *args):
        return Loss(super().loss(*args).total * self.config.alpha)


class FollowsByConfig(ProgressiveSelfDistillation):
    def __init__(self, *args):
        super().__init__(*args)
        self.average = deepcopy(self.student).requires_grad_(False)

    def after_step(self, batch):
        for average, own in zip(self.average.parameters(), self.student.parameters(), strict=True):
            average.lerp_(own, 1 - self.config.alpha)


class KeepsItsFirstEpoch(ProgressiveSelfDistillation):
    def begin_epoch(self, epoch):
        super().begin_epoch(epoch)
        if not hasattr(self, "kept"):
            self.kept = float(self.numbers["alpha"])

    def loss(self, *args):
        return Loss(super().loss(*args).total * self.kept)


class AsksTheDevice(ProgressiveSelfDistillation):
    def loss(self, logits, *args):
        loss = super().loss(logits, *args)
        return Loss(loss.total * 2) if logits.sum() > 1e9 else loss


class PicksByMask(ProgressiveSelfDistillation):
    def loss(self, logits, labels, indices):
        return Loss(super().loss(logits, labels, indices).total + 0 * logits[labels > 0].sum())


class StaysHalf(ProgressiveSelfDistillation):
    def loss(self, logits, *args):
        return Loss(super().loss(logits, *args).total.to(logits.dtype))


class WeighsItsHead(SelfSupervision):
    def forward(self, batch):
        loss = super().forward(batch)
        return loss if self.phase == MAIN else Loss(loss.total * self.numbers["temperature"])


@pytest.mark.parametrize(
    ("name", "mistake", "sentence"),
    [
        ("sskd", WeighsItsHead, r"kd\.temperature must stand in beginning, as the phase head"),
        ("pskd", ForgetsHistory, "the loaded state must give the same losses"),
        ("kd", ForgetsTeacher, "the loaded state must give the same losses"),
        ("kd", NamesTeacherTwice, r"must leave out what is a teacher's: \['expert\."),
        ("kd", ReplacesTeacher, "the state of another teacher must be refused"),
        ("kd", TrainsTeacher, r"a teacher must be in no group"),
        ("kd", WakesTeacher, "wrong mode"),
        ("pskd", NeverUsesHead, r"head\.weight must get a gradient"),
        ("pskd", ChangesStudent, "the student must be the plain backbone"),
        ("pskd", HasNoMean, "total must be a scalar"),
        ("pskd", DividesByZero, "total must be finite"),
        ("pskd", RollsDice, "the same seed must give the same loss"),
        ("pskd", ReadsConfig, r"kd\.alpha must be read from numbers"),
        ("pskd", FollowsByConfig, r"kd\.alpha must be read from numbers"),
        ("pskd", KeepsItsFirstEpoch, r"kd\.alpha must be read from numbers"),
        ("pskd", AsksTheDevice, "must not call aten.*a device would wait"),
        ("pskd", PicksByMask, "must not call aten.*a device would wait"),
        ("pskd", StaysHalf, "bfloat16, not float32"),
    ],
)
def test_the_contract_catches(monkeypatch, name, mistake, sentence):
    monkeypatch.setattr(f"kd.methods.{name}.loss.METHOD", mistake)
    with pytest.raises(AssertionError, match=sentence):
        check_method(name, "resnet8")


def test_the_contract_catches_a_memory_that_is_not_declared(monkeypatch):
    monkeypatch.setattr("kd.methods.pskd.config.Config.memories", MethodConfig.memories)
    with pytest.raises(AssertionError, match=r"memories must declare \[\(5,\)\], but says \[\]"):
        check_method("pskd", "resnet8")


def test_the_contract_catches_embeddings_that_are_not_declared(monkeypatch):
    monkeypatch.setattr("kd.methods.crd.config.Config.embeddings", MethodConfig.embeddings)
    with pytest.raises(AssertionError, match="embeddings must be 256, but says 0"):
        check_method("crd", "resnet8")


def test_the_contract_catches_a_term_that_holds_the_graph():
    total = torch.zeros((), requires_grad=True) + 1
    loss = Loss(total, {"loss_ce": total})
    check_loss(loss)
    loss.terms["loss_ce"] = total
    with pytest.raises(AssertionError, match="loss_ce must be detached"):
        check_loss(loss)
