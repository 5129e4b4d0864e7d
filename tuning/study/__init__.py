"""The trials of a sweep as Optuna keeps them: what is tried next, and what is stopped."""
