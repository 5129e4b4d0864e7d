import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from families import FORMS, LIGHT
from torch import Tensor, nn

from kd.backbones import BACKBONES, backbone_names, backbone_spec, build_backbone
from kd.backbones.__main__ import main, readable
from kd.backbones.resnet import torchvision_key
from kd.backbones.size import blueprint, macs, parameters
from kd.backbones.staged import StagedBackbone, pool
from kd.errors import UserError
from kd.parts.heads import AuxiliaryHead

# Parameters, and million multiply-adds of convolutions and linear layers: 100 classes, 3×32×32.
PUBLISHED = {
    "resnet18": (11_220_132, 555.5),
    "resnet34": (21_328_292, 1159),
    "resnet50": (23_705_252, 1298),
    "resnet101": (42_697_380, 2510),
    "resnet152": (58_341_028, 3722),
    "preact_resnet18": (11_217_444, 555.5),
    "resnet20": (278_324, 40.8),
    "resnet32": (472_756, 69.1),
    "resnet56": (861_620, 125.8),
    "resnet110": (1_736_564, 253.2),
    "resnet8x4": (1_233_540, 177.1),
    "resnet32x4": (7_433_860, 1083),
    "wrn_16_2": (703_284, 101.1),
    "wrn_40_1": (569_780, 83.3),
    "wrn_40_2": (2_255_156, 327.6),
    "vgg11": (9_277_284, 209.4),
    "vgg13": (9_462_180, 284.9),
    "vgg16": (14_774_436, 398.2),
    "mobilenetv2": (2_369_380, 64.9),
    "mobilenetv2_half": (812_836, 25.7),
    "mobilenetv2_half_s2": (812_836, 6.5),
    "shufflenetv1": (949_258, 38.7),
    "shufflenetv2": (1_355_528, 44.5),
    "resnext18": (22_209_444, 1103),
    "resnext29_8x64d": (34_518_948, 5387),
    "senet34": (21_498_000, 1160),
    "googlenet": (6_258_500, 1522),
    "densenet121": (7_048_548, 888.4),
}
# Not told by a paper; counted once, so that they stay what they are.
OTHERS = {
    "resnet8": (83_892, 12.5),
    "vgg8": (3_965_028, 96.2),
    "densenet121_s2": (7_048_548, 222.2),
    "googlenet_s2": (6_258_500, 380.5),
    "mobilenetv2_s2": (2_353_060, 22.4),
    "resnet18_s2": (11_220_132, 138.9),
    "resnet34_s2": (21_328_292, 289.9),
    "resnet50_s2": (23_705_252, 324.7),
    "shufflenetv2_s2": (1_356_104, 11.4),
    "vgg16_s2": (14_774_436, 99.6),
}
# The same with an auxiliary head on every stage, 4 rotations × 100 classes wide (LSSKD).
PUBLISHED_WITH_HEADS = {"wrn_16_2": (2_631_588, 239.7), "resnet56": (3_067_684, 292.6)}
# Sides of the stages' outputs for 32 pixels a side, where they are not 32, 16, 8, 4.
SIDES = {
    "mobilenetv2": (17, 9, 5, 5),
    "mobilenetv2_half_s2": (16, 8, 4, 2),
    "shufflenetv1": (16, 8, 4),
    "shufflenetv2": (16, 8, 4),
    **dict.fromkeys(backbone_names("vgg*"), (16, 8, 4, 4)),
    **dict.fromkeys(backbone_names("*_s2"), (16, 8, 4, 2)),
    "vgg16_s2": (8, 4, 2, 2),
    "shufflenetv2_s2": (8, 4, 2),
}

every_backbone = pytest.mark.parametrize("name", backbone_names())


def every_form(test: Callable[..., None]) -> Callable[..., None]:
    """On a small network of each family and of each other block, with numbers."""
    small = pytest.mark.usefixtures("small_families")
    return small(pytest.mark.parametrize("name", [*LIGHT, *FORMS])(test))


@cache
def blueprint_of(name: str) -> StagedBackbone:
    return blueprint(name, 100)


@cache
def macs_of(name: str) -> int:
    return macs(blueprint_of(name), (3, 32, 32))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The few neurons of a small network's excitation may all be 0 from the start."""
    torch.manual_seed(0)


