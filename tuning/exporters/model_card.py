"""The Markdown beside exported weights: what they are, how they were tuned, how to use them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kd.backbones.names import BackboneName, short
from kd.backbones.own import OWN
from kd.config import TrainConfig
from kd.data.names import DatasetName
from kd.export import torchvision_keys
from kd.text import as_json
from tuning.records.findings import unconfirmed
from tuning.records.result import SweepResult
from tuning.reports.confirmed import SEEN, on_test, rows, student_test, verdict
from tuning.reports.escapes import fenced, markdown
from tuning.reports.sentences import caveats, headline
from tuning.reports.spending import cost
from tuning.reports.wording import percent

_USE = {
    "safetensors": """\
```python
from safetensors.torch import load_file
model.load_state_dict(load_file({file}))
model.eval()
```""",
    "torch-export": """\
```python
import torch
class_names = {class_names}
logits = torch.export.load({file}).module()(torch.as_tensor(images))
print(class_names[int(logits[0].argmax())])
```

`images` are float32, (B, {channels}, {height}, {width}), {order}, in 0 … 1: the program \
normalises them itself.""",
    "onnx": """\
```python
import onnxruntime
class_names = {class_names}
session = onnxruntime.InferenceSession({file})
logits, = session.run(["logits"], {{"images": images}})
print(class_names[int(logits[0].argmax())])
```

`images` are float32, (B, {channels}, {height}, {width}), {order}, in 0 … 1: the graph \
normalises them itself. `pip install onnxruntime` has what runs it.""",
}

_NORMALISED = """\
```python
import torch
class_names = {class_names}
mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in ({mean}, {std}))
logits = model((torch.as_tensor(images) - mean) / std)
print(class_names[int(logits[0].argmax())])
```

`images` are float32, (B, {channels}, {height}, {width}), {order}, in 0 … 1. The network takes \
**normalised** ones: `(pixels / 255 - mean) / std`, per channel."""


_PHOTOGRAPH = """\
A photograph becomes what the training saw: the middle of it, as {height} × {width} pixels, \
{order}, divided by 255.

```python
import numpy as np
from PIL import Image, ImageOps
picture = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}")
picture = ImageOps.fit(picture, ({width}, {height}), Image.Resampling.BILINEAR)
pixels = np.asarray(picture, np.float32).reshape({height}, {width}, {channels}) / 255
images = pixels.transpose(2, 0, 1)[None]  # (1, {channels}, {height}, {width})
```"""
"""How `images` are made of a file."""

_MODES = {1: ("L", "grey"), 3: ("RGB", "channels in the order RGB")}
"""Pillow's mode and the words for images of so many channels."""

_TORCHVISION = """\
The names of the tensors are torchvision's. The network is torchvision's with a stem for small
images:

```python
import torch, torchvision
model = torchvision.models.{backbone}(num_classes={classes})
model.conv1 = torch.nn.Conv2d({channels}, 64, 3, padding=1, bias=False)
model.maxpool = torch.nn.Identity()
```"""

_OURS = """\
The names of the tensors are this project's:

```python
from kd.backbones import build_backbone
model = build_backbone("{backbone}", {classes}, {channels})
```"""


_ELSEWHERE = {
    "torchvision": """\
```python
import torchvision
model = torchvision.models.{network}(num_classes={classes})
```""",
    "timm": """\
```python
import timm
model = timm.create_model("{network}", num_classes={classes}, in_chans={channels})
```""",
    "module": """\
```python
from {module} import {function}
model = {function}({given})
```""",
    "": """\
```python
from kd.backbones.makers import create
from kd.backbones.names import BackboneName
model = create(BackboneName.parse("{name}"), {classes}, {channels})
```""",
}
"""How a network of elsewhere is made, by the kind of its name; "" is of all."""


