"""Methods that learn from logits, where golden numbers do not look."""

from dataclasses import replace

import pytest
import torch

from kd.backbones import build_backbone
from kd.config import SplitConfig, TeacherConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.methods import build_method, config_class
from kd.methods.base import Batch, Task
from kd.parts.classes import feature_distances, first_of_each, weight_distances
from kd.parts.logits import standardised
from kd.parts.losses import product
from kd.parts.relations import angle_relation, distance_relation, similarity_distance
from kd.parts.teacher import Teacher
from kd.training.trainer import Place, Trainer

LOSSES = ("kd", "dkd", "rld", "nkd", "dist", "ttm", "wttm", "ctkd", "mlkd", "wkd_l")
STANDARDISED = ("kd", "dkd", "rld", "ctkd", "mlkd")


def build(name, classes=5, epochs=10, **values):
    config = config_class(name)(**values)
    task = Task(num_classes=classes, num_samples=8, epochs=epochs, backbone="resnet8")
    teachers = [Teacher(build_backbone("resnet8", classes))] if config.teacher != "none" else []
    torch.manual_seed(0)
    return build_method(name, config, build_backbone("resnet8", classes), task, teachers)


def of(method, student, teacher, labels):
    loss = method.loss(student, teacher, labels).total
    return loss.detach(), torch.autograd.grad(loss, student)[0]


# -- edges ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("scale", [1.0, 50.0])
@pytest.mark.parametrize("name", [*LOSSES, *(f"{n} standardised" for n in STANDARDISED), "uskd"])
def test_loss_and_gradient_are_finite_in_float32(name, scale, classes, size):
    """Of two classes, of one image, and where networks are sure of opposite things."""
    name, _, standardise = name.partition(" ")
    method = build(name, classes, **({"standardise": True} if standardise else {}))
    sure = scale * torch.ones(size, classes)
    sure[torch.arange(size), torch.arange(size) % classes] = -scale
    student, teacher = sure.requires_grad_(), -sure.detach() + torch.arange(classes)
    labels = torch.arange(size) % classes
    loss, gradient = of(method, student, teacher, labels)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_of_two_classes_dkd_is_its_labels_part():
    student = torch.tensor([[0.3, -1.0], [2.0, 0.5]], requires_grad=True)
    teacher, labels = torch.tensor([[1.0, -0.5], [0.1, 0.4]]), torch.tensor([0, 1])
    losses = [of(build("dkd", 2, beta=b, warmup=0), student, teacher, labels) for b in (0.0, 9.0)]
    assert torch.equal(losses[0][0], losses[1][0])
    assert torch.equal(losses[0][1], losses[1][1])


def test_standardised_logits_forget_scale_and_shift_and_a_constant_row_is_0():
    z = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(standardised(5 * z - 3), standardised(z), rtol=1e-6, atol=0)
    row = torch.full((1, 7), 3.0, requires_grad=True)
    found = standardised(row)
    assert not found.any()
    found.square().sum().backward()
    assert row.grad.isfinite().all()


@pytest.mark.parametrize("name", STANDARDISED)
def test_a_standardised_method_does_not_see_the_teachers_scale(name):
    method = build(name, standardise=True)
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 5, generator=generator)
    student.requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    one, two = (of(method, student, scale * teacher, labels)[0] for scale in (1, 7))
    plain = [of(build(name), student, scale * teacher, labels)[0] for scale in (1, 7)]
    # MLKD's relations look at the logits as they are.
    assert (abs(float(one - two)) < 1e-5) == (name != "mlkd")
    assert abs(float(plain[0] - plain[1])) > 1e-3


def test_products_are_not_rounded_under_autocast():
    a = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.equal(product(a, a), (a @ a).float())
        assert product(a, a).dtype is torch.float32


@pytest.mark.parametrize("relation", [similarity_distance, distance_relation, angle_relation])
def test_relations_of_samples_are_not_rounded_under_autocast(relation):
    rows = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = relation(*rows)
    assert torch.equal(rounded, relation(*rows))


@pytest.mark.parametrize("name", ["mlkd", "wkd_l"])
def test_a_loss_is_not_rounded_under_autocast(name):
    student, teacher = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    method, labels = build(name), torch.arange(8) % 5
    if name == "wkd_l":
        method.distance.copy_(torch.rand(5, 5).fill_diagonal_(0))
    plain = method.loss(student, teacher, labels).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(method.loss(student, teacher, labels).total, plain)


