"""Fixtures that several files of this folder share."""

from browser import chromium

__all__ = ["chromium"]
