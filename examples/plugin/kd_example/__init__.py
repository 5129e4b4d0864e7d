"""What this package adds is named in its pyproject.toml."""
