"""A sweep from its settings to a tuned configuration, and what proves it."""
