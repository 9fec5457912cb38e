"""What registries that are in use do, and Debian's does not: each habit by itself."""

import asyncio
import base64
import json
import os
import time

import pytest
from aiohttp import web

from shared.domain.errors import BuildFailed, Throttled, Unavailable
from shared.images.targets import RegistryTarget
from shared.registries.authority import Authority
from shared.registries.logins import Login
from shared.registries.registry import Registry
from shared.registries.repository import referrers_tag
from tests.registries.habits import Habits, habitual, serving
from tests.registries.test_registry import digest_of, nobody, put, put_image, read

BEARER = 'Bearer realm="http://{host}/token",service="s",scope="repository:tests/x:pull,push"'
LOGIN = Login("robot", "pass")
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def opened(host: str, login: Login | None = None) -> Registry:
    return Registry(host, Authority(host, login))


@pytest.mark.parametrize(
    "called",
    [
        lambda kind: f"{kind}; charset=utf-8",
        lambda kind: kind.upper(),
        lambda _: "application/json",
        lambda _: "application/octet-stream",
        lambda _: "text/plain; charset=utf-8",
    ],
)
@pytest.mark.parametrize("with_type", [True, False])
async def test_what_a_manifest_is_is_said_by_its_body(called, with_type):
    async with habitual(Habits(content_type=called)) as (server, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        index = {"schemaVersion": 2, "manifests": []} | ({"mediaType": INDEX_TYPE} if with_type else {})
        server.manifests["tests/x"] = {digest_of(json.dumps(index).encode()): (json.dumps(index).encode(), INDEX_TYPE)}
        server.tags["tests/x"] = {"1": digest_of(json.dumps(index).encode())}
        found = await repository.manifest("1")
        assert (found.media_type, found.content) == (INDEX_TYPE, index)
        await registry.close()


@pytest.mark.parametrize(
    "habits", [Habits(digest_header=False), Habits(chunked=True), Habits(digest_header=False, chunked=True)]
)
async def test_headers_that_are_optional_are_not_missed(habits):
    async with habitual(habits) as (_, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        digest = await put_image(repository, "1")
        for selected in ("1", digest):
            assert (await repository.manifest(selected)).digest == digest
        assert [await repository.named(tag) for tag in ("1", "2")] == [digest, ""]
        await registry.close()


async def test_a_manifest_that_is_not_what_was_asked_for_is_not_taken():
    async with habitual() as (server, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        digest = await put_image(repository, "1")
        content, kind = server.manifests["tests/x"][digest]
        server.manifests["tests/x"][digest] = (content + b" ", kind)
        for selected in ("1", digest):
            with pytest.raises(Unavailable) as refused:
                await repository.manifest(selected)
            assert refused.value.code == "RegistryCorrupt"
        await registry.close()


async def test_a_manifest_without_end_is_not_read_to_it():
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 20))

    async with serving(endless) as host:
        registry = opened(host)
        with pytest.raises(BuildFailed, match="more than 4194304 bytes"):
            await registry.repository("tests/x").manifest("1")
        await registry.close()


async def test_a_blob_that_is_had_from_elsewhere_is_there_though_that_place_knows_get_only():
    async with habitual(Habits(blobs_elsewhere=True, challenges=(BEARER,))) as (server, host):
        registry = opened(host, LOGIN)
        repository = registry.repository("tests/x")
        digest = await put(repository, b"content")
        registry._seen.clear()
        assert await repository.has_blob(digest)
        assert await read(repository, digest) == b"content"
        assert not await repository.has_blob(digest_of(b"nowhere"))
        assert len(server.signed_in) == 1
        await registry.close()


@pytest.mark.parametrize("locations", ["{upload}", "./{upload}", "../uploads/{upload}", "/v2/{name}/blobs/uploads/{upload}"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_upload_goes_on_from_where_its_answer_came(locations, elsewhere):
    async with habitual(Habits(locations=locations)) as (other, host), habitual(Habits(upload_at=host)) as (_, front):
        registry = opened(front if elsewhere else host)
        repository = registry.repository("tests/x")
        content = os.urandom(100_000)
        await put(repository, content)
        await repository.upload(digest_of(b"small"), b"small")
        assert other.blobs["tests/x"] == {digest_of(content): content, digest_of(b"small"): b"small"}
        await registry.close()


@pytest.mark.parametrize(
    "location", ["", "http://[", "ftp://127.0.0.1/x", "http://", "//", "http://127.0.0.1:1/x", "http://h:x/"]
)
async def test_an_upload_that_goes_nowhere_is_an_outage(location):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=202, headers={"Location": location} if location else {})

    async with serving(answer) as host:
        registry = opened(host)
        for sending in (
            put(registry.repository("tests/x"), b"x"),
            registry.repository("tests/x").upload(digest_of(b"x"), b"x"),
        ):
            with pytest.raises(Unavailable) as refused:
                await sending
            assert refused.value.code in ("RegistryCorrupt", "RegistryAway")
        await registry.close()


@pytest.mark.parametrize("status", [202, 400, 401, 403, 404, 405, 409, 413, 415, 416, 422, 500, 501, 502])
async def test_a_mount_that_is_refused_is_an_upload(status):
    async with habitual(Habits(mount=status)) as (server, host):
        registry = opened(host)
        source, repository = registry.repository("tests/base"), registry.repository("tests/x")
        digest = await put(source, b"layer")
        assert await RegistryTarget(repository, "1").take_over(digest, source) == "copied"
        assert server.blobs["tests/x"][digest] == b"layer"
        await registry.close()


def answering(method: str, part: str, status: int):
    """What a registry does that carries such requests out, and answers them so."""

    async def trouble(request: web.Request) -> str:
        return f"as {status}" if request.method == method and part in request.path else ""

    return trouble


@pytest.mark.parametrize(("method", "status"), [("PATCH", 201), ("PATCH", 202), ("PATCH", 204), ("PUT", 201), ("PUT", 204)])
async def test_an_upload_that_is_taken_is_whatever_its_status(method, status):
    async with habitual(Habits(trouble=answering(method, "/blobs/uploads/", status))) as (server, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        streamed, small = await put(repository, b"streamed"), digest_of(b"small")
        await repository.upload(small, b"small")
        assert server.blobs["tests/x"].keys() == {streamed, small}
        await registry.close()


@pytest.mark.parametrize("status", [405, 501])
async def test_a_registry_that_knows_no_head_of_blobs_is_asked_for_their_beginning(status):
    async with habitual(Habits(trouble=answering("HEAD", "/blobs/", status))) as (_, host):
        registry = opened(host)
        digest = await put(registry.repository("tests/x"), os.urandom(1_000_000))
        await registry.close()
        registry = opened(host)
        repository = registry.repository("tests/x")
        assert [await repository.has_blob(one) for one in (digest, digest_of(b"absent"))] == [True, False]
        await registry.close()


@pytest.mark.parametrize("status", [204, 400, 405, 406, 416, 501])
async def test_a_registry_that_knows_no_head_of_manifests_is_asked_for_them(status):
    async with habitual(Habits(trouble=answering("HEAD", "/manifests/", status))) as (_, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        digest = await put_image(repository, "1")
        assert [await repository.named(tag) for tag in ("1", "2")] == [digest, ""]
        await registry.close()


async def test_a_mount_whose_sign_in_is_refused_is_an_upload():
    habits = Habits(challenges=(BEARER.partition(",scope")[0],), refused_scopes=())
    async with habitual(habits) as (server, host):
        registry = opened(host, LOGIN)
        source, repository = registry.repository("tests/base"), registry.repository("tests/x")
        digest = await put(source, b"layer")
        server.scopes.clear()

        refused = server._token

        def only_one_scope(request: web.Request) -> web.Response:
            return web.Response(status=403) if len(request.query.getall("scope", [])) > 1 else refused(request)

        server._token = only_one_scope
        assert await RegistryTarget(repository, "1").take_over(digest, source) == "copied"
        assert server.blobs["tests/x"][digest] == b"layer"
        await registry.close()


@pytest.mark.parametrize(
    "challenges",
    [
        ('Basic realm="reg", ' + BEARER,),
        (BEARER + ', Basic realm="reg"',),
        ('Basic realm="reg"', BEARER),
        (BEARER, 'Basic realm="reg"'),
        ("Negotiate", BEARER),
        ("Negotiate YII=, " + BEARER,),
        (BEARER.replace("Bearer realm", "bEARER REALM").replace("service", "Service"),),
        (BEARER.replace("=", " = ").replace(",service", " ,  service"),),
        (BEARER.partition(",scope")[0],),
        (BEARER.partition(",service")[0],),
        (BEARER + ',error="insufficient_scope"',),
        (BEARER.replace('"s"', "s"),),
    ],
)
@pytest.mark.parametrize("login", [LOGIN, None])
async def test_a_challenge_is_answered_however_it_is_written(challenges, login):
    async with habitual(Habits(challenges=challenges)) as (server, host):
        registry = opened(host, login)
        repository = registry.repository("tests/x")
        assert (await put_image(repository, "1")) == await repository.named("1")
        assert all("repository:tests/x:" in scope for scopes in server.scopes for scope in scopes)
        assert all(server.scopes)
        await registry.close()


@pytest.mark.parametrize(
    "challenge", ["", "Bearer", "Bearer realm=", 'Bearer realm="ftp://x"', "Negotiate", 'Basic realm="r"', '"']
)
async def test_a_challenge_that_nothing_answers_is_a_refusal(challenge):
    async with habitual(Habits(challenges=(challenge,))) as (_, host):
        registry = opened(host)
        with pytest.raises(BuildFailed) as refused:
            await registry.repository("tests/x").named("1")
        assert refused.value.code == "RegistryDenied"
        await registry.close()


@pytest.mark.parametrize(
    "said", [{}, *({"expires_in": value} for value in (300, 60, 30, 10, 0, -1, "300", "", "soon", None, 1e400))]
)
async def test_a_token_is_used_whatever_is_said_of_its_end(said):
    async with habitual(Habits(challenges=(BEARER,), token=said)) as (server, host):
        registry = opened(host, LOGIN)
        repository = registry.repository("tests/x")
        await put_image(repository, "1")
        assert len(server.scopes) <= 3
        server.tokens.clear()
        assert await repository.named("1")
        await registry.close()


@pytest.mark.parametrize("said", [{"token": None}, {"token": ""}, {"token": 7}, {"token": "a\r\nb"}, {"token": []}])
async def test_a_token_service_that_gives_no_token_is_a_refusal(said):
    async with habitual(Habits(challenges=(BEARER,), token=said)) as (_, host):
        registry = opened(host, LOGIN)
        with pytest.raises(BuildFailed, match="gives no token"):
            await registry.repository("tests/x").named("1")
        await registry.close()


async def test_an_identity_token_is_exchanged_and_goes_nowhere_else():
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            asked.append({"method": request.method, **(await request.post())})
            return web.json_response({"access_token": "good"})
        if request.headers.get("Authorization") == "Bearer good":
            return web.Response(status=404)
        return web.Response(status=401, headers={"WWW-Authenticate": BEARER.replace("{host}", request.host)})

    async with serving(answer) as host:
        registry = opened(host, Login("0" * 8, "", "SECRET"))
        assert await registry.repository("tests/x").named("1") == ""
        await registry.close()
    assert [(one["method"], one["grant_type"], one["refresh_token"]) for one in asked] == [
        ("POST", "refresh_token", "SECRET")
    ]
    assert (asked[0]["service"], asked[0]["scope"]) == ("s", "repository:tests/x:pull,push")


@pytest.mark.parametrize("login", [LOGIN, Login("name", "", "SECRET")])
async def test_no_secret_follows_a_token_service_to_another_host(login):
    told: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        told.append(f"{request.headers.get('Authorization')} {(await request.read()).decode()}")
        return web.json_response({"token": "good"})

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.Response(status=307, headers={"Location": f"http://{other}/token"})
        return web.Response(status=401, headers={"WWW-Authenticate": BEARER.replace("{host}", request.host)})

    async with serving(elsewhere) as other, serving(answer) as host:
        registry = opened(host, login)
        with pytest.raises(BuildFailed):
            await registry.repository("tests/x").named("1")
        await registry.close()
    assert "SECRET" not in "".join(told)
    assert base64.b64encode(b"robot:pass").decode() not in "".join(told)


async def test_no_secret_follows_a_blob_to_another_host():
    told: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        told.append(request.headers.get("Authorization"))
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="give it"'})

    async def answer(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return web.Response(status=307, headers={"Location": f"http://{other}/x"})

    async with serving(elsewhere) as other, serving(answer) as host:
        registry = opened(host, LOGIN)
        with pytest.raises(BuildFailed):
            await read(registry.repository("tests/x"), digest_of(b"x"))
        await registry.close()
    assert told == [None]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("of_token_service", [False, True])
async def test_a_pause_that_is_asked_for_is_handed_on(status, of_token_service):
    async def answer(request: web.Request) -> web.Response:
        if of_token_service and request.path != "/token":
            return web.Response(status=401, headers={"WWW-Authenticate": BEARER.replace("{host}", request.host)})
        return web.Response(status=status, headers={"Retry-After": str(int(time.time()) + 20)})

    async with serving(answer) as host:
        registry = opened(host, LOGIN)
        with pytest.raises(Throttled if status == 429 else Unavailable) as refused:
            await registry.repository("tests/x").named("1")
        assert 15 < refused.value.retry_after <= 21
        await registry.close()


async def test_a_layer_that_comes_damaged_is_its_registrys_fault_and_worth_another_try():
    async with habitual(Habits(damaged=True)) as (base, far), habitual() as (server, host):
        source, registry = opened(far), opened(host)
        digest = await put(source.repository("tests/base"), os.urandom(200_000))
        with pytest.raises(Unavailable, match=f"{far}/tests/base: what came is not the blob") as refused:
            await RegistryTarget(registry.repository("tests/x"), "1").take_over(digest, source.repository("tests/base"))
        assert refused.value.code == "RegistryCorrupt"
        assert not server.blobs.get("tests/x")
        base.habits.damaged = False
        taken = RegistryTarget(registry.repository("tests/x"), "1")
        assert await taken.take_over(digest, source.repository("tests/base")) == "copied"
        await asyncio.gather(source.close(), registry.close())


@pytest.mark.parametrize(
    ("status", "body"), [(200, "{}"), (200, "<html>"), (200, '{"manifests": null}'), (400, ""), (405, "")]
)
async def test_a_registry_that_knows_no_referrers_is_asked_for_the_tag_in_their_place(status, body):
    async with habitual() as (server, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        digest = await put_image(repository, "1")
        listed = [{"digest": digest_of(b"said"), "artifactType": "application/x"}]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*listed, None, 7]}
        await repository.put_manifest(json.dumps(index).encode(), referrers_tag(digest))
        server.referrers = (status, body)
        assert await repository.referrers(digest) == listed
        await registry.close()


async def test_a_worker_that_is_stopped_waits_for_the_tag_that_it_has_sent():
    putting, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> str:
        if request.method == "PUT" and request.path.endswith("/manifests/1"):
            putting.set()
            await go_on.wait()
        return ""

    async with habitual() as (server, host):
        registry = opened(host)
        repository = registry.repository("tests/x")
        digest = await put_image(repository, "0")
        content, _ = server.manifests["tests/x"][digest]
        server.habits.trouble = slow
        publishing = asyncio.create_task(RegistryTarget(repository, "1").put_manifest(content))
        await putting.wait()
        publishing.cancel()
        asyncio.get_running_loop().call_later(0.2, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert server.tags["tests/x"]["1"] == digest
        await registry.close()


async def test_a_login_that_may_not_delete_leaves_the_tag_and_says_so():
    async with habitual(Habits(challenges=(BEARER.partition(",scope")[0],), refused_scopes=("delete",))) as (server, host):
        registry = opened(host, LOGIN)
        target = RegistryTarget(registry.repository("tests/x"), "1")
        await target.remove_tag(digest_of(b"never pushed"), nobody)
        digest = await put_image(registry.repository("tests/x"), "1")
        with pytest.raises(BuildFailed, match=r"tests/x:1 stays: .*its token service answered 403") as refused:
            await target.remove_tag(digest, nobody)
        assert (refused.value.code, refused.value.retryable) == ("RegistryDenied", False)
        assert server.tags["tests/x"] == {"1": digest}
        await registry.close()
