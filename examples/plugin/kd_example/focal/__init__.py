"""Focal loss: `config`, its hyperparameters; `loss`; `space`, what a search may vary."""
