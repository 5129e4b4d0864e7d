from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """Reads a file of golden numbers: float64 and int64 tensors by name."""

    def read(name: str) -> dict[str, Tensor]:
        with np.load(GOLDEN / f"{name}.npz") as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    return read


@pytest.fixture(scope="session")
def same() -> Callable[[Tensor | float, Tensor | float], None]:
    """Asserts that two float64 results agree to 1e-9, relative to each element."""

    def check(actual: Tensor | float, expected: Tensor | float) -> None:
        actual, expected = (
            torch.as_tensor(x, dtype=torch.float64).detach() for x in (actual, expected)
        )
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-15)

    return check
