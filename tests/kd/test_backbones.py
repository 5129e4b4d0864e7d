import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kd.backbones import BACKBONES, backbone_names, backbone_spec, build_backbone
from kd.backbones.resnet import torchvision_key
from kd.backbones.staged import StagedBackbone, pool
from kd.errors import UserError

# Parameters, and multiply-adds of convolutions and linear layers: 100 classes, 3×32×32 input.
PUBLISHED = {
    "resnet18": (11_220_132, 555.5),
    "resnet34": (21_328_292, 1159.0),
    "resnet50": (23_705_252, 1298.0),
    "resnet20": (278_324, 40.8),
    "resnet56": (861_620, 125.8),
    "wrn_16_2": (703_284, 101.1),
    "wrn_40_2": (2_255_156, 327.6),
    "mobilenetv2": (2_369_380, 64.9),
}
# The same with an auxiliary head on every stage, 4 rotations × 100 classes wide (LSSKD).
PUBLISHED_WITH_HEADS = {"wrn_16_2": (2_631_588, 239.7), "resnet56": (3_067_684, 292.6)}

every_backbone = pytest.mark.parametrize("name", backbone_names())


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def million_macs(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 2 / 1e6


def auxiliary_heads(network: StagedBackbone, outputs: int) -> nn.ModuleList:
    """What follows each stage, made anew; the head after the last repeats it at stride 1."""
    last = len(network.stages) - 1
    heads = nn.ModuleList()
    for stage in range(last + 1):
        rest = [network.make_stage(i) for i in range(stage + 1, last + 1)]
        if stage == last:
            rest = [network.make_stage(last, in_channels=network.channels[-1], stride=1)]
        heads.append(nn.Sequential(*rest, Pool(), nn.Linear(network.channels[-1], outputs)))
    return heads


class Pool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return pool(x)


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name: str) -> None:
    network = build_backbone(name, 100).eval()
    count, macs = PUBLISHED[name]
    assert parameters(network) == count
    assert million_macs(lambda: network(torch.zeros(1, 3, 32, 32))) == pytest.approx(
        macs, abs=0.6 if macs > 1000 else 0.06
    )


@pytest.mark.parametrize("name", PUBLISHED_WITH_HEADS)
def test_size_with_auxiliary_heads_is_the_published_one(name: str) -> None:
    network = build_backbone(name, 100).eval()
    heads = auxiliary_heads(network, 4 * 100).eval()

    def run() -> None:
        features = network.features(torch.zeros(1, 3, 32, 32))
        network.classify(features[-1])
        for head, feature in zip(heads, features, strict=True):
            head(feature)

    count, macs = PUBLISHED_WITH_HEADS[name]
    assert parameters(network) + parameters(heads) == count
    assert million_macs(run) == pytest.approx(macs, abs=0.06)


@every_backbone
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (1, 8)])
def test_features_and_logits_at_every_image_size(name: str, channels: int, size: int) -> None:
    network = build_backbone(name, 10, channels)
    images = torch.randn(2, channels, size, size)
    features = network.train().features(images)
    assert len(features) == len(network.stages) == BACKBONES[name].stages
    assert [f.shape[1] for f in features] == list(network.channels)
    sizes = [f.shape[2] for f in features]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 1
    network.eval()
    torch.testing.assert_close(network(images), network.classify(network.features(images)[-1]))
    assert network(images).shape == (2, 10)


@every_backbone
def test_gradient_reaches_every_parameter(name: str) -> None:
    network = build_backbone(name, 10, 1)
    heads = auxiliary_heads(network, 4 * 10)
    features = network.features(torch.randn(4, 1, 16, 16))
    outputs = [network.classify(features[-1])]
    outputs += [head(feature) for head, feature in zip(heads, features, strict=True)]
    assert [tuple(o.shape) for o in outputs] == [(4, 10)] + [(4, 40)] * len(heads)
    torch.stack([o.square().sum() for o in outputs]).sum().backward()
    for module in (network, heads):
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, key


@every_backbone
def test_a_stage_made_anew_has_the_form_and_other_weights(name: str) -> None:
    network = build_backbone(name, 10)
    for index, stage in enumerate(network.stages):
        fresh = network.make_stage(index)
        old, new = stage.state_dict(), fresh.state_dict()
        assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}
        weights = [k for k, v in old.items() if v.dim() == 4]
        assert all(not torch.equal(old[k], new[k]) for k in weights)


@every_backbone
def test_a_stage_takes_other_channels_and_strides(name: str) -> None:
    network = build_backbone(name, 10).eval()
    for index, width in enumerate(network.channels):
        for stride in (1, 2):
            stage = network.make_stage(index, in_channels=7, stride=stride).eval()
            assert stage(torch.randn(1, 7, 8, 8)).shape == (1, width, 8 // stride, 8 // stride)


def test_resnet18_is_torchvisions() -> None:
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = build_backbone("resnet18", 10)
    theirs.load_state_dict({torchvision_key(k): v for k, v in ours.state_dict().items()})
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        backbone_spec("resnet19")


def test_a_pattern_chooses_backbones_in_order() -> None:
    assert backbone_names("resnet?") == ("resnet8",)
    found = ("resnet18", "resnet20", "resnet34", "resnet50", "resnet56", "resnet8")
    assert backbone_names("resnet*") == found
    assert backbone_names("wrn_??_2") == ("wrn_16_2", "wrn_40_2")
    assert backbone_names("ResNet*") == ()
    assert backbone_names() == tuple(sorted(BACKBONES))


@pytest.mark.parametrize(
    "module", ["kd.backbones", "kd.data", "kd.data.split", "kd.data.sources.parquet"]
)
def test_importing_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@every_backbone
def test_all_that_can_be_watched_is_what_the_network_computes(name: str) -> None:
    network = build_backbone(name, 10).train()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network(images)
    network.eval()
    outputs = network.outputs(images)
    assert torch.equal(outputs.logits, network(images))
    for ours, theirs in zip(outputs.stages, network.features(images), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(outputs.stem, network.stem(images))
    assert torch.equal(outputs.pooled, pool(outputs.stages[-1]))
    for before, stage in zip(outputs.pre_activations, outputs.stages, strict=True):
        activated = [before, before.relu(), before.clamp(0, 6)]
        assert any(torch.equal(stage, each) for each in activated)
    # A last activation hides what is below 0, and before it that can be seen.
    assert (outputs.pre_activations[-1] < 0).any()


@every_backbone
def test_shapes_are_found_by_a_dry_run_that_leaves_no_trace(name: str) -> None:
    network = build_backbone(name, 10)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    shapes = network.shapes(3, (32, 32))
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [stage.shape[1] for stage in shapes.stages] == list(network.channels)
    assert shapes.logits.shape == (1, 10)


@every_backbone
def test_a_stage_made_for_another_input_gives_its_own_width(name: str) -> None:
    network = build_backbone(name, 10).eval()
    last = len(network.stages) - 1
    stage = network.make_stage(last, in_channels=network.channels[last], stride=1).eval()
    seen = network.shapes(3, (32, 32)).stages[last]
    assert stage(seen).shape == seen.shape
