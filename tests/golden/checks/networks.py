"""Methods that learn from a second network, or beside one."""

import torch
from torch import Tensor

from kd.data.augment import rotate4
from kd.methods.sskd.loss import Projected, best, own_images, ranks, similarities
from kd.parts.rotations import M, Turned, joint_labels, turned_cross_entropy
from tests.golden.build import method
from tests.golden.numbers import Numbers, checks


@checks("dml")
def dml(numbers: Numbers) -> None:
    for case in numbers.cases:
        logits, labels = numbers[f"{case}__logits"], numbers[f"{case}__labels"]
        made = method("dml", logits.shape[-1], networks=len(logits))
        hard, apart = made.of_each(logits, labels)
        numbers.met(f"{case}__ce_per_net", hard)
        numbers.met(f"{case}__exactkl_meanpeers_loss_per_net__chxy95", hard + apart)
        total = made.loss(logits, labels).total
        (gradient,) = torch.autograd.grad(total, [logits])
        numbers.met(f"{case}__exactkl_meanpeers_grad_own_logits__chxy95", gradient)
        single = logits.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(made.float().loss(single, labels).total, [single])
        assert gradient.isfinite().all(), f"{case} in float32"


def turned(logits: Tensor, joint: Tensor) -> Turned:
    """Logits (M·B, C), and those of the heads (L, M·B, M·C), as methods have them."""
    return Turned(logits.unflatten(0, (-1, M)), joint.unflatten(1, (-1, M)).transpose(0, 1))


@checks("hsakd_offline")
def hsakd_offline(numbers: Numbers) -> None:
    labels = numbers["labels"]
    numbers.met("x_rotated_interleaved", rotate4(numbers["x"].float()))
    numbers.met("joint_labels", joint_labels(labels).flatten())
    student, joint = numbers["student_logits"], numbers["student_ss_logits"]
    teacher, taught = numbers["teacher_logits"], numbers["teacher_ss_logits"]
    (key,) = (key for key in numbers.arrays if key.startswith("loss_div_T"))
    made = method("hsakd", student.shape[-1], temperature=float(key.removeprefix("loss_div_T")))
    fixed = turned(teacher.detach(), taught.detach())
    loss = made.loss(turned(student, joint), fixed, labels)
    numbers.met("loss_cls", loss.terms["loss_ce"])
    numbers.met(key, loss.terms["loss_kl"] + loss.terms["loss_heads"])
    numbers.met("loss", loss.total)
    gradients = torch.autograd.grad(loss.total, [student, joint])
    numbers.met("grad_student_logits", gradients[0])
    numbers.met("grad_student_ss", gradients[1])
    # It was run on the student's numbers.
    total = torch.stack(turned_cross_entropy(turned(student, joint), labels)).sum()
    numbers.met("teacher_training_loss", total)
    gradients = torch.autograd.grad(total, [student, joint])
    numbers.met("teacher_training_grad_logits", gradients[0])
    numbers.met("teacher_training_grad_ss", gradients[1])
    # A class's score is the sum of those of its joint classes, which lie beside each other.
    numbers.met("agg_class_scores_from_ss", joint.unflatten(-1, (-1, M)).sum(-1))


@checks("hssakd_online")
def hssakd_online(numbers: Numbers) -> None:
    labels, logits, joint = numbers["labels"], numbers["logits_nets"], numbers["ss_logits_nets"]
    (key,) = (key for key in numbers.arrays if key.startswith("loss_div_T"))
    made = method("hssakd", logits.shape[-1], temperature=float(key.removeprefix("loss_div_T")))
    nets = [turned(*pair) for pair in zip(logits, joint, strict=True)]
    loss = made.loss(*nets, labels)
    numbers.met("loss_cls", loss.terms["loss_cls"] + loss.terms["loss_peer_cls"])
    numbers.met(key, loss.terms["loss_div"] + loss.terms["loss_peer_div"])
    numbers.met("loss", loss.total)
    gradients = torch.autograd.grad(loss.total, [logits, joint])
    numbers.met("grad_logits", gradients[0])
    numbers.met("grad_ss", gradients[1])


@checks("sskd")
def sskd(numbers: Numbers) -> None:
    labels = numbers["labels"]
    tensors = [
        numbers[f"{of}_{what}"] for of in ("student", "teacher") for what in ("logits", "proj")
    ]
    views = [tensor.unflatten(0, (-1, M)) for tensor in tensors]
    own, taught = Projected(*views[:2]), Projected(*(view.detach() for view in views[2:]))
    keys = {key.rpartition("_T")[0]: key for key in numbers.arrays if "_T" in key}
    found = {name: temperature(key) for name, key in keys.items()}
    made = method(
        *("sskd", own.logits.shape[-1]),
        temperature=found["loss_kd"],
        similarity_temperature=found["loss_ss"],
    )
    loss = made.loss(own, taught, labels)
    numbers.met("loss_ce", loss.terms["loss_ce"])
    numbers.met(keys["loss_kd"], loss.terms["loss_kl"])
    numbers.met(keys["loss_tf"], loss.terms["loss_turned"])
    numbers.met(keys["loss_ss"], loss.terms["loss_similarity"])
    numbers.met("loss_total", loss.total)
    gradients = torch.autograd.grad(loss.total, tensors[:2])
    numbers.met("grad_logits", gradients[0])
    numbers.met("grad_proj", gradients[1])
    numbers.met("simi_student", similarities(own.projections))
    _, kept = made._turned(own.logits, taught.logits, labels)
    numbers.met("distill_index_tf", kept.nonzero().squeeze(1))
    simi = similarities(taught.projections)
    kept = best(ranks(simi, own_images(simi)), made.numbers["similarity_kept"])
    numbers.met("distill_index_ss", kept.nonzero().squeeze(1))


def temperature(key: str) -> float:
    """That of `loss_ss_T05`, which stands for 0.5, or of `loss_kd_T4`."""
    digits = key.rpartition("_T")[2]
    return float(digits[0] + "." + digits[1:]) if digits.startswith("0") else float(digits)
