"""Backbones of other libraries and of one's own: their stages, their weights, what is refused."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kd.backbones import backbone_spec, build_backbone, require_images, whole_name
from kd.backbones.__main__ import main
from kd.backbones.foreign import own_key
from kd.backbones.makers import create
from kd.backbones.names import BackboneName, short
from kd.backbones.own import digests, sources
from kd.backbones.sent import code_of, unpack
from kd.backbones.size import blueprint, parameters
from kd.backbones.staged import StagedBackbone
from kd.config import TrainConfig
from kd.data import check_dataset
from kd.errors import UserError
from kd.methods import config_class, method_names
from kd.testing import check_method
from kd.training.checkpoint import as_weights, load_weights

STAGES = {
    "torchvision:resnet18": "layer1=64,layer2=128,layer3=256,layer4=512",
    "torchvision:resnet50": "layer1=256,layer2=512,layer3=1024,layer4=2048",
    "torchvision:vgg16": (
        "features.3=64,features.8=128,features.15=256,features.22=512,features.29=512"
    ),
    "torchvision:mobilenet_v2": (
        "features.1=16,features.3=24,features.6=32,features.13=96,features=1280"
    ),
    "torchvision:shufflenet_v2_x1_0": "stage2=116,stage3=232,conv5=1024",
    "torchvision:densenet121": (
        "features.transition1.conv=128,features.transition2.conv=256,"
        "features.transition3.conv=512,features.denseblock4=1024"
    ),
    "torchvision:googlenet": "conv3=192,inception3b=480,inception4e=832,inception5b=1024",
    "torchvision:efficientnet_b0": (
        "features.1=16,features.2=24,features.3=40,features.5=112,features=1280"
    ),
    "torchvision:vit_b_16": "",
    "timm:resnet18": "layer1=64,layer2=128,layer3=256,layer4=512",
    "timm:convnext_atto": "stages.0=40,stages.1=80,stages.2=160,stages=320",
    "timm:vit_tiny_patch16_224": "",
    "module:networks:net": "one=4,two=8,three=12",
    "module:networks:inside": "body.one=4,body.two=8,body.three=12",
    "module:networks:fixed": "conv1=6,conv2=16",
    "module:networks:branching": "",
    "module:networks:again": "",
    "module:networks:pair": "",
}
SMALL = "module:networks:net"
WHOLE = "module:networks:branching"
ALL = os.environ.get("KD_TEST_ALL")
WATCHING = ("lsskd", "dtskd", "byot", "hsakd", "mixskd", "ab", "semckd", "wkd_l")
"""A method of each kind of need, of those that watch stages."""
LIGHT = ("ce", "kd", "drkd", "cskd", "dml", "ctkd", "sd")
"""The same of those that watch logits alone."""


@pytest.mark.parametrize(("name", "stages"), STAGES.items())
def test_stages_are_found_where_the_resolution_changes(name: str, stages: str) -> None:
    found = whole_name(name)
    assert found == f"{name}@{stages}"
    assert whole_name(found) == found
    assert backbone_spec(name).stages == len([one for one in stages.split(",") if one])


@pytest.mark.parametrize("name", [*STAGES])
def test_a_divided_network_computes_what_the_library_s_own_does(name: str) -> None:
    if "pair" in name:
        pytest.skip("gives no logits")
    channels, side = (1, 32) if "fixed" in name else (3, 224)
    torch.manual_seed(0)
    ours = build_backbone(name, 7, channels).eval()
    torch.manual_seed(0)
    theirs = create(BackboneName.parse(name), 7, channels).eval()
    images = torch.randn(2, channels, side, side)
    with torch.no_grad():
        expected = theirs(images)
        assert torch.equal(ours(images), expected)
        if ours.channels:
            seen = ours.outputs(images)
            assert torch.equal(seen.logits, expected)
            assert tuple(x.shape[1] for x in seen.stages) == ours.channels
            assert torch.equal(ours.classify(ours.features(images)[-1]), expected)
    assert parameters(ours) == parameters(theirs) == parameters(blueprint(name, 7, channels))
    own = {own_key(key): tensor for key, tensor in ours.state_dict().items()}
    assert own.keys() == theirs.state_dict().keys()
    assert all(torch.equal(own[key], tensor) for key, tensor in theirs.state_dict().items())


def test_every_stage_gets_a_gradient_and_train_mode_reaches_all() -> None:
    network = build_backbone(SMALL, 5)
    network.train()
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    assert all(not module.training for module in network.eval().modules())


def test_dropout_of_a_function_is_off_when_the_network_is_evaluated() -> None:
    torch.manual_seed(0)
    network = build_backbone("torchvision:googlenet", 5)
    dropping = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    assert dropping
    ours = build_backbone(SMALL, 5)
    (dropout,) = (m for m in ours.modules() if isinstance(m, nn.Dropout))
    dropout.p = 0.9
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(ours.eval()(images), ours(images))
    assert not torch.equal(ours.train()(images), ours(images))


@pytest.mark.parametrize("name", [SMALL, "torchvision:resnet18", "torchvision:densenet121"])
def test_a_stage_is_made_anew(name: str) -> None:
    """With weights of its own, for another width, and at stride 1 where its parts still fit."""
    network = build_backbone(name, 5)
    last = len(network.stages) - 1
    width, before = network.channels[-1], network.channels[-2]
    fresh = network.make_stage(last).eval()
    assert fresh(torch.zeros(1, before, 8, 8)).shape[1] == width
    assert not any(
        torch.equal(a, b)
        for a, b in zip(fresh.parameters(), network.stages[-1].parameters(), strict=True)
        if a.dim() > 1
    )
    again = network.make_stage(last, in_channels=width, stride=1).eval()
    assert tuple(again(torch.zeros(1, width, 8, 8)).shape[1:]) in {(width, 8, 8), (width, 7, 7)}
    assert network.make_stage(0).eval()(_stem(network)).shape[1] == network.channels[0]


def _stem(network: StagedBackbone) -> torch.Tensor:
    with torch.no_grad():
        images: torch.Tensor = network.eval().stem(torch.zeros(1, 3, 32, 32))
    return images


@pytest.mark.parametrize("method", method_names() if ALL else (*WATCHING, *LIGHT))
def test_methods_train_a_network_of_ones_own(method: str) -> None:
    check_method(method, SMALL, 16)


@pytest.mark.parametrize("method", method_names() if ALL else LIGHT)
def test_methods_of_logits_train_a_network_that_is_taken_as_a_whole(method: str) -> None:
    if config_class(method).least_stages:
        with pytest.raises(UserError, match=rf"{method} watches stages.*networks:branching has 0"):
            TrainConfig.paper(method, WHOLE, "cifar100")
        return
    check_method(method, WHOLE, 16)


@pytest.mark.parametrize("method", method_names())
def test_a_method_says_whether_it_watches_stages(method: str) -> None:
    """Else it would fail in the middle of a network without them, with a traceback."""
    if config_class(method).least_stages:
        with pytest.raises(UserError, match="watches stages"):
            TrainConfig.paper(method, WHOLE, "cifar100")
    else:
        assert TrainConfig.paper(method, WHOLE, "cifar100").backbone == f"{WHOLE}@"


def test_stages_may_be_chosen() -> None:
    name = "torchvision:resnet18@layer2,layer3.0,layer4"
    assert whole_name(name) == "torchvision:resnet18@layer2=128,layer3.0=256,layer4=512"
    network = build_backbone(whole_name(name), 5)
    shapes = [x.shape for x in network.features(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(1, 128, 8, 8), (1, 256, 4, 4), (1, 512, 2, 2)]
    assert whole_name("module:networks:inside@body.two") == "module:networks:inside@body.two=8"


def test_a_file_may_be_named_as_one() -> None:
    for typed in ("module:networks.py:net", "module:./networks.py:net"):
        assert whole_name(typed) == whole_name(SMALL)
    assert short(whole_name(SMALL)) == SMALL
    assert short("resnet8") == "resnet8"
    assert str(BackboneName.parse("module:a/b.py:c")) == "module:a.b:c"


REFUSED = {
    "networks:net": "no backbone 'networks:net'; did you mean 'module:networks:net'",
    "torchvision:resnt18": "no network of torchvision 'resnt18'; did you mean 'resnet18'",
    "timm:resnet_18": "no network of timm 'resnet_18'; did you mean 'resnet",
    "torchvison:resnet18": "no backbone 'torchvison:resnet18'",
    "torchvision:": "write torchvision:NAME",
    "module:networks": "write module:FILE:FUNCTION",
    "module:nowhere:net": "no nowhere.py in the current folder",
    "module:networks:nett": "no function in networks 'nett'; did you mean 'net'",
    "module:networks:failing": r"failed with num_classes=10 \(RuntimeError: no weights for 10",
    "module:networks:lazy": "has lazy layers, .* write their widths",
    "module:networks:tied": "has weights that two of its layers share",
    "module:networks:ending": r"failed with num_classes=10 \(SystemExit: 0\); see that it makes",
    "module:networks:text": "gives a str; let the function return an nn.Module",
    "module:networks:without_classes": "takes nothing; let it take num_classes",
    "torchvision:resnet18@layer9": "no submodule 'layer9'; did you mean 'layer",
    "torchvision:resnet18@layer2.0.conv1": "cannot be divided behind layer2.0.conv1",
    "torchvision:resnet18@layer2,layer1": "write them in the network's own order",
    "torchvision:resnet18@layer1=x": "'layer1=x' names no stage",
    "torchvision:vit_b_16@encoder": "which is no square map of channels",
    "module:networks:branching@net": "cannot be divided into stages",
}


@pytest.mark.parametrize(("name", "sentence"), REFUSED.items())
def test_what_cannot_be_had_is_refused_in_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        TrainConfig.paper("kd", name, "cifar100")


def test_images_that_a_network_does_not_take_are_refused() -> None:
    vit = whole_name("timm:vit_tiny_patch16_224")
    with pytest.raises(UserError, match="cannot take images of 3×32×32"):
        require_images([vit], 10, 3, (32, 32))
    with pytest.raises(UserError, match="cannot take images of 1×16×16"):
        require_images([whole_name(WHOLE)], 10, 1, (16, 16))
    for name, says in {
        "pair": "gives a tuple for 2 images and 10 classes; let it give logits",
        "auxiliary": "gives a tuple for 2 images and 10 classes in training; let it give logits",
        "frozen": "has no weights that are trained; let some have requires_grad",
        "cut": "cannot be trained .*; let gradients go from its logits to its weights",
    }.items():
        before = torch.get_rng_state()
        with pytest.raises(UserError, match=says):
            require_images([whole_name(f"module:networks:{name}")], 10, 3, (16, 16))
        assert torch.equal(torch.get_rng_state(), before)
    require_images([whole_name(SMALL), "resnet8"], 10, 1, (16, 16))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unforwarded", r"cannot take images of 3×32×32 \(.*mat1 .*; choose another backbone, or"),
        ("deaf", r"gives \[2, 7\] for 2 images and 100 classes; let it give logits, \[2, 100\]"),
        ("pair", r"gives a tuple for 2 images and 100 classes; let it give logits"),
        ("cut", r"cannot be trained \(.*; let gradients go from its logits"),
    ],
)
def test_the_list_refuses_what_a_search_would(
    name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"module:networks:{name}"])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert re.search(says, said.err)
    assert not said.out


def test_the_list_takes_what_is_made_for_other_images() -> None:
    """Of one channel, or of 224 pixels alone."""
    with pytest.raises(SystemExit) as ended:
        main(["module:networks:fixed", "timm:vit_tiny_patch16_224"])
    assert ended.value.code == 0


def test_a_network_that_is_another_now_is_refused() -> None:
    with pytest.raises(UserError, match="has no stages layer1, layer9 any more"):
        build_backbone("torchvision:resnet18@layer1=64,layer9=2", 5)


def test_grey_images_are_taken_by_torchvision_s_too() -> None:
    network = build_backbone("torchvision:resnet18", 5, in_channels=1).eval()
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 5)


def test_reading_a_configuration_imports_nothing_of_the_network() -> None:
    name = whole_name(SMALL).replace("networks", "gone")
    code = f"""
