"""Methods that learn from their own past, over several epochs."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from kd.methods.dtskd.loss import Branch
from kd.methods.lsskd.loss import Outputs
from kd.parts.losses import soft_targets
from tests.golden.build import method
from tests.golden.numbers import Numbers, checks

BATCH = 4


def batches(made: Any, order: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
    """Each epoch, begun and ended around it, with the samples (4,) of its batches."""
    for epoch, samples in enumerate(order):
        made.begin_epoch(epoch)
        yield epoch, list(samples.split(BATCH))
        made.end_epoch()


def gradients(total: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(total, inputs, allow_unused=True)


@checks("pskd")
def pskd(numbers: Numbers) -> None:
    logits, labels = numbers["logits"], numbers["labels"]
    epochs, alpha = int(numbers["end_epoch"]), float(numbers["alpha_T"].detach())
    values = {"samples": len(labels), "alpha": alpha}
    made = method("pskd", logits.shape[-1], epochs=epochs, **values)
    losses, targets, grads, alphas, kept = [], [], [], [], []
    for epoch, parts in batches(made, numbers["order"]):
        alphas.append(made.numbers["alpha"].clone())
        for samples in parts:
            own, past = labels[samples], made.history.read(samples, labels[samples])
            targets.append(soft_targets(own, past, made.numbers["alpha"]))
            seen = logits[epoch, samples]
            losses.append(made.loss(seen, own, samples).total)
            grads += gradients(losses[-1], seen)
        kept.append(made.history.values.clone())
    shape = numbers["order"].shape
    numbers.met("alpha_t", torch.stack(alphas))
    numbers.met("loss_per_batch", torch.stack(losses).view(shape[0], -1))
    numbers.met("soft_targets_in_visit_order", torch.cat(targets).view(*shape, -1))
    numbers.met("grad_logits_in_visit_order", torch.cat(grads).view(*shape, -1))
    numbers.met("history_after_epoch", torch.stack(kept))
    whole = method("pskd", logits.shape[-1], epochs=300, **values)
    numbers.met("alpha_t_full_300", schedule(whole, "alpha"))


def schedule(made: Any, name: str) -> Tensor:
    """One of a method's numbers, epoch by epoch."""
    found = [made.scalars(epoch)[name] for epoch in range(made.task.epochs)]
    return torch.tensor(found, dtype=torch.float64)


# -- DTSKD ------------------------------------------------------------------------------------


def dtskd(numbers: Numbers, **values: Any) -> None:
    """Two epochs of 8 images, on 4 branches."""
    logits, labels = numbers["logits_epoch_branch"], numbers["labels"]
    everyone = torch.arange(len(labels))
    made = method("dtskd", logits.shape[-1], samples=8, backbone="mobilenetv2", **values)
    rows, grads, kept = [], [], []
    for epoch, parts in batches(made, numbers["order"]):
        for samples in parts:
            seen = logits[epoch][:, samples].transpose(0, 1)
            loss = made.loss(seen, labels[samples], samples)
            terms = (loss.total, loss.terms["loss_his"], loss.terms["loss_stru"])
            rows.append(torch.stack([*terms, made.numbers["beta"]]))
            grads += gradients(loss.total, seen)
        kept.append(made.history.read(everyone, labels.unsqueeze(1)).transpose(0, 1))
    numbers.met("loss_lossHis_lossStru_beta", torch.stack(rows).view(2, 2, 4))
    numbers.met("grad_in_visit_order", torch.cat(grads).view(2, 8, 4, -1).transpose(1, 2))
    numbers.met("history_after_epoch", torch.stack(kept))


@checks("REF_dtskd_intended_detached_teacher")
def detached(numbers: Numbers) -> None:
    dtskd(numbers, detach_teacher=True)


@checks("REF_dtskd_intended_grad_through_teacher")
def attached(numbers: Numbers) -> None:
    dtskd(numbers)


@checks("dtskd_official_asreleased")
def as_released(numbers: Numbers) -> None:
    for key, epochs, high, low in (
        ("beta_t_code_max09_min00_300", 300, 0.9, 0.0),
        ("beta_t_imagenet_max10_min08_90", 90, 1.0, 0.8),
    ):
        values = {"backbone": "mobilenetv2", "beta_max": high, "beta_min": low}
        numbers.met(key, schedule(method("dtskd", 6, epochs=epochs, **values), "beta"))


