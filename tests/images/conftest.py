import pytest

from tests.images.sources import Sources


@pytest.fixture
def sources():
    with Sources() as serving:
        yield serving
