"""A format: a function from a configuration to a text."""

from kd.config import TrainConfig


def argfile(config: TrainConfig) -> str:
    """One `NAME=VALUE` a line, for programs that read their arguments from a file."""
    plain = config.to_dict()
    lines = [f"method={config.method}", *(f"{name}={value}" for name, value in plain["kd"].items())]
    return "\n".join(lines) + "\n"
