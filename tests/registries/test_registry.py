"""The distribution protocol against a real registry, open and behind token services."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import pytest

from shared.domain.errors import BuildFailed, Unavailable
from shared.registries.authority import Authority
from shared.registries.logins import Login, read_logins
from shared.registries.registry import Registry
from shared.registries.repository import Repository
from shared.registries.untagging import ensure_untagged
from tests.registries.habits import habitual
from tests.registries.running import TokenService, proxy, registry

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def once(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


async def put(repository: Repository, content: bytes) -> str:
    await repository.upload_stream(once(content), partial(known, content))
    return digest_of(content)


async def known(content: bytes) -> str:
    return digest_of(content)


async def read(repository: Repository, digest: str) -> bytes:
    return b"".join([chunk async for chunk in repository.download(digest)])


async def put_image(repository: Repository, tag: str, content: bytes = b"{}") -> str:
    await put(repository, content)
    config = {"mediaType": CONFIG_TYPE, "digest": digest_of(content), "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
    return await repository.put_manifest(json.dumps(manifest).encode(), tag)


async def nobody() -> bool:
    """No record names the image besides."""
    return False


@dataclass
class Identity:
    token: str

    async def get_token(self, *scopes: str) -> "Identity":
        assert scopes == ("https://containerregistry.azure.net/.default",)
        return self


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenService]:
    service = TokenService()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def open_host(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("open")) as host:
        yield host


@pytest.fixture(scope="module")
def guarded_host(tmp_path_factory, tokens) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("guarded")
    with registry(folder, tokens.auth(folder)) as host:
        yield host


@pytest.fixture(scope="module")
def proxied_host(tmp_path_factory, tokens) -> Iterator[str]:
    """Behind nginx, which keeps the digests of manifests to itself."""
    folder = tmp_path_factory.mktemp("proxied")
    with registry(folder, tokens.auth(folder)) as host, proxy(folder / "nginx", host) as front:
        yield front


@pytest.fixture
async def habitual_host() -> AsyncIterator[str]:
    """The tests' own, without any habit: what it is asked to be like is Debian's."""
    async with habitual() as (_, host):
        yield host


@pytest.fixture(params=["open", "habitual", "login", "identity", "proxied"])
async def opened(request, tokens, habitual_host) -> AsyncIterator[Registry]:
    if request.param in ("open", "habitual"):
        host = habitual_host if request.param == "habitual" else request.getfixturevalue("open_host")
        made = Registry(host, Authority(host))
    else:
        host = request.getfixturevalue("proxied_host" if request.param == "proxied" else "guarded_host")
        login, identity = (Login(*tokens.login), None) if request.param != "identity" else (None, Identity(tokens.identity))
        made = Registry(host, Authority(host, login, identity))
    yield made
    await made.close()


@pytest.fixture
def repository(opened) -> Repository:
    return opened.repository(f"tests/{uuid4().hex}")


async def test_a_blob_is_there_once_it_was_sent(repository):
    content = os.urandom(3 * 1024 * 1024 + 7)
    assert not await repository.has_blob(digest_of(content))
    digest = await put(repository, content)
    assert await repository.has_blob(digest)
    assert await read(repository, digest) == content


async def test_a_blob_that_is_not_what_it_says_is_refused(repository):
    with pytest.raises(BuildFailed):
        await repository.upload(digest_of(b"other"), b"this")
    with pytest.raises(BuildFailed):
        await repository.upload_stream(once(b"this"), partial(known, b"other"))
    assert not await repository.has_blob(digest_of(b"other"))


async def test_a_small_blob_goes_in_one_piece(repository):
    await repository.upload(digest_of(b"small"), b"small")
    assert await read(repository, digest_of(b"small")) == b"small"


async def test_a_blob_is_mounted_from_another_repository_without_being_sent(opened, repository):
    digest = await put(repository, os.urandom(100_000))
    other = opened.repository(f"tests/{uuid4().hex}")
    assert await other.mount(digest, repository.name)
    assert await other.has_blob(digest)


async def test_what_cannot_be_mounted_says_so(opened, repository):
    assert not await repository.mount(digest_of(b"nowhere"), f"tests/{uuid4().hex}")


async def test_an_image_is_found_by_its_tag_and_its_digest(repository):
    assert await repository.manifest("1") is None
    digest = await put_image(repository, "1")
    by_tag, by_digest = await repository.manifest("1"), await repository.manifest(digest)
    assert by_tag == by_digest
    assert (by_tag.digest, by_tag.media_type) == (digest, MANIFEST_TYPE)


async def test_an_untagged_image_is_gone_and_another_of_the_same_content_is_not(repository):
    digest = await put_image(repository, "1")
    await put_image(repository, "2", b"{ }")
    await ensure_untagged(repository, "1", digest, nobody)
    assert await repository.manifest("1") is None
    assert await repository.manifest("2") is not None
    for _ in range(2):
        await ensure_untagged(repository, "2", digest, nobody)
        assert await repository.manifest("2") is not None
    assert await put_image(repository, "3") == digest
    assert await put_image(repository, "4") == digest
    with pytest.raises(BuildFailed, match=r":3 stays: the registry deletes no tags, and what it names") as stays:
        await ensure_untagged(repository, "3", digest, nobody)
    assert stays.value.code == "TagStays"
    assert [(await repository.manifest(tag)).digest for tag in ("3", "4")] == [digest] * 2


async def test_many_blobs_may_be_sent_at_once(repository):
    contents = [os.urandom(200_000) for _ in range(12)]
    digests = await asyncio.gather(*(put(repository, content) for content in contents))
    assert await asyncio.gather(*(repository.has_blob(digest) for digest in digests)) == [True] * 12


async def test_who_may_only_pull_is_told_that_pushing_is_not_permitted(guarded_host, tokens):
    service = Registry(guarded_host, Authority(guarded_host, Login(*tokens.login)))
    repository = service.repository(f"tests/{uuid4().hex}")
    digest = await put(repository, b"content")
    tokens.permitted = ("pull",)
    try:
        reader = Registry(guarded_host, Authority(guarded_host, Login(*tokens.login)))
        assert await read(reader.repository(repository.name), digest) == b"content"
        with pytest.raises(BuildFailed) as refused:
            await put(reader.repository(repository.name), b"more")
        assert refused.value.code == "RegistryDenied"
        await reader.close()
    finally:
        tokens.permitted = TokenService.permitted
        await service.close()


@pytest.mark.parametrize("login", [None, Login("robot", "wrong SECRET")])
async def test_who_cannot_sign_in_is_told_so_without_the_password(guarded_host, login):
    service = Registry(guarded_host, Authority(guarded_host, login))
    with pytest.raises(BuildFailed) as refused:
        await service.repository("tests/x").has_blob(digest_of(b""))
    assert refused.value.code == "RegistryDenied"
    assert "SECRET" not in refused.value.message
    await service.close()


async def test_a_token_service_that_is_away_is_an_outage(guarded_host, tokens):
    tokens.away = 1
    service = Registry(guarded_host, Authority(guarded_host, Login(*tokens.login)))
    repository = service.repository("tests/x")
    with pytest.raises(Unavailable):
        await repository.has_blob(digest_of(b""))
    assert not await repository.has_blob(digest_of(b""))
    await service.close()


async def test_a_registry_that_is_away_is_an_outage():
    service = Registry("127.0.0.1:1", Authority("127.0.0.1:1"))
    repository = service.repository("tests/x")
    for asking in (repository.has_blob(digest_of(b"")), repository.manifest("1"), put(repository, b"x")):
        with pytest.raises(Unavailable) as refused:
            await asking
        assert refused.value.code == "RegistryAway"
    await service.close()


def test_logins_are_read_as_docker_writes_them():
    text = json.dumps({"auths": {"ghcr.io": {"auth": "YTpi"}, "r:5000": {"username": "u", "password": "p"}}})
    assert read_logins(text) == {"ghcr.io": Login("a", "b"), "r:5000": Login("u", "p")}
    assert read_logins("") == {}
    assert "p" not in repr(Login("u", "p")).replace("password", "")


@pytest.mark.parametrize(
    ("name", "host"),
    [("https://index.docker.io/v1/", "docker.io"), ("docker.io", "docker.io"), ("https://ghcr.io", "ghcr.io")],
)
def test_a_login_whose_registry_is_named_by_a_url_is_for_its_host(name, host):
    assert read_logins(json.dumps({"auths": {name: {"auth": "YTpi"}}})) == {host: Login("a", "b")}


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"h": "SECRET"}}', '{"auths": {"h": {"auth": "SECRET!"}}}'])
def test_logins_that_make_no_sense_are_refused_without_being_shown(text):
    with pytest.raises(ValueError, match="no JSON of the form") as refused:
        read_logins(text)
    assert "SECRET" not in str(refused.value)