PARTS = {
    "lateral.0": "w_0_{}_1_",
    "lateral.1": "w_0_{}_2_",
    "top_down.0": "w_1_{}_0_",
    "top_down.1": "w_1_{}_1_",
    "fuse.0": "w_2_{}_0_",
    "fuse.1": "w_2_{}_1_",
    "classifier": "w_3_{}_",
}


def branch_of(numbers: Numbers | Mapping[str, Tensor], number: int) -> Branch:
    """Branch `number`, counted from 1, with the file's weights; 1×1 convolutions are linear."""
    branch = Branch(numbers[f"s{number}"].shape[1], 8, 4, "mixed").double()
    state = {}
    for name in branch.state_dict():
        part, _, end = name.rpartition(".")
        weight = numbers[PARTS[part].format(number - 1) + end].detach()
        state[name] = weight.flatten(1) if weight.ndim == 4 else weight
    branch.load_state_dict(state)
    return branch


@checks("dtskd_mfm")
def mixed_fusion_module(numbers: Numbers) -> None:
    """Branches are counted from 1, the shallowest; their 1×1 convolutions are linear layers."""
    pooled = {number: numbers[f"s{number}"].mean((2, 3)) for number in (1, 2, 3, 4)}
    for mode in ("eval", "train"):
        fused = pooled[4]
        for number in (3, 2, 1):
            branch = branch_of(numbers, number).train(mode == "train")
            fused, logits = branch(pooled[number], fused)
            numbers.met(f"logits_{mode}_b{number}", logits)
            numbers.met(f"feat_{mode}_b{number}", fused)


# -- LSSKD ------------------------------------------------------------------------------------

RUNS = {
    "growing_alphaT0.8_Tend10": {"alpha": 0.8, "alpha_schedule": "linear"},
    "const_alpha0.5": {"alpha": 0.5, "alpha_schedule": "constant"},
}


@checks("REF_lsskd")
def lsskd(numbers: Numbers) -> None:
    """Two epochs of 8 images; the columns of a table are in `tests/golden/README.md`."""
    z, features = numbers["z_epoch_sample_rot_class"], numbers["feat_aux"]
    q, final = numbers["q_epoch_stage_sample_rot_joint"], numbers["feat_backbone"]
    labels, order = numbers["labels"], numbers["order"]
    for run, values in RUNS.items():
        made, deepest = (
            method("lsskd", z.shape[-1], samples=8, epochs=10, feature_target=target, **values)
            for target in ("backbone", "deepest")
        )
        rows, kept, joint_kept = [], [], []
        grads = [torch.zeros_like(tensor) for tensor in (z, q, features)]
        for epoch, parts in batches(made, order):
            for samples in parts:
                stages = (tensor[epoch][:, samples].transpose(0, 1) for tensor in (q, features))
                out = Outputs(z[epoch, samples, 0], *stages, final[epoch, samples])
                loss = made.loss(out, labels[samples], samples)
                to_deepest = deepest.loss(out, labels[samples], samples).terms["loss_feat"]
                found = [loss.terms[f"loss_{name}"] for name in ("cls", "hier", "kl")]
                found = [loss.total, *found, to_deepest, loss.terms["loss_feat"]]
                rows.append(torch.stack([*found, made.numbers["alpha"]]))
                *own, of_target = gradients(loss.total, z, q, features, final)
                assert of_target is None, "the backbone's own features are the target"
                for sum_, part in zip(grads, own, strict=True):
                    sum_ += part
            kept.append(made.history.values.clone())
            joint_kept.append(made.joint_history.values.view(8, 3, 4, -1).transpose(0, 1).clone())
        table = torch.stack(rows).view(2, 2, -1)
        numbers.met(f"{run}__tot_ceresp_cehier_kl_l2deep_l2bb_alpha", table)
        for key, gradient in zip(("grad_z", "grad_q", "grad_f"), grads, strict=True):
            numbers.met(f"{run}__{key}", gradient)
        numbers.met(f"{run}__hist_p", torch.stack(kept))
        numbers.met(f"{run}__hist_q", torch.stack(joint_kept))
