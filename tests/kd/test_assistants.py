"""A teacher that learnt from another, several teachers of one student, and the best of peers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from kd.config import SplitConfig, TeacherConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.methods import config_class, method_names
from kd.parts.teacher import Teacher, mean_logits
from kd.train import Flags, train
from kd.train import _train_first as train_first
from kd.training import checkpoint
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import Place, Trainer

SPLIT = SplitConfig(val_fraction=0.6, train_size=50)
CPU = Place(device=torch.device("cpu"))
ROOT = TeacherConfig(backbone="resnet8")
CHAIN = TeacherConfig(backbone="resnet8", method="kd", teacher=ROOT)


def paper(method="kd", **changes):
    few = {"epochs": 2, "batch_size": 25, "split": SPLIT}
    return TrainConfig.paper(method, "resnet8", "digits", **(few | changes))


def same(one, other):
    first, second = (checkpoint.load_weights(path)[0].state_dict() for path in (one, other))
    return all(first[name].equal(second[name]) for name in first)


# -- as they are described -----------------------------------------------------------------------


def test_each_of_a_line_has_the_one_before_it_as_its_teacher():
    long = TeacherConfig(
        backbone="resnet20",
        method="dkd",
        teacher=TeacherConfig(
            backbone="resnet56", method="kd", teacher=TeacherConfig(backbone="resnet56")
        ),
    )
    student = paper(teacher=long)
    assert TrainConfig.from_dict(student.to_dict()) == student
    recipes = [ancestor.recipe for ancestor in student.ancestors]
    assert [(r.method, r.backbone, r.teacher.backbone) for r in recipes] == [
        ("ce", "resnet56", None),
        ("kd", "resnet56", "resnet56"),
        ("dkd", "resnet20", "resnet56"),
    ]
    assert [ancestor.file for ancestor in student.ancestors] == [
        "teacher-before-2.safetensors",
        "teacher-before-1.safetensors",
        "teacher.safetensors",
    ]
    assert len({student.seed, *(recipe.seed for recipe in recipes)}) == 4
    # Each is what it is by itself: a line is built from its own end.
    assert recipes[2].teacher_recipe() == recipes[1]
    assert recipes[1].teacher_recipe() == recipes[0]
    assert recipes[2].kd.warmup == 1, "what counts epochs keeps its part of so few"
    # The first is the teacher of those who do without assistants, and is trained once for both.
    assert recipes[0] == paper(teacher=TeacherConfig(backbone="resnet56")).teacher_recipe()


def test_what_a_line_may_not_be():
    def line(count):
        return TeacherConfig(method="kd", teacher=line(count - 1)) if count > 1 else ROOT

    assert len(line(8).line) == 8
    with pytest.raises(UserError, match=r"9 networks would be trained .* at most 8"):
        line(9)
    with pytest.raises(UserError, match=r"is kd, which needs a teacher itself; give it one as"):
        TeacherConfig(method="kd")
    with pytest.raises(UserError, match=r"teacher.method is ce, which learns from none"):
        TeacherConfig(teacher=ROOT)
    wrong = paper(teacher=CHAIN).to_dict()
    wrong["teacher"]["teacher"]["bakbone"] = "resnet8"
    with pytest.raises(UserError, match="did you mean 'backbone'"):
        TrainConfig.from_dict(wrong)
    deep = {"backbone": "resnet8"}
    for _ in range(400):
        deep = {"method": "kd", "teacher": deep}
    with pytest.raises(UserError):
        TrainConfig.from_dict(wrong | {"teacher": deep})
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"teacher\.weight is .*above 0 and at most 1e\+06"):
            TeacherConfig(weight=weight)


def test_only_the_first_file_of_a_line_is_needed():
    given = replace(ROOT, weights="root.safetensors", saw_val=True)
    student = paper(teacher=replace(CHAIN, teacher=given))
    (assistant,) = student.ancestors
    assert assistant.recipe.teacher.weights == "root.safetensors"
    assert assistant.own_teacher is None
    assert student.saw_val, "its teacher's teacher saw val"
    assert student.portable.teacher.teacher.weights is None
    trained = student.with_teachers(["assistant.safetensors"])
    assert (trained.ancestors, trained.teacher.file) == ([], "assistant.safetensors")
    assert trained.saw_val
    assert trained.trains_as(student)


# -- as they are trained -------------------------------------------------------------------------


def test_a_run_trains_them_in_turn_and_goes_on_between_them(tmp_path, capsys, monkeypatch):
    file, whole, broken = (tmp_path / name for name in ("chain.yaml", "whole", "broken"))
    file.write_text(paper(teacher=CHAIN).to_yaml())
    train(Flags(config=file, output=whole))
    said = capsys.readouterr().out
    order = ["teacher epoch 2/2", "Then the assistant, resnet8: kd from", "assistant epoch 2/2"]
    places = [said.index(words) for words in [*order, "kd epoch 2/2"]]
    assert places == sorted(places)
    names = sorted(path.name for path in whole.glob("teacher*"))
    assert names == ["teacher-before-1.safetensors", "teacher.safetensors"]
    assert not same(*(whole / name for name in names))

    def the_first_alone(folder, ancestor, *others):
        if ancestor.recipe.teachers:
            raise KeyboardInterrupt
        train_first(folder, ancestor, *others)

    with monkeypatch.context() as patched:
        patched.setattr("kd.train._train_first", the_first_alone)
        with pytest.raises(KeyboardInterrupt):
            train(Flags(config=file, output=broken))
    assert [path.name for path in broken.glob("*.safetensors")] == names[:1]
    capsys.readouterr()
    train(Flags(config=file, output=broken))
    said = capsys.readouterr().out
    assert "teacher epoch" not in said
    assert "assistant epoch 1/2" in said
    for name in (*names, "student.safetensors"):
        assert same(whole / name, broken / name)


def test_a_line_may_begin_with_a_file_which_is_compared_when_it_goes_on(tmp_path, capsys):
    file, root = tmp_path / "chain.yaml", tmp_path / "root.safetensors"
    images = train_val(open_dataset("digits").train, SPLIT)
    train_teacher(paper(teacher=ROOT).teacher_recipe(), *images, root, place=CPU)
    given = TeacherConfig(weights="root.safetensors")
    file.write_text(paper(teacher=replace(CHAIN, teacher=given)).to_yaml())
    train(Flags(config=file, output=tmp_path / "run"))
    said = capsys.readouterr().out
    assert "assistant epoch 2/2" in said
    assert "teacher epoch" not in said
    assert not (tmp_path / "run" / "teacher-before-1.safetensors").exists()
    train_teacher(paper(seed=1, teacher=ROOT).teacher_recipe(), *images, root, place=CPU)
    with pytest.raises(UserError, match="The teacher is not what the run"):
        train(Flags(config=file, output=tmp_path / "run"))


# -- several of one student ----------------------------------------------------------------------

LOGITS = {"kd", "dkd", "rld", "nkd", "dist", "ttm", "wttm", "ctkd", "mlkd"}


def test_methods_that_take_logits_alone_learn_from_several():
    several = {name for name in method_names() if config_class(name).most_teachers > 1}
    assert several == LOGITS


class Saying(nn.Module):
    """Says the same of every image."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([logits]), requires_grad=False)

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def test_several_teach_by_the_weighted_mean_of_their_logits():
    images = torch.zeros(2, 3, 8, 8)
    one, two = Saying(1.0, 5.0), Saying(4.0, -1.0)
    both = [Teacher(one, weight=0.5), Teacher(two, weight=1.0)]
    assert mean_logits(both, images).tolist() == [[3.0, 1.0]] * 2
    half = [
        Teacher(own.bfloat16(), weight=w)
        for own, w in ((Saying(1.0, 5.0), 1e6), (Saying(4.0, 2.0), 5e-324))
    ]
    assert mean_logits(half, images).tolist() == [[1.0, 5.0]] * 2
    assert mean_logits(half, images).dtype == torch.float32
    assert mean_logits(half[:1], images).dtype == torch.bfloat16, "one teacher says it as it is"


