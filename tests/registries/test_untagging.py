"""A tag is taken back, and nothing else is lost by it, whatever a registry does and does not do."""

import json
from collections.abc import Collection

import pytest
from aiohttp import web

from shared.domain.errors import BuildFailed, ServiceError
from shared.domain.fencing import LeaseLost, fenced
from shared.registries.authority import Authority
from shared.registries.registry import Registry
from shared.registries.repository import Repository, referrers_tag
from shared.registries.untagging import ensure_untagged
from tests.registries.habits import Habits, HabitualRegistry, habitual
from tests.registries.test_registry import nobody, put_image

NAME = "tests/x"
INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}


async def somebody() -> bool:
    """Another record names the image."""
    return True


async def put_all(repository: Repository, tags: Collection[str], content: bytes = b"{}") -> str:
    for tag in tags:
        digest = await put_image(repository, tag, content)
    await repository.put_manifest(json.dumps({**INDEX, "annotations": {"of": digest}}).encode(), referrers_tag(digest))
    return digest


class Opened:
    """A repository of a registry with those habits."""

    def __init__(self, habits: Habits) -> None:
        self._habits = habits

    async def __aenter__(self) -> tuple[HabitualRegistry, Repository]:
        self._serving = habitual(self._habits)
        server, host = await self._serving.__aenter__()
        self._registry = Registry(host, Authority(host))
        return server, self._registry.repository(NAME)

    async def __aexit__(self, *error: object) -> None:
        await self._registry.close()
        await self._serving.__aexit__(None, None, None)


async def stays(repository: Repository, tag: str, digest: str, named=nobody) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await ensure_untagged(repository, tag, digest, named)
    return refused.value


@pytest.mark.parametrize("page", [1, 2, 5])
@pytest.mark.parametrize("link", ['</v2/{name}/tags/list?after={after}>; rel="next"', "<list?after={after}>;rel=next"])
async def test_an_image_whose_tag_is_on_another_page_is_not_deleted_with_its_twin(page, link):
    async with Opened(Habits(page=page, link=link)) as (server, repository):
        digest = await put_all(repository, ["10", "9"])
        for number in range(1, 9):
            await put_image(repository, str(number), b"%d" % number)
        refused = await stays(repository, "10", digest)
        assert (refused.code, refused.retryable) == ("TagStays", False)
        assert server.tags[NAME]["9"] == server.tags[NAME]["10"] == digest
        assert digest in server.manifests[NAME]
        assert referrers_tag(digest) in server.tags[NAME]


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("tag_delete", [202, 400, 405])
async def test_a_tag_that_is_alone_is_gone_on_whatever_page_it_is(page, tag_delete):
    async with Opened(Habits(page=page, tag_delete=tag_delete)) as (server, repository):
        for number in range(1, 9):
            await put_image(repository, str(number), b"%d" % number)
        digest = await put_all(repository, ["9"])
        for _ in range(2):
            await ensure_untagged(repository, "9", digest, nobody)
            assert sorted(server.tags[NAME]) == [str(number) for number in range(1, 9)]


async def test_where_tags_are_deleted_what_is_said_about_a_living_image_stays():
    async with Opened(Habits(page=2, tag_delete=202)) as (server, repository):
        digest = await put_all(repository, ["1", "2", "3", "4"])
        await ensure_untagged(repository, "1", digest, nobody)
        assert sorted(server.tags[NAME]) == ["2", "3", "4", referrers_tag(digest)]


@pytest.mark.parametrize("tag_delete", [202, 400])
async def test_what_the_records_name_is_kept_though_no_tag_does(tag_delete):
    async with Opened(Habits(tag_delete=tag_delete)) as (server, repository):
        digest = await put_all(repository, ["1"])
        if tag_delete == 202:
            await ensure_untagged(repository, "1", digest, somebody)
        else:
            await stays(repository, "1", digest, somebody)
        assert digest in server.manifests[NAME]
        assert referrers_tag(digest) in server.tags[NAME]


async def test_a_record_that_comes_while_tags_are_looked_at_counts():
    asked: list[int] = []

    async def named_later() -> bool:
        asked.append(1)
        return len(asked) > 1

    async with Opened(Habits()) as (server, repository):
        digest = await put_all(repository, ["1"])
        await stays(repository, "1", digest, named_later)
        assert digest in server.manifests[NAME]


async def test_the_tag_of_another_image_is_not_touched():
    async with Opened(Habits(tag_delete=202)) as (server, repository):
        digest = await put_image(repository, "1")
        other = await put_image(repository, "2", b"other")
        server.asked.clear()
        await ensure_untagged(repository, "2", digest, nobody)
        await ensure_untagged(repository, "3", digest, nobody)
        assert server.tags[NAME] == {"1": digest, "2": other}
        assert not any(one.startswith("DELETE") for one in server.asked)