# -- what changes from epoch to epoch -----------------------------------------------------------


@pytest.mark.parametrize("name", ["dkd", "rld"])
def test_the_weights_grow_over_the_first_epochs(name):
    method = build(name, warmup=4)
    assert [method.scalars(e)["grown"] for e in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert build(name, warmup=0).scalars(0)["grown"] == 1


def test_the_wasserstein_distance_fades_after_its_start():
    method = build("wkd_l", epochs=8, gamma=100.0, decay_start=0.5)
    found = [method.scalars(e)["gamma"] for e in range(8)]
    assert found == pytest.approx([100, 100, 100, 100, 85.355339, 50, 14.644661, 0])
    assert build("wkd_l", epochs=2, gamma=4.0, decay_start=0.0).scalars(0)["gamma"] == 2


def test_ctkds_temperature_climbs_the_loss():
    method = build("ctkd", curriculum=1)
    generator = torch.Generator().manual_seed(2)
    student, teacher = 3 * torch.randn(2, 6, 5, generator=generator)
    labels = torch.arange(6) % 5
    method.loss(student, teacher, labels).total.backward()
    up = method.theta.grad.clone()
    before = float(method.loss(student, teacher, labels).total.detach())
    with torch.no_grad():
        # What an optimizer does.
        method.theta -= 0.1 * up.sign()
    assert float(method.loss(student, teacher, labels).total.detach()) > before


# -- KD's weights -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ({}, (0.1, 0.9)),
        ({"alpha": 0.3}, (0.7, 0.3)),
        ({"alpha": 0.9, "multiplier": 10.0}, (0.1, 9.0)),
        ({"alpha": 0.5, "ce_weight": 1.0}, (1.0, 0.5)),
        ({"alpha": 0.0, "ce_weight": 0.0}, (0.0, 0.0)),
    ],
)
def test_kds_weights_are_free_of_each_other(values, weights):
    config = config_class("kd")(**values)
    assert config.weights == pytest.approx(weights)
    numbers = build("kd", **values).numbers
    assert (float(numbers["hard"]), float(numbers["soft"])) == config.weights


