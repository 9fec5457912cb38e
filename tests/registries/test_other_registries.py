"""What other registries answer than Debian's does, as stand-ins for them do: refusals, and uploads that go elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError

from shared.domain.errors import BuildFailed, ServiceError, Unavailable
from shared.domain.fencing import LeaseLost, fenced
from shared.images.describing.artifacts import artifact
from shared.images.targets import RegistryTarget
from shared.registries.authority import Authority
from shared.registries.logins import Login
from shared.registries.registry import Registry
from shared.registries.repository import Repository
from tests.registries.habits import digest_of, serving

UPLOAD = "/v2/tests/x/blobs/uploads/1"


@asynccontextmanager
async def opened(host: str, authority: Authority | None = None) -> AsyncIterator[Repository]:
    registry = Registry(host, authority or Authority(host))
    try:
        yield registry.repository("tests/x")
    finally:
        await registry.close()


async def takes_uploads(request: web.Request) -> web.Response:
    await request.read()
    status = {"HEAD": 404, "POST": 202, "PATCH": 202, "PUT": 201}[request.method]
    return web.Response(status=status, headers={"Location": UPLOAD})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_what_may_not_be_mounted_is_sent(status):
    async def refuses(request: web.Request) -> web.Response:
        return web.Response(status=status) if "mount" in request.query else await takes_uploads(request)

    async def has_it(_: web.Request) -> web.Response:
        return web.Response(body=b"base")

    async with serving(refuses) as host, opened(host) as repository, serving(has_it) as other, opened(other) as source:
        assert not await repository.mount(digest_of(b"base"), "tests/other")
        assert await RegistryTarget(repository, "1").take_over(digest_of(b"base"), source) == "copied"


async def test_a_blob_that_its_source_refuses_is_no_fault_of_where_it_goes():
    async def refuses(_: web.Request) -> web.Response:
        return web.Response(status=403)

    async with (
        serving(takes_uploads) as host,
        opened(host) as repository,
        serving(refuses) as other,
        opened(other) as source,
    ):
        with pytest.raises(ServiceError) as refused:
            await RegistryTarget(repository, "1").take_over(digest_of(b"base"), source)
    assert (refused.value.code, refused.value.retryable) == ("RegistryDenied", False)
    assert other in refused.value.message


async def test_a_worker_that_has_lost_its_lease_attaches_nothing():
    asked: list[str] = []

    async def takes_all(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.Response(status=404) if request.method in ("HEAD", "GET") else await takes_uploads(request)

    def lost() -> None:
        raise LeaseLost("somebody else's")

    said = artifact(b"{}", "kind", "text/plain", b"said", datetime(2026, 1, 1, tzinfo=UTC))
    async with serving(takes_all) as host, opened(host) as repository:
        with fenced(lost), pytest.raises(LeaseLost):
            await RegistryTarget(repository, "1").attach([said])
    assert not any("/manifests/" in one for one in asked)


async def test_a_password_is_not_sent_where_the_registry_sends_an_upload():
    told: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        told.append(request.headers.get("Authorization"))
        return await takes_uploads(request)

    async def wants_it(request: web.Request) -> web.Response:
        if not request.headers.get("Authorization"):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
        return web.Response(status=202, headers={"Location": f"http://{other}{UPLOAD}"})

    login = Login("robot", "SECRET")
    async with serving(elsewhere) as other, serving(wants_it) as host, opened(host, Authority(host, login)) as repository:
        await repository.upload(digest_of(b"x"), b"x")
    assert told == [None]


async def test_an_identity_that_gets_no_token_for_the_moment_is_worth_another_try():
    class NoToken:
        async def get_token(self, *_: str) -> None:
            raise ClientAuthenticationError("no credential has given a token")

    async def wants_a_token(request: web.Request) -> web.Response:
        challenge = f'Bearer realm="http://{request.host}/oauth2/token",service="s",scope="repository:tests/x:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async with serving(wants_a_token) as host, opened(host, Authority(host, None, NoToken())) as repository:
        for asking in (repository.has_blob(digest_of(b"")), repository.manifest("1")):
            with pytest.raises(BuildFailed, match="the app cannot sign in: no credential has given a token") as refused:
                await asking
            assert (refused.value.code, refused.value.retryable) == ("RegistryDenied", True)


async def test_an_answer_that_no_registry_gives_is_an_outage():
    async def gateway(_: web.Request) -> web.Response:
        return web.Response(status=203, text="<html>")

    async with serving(gateway) as host, opened(host) as repository:
        with pytest.raises(Unavailable, match="answered 203"):
            await repository.has_blob(digest_of(b""))
