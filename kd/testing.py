"""What every method must hold to, so that a new one is tested by one call of `check_method`.

The checks run a few steps on random images; each raises AssertionError with a sentence.
"""

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields, replace

import torch
from torch import Tensor

from kd.backbones import backbone_spec, build_backbone
from kd.cases import TASK, AnyMethod, Case
from kd.errors import UserError
from kd.methods import MethodConfig
from kd.methods.base import MAIN, Batch, Loss
from kd.parts.history import Histories, SoftLabelHistory
from kd.training.state import MethodState, snapshot, teachers
from kd.watching import WaitingError, Watch


def check_method(
    method: str, backbone: str, image_size: int = 16, histories: Histories | None = None
) -> None:
    """Check a registered method on a registered backbone, by everything below, in each phase.

    `histories` makes its soft-label memories, by default dense ones.
    """
    case = Case(method, backbone, image_size, histories=histories or Histories())
    for name in [*(phase.name for phase in case.build().phases()), MAIN]:
        _check_phase(replace(case, phase=name))


def _check_phase(case: Case) -> None:
    trained = case.build()
    check_groups(trained)
    loss = trained(case.batch())
    check_loss(loss)
    loss.total.backward()
    check_gradients(trained)
    check_student(trained, case)
    check_modes(trained)
    check_determinism(loss, case)
    check_state(trained, case)
    check_numbers(trained, case)
    check_stays_on_device(trained, case)
    check_half_precision(trained, case)
    check_memories(trained, case)


def check_groups(method: AnyMethod) -> None:
    """No parameter is updated twice, and a teacher's never."""
    groups = method.parameter_groups()
    ours = [id(parameter) for group in groups for parameter in group.parameters]
    assert ours, f"phase {method.phase} must train something"
    assert len(ours) == len(set(ours)), "a parameter must be in one group alone"
    teachers = {id(parameter) for parameter in method.teachers.parameters()}
    assert not teachers & set(ours), "a teacher must be in no group"


def check_loss(loss: Loss) -> None:
    """The total is a finite scalar, the terms are finite scalars for the record only."""
    assert loss.total.requires_grad, "the total must depend on the student"
    for name, value in {"total": loss.total, **loss.terms}.items():
        assert value.shape == (), f"{name} must be a scalar, but is of shape {tuple(value.shape)}"
        assert value.isfinite(), f"{name} must be finite, but is {value.item()}"
    for name, value in loss.terms.items():
        assert not value.requires_grad, f"term {name} must be detached"


def check_gradients(method: AnyMethod) -> None:
    """After a backward pass: every trainable parameter has a gradient, the teacher none."""
    groups = method.parameter_groups()
    trained = {id(parameter) for group in groups for parameter in group.parameters}
    for name, parameter in method.named_parameters():
        if name.startswith("teachers.") or id(parameter) not in trained:
            assert not parameter.requires_grad, f"{name} must not be trainable"
            assert parameter.grad is None, f"{name} must get no gradient"
        else:
            assert parameter.grad is not None, (
                f"{name} must get a gradient in phase {method.phase}, or be in none of its "
                "parameter_groups()"
            )
            assert parameter.grad.isfinite().all(), f"the gradient of {name} must be finite"
            assert parameter.grad.any(), f"the gradient of {name} must not vanish"


def check_student(method: AnyMethod, case: Case) -> None:
    """What may be handed out is the plain backbone: the same keys, and logits from them."""
    plain = build_backbone(case.backbone, TASK.num_classes)
    for name, network in method.candidates().items():
        assert method.get_submodule(name) is network, f"what is handed out is not called {name}"
        own, expected = set(network.state_dict()), set(plain.state_dict())
        assert own == expected, f"the {name} must be the plain backbone; see {own ^ expected}"
        plain.load_state_dict(network.state_dict())
        images = case.batch().images
        with torch.no_grad():
            same = torch.equal(network.eval()(images), plain.eval()(images))
        method.train()
        assert same, f"the {name} must compute what the plain backbone computes"


def check_modes(method: AnyMethod) -> None:
    """`train` and `eval` reach every module but the teacher, and what else is at rest."""
    resting = {id(part) for module in method.at_rest() for part in module.modules()}
    for training in (False, True):
        method.train(training)
        for name, module in method.named_modules():
            still = name.split(".")[0] == "teachers" or id(module) in resting
            expected = training and not still
            assert module.training == expected, f"{name or 'the method'} is in the wrong mode"


def check_determinism(loss: Loss, case: Case) -> None:
    """A method built anew from the same seed gives `loss` again, to the last bit."""
    again = case.build()(case.batch())
    assert torch.equal(loss.total, again.total), "the same seed must give the same loss"


