"""Knowledge distillation in plain PyTorch: methods, backbones, data and one training loop."""
