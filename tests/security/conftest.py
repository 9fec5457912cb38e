"""Who attacks."""

from collections.abc import Iterator

import pytest

from tests.security.users import User, user


@pytest.fixture(params=["own", "another"])
def who(request) -> Iterator[User]:
    with user(request.param) as somebody:
        yield somebody