import sys
from kd.config import TrainConfig
config = TrainConfig.paper("dtskd", {name!r}, "cifar100")
again = TrainConfig.from_dict(config.to_dict())
assert again == config and len(config.kd.lambda_b) == 3, config
assert "torch" not in sys.modules and "gone" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_code_of_a_network_of_ones_own_is_told_from_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    file = tmp_path / "ownnet.py"
    file.write_text("def build(num_classes): ...\n")
    names = ["module:ownnet:build@a=1", "resnet8", "torchvision:resnet18@layer1=64"]
    before = digests(names)
    assert before.keys() == {"ownnet"}
    assert sources(names) == {"ownnet": file}
    file.write_text("def build(num_classes): return 1\n")
    assert digests(names) != before
    package = tmp_path / "ownnets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "small.py").write_text("def build(num_classes): ...\n")
    assert sources(["module:ownnets.small:build"]) == {"ownnets.small": package}


def test_the_code_of_a_package_is_imported_again_where_its_files_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    package = tmp_path / "farnets"
    (package / "deep").mkdir(parents=True)
    (package / "deep" / "one.py").write_text(
        "from farnets.parts import width\nfrom torch import nn\n"
        "def build(num_classes): return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), "
        "nn.Linear(width, num_classes))\n"
    )
    (package / "parts.py").write_text("width = 7\n")
    (package / "weights.bin").write_bytes(b"not sent")
    files = code_of(["module:farnets.deep.one:build", "resnet8"])
    assert files.keys() == {"farnets/deep/one.py", "farnets/parts.py"}
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    unpack(files)
    unpack(dict(files))
    assert sum(type(finder).__name__ == "Sent" for finder in sys.meta_path) == 1
    made: Any = create(BackboneName.parse("module:farnets.deep.one:build"), 5, 3)
    assert made[0].out_channels == 7
    for name in [name for name in sys.modules if name.startswith("farnets")]:
        del sys.modules[name]