class Headed(nn.Module):
    """A backbone with an auxiliary head on every stage."""

    def __init__(self, network: StagedBackbone, outputs: int) -> None:
        super().__init__()
        self.network = network
        heads = (AuxiliaryHead(network, i, outputs) for i in range(len(network.stages)))
        self.heads = nn.ModuleList(heads)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.network.features(images)
        found = [head(f).logits for head, f in zip(self.heads, features, strict=True)]
        return [self.network.classify(features[-1]), *found]


@every_backbone
def test_size_is_the_published_one(name: str) -> None:
    count, million = (PUBLISHED | OTHERS)[name]
    assert parameters(blueprint_of(name)) == count
    # As many digits as are told, of four at most.
    assert macs_of(name) / 1e6 == pytest.approx(million, rel=5e-4, abs=0.06)


@pytest.mark.parametrize("name", [n for n in backbone_names("*_s2") if n != "mobilenetv2_half_s2"])
def test_the_form_for_64_pixels_is_there_what_the_other_is_at_32(name: str) -> None:
    own, usual = blueprint_of(name), blueprint_of(name.removesuffix("_s2"))
    ours, theirs = own.shapes(3, (64, 64)).stages, usual.shapes(3, (32, 32)).stages
    assert [x.shape[1] for x in ours] == [x.shape[1] for x in theirs]
    if name != "mobilenetv2_s2":
        assert [x.shape for x in ours] == [x.shape for x in theirs]
    if name not in ("mobilenetv2_s2", "shufflenetv2_s2"):
        assert parameters(own) == parameters(usual)
        assert macs(own, (3, 64, 64)) == macs(usual, (3, 32, 32))


@pytest.mark.parametrize("name", PUBLISHED_WITH_HEADS)
def test_size_with_auxiliary_heads_is_the_published_one(name: str) -> None:
    with torch.device("meta"):
        network = Headed(build_backbone(name, 100), 4 * 100).eval()
    count, million = PUBLISHED_WITH_HEADS[name]
    assert parameters(network) == count
    assert macs(network, (3, 32, 32)) / 1e6 == pytest.approx(million, abs=0.06)


@every_backbone
def test_every_stage_is_of_its_width_and_resolution(name: str) -> None:
    network = blueprint_of(name)
    shapes = network.shapes(3, (32, 32))
    assert len(shapes.stages) == len(shapes.pre_activations) == BACKBONES[name].stages
    sides = SIDES.get(name, (32, 16, 8, 4))
    expected = [(1, w, side, side) for w, side in zip(network.channels, sides, strict=False)]
    assert [tuple(stage.shape) for stage in shapes.stages] == expected
    assert shapes.pooled.shape == (1, network.channels[-1])
    assert network.classifier.weight.shape == (100, network.channels[-1])


@every_backbone
def test_a_step_reaches_every_parameter(name: str) -> None:
    network = blueprint(name, 10).train()
    logits = network(torch.zeros(2, 3, 32, 32, device="meta"))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


@every_form
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (1, 9), (1, 1)])
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


@every_form
def test_no_gradient_vanishes_in_the_network_and_its_heads(name: str) -> None:
    network = Headed(build_backbone(name, 10, 1), 4 * 10)
    logits = network(torch.randn(4, 1, 16, 16))
    assert [tuple(o.shape) for o in logits] == [(4, 10)] + [(4, 40)] * BACKBONES[name].stages
    torch.cat(logits, dim=1).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key


@every_form
def test_a_stage_made_anew_has_the_form_and_other_weights(name: str) -> None:
    network = build_backbone(name, 10)
    for index, stage in enumerate(network.stages):
        fresh = network.make_stage(index)
        old, new = stage.state_dict(), fresh.state_dict()
        assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}
        weights = [k for k, v in old.items() if v.dim() == 4]
        assert all(not torch.equal(old[k], new[k]) for k in weights)


@every_form
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
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def copied(ours: StagedBackbone, theirs: nn.Module) -> nn.Module:
    """`theirs` with the weights of `ours`, which come in the same order."""
    keys, values = theirs.state_dict(), ours.state_dict().values()
    theirs.load_state_dict(dict(zip(keys, values, strict=True)))
    return theirs.eval()


def test_densenet121_is_torchvisions() -> None:
    theirs = torchvision.models.densenet121(num_classes=10)
    theirs.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(theirs.features, name, nn.Identity())
    ours, images = build_backbone("densenet121", 10), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours.eval()(images), copied(ours, theirs)(images))


def test_shufflenetv2_is_torchvisions() -> None:
    theirs = torchvision.models.shufflenet_v2_x1_0(num_classes=10)
    theirs.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    theirs.maxpool = nn.Identity()
    ours, images = build_backbone("shufflenetv2", 10), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours.eval()(images), copied(ours, theirs)(images))


