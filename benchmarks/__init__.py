"""Ratios, measured side by side in one run; each file prints one table and its command."""
