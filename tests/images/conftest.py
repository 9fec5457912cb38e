import os
from pathlib import Path

import pytest

from tests.images.sources import Sources


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory) -> Path:
    """Where packages are downloaded to once for all tests; kept between runs where the environment says so."""
    return Path(os.environ.get("SLIPWAY_TEST_DOWNLOADS") or tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def sources():
    with Sources() as serving:
        yield serving