def check_state(method: AnyMethod, case: Case) -> None:
    """What a checkpoint keeps is complete: whoever goes on from it meets the same losses.

    The teachers are no part of it; the one who goes on has them, and is refused with others.
    """
    live, frozen = MethodState(method).state(), teachers(method)
    state = snapshot(live)
    theirs = {t.data_ptr() for own in frozen.values() for t in own.state_dict().values()}
    kept = {**live["method"], **live["memories"]}
    held = [name for name, tensor in kept.items() if tensor.data_ptr() in theirs - {0}]
    assert not held, f"a checkpoint must leave out what is a teacher's: {held}"
    copy = case.build(seed=1)
    if frozen:
        try:
            MethodState(copy).load(state)
        except UserError:
            pass
        else:
            raise AssertionError("the state of another teacher must be refused")
    for name, own in teachers(copy).items():
        own.load_state_dict(frozen[name].state_dict())
    MethodState(copy).load(state)
    batch = case.batch()
    with torch.no_grad():
        pairs = [(_in_epoch(method, batch, e), _in_epoch(copy, batch, e)) for e in (1, 2)]
    assert all(torch.equal(a, b) for a, b in pairs), "the loaded state must give the same losses"
    assert_same_state(copy.state_dict(), method.state_dict())


def check_numbers(method: AnyMethod, case: Case) -> None:
    """One object is as good as a fresh one, in every epoch and under another configuration.

    So the loss reads its numbers from `numbers`, where `begin_epoch` puts them, and a step that
    was captured or compiled once serves a whole search. In a phase of a method that says what it
    depends on (`beginning`), no other number may change it.
    """
    config, last = method.config, TASK.epochs - 1
    alike = case.phase != MAIN and config.beginning is not None
    remedy = "be read from numbers, set by begin_epoch, and not from the configuration"
    remedy = f"stand in beginning, as the phase {case.phase} depends on it" if alike else remedy
    for name, other in _other_configs(config):
        fresh = case.build(seed=1, config=other)
        fresh.load_state_dict(method.state_dict())
        for epoch in (0, last):
            method.numbers.set((method if alike else fresh).scalars(epoch))
            fresh.begin_epoch(epoch)
            before = deepcopy(method.state_dict())
            one, two = (_stepped(own, case.batch()) for own in (method, fresh))
            method.load_state_dict(before)
            fresh.load_state_dict(before)
            assert all(map(torch.equal, one, two)), f"{name} must {remedy} (epoch {epoch})"


def _stepped(method: AnyMethod, batch: Batch) -> list[torch.Tensor]:
    """The loss, and all that the method holds after an update that moves every weight alike."""
    total = _drawn_alike(method, batch).total
    with torch.no_grad():
        for weights in method.student.parameters():
            weights.add_(0.01)
        torch.manual_seed(0)
        method.after_step(batch)
    return [total, *deepcopy(method.state_dict()).values()]


def _other_configs(config: MethodConfig) -> Iterator[tuple[str, MethodConfig]]:
    """The configuration itself, and with each of its numbers halved, where that is allowed."""
    yield "what changes from epoch to epoch", config
    for entry in fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, float) and value:
            with suppress(UserError):
                yield f"kd.{entry.name}", replace(config, **{entry.name: value / 2})


def check_stays_on_device(method: AnyMethod, case: Case) -> None:
    """Nothing that a step calls waits for the device, or depends on data for its shape."""
    batch = case.batch()
    try:
        with Watch():  # type: ignore[no-untyped-call]
            method(batch).total.backward()
            with torch.no_grad():
                method.after_step(batch)
    except WaitingError as error:
        raise AssertionError(f"the loss must not call {error}: a device would wait") from None
    method.zero_grad(set_to_none=True)


def _drawn_alike(method: AnyMethod, batch: Batch) -> Loss:
    """The loss of a step that draws the same by chance each time."""
    torch.manual_seed(0)
    loss: Loss = method(batch)
    return loss


def _in_epoch(method: AnyMethod, batch: Batch, epoch: int) -> Tensor:
    method.begin_epoch(epoch)
    loss = _drawn_alike(method, batch)
    method.after_step(batch)
    return loss.total


def assert_same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Two states hold the same names and, to the last bit, the same values."""
    assert set(one) == set(other), f"only one of the states holds {set(one) ^ set(other)}"
    for name, value in one.items():
        assert torch.equal(value, other[name]), f"{name} differs"


def check_half_precision(method: AnyMethod, case: Case) -> None:
    """A step under bfloat16 autocast has a finite loss, in float32 at least, and gradients."""
    method.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method(case.batch())
    check_loss(loss)
    wide = loss.total.dtype in (torch.float32, torch.float64)
    assert wide, f"the loss is {loss.total.dtype}, not float32 or wider"
    loss.total.backward()
    for name, parameter in method.named_parameters():
        finite = parameter.grad is None or parameter.grad.isfinite().all()
        assert finite, f"the gradient of {name} must be finite under autocast"


def check_memories(method: AnyMethod, case: Case) -> None:
    """The configuration declares the memories that the method has: their cost is known before."""
    stages = backbone_spec(case.backbone).stages
    declared = sorted(method.config.memories(TASK.num_classes, stages))
    found = sorted(m.shape for m in method.modules() if isinstance(m, SoftLabelHistory))
    assert declared == found, f"memories must declare {found}, but says {declared}"
    others = [m for m in method.modules() if not isinstance(m, SoftLabelHistory)]
    buffers = [buffer for module in others for buffer in module.buffers(recurse=False)]
    kept = [b.numel() for b in buffers if b.ndim > 1 and TASK.num_samples in b.shape]
    count, declares = sum(kept) // TASK.num_samples, method.config.embeddings
    assert declares == count, f"embeddings must be {count}, but says {declares}"
