"""Knowledge distillation in plain PyTorch: methods, backbones, data and one training loop."""

from kd.shadows import hiding, refuse

if (_path := hiding()) is not None:
    refuse(_path, "Python's own or a library's module of that name")