def test_what_a_file_imports_from_beside_it_is_sent_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "lines").mkdir()
    for name, code in {
        "topnet.py": "import torch, gonefile\nfrom kd import files\nfrom partsof import block\n",
        "partsof.py": "import topnet\ndef block():\n    from lines.deep import width\n",
        "lines/deep.py": "width = 3\n",
        "lines/torn.py": "def (\n",
        "unused.py": "",
        "test.py": "",
    }.items():
        (tmp_path / name).write_text(code)
    sent = code_of(["module:topnet:build"])
    assert sent.keys() == {"topnet.py", "partsof.py", "lines/deep.py", "lines/torn.py"}
    before = digests(["module:topnet:build"])
    (tmp_path / "lines" / "deep.py").write_text("width = 4\n")
    assert digests(["module:topnet:build"]) != before


def test_a_teacher_without_what_is_read_of_it_is_refused_before_it_is_trained() -> None:
    own = {"one": "module:networks:net", "without": "module:networks:convolved"}
    info = check_dataset("digits")
    for name, distance in (("one", "weights"), ("without", "features"), ("without", "weights")):
        config = TrainConfig.paper("wkd_l", "resnet8", "digits")
        config = replace(
            config,
            kd=replace(config.kd, class_distance=distance),
            teacher=replace(config.teacher, backbone=whole_name(own[name])),
        )
        if (name, distance) != ("without", "weights"):
            config.check_images(info)
            continue
        with pytest.raises(UserError, match=r"the teacher has no linear classifier; set kd\.class"):
            config.check_images(info)