@pytest.mark.parametrize("kd", [{"alpha": 0.8, "temperature": 3.0}, {"alpha": 0.8}, {}])
def test_a_configuration_of_before_means_what_it_meant(kd):
    about = {"method": "kd", "backbone": "resnet8", "dataset": "digits"}
    config = TrainConfig.from_dict({**about, "kd": kd}).kd
    alpha = kd.get("alpha", 0.9)
    assert config.weights == (1 - alpha, alpha)
    assert (config.temperature, config.standardise) == (kd.get("temperature", 4.0), False)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("kd", {"multiplier": 0.0}, "kd.multiplier is 0.0; it must be above 0"),
        ("kd", {"ce_weight": -1.0}, "kd.ce_weight is -1.0; it must be at least 0"),
        ("dkd", {"warmup": -1}, "kd.warmup is -1"),
        ("rld", {"alpha_temperature": 0.0}, "kd.alpha_temperature is 0.0"),
        ("ctkd", {"temperature_range": 100.0}, "come to 101; together they must be at most 64"),
        ("wkd_l", {"regularisation": 1e-4}, "kd.regularisation is 0.0001"),
        ("wkd_l", {"iterations": 0}, "kd.iterations is 0"),
        ("uskd", {"mu": 0.0}, "kd.mu is 0.0; it must be above 0"),
        ("mlkd", {"temperature": 1e3}, "kd.temperature is 1000.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(name, values, sentence):
    with pytest.raises(UserError) as error:
        config_class(name)(**values)
    assert sentence in str(error.value)


# -- a second view ------------------------------------------------------------------------------


@pytest.mark.parametrize("second_relations", [False, True])
def test_mlkds_second_view_is_asked_for_and_counts(second_relations):
    config = config_class("mlkd")(second_view=True, second_relations=second_relations)
    assert (config.needs.views, config_class("mlkd")().needs.views) == (2, 1)
    method = build("mlkd", second_view=True, second_relations=second_relations).eval()
    generator = torch.Generator().manual_seed(0)
    one, two, three = torch.randn(3, 4, 3, 8, 8, generator=generator)
    labels, indices = torch.tensor([0, 1, 2, 3]), torch.arange(4)
    first, second = (method(Batch(one, labels, indices, (v,))).terms for v in (two, three))
    assert first["loss_samples"] != second["loss_samples"]
    assert (first["loss_batch"] != second["loss_batch"]) == second_relations
    alone = build("mlkd").eval()
    assert alone(Batch(one, labels, indices)).terms["loss_batch"] <= first["loss_batch"]


# -- how far classes are ------------------------------------------------------------------------


def test_classes_are_as_far_as_their_features_differ():
    x = torch.tensor(
        [[2.0, 0, 0, 0], [4.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 3.0, 0], [1.0, 0, 0, 0]]
    )
    found = feature_distances(x, torch.tensor([0, 0, 1, 1, 2]), 4)
    centred = torch.eye(4) - 0.25
    expected = 1 - (float(centred[0] @ centred[2]) / float(centred[0] @ centred[0])) ** 2
    assert found[0, 1] == pytest.approx(expected)
    assert found[0, 2] == pytest.approx(0, abs=1e-6)
    assert found[3].tolist() == [1, 1, 1, 0]
    assert torch.equal(found, found.T)
    order = torch.tensor([3, 1, 4, 0, 2])
    again = feature_distances(x[order], torch.tensor([0, 0, 1, 1, 2])[order], 4)
    torch.testing.assert_close(again, found)


def test_the_rows_of_a_classifier_tell_how_far_classes_are():
    classifier = torch.nn.Linear(2, 3)
    classifier.weight.data = torch.tensor([[1.0, 0], [0, 2.0], [-3.0, 0]])
    expected = torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    torch.testing.assert_close(weight_distances(classifier), expected)


def test_the_first_images_of_each_class():
    labels = torch.tensor([2, 0, 2, 2, 0, 1])
    assert first_of_each(labels, 1).tolist() == [True, True, False, False, False, True]
    assert first_of_each(labels, 2).tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize("class_distance", ["features", "weights"])
def test_wkd_l_looks_at_the_teacher_once_and_keeps_what_it_saw(class_distance):
    images = train_val(open_dataset("digits").train, SplitConfig(val_fraction=0.6, train_size=60))
    config = TrainConfig.paper("wkd_l", "resnet8", "digits", epochs=2, batch_size=30)
    config = replace(config, kd=replace(config.kd, class_distance=class_distance))
    torch.manual_seed(3)
    teacher, other = (Teacher(build_backbone("resnet8", 10, 1)) for _ in range(2))
    place = Place(device=torch.device("cpu"))
    trainer = Trainer(config, *images, place=place, teachers=[teacher])
    assert not trainer.method.distance.any()
    trainer.run_epoch()
    seen = trainer.method.distance.clone()
    assert (seen.diagonal().abs() < 1e-6).all()
    assert (seen + torch.eye(10) > 0).all()
    torch.testing.assert_close(seen, seen.T)
    # One that goes on has the distances from its state, and its teacher is not asked again.
    resumed = Trainer(config, *images, place=place, teachers=[teacher])
    resumed.load_state(trainer.state())
    resumed.method.observe = None
    resumed.run_epoch()
    trainer.run_epoch()
    assert torch.equal(resumed.method.distance, seen)
    assert resumed.history[-1]["train_loss"] == trainer.history[-1]["train_loss"]
    fresh = Trainer(config, *images, place=place, teachers=[other])
    fresh.run_epoch()
    assert not torch.equal(fresh.method.distance, seen)


# -- what a paper publishes for a pair ----------------------------------------------------------


def test_a_search_takes_the_values_of_the_pair_that_it_was_asked_for():
    from tuning.records.request import Flags, sweeps

    flags = Flags(
        method=("dkd", "ce"), backbone=("resnet20",), dataset=("digits",), teacher=("resnet56",)
    )
    dkd, ce = sweeps(flags, gpus=0)
    assert (dkd.base.kd.beta, dkd.base.teacher) == (2.0, TeacherConfig(backbone="resnet56"))
    assert ce.base.teacher == TeacherConfig()
    (other,) = sweeps(replace(flags, method=("dkd",), teacher=("resnet18",)), gpus=0)
    assert other.base.kd.beta == 8.0
