"""What a Slipway has opened is closed with it."""

import gc
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError

from shared.bootstrap import Slipway
from shared.building import made_registries, made_runs
from shared.domain.errors import BuildFailed, Unauthenticated
from shared.settings import read_settings
from shared.settings.images import read_image_settings
from tests.settings import SETTINGS
from tests.tasks.acr import RESOURCE_ID

IN_AZURE = {"SLIPWAY_REGISTRY": "myregistry.azurecr.io", "SLIPWAY_REGISTRY_RESOURCE_ID": RESOURCE_ID}


class NobodysCredential:
    """An identity that gives no token, and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def get_token(self, *scopes: str, **_: object) -> None:
        raise ClientAuthenticationError("nobody")

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def credentials(monkeypatch) -> list[NobodysCredential]:
    """What was made to sign in to Azure."""
    made: list[NobodysCredential] = []

    def make() -> NobodysCredential:
        made.append(NobodysCredential())
        return made[-1]

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", make)
    return made


def sessions() -> set[aiohttp.ClientSession]:
    return {found for found in gc.get_objects() if isinstance(found, aiohttp.ClientSession) and not found.closed}


async def test_a_slipway_that_was_closed_leaves_no_connection_open(azurite, tmp_path):
    before = sessions()
    given = {"AzureWebJobsStorage": azurite.connection_string, "SLIPWAY_IMAGES": str(tmp_path)}
    slipway = Slipway(read_settings({**SETTINGS, **given}))
    await slipway.collect_garbage()
    await slipway.command_failures.settle("{}", Unauthenticated("nobody"))
    assert len(sessions() - before) == 3, "of tables, of blobs and of a queue"
    await slipway.close()
    assert sessions() <= before


async def test_a_slipway_that_opened_nothing_can_be_closed():
    await Slipway(read_settings(SETTINGS)).close()


async def test_registries_are_closed_and_so_is_what_signs_in_to_them(credentials):
    opened = AsyncExitStack()
    registries = made_registries(read_image_settings(IN_AZURE), opened)
    session = registries.registry("myregistry.azurecr.io").session()
    registries.registry("other.azurecr.io")
    await opened.aclose()
    assert session.closed
    assert [credential.closed for credential in credentials] == [True, True]


async def test_remote_builds_are_closed_and_so_is_what_signs_in_to_them(credentials):
    opened = AsyncExitStack()
    runs = made_runs(read_image_settings(IN_AZURE), timedelta(minutes=30), opened)
    with pytest.raises(BuildFailed):
        await runs.find("run")
    await opened.aclose()
    assert [credential.closed for credential in credentials] == [True]


async def test_a_slipway_closes_what_builds_its_images(credentials):
    slipway = Slipway(read_settings({**SETTINGS, **IN_AZURE}))
    assert slipway.engine is not None
    registries, runs = slipway._builder._layering._registries, slipway._builder._tasks._runs
    session = registries.registry("myregistry.azurecr.io").session()
    with pytest.raises(BuildFailed):
        await runs.find("run")
    await slipway.close()
    assert session.closed
    assert [credential.closed for credential in credentials] == [True, True]
