"""Methods that learn from a teacher's features."""

import torch

from kd.methods.ab.loss import scales
from kd.methods.semckd.loss import calibrated_distance
from kd.methods.vid.loss import Gaussian
from kd.parts.relations import (
    adjacent_correlation,
    angle_relation,
    attention_distance,
    boundary_distance,
    distance_relation,
    distances,
    similarity_distance,
    wide,
)
from tests.golden.build import method
from tests.golden.numbers import Numbers, checks


@checks("feature_losses")
def feature_losses(numbers: Numbers) -> None:
    own = [numbers[f"fs{i}"] for i in range(3)]
    taught = [numbers[f"ft{i}"] for i in range(3)]

    def gradient(key: str, loss: torch.Tensor, tensor: torch.Tensor) -> None:
        numbers.met(key, torch.autograd.grad(loss, [tensor], retain_graph=True)[0])

    each = torch.stack([attention_distance(*pair) for pair in zip(own, taught, strict=True)])
    numbers.met("at_losses", each)
    numbers.met("at_weighted_1000", 1000 * each.sum())
    gradient("at_grad_fs1", each.sum(), own[1])

    similar = similarity_distance(own[2], taught[2])
    numbers.met("sp_loss", similar)
    numbers.met("sp_weighted_3000", 3000 * similar)
    gradient("sp_grad", similar, own[2])

    regressed = numbers["hint_student_regressed"]
    hint = (wide(regressed) - wide(taught[1])).square().mean()
    numbers.met("fitnet_loss", hint)
    gradient("fitnet_grad", hint, regressed)

    student, teacher = numbers["emb_s"], numbers["emb_t"]
    distance, angle = distance_relation(student, teacher), angle_relation(student, teacher)
    numbers.met("rkd_dist_only_x1", distance)
    numbers.met("rkd_angle_only_x1", angle)
    numbers.met("rkd_loss_wd25_wa50", 25 * distance + 50 * angle)
    gradient("rkd_grad", 25 * distance + 50 * angle, student)

    numbers.met("rkd_pdist_s", distances(student))

    student, teacher = numbers["cc_emb_s"], numbers["cc_emb_t"]
    adjacent = adjacent_correlation(student, teacher)
    numbers.met("cc_loss", adjacent)
    numbers.met("cc_weighted_002", 0.02 * adjacent)
    gradient("cc_grad", adjacent, student)

    gaussian = Gaussian(own[1].shape[1], taught[1].shape[1], 5.0).double()
    state = {f"mean.{i}.weight": numbers[f"vid_w{i}"].detach() for i in (0, 2, 4)}
    gaussian.load_state_dict({**state, "log_scale": numbers["vid_log_scale"].detach()})
    information = gaussian(own[1], taught[1])
    numbers.met("vid_loss", information)
    gradient("vid_grad_fs1", information, own[1])
    gradient("vid_grad_log_scale", information, gaussian.log_scale)

    before = [(numbers[f"ab_s{i}"], numbers[f"ab_t{i}"]) for i in range(2)]
    weights = scales(len(before))
    found = [w * boundary_distance(*pair, 1.0) for w, pair in zip(weights, before, strict=True)]
    numbers.met("ab_losses", torch.stack(found))
    gradient("ab_grad_s0", torch.stack(found).sum(), before[0][0])


@checks("semckd")
def semckd(numbers: Numbers) -> None:
    own, taught = numbers["s_value"], numbers["f_target"]
    pairs = list(zip(own.flatten(0, 1), taught.flatten(0, 1), strict=True))
    numbers.met("loss", calibrated_distance(pairs, numbers["weight"]))


@checks("crd")
def crd(numbers: Numbers) -> None:
    """One batch after the other; the memories are compared after the last."""
    width = len(numbers["Ws"])
    count = len(numbers["memory_v1_before"])
    _, temperature, *_, momentum = numbers.arrays["params_after_0"].tolist()
    made = method(
        *("crd", count),
        samples=count,
        width=width,
        contrast_temperature=temperature,
        momentum=momentum,
    )
    for layer, network in (("of_student", "s"), ("of_teacher", "t")):
        weight, bias = numbers[f"W{network}"], numbers[f"b{network}"]
        embed = torch.nn.Linear(weight.shape[1], width).double()
        embed.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
        setattr(made, layer, embed)
    before = [numbers[f"memory_v{n}_before"].detach() for n in (1, 2)]
    made.memory.rows.copy_(torch.stack(before))
    steps = [key.removeprefix("loss_") for key in numbers.arrays if key.startswith("loss_")]
    for step in sorted(steps, key=int):
        own, taught = numbers[f"fs_{step}"], numbers[f"ft_{step}"]
        indices, chosen = numbers[f"idx_{step}"], numbers[f"contrast_idx_{step}"]
        loss = made.contrast(own, taught.detach(), indices, chosen[:, 1:])
        numbers.met(f"loss_{step}", loss)
        numbers.met(f"grad_fs_{step}", torch.autograd.grad(loss, [own])[0])
        first, second = made.memory.scales.exp().tolist()
        negatives = float(chosen.shape[1] - 1)
        found = [negatives, temperature, first, second, momentum]
        numbers.met(f"params_after_{step}", torch.tensor(found, dtype=torch.float64))
    for n, rows in enumerate(made.memory.rows, 1):
        numbers.met(f"memory_v{n}_after", rows)
