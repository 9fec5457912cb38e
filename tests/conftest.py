"""What all tests may use: one Azurite for the whole run."""

from collections.abc import Iterator

import pytest

from local.azurite.server import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running
