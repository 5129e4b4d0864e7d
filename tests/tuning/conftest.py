"""Fixtures that several files of this folder share."""

from browser import chromium
from real_sweeps import cells, resumed

__all__ = ["cells", "chromium", "resumed"]