@pytest.mark.parametrize(
    "link",
    ['<http://127.0.0.1:1/v2/x>; rel="next"', 'rel="next"', '<http://[>; rel="next"', '</v2/{name}/tags/list>; rel="next"'],
)
async def test_a_list_whose_end_cannot_be_found_is_no_list(link):
    async with Opened(Habits(page=1, link=link)) as (server, repository):
        digest = await put_all(repository, ["1"])
        await put_image(repository, "2", b"other")
        refused = await stays(repository, "1", digest)
        assert (refused.code, refused.retryable) == ("TagStays", False)
        assert server.tags[NAME]["1"] == digest
        assert len(server.asked) < 150


@pytest.mark.parametrize("second", [7, {"2": 1}, "2", [7], [None, "2"], ["2", "../x"], ["2", ""], ["2?x"], ...])
@pytest.mark.parametrize("tag_delete", [400, 405])
async def test_a_list_with_a_page_of_anything_else_is_not_whole(second, tag_delete):
    async with Opened(Habits(tag_delete=tag_delete)) as (server, repository):
        digest = await put_all(repository, ["1", "2"])
        pages = [{"tags": ["1", referrers_tag(digest)]}, {"name": NAME} | ({} if second is ... else {"tags": second})]

        async def answer(request: web.Request, name: str) -> web.Response:
            after = "after" in request.query
            return web.json_response(pages[after], headers={} if after else {"Link": "<list?after=1>; rel=next"})

        server._tags = answer
        assert (await stays(repository, "1", digest)).code == "TagStays"
        assert server.tags[NAME]["1"] == server.tags[NAME]["2"] == digest
        assert digest in server.manifests[NAME]


@pytest.mark.parametrize("answer", [{"tags": None}, {"tags": ["2"]}, {"tags": 7}, {}, []])
async def test_a_list_without_the_tag_itself_is_not_whole(answer):
    async with Opened(Habits()) as (server, repository):
        digest = await put_all(repository, ["1"])
        server.list_of_tags = answer
        await stays(repository, "1", digest)
        assert server.tags[NAME]["1"] == digest


@pytest.mark.parametrize(("tag_delete", "manifest_delete"), [(403, 202), (401, 202), (405, 403), (405, 405), (400, 404)])
async def test_who_may_not_delete_is_told_which_tag_stays(tag_delete, manifest_delete):
    async with Opened(Habits(tag_delete=tag_delete, manifest_delete=manifest_delete)) as (server, repository):
        digest = await put_image(repository, "1")
        refused = await stays(repository, "1", digest)
        assert isinstance(refused, BuildFailed)
        assert f"{NAME}:1 stays" in refused.message
        assert server.tags[NAME] == {"1": digest}


async def test_azures_registry_deletes_a_tag_under_an_address_of_its_own():
    async with Opened(Habits(of_azure=True, tag_delete=405)) as (server, repository):
        digest = await put_all(repository, ["1", "2"])
        repository._registry.host = "tests.azurecr.io"
        for _ in range(2):
            await ensure_untagged(repository, "1", digest, nobody)
            assert sorted(server.tags[NAME]) == ["2", referrers_tag(digest)]
        await ensure_untagged(repository, "2", digest, nobody)
        assert server.tags[NAME] == {}
        assert digest in server.manifests[NAME]


async def test_a_worker_that_has_lost_its_lease_deletes_nothing():
    def lost() -> None:
        raise LeaseLost("somebody else's")

    async with Opened(Habits(tag_delete=202)) as (server, repository):
        digest = await put_all(repository, ["1"])
        with fenced(lost), pytest.raises(LeaseLost):
            await ensure_untagged(repository, "1", digest, nobody)
        assert server.tags[NAME]["1"] == digest


async def test_a_registry_that_tells_no_digests_is_read_for_them():
    async with Opened(Habits(page=2, digest_header=False)) as (server, repository):
        digest = await put_all(repository, ["1", "2"])
        await stays(repository, "1", digest)
        assert server.tags[NAME]["2"] == digest


async def test_a_repository_of_many_tags_is_left_as_it_is():
    async with Opened(Habits()) as (server, repository):
        digest = await put_all(repository, ["1"])
        server.tags[NAME] |= {f"t{number}": "sha256:" + "0" * 64 for number in range(2001)}
        server.asked.clear()
        await stays(repository, "1", digest)
        assert server.tags[NAME]["1"] == digest
        assert len(server.asked) < 20
