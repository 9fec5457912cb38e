"""Every adapter hands on how long whoever refuses asks to be left alone: for 503 as for 429, in whatever form."""

import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.core.exceptions import HttpResponseError

from shared.compute.kubernetes import azure
from shared.compute.kubernetes.failures import Answer, refusal
from shared.compute.local_process import LocalProcessCompute
from shared.domain.errors import ServiceError
from shared.events.sinks import EndpointSink
from shared.images.content.fetch import Fetcher
from shared.registries.authority import Access, Authority
from shared.registries.challenges import Challenge
from shared.registries.logins import Login
from shared.registries.registry import Registry
from shared.storage import failures as of_storage
from shared.tasks import failures as of_tasks
from shared.tasks import signed
from tests.events.test_format import an_event
from tests.registries.habits import serving


async def registry(host: str, status: int, headers: dict[str, str]) -> None:
    opened = Registry(host, Authority(host))
    try:
        await opened.repository("tests/x").named("1")
    finally:
        await opened.close()


async def fetch(host: str, status: int, headers: dict[str, str]) -> None:
    await Fetcher(most_bytes=10, allow=[host]).read(f"http://{host}/x", 10)


async def compute_node(host: str, status: int, headers: dict[str, str]) -> None:
    await LocalProcessCompute(f"http://{host}", "token", "http://front").ensure_removed("service")


async def events_endpoint(host: str, status: int, headers: dict[str, str]) -> None:
    await EndpointSink(f"http://{host}/hook", "whsec_" + "c2VjcmV0" * 4, event_grid=False).send(an_event())


async def signed_blob(host: str, status: int, headers: dict[str, str]) -> None:
    await signed.put(f"http://{host}/context?sig=x", b"content")


async def token_service(host: str, status: int, headers: dict[str, str]) -> None:
    authority, realm = Authority(host, Login("robot", "pass")), f"http://{host}/token"
    async with aiohttp.ClientSession() as session:
        await authority.answer(session, Access("tests/x", "pull"), [Challenge("bearer", {"realm": realm})])


async def cluster(host: str, status: int, headers: dict[str, str]) -> None:
    raise refusal(Answer(status, headers, b""), "get")


def translating(translated: Callable[[str], Any]) -> Callable[[str, int, dict[str, str]], Awaitable[None]]:
    async def refused(host: str, status: int, headers: dict[str, str]) -> None:
        answer = SimpleNamespace(status_code=status, headers=headers, reason="")
        with translated("it"):
            raise HttpResponseError("refused", response=answer)

    return refused


ADAPTERS = {
    "registry": registry,
    "token service": token_service,
    "fetch": fetch,
    "signed blob": signed_blob,
    "compute node": compute_node,
    "events endpoint": events_endpoint,
    "cluster": cluster,
    "storage": translating(of_storage.translated),
    "tasks": translating(of_tasks.translated),
    "azure": translating(azure._translated),
}
FORMS = {
    "seconds": lambda: "30",
    "fraction": lambda: "30.5",
    "date": lambda: formatdate(time.time() + 30, usegmt=True),
    "moment": lambda: str(int(time.time()) + 31),
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", FORMS)
async def test_a_pause_is_handed_on(adapter, status, form):
    headers = {"Retry-After": FORMS[form]()}

    async def refuses(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    async with serving(refuses) as host:
        with pytest.raises(ServiceError) as refused:
            await ADAPTERS[adapter](host, status, headers)
    assert refused.value.retryable
    assert 25 < refused.value.retry_after <= 31


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("said", ["²", "soon", "-5", ""])
async def test_a_pause_that_is_not_intelligible_is_none(adapter, said):
    headers = {"Retry-After": said}

    async def refuses(_: web.Request) -> web.Response:
        return web.Response(status=503, headers=headers)

    async with serving(refuses) as host:
        with pytest.raises(ServiceError) as refused:
            await ADAPTERS[adapter](host, 503, headers)
    assert (refused.value.retryable, refused.value.retry_after) == (True, None)
