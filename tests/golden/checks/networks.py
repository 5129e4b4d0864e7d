"""Methods that learn from a second network, or beside one."""

import torch

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
