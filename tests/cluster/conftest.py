"""Fixtures that several files of this folder share."""

from collections.abc import Iterator

import pytest
from lab import Lab, missing


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := missing():
        pytest.skip(reason)
    lab = Lab(tmp_path_factory.mktemp("storage"))
    yield lab
    lab.lan.close()
