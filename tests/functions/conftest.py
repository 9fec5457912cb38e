"""What is read out of the queues of the one stack, by one reader for all tests."""

import pytest

from shared.storage.queues import COMMANDS, EVENTS, POISON
from tests.queues import Received
from tests.uploads import Road


@pytest.fixture
def road(api, stack) -> Road:
    return Road(api, stack.description)


@pytest.fixture(scope="session")
def events(stack) -> Received:
    """What the queue `events` brings."""
    return Received(stack, EVENTS)


@pytest.fixture(scope="session")
def refusals(stack) -> Received:
    """What the queue `commands-poison` brings."""
    return Received(stack, COMMANDS + POISON)
