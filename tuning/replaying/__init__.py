"""Searches replayed over recorded or generated curves, to see which finds more; no training."""