def test_validation_is_beside_the_same_mean(tmp_path):
    """Of two whose weights say that one of them hardly counts, all is as beside the other."""
    images = train_val(open_dataset("digits").train, SPLIT)
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for seed, file in enumerate(files):
        train_teacher(paper(seed=seed, teacher=ROOT).teacher_recipe(), *images, file, place=CPU)
    told = []
    first, second = (TeacherConfig(weights=str(file)) for file in files)
    for teachers in ([first], [first, replace(second, weight=1e-12)], [first, second]):
        config = paper(epochs=1, teacher=teachers[0], further_teachers=tuple(teachers[1:]))
        loaded = load_teachers(config, images[0])
        assert [own.weight for own in loaded] == [own.weight for own in teachers]
        told.append(Trainer(config, *images, place=CPU, teachers=loaded).run_epoch())
    alone, hardly, both = told
    names = ("train_loss", "teacher_agreement", "teacher_kl", "val_nll")
    assert [hardly[n] for n in names] == pytest.approx([alone[n] for n in names], rel=1e-4)
    assert both["teacher_kl"] != pytest.approx(alone["teacher_kl"], rel=1e-3)
    assert both["distillation_factor"] == pytest.approx(2.0)


# -- the best of peers ---------------------------------------------------------------------------


def test_the_best_of_peers_is_handed_out_and_it_is_told_of_it(tmp_path):
    images = train_val(open_dataset("digits").train, SPLIT)
    config = paper("dml", epochs=4)
    unbroken, broken = (Trainer(config, *images, place=CPU) for _ in range(2))
    seen = set()
    for _ in range(config.epochs):
        told = unbroken.run_epoch()
        looks = unbroken._validation.looks
        scores = {name: look.scores(10)["val_acc"] for name, look in looks.items()}
        assert told["val_acc"] == max(scores.values())
        best = unbroken.state()["student"]
        assert scores[best] == max(scores.values())
        assert unbroken.student is unbroken.method.get_submodule(best)
        seen.add(best)
    assert seen == {"student", "peers.0"}, "this test sees both, or it proves little"
    while broken.epoch < 2:
        broken.run_epoch()
    checkpoint.save(broken.state(), tmp_path / "c.pt")
    again = Trainer(config, *images, place=CPU)
    again.load_state(checkpoint.load(tmp_path / "c.pt"))
    assert again.student is again.method.get_submodule(broken.state()["student"])
    again.fit()
    assert again.history[-1]["val_acc"] == unbroken.history[-1]["val_acc"]
    checkpoint.save(again.state(), tmp_path / "c.pt")
    network, _ = checkpoint.load_weights(tmp_path / "c.pt")
    for name, tensor in unbroken.student.state_dict().items():
        assert network.state_dict()[name].equal(tensor)


def test_a_state_of_before_hands_out_its_first_network(tmp_path):
    images = train_val(open_dataset("digits").train, SPLIT)
    made = Trainer(paper("dml"), *images, place=CPU)
    state = made.state()
    del state["student"]
    made._validation.choose("peers.0")
    made.load_state(state)
    assert made.student is made.method.student
    with pytest.raises(UserError, match="cannot be read"):
        made.load_state(state | {"student": "peers.7"})
