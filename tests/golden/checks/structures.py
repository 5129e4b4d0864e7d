"""Methods whose classifiers, views or features within one network teach each other."""

import torch

from kd.methods.mixskd.loss import Pairs, Said
from tests.golden.build import method
from tests.golden.numbers import Numbers, checks


@checks("selfkd_structural")
def structural(numbers: Numbers) -> None:
    synergy(numbers)
    own_teacher(numbers)
    distorted(numbers)
    refined(numbers)


def synergy(numbers: Numbers) -> None:
    """DKS; the exact total is the authors' own to what the 1e-8 in their logarithms moves."""
    logits, labels = numbers["logits"], numbers["labels"]
    loss = method("dks", 7, temperature=4.0).loss(logits, labels)
    terms = {"loss_cls": loss.terms["loss_ce"], "loss_div_T4": loss.terms["loss_synergy"]}
    numbers.loss("dks_skl_", loss.total, {"grad": logits}, **terms)
    official = numbers.arrays["dks_official_total_T1_eps1e8"]
    total = method("dks", 7).loss(logits, labels).total
    torch.testing.assert_close(total, official, rtol=1e-5, atol=0)


def own_teacher(numbers: Numbers) -> None:
    """BYOT; the deepest classifier comes first in the file."""
    logits, feats = numbers["logits"], numbers["byot_final_feat_and_mid_feats"]
    loss = method("byot", 7).loss(logits.flip(0), feats.flatten(2).flip(0), numbers["labels"])
    numbers.met("byot_ce_sum", loss.terms["loss_ce"])
    numbers.met("byot_kd_sum_T3_softCE_timesT2", loss.terms["loss_soft"])
    numbers.met("byot_feat_sum", loss.terms["loss_features"])
    numbers.met("byot_total_a01_b1em6", loss.total)
    numbers.loss("byot_", loss.total, {"grad_logits": logits, "grad_feats": feats})


def distorted(numbers: Numbers) -> None:
    """DDGSD; the library halves the mean CE of both views, and has the means' distance in KL's."""
    logits, feats = numbers["ddgsd_logits"], numbers["ddgsd_feats"]
    views = (tensor.unflatten(0, (2, -1)) for tensor in (logits, feats))
    loss = method("ddgsd", 7, ce_weight=0.5).loss(*views, numbers["labels"])
    hard = 0.5 * loss.terms["loss_ce"]
    terms = {"loss_cls": hard, "loss_div_T4": loss.total - hard}
    by = {"grad_logits": logits, "grad_feats": feats}
    numbers.loss("ddgsd_skl_", loss.total, by, **terms)


def refined(numbers: Numbers) -> None:
    """FRSKD; the first two of the logits are the student's and the self-teacher's."""
    logits, labels = numbers["logits"], numbers["labels"]
    own, taught = ([numbers[f"frskd_f{who}{n}"] for n in (0, 1)] for who in "st")
    loss = method("frskd", 7).loss(logits[0], logits[1], own, taught, labels)
    apart = loss.total - loss.terms["loss_ce"] - loss.terms["loss_teacher"]
    by = {"grad_fs0": own[0]}
    numbers.loss("frskd_", loss.total, by, kd_a2_b100_T4=apart)
    (gradient,) = torch.autograd.grad(loss.total, logits, retain_graph=True)
    numbers.met("frskd_grad_student", gradient[0])
    numbers.met("frskd_grad_teacher", gradient[1])
    flows = torch.autograd.grad(loss.total, taught, allow_unused=True)
    numbers.met("frskd_teacher_feat_has_grad", any(part is not None for part in flows))


@checks("mixskd")
def mixskd(numbers: Numbers) -> None:
    """Images and mixtures of 4 classifiers; the discriminators' loss is the file's own."""
    labels, share, partner = numbers["labels"], numbers["lam"].detach(), numbers["index"]
    every, maps = numbers["logits"], numbers["feats"]
    pairs = Pairs(labels, labels[partner], share)

    def linear(values: torch.Tensor) -> torch.Tensor:
        return share * values + (1 - share) * values[:, partner]

    (logits, mixtures), (feats, mixed_feats) = (tensor.chunk(2, dim=1) for tensor in (every, maps))
    between = Said(linear(logits), linear(feats).unbind(), numbers["ens_logits"])
    mixed = Said(mixtures, mixed_feats.unbind(), numbers["ens_mixup_logits"])
    apart = numbers["loss_gan"].detach()
    made = method("mixskd", logits.shape[-1], mixed_label_weight=0.0)
    loss = made.loss(logits, between, mixed, apart, pairs)
    terms = {"cls": "ce", "mixcls": "mixed_label", "fea": "feature", "div_T3": "kd"}
    for term, name in terms.items():
        numbers.met(f"loss_{term}", loss.terms[f"loss_{name}"])
    numbers.met("loss_backpropagated", loss.total)
    (gradient,) = torch.autograd.grad(loss.total, every)
    numbers.met("grad_logits_last", gradient[-1])