def model_card(
    file: Path,
    target: str,
    config: TrainConfig,
    description: Mapping[str, Any],
    *,
    result: SweepResult | None = None,
    licence: str | None = None,
) -> str:
    """The card of `file`, which holds the student of `config` in the format `target`.

    `description` is what the file of weights says of itself; `result` is the sweep that found
    the configuration, None if none did; `licence` is that of the data.
    """
    height, width = description["image_size"]
    dataset = DatasetName.parse(config.dataset).portable
    data = {
        "data set": dataset,
        "licence of the data": licence or "unknown",
        "classes": ", ".join(description["class_names"]),
        "image size": f"{height} × {width}, channels: {description['in_channels']}",
        **({"images": told} if (told := config.images.portable.told) else {}),
        "mean of each channel, pixels in 0 … 1": _numbers(description["mean"]),
        "standard deviation of each channel": _numbers(description["std"]),
    }
    blocks = [
        f"# {short(config.backbone)}, trained with {config.method} on {markdown(dataset)}",
        "The student alone: what the method added for the training is not in the file.",
        "## Use",
        *_use(file, target, config.backbone, description),
        "## Score",
        _score(config, description, result),
        *_confirmed(config, result),
        "## Data",
        "| | |\n|---|---|\n"
        + "\n".join(f"| {name} | {markdown(value)} |" for name, value in data.items()),
        "## Training",
        _found(result),
        fenced("yaml", config.portable.to_yaml()),
    ]
    if files := [Path(teacher.weights).name for teacher in config.teachers if teacher.weights]:
        names = ", ".join(markdown(name) for name in files)
        blocks.append(f"Its teacher's file, {names}, is not in it: give it as `teacher.weights`.")
    return "\n\n".join(blocks) + "\n"


def _use(file: Path, target: str, backbone: str, description: Mapping[str, Any]) -> list[str]:
    """How the file is used, from a photograph to the name of its class."""
    height, width = description["image_size"]
    channels = description["in_channels"]
    mode, order = _MODES.get(channels, ("", "channels as in the training set"))
    facts = {
        "class_names": as_json(description["class_names"]),
        "mean": list(description["mean"]),
        "std": list(description["std"]),
        "mode": mode,
        "order": order,
        "file": as_json(file.name),
        "backbone": backbone,
        "classes": description["num_classes"],
        "channels": channels,
        "height": height,
        "width": width,
    }
    use = [_USE[target].format(**facts)]
    if mode:
        use.insert(0, _PHOTOGRAPH.format(**facts))
    if target == "safetensors":
        network, use = use.pop(), [*use, _NORMALISED.format(**facts)]
        use = [_names(backbone, facts), network, *use]
    return use


def _names(backbone: str, facts: Mapping[str, Any]) -> str:
    """Whose names the tensors have, and how a network is made that has them."""
    name = BackboneName.parse(backbone)
    if not name.kind:
        return (_TORCHVISION if torchvision_keys(backbone) else _OURS).format(**facts)
    from kd.backbones.makers import AUXILIARY, arguments

    kind, given = name.kind, ""
    if kind == OWN:
        known = arguments(name, facts["classes"], facts["channels"])
        given = ", ".join(f"{word}={value}" for word, value in known.items())
    elif kind == "torchvision" and (facts["channels"] != 3 or name.network in AUXILIARY):
        # What torchvision's own call makes is another network then.
        kind = ""
    module, _, function = name.network.partition(":")
    made = _ELSEWHERE[kind].format(
        name=name.short,
        network=name.network,
        module=module,
        function=function,
        given=given,
        **facts,
    )
    return f"The names of the tensors are the network's own:\n\n{made}"


def _score(config: TrainConfig, description: Mapping[str, Any], result: SweepResult | None) -> str:
    own = f"{percent(description['val_acc'])} val accuracy"
    test = student_test(result.findings, config) if result and result.findings else None
    if test is not None:
        own += f" and {percent(test)} test accuracy"
    lines = [f"{own} of this very network, one run, epochs: {description['epochs']}."]
    lines.append("Val is cut from the training set.")
    confirmed = result and result.findings
    return " ".join(lines + (config.caveats if confirmed or not result else caveats(result)))


def _confirmed(config: TrainConfig, result: SweepResult | None) -> list[str]:
    if result is None or (findings := result.findings) is None:
        said = unconfirmed(result.sweep.settings.seeds_per_trial if result else 1)
        return [f"{said[0].upper()}{said[1:]}: the test set was not opened."]
    if not findings.is_of(config):
        return [
            f"Another configuration was confirmed, trial {findings.handed_out} of the same sweep; "
            "the test set was opened for that one and for the paper's default, not for this one."
        ]
    table = ["| trained again | val accuracy | test accuracy |", "|---|---|---|"]
    table += [f"| {' | '.join(map(markdown, row))} |" for row in rows(findings)]
    return [
        verdict(findings),
        "\n".join(table),
        " ".join(map(markdown, [*SEEN, *on_test(findings)])),
    ]


def _found(result: SweepResult | None) -> str:
    if result is None:
        return "The configuration, which `python -m kd.train` runs:"
    sweep = result.sweep
    searched = ", ".join(f"`{name}`" for name in sweep.searched)
    said = "" if result.findings else f"{headline(result)} "
    return (
        f"Tuned by the sweep `{sweep.name}` over {searched}. {said}"
        f"{cost(result)} The configuration, which `python -m kd.train` runs:"
    )


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6f}" for value in values)