def test_a_network_whose_widths_are_others_by_now_is_refused() -> None:
    name = whole_name(SMALL)
    require_images([name], 10, 3, (16, 16))
    with pytest.raises(UserError, match=r"has 8 channels behind two, and .* names 9; put the netw"):
        require_images([name.replace("two=8", "two=9")], 10, 3, (16, 16))


def test_weights_of_a_network_whose_code_is_another_by_now_are_told(tmp_path: Path) -> None:
    made, name = build_backbone(whole_name(SMALL), 10, 3), whole_name(SMALL)
    made.stages[0] = nn.Conv2d(4, 4, 5)
    about = {"backbone": name, "num_classes": 10, "in_channels": 3}
    (tmp_path / "student.safetensors").write_bytes(as_weights(made, about))
    with pytest.raises(UserError, match=r"has other weights than module:networks:net makes now"):
        load_weights(tmp_path / "student.safetensors")


def test_a_file_that_ends_its_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "quits.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(UserError, match=r"quits cannot be imported \(SystemExit: 0\); mend it"):
        create(BackboneName.parse("module:quits:build"), 5, 3)


def test_what_is_not_sent_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    unpack({})
    unpack({"othernets.py": b"def build(num_classes): ..."})
    with pytest.raises(UserError, match=r"There is no othernets/more\.py"):
        create(BackboneName.parse("module:othernets.more:build"), 5, 3)


def test_what_is_sent_goes_before_a_module_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it did where the command was typed: `wave` is one of Python's own, too."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    unpack({"wave.py": b"from torch import nn\ndef build(num_classes): return nn.Linear(1, 2)\n"})
    assert isinstance(create(BackboneName.parse("module:wave:build"), 2, 3), nn.Linear)
    del sys.modules["wave"]


def test_the_list_writes_a_name_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`:rocket:` is part of a name, and no picture."""
    code = "from torch import nn\ndef build(num_classes, in_channels=3):\n"
    code += "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
    code += "nn.Linear(3, num_classes))\n"
    (tmp_path / "rocket.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["module:rocket:build"])
    assert capsys.readouterr().out.count("module:rocket:build") == 2