def test_vgg13_is_torchvisions_without_its_last_poolings() -> None:
    blocks = torchvision.models.vgg.cfgs["B"][:-6] + [512] * 4
    layers = torchvision.models.vgg.make_layers(blocks, batch_norm=True)
    theirs = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    ours, images = build_backbone("vgg13", 10), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours.eval()(images), copied(ours, theirs)(images))


def test_resnext29_has_torchvisions_blocks() -> None:
    theirs = torchvision.models.ResNet(
        torchvision.models.resnet.Bottleneck, [3, 3, 3, 1], 10, groups=8, width_per_group=64
    )
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = theirs.layer4 = nn.Identity()
    theirs.fc = nn.Linear(1024, 10)
    ours, images = build_backbone("resnext29_8x64d", 10), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(ours.eval()(images), copied(ours, theirs)(images))


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        backbone_spec("resnet19")


def test_a_pattern_chooses_backbones_in_order() -> None:
    assert backbone_names("resnet?") == ("resnet8",)
    assert backbone_names("resnet?x4") == ("resnet8x4",)
    assert backbone_names("wrn_40*") == ("wrn_40_1", "wrn_40_2")
    assert backbone_names("vgg*") == ("vgg11", "vgg13", "vgg16", "vgg16_s2", "vgg8")
    assert backbone_names("ResNet*") == ()
    assert backbone_names() == tuple(sorted(BACKBONES))


@pytest.mark.parametrize(
    "module", ["kd.backbones", "kd.data", "kd.data.split", "kd.data.sources.parquet"]
)
def test_importing_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@every_form
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


@every_form
def test_shapes_are_found_by_a_dry_run_that_leaves_no_trace(name: str) -> None:
    network = build_backbone(name, 10)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    shapes = network.shapes(3, (32, 32))
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [stage.shape[1] for stage in shapes.stages] == list(network.channels)
    assert shapes.logits.shape == (1, 10)


@every_form
def test_a_stage_made_for_another_input_gives_its_own_width(name: str) -> None:
    network = build_backbone(name, 10).eval()
    last = len(network.stages) - 1
    stage = network.make_stage(last, in_channels=network.channels[last], stride=1).eval()
    seen = network.shapes(3, (32, 32)).stages[last]
    assert stage(seen).shape == seen.shape


def test_the_teacher_of_a_pair_is_registered_and_larger() -> None:
    sizes = {name: parameters(blueprint_of(name)) for name in backbone_names()}
    for name, spec in BACKBONES.items():
        assert spec.teacher is None or sizes[spec.teacher] > sizes[name]


def test_the_table_lists_what_the_patterns_match(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["resnet?", "wrn_40*"])
    titles, *rows = capsys.readouterr().out.splitlines()
    assert titles.split()[:5] == ["backbone", "family", "stages", "widths", "parameters"]
    assert [" ".join(row.split()) for row in rows] == [
        "resnet8 cifar_resnet 3 16 32 64 83,892 12.5 M 612.6 M resnet20",
        "wrn_40_1 wide_resnet 3 16 32 64 569,780 83.3 M 4.08 G wrn_40_2",
        "wrn_40_2 wide_resnet 3 32 64 128 2,255,156 327.6 M 16.05 G",
    ]
    with pytest.raises(SystemExit):
        main(["torchvision:resnet18", "timm:vit_tiny_patch16_224", "resnet8"])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [" ".join(row.split()) for row in rows] == [
        "resnet8 cifar_resnet 3 16 32 64 83,892 12.5 M 612.6 M resnet20",
        "torchvision:resnet18 torchvision 4 64 128 256 512 11,227,812 37.1 M 1.81 G",
        "timm:vit_tiny_patch16_224 timm 0 5,543,716 – 1.25 G",
        "torchvision:resnet18: its stages end with layer1, layer2, layer3, layer4",
        "timm:vit_tiny_patch16_224: no stages can be told apart, so it is trained as a whole",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["resnt18"])
    assert ended.value.code == 2
    assert "did you mean 'resnet18'" in capsys.readouterr().err


def test_the_page_has_every_backbone_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")
    for name in backbone_names():
        network, cost = blueprint_of(name), readable(macs_of(name))
        widths = ", ".join(map(str, network.channels))
        assert f"| `{name}` | {widths} | {parameters(network):,} | {cost} |" in page
