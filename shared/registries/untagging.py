"""Takes a tag back that was put in error, and destroys nothing else.

A manifest has all its tags, and what is said about it, along with it. So it is looked before anything is deleted; only a
tag that names this very manifest goes; and where tags alone cannot be deleted, the manifest goes only when the whole list
of tags and the store's own records name it no other way. What cannot be known counts as named.
"""

import asyncio
import re

from shared.domain.building import IsNamed
from shared.domain.errors import BuildFailed
from shared.domain.fencing import check_fence
from shared.registries.repository import Repository, referrers_tag

_OF_REFERRERS = re.compile(r"sha256-[0-9a-f]{64}(?:\.[a-z]{1,10})?")
"""Tags that list what is said about a digest; and signatures."""
_MOST_TAGS = 2000
_AT_ONCE = 8


async def ensure_untagged(repository: Repository, tag: str, digest: str, is_named: IsNamed) -> None:
    """The tag does not name that manifest, and nothing is said about it by a tag, unless it is named otherwise.

    `is_named` asks who keeps records whether they name it. Raises BuildFailed for a tag that stays.
    """
    found = await repository.manifest(tag)
    if found is not None and found.digest == digest:
        check_fence()
        try:
            if not await repository.delete_tag(tag) and await repository.named(tag) == digest:
                await _delete_manifest(repository, tag, digest, is_named)
        except BuildFailed as error:
            raise _stays(repository, tag, error) from error
    await _ensure_detached(repository, digest, is_named)


async def _delete_manifest(repository: Repository, tag: str, digest: str, is_named: IsNamed) -> None:
    """The manifest, in place of its tag, which cannot be deleted alone."""
    if await is_named() or not await _is_alone(repository, tag, digest) or await is_named():
        raise BuildFailed("the registry deletes no tags, and what it names may be another image, too.", code="TagStays")
    check_fence()
    if not await repository.delete_manifest(digest) and await repository.named(tag) == digest:
        raise BuildFailed("the registry deletes neither tags nor manifests.", code="TagStays")


async def _ensure_detached(repository: Repository, digest: str, is_named: IsNamed) -> None:
    """Nothing is said about that digest, when nothing names it any more."""
    tag = referrers_tag(digest)
    listed = await repository.named(tag)
    if not listed or await is_named() or not await _is_alone(repository, tag, digest) or await is_named():
        return
    check_fence()
    if not await repository.delete_tag(tag) and await _is_alone(repository, tag, listed):
        await repository.delete_manifest(listed)


async def _is_alone(repository: Repository, tag: str, digest: str) -> bool:
    """Whether no other tag names that digest, for sure: all tags are looked at, and the list is whole."""
    listed = await repository.tags(_MOST_TAGS)
    if not listed.complete or tag not in listed.tags:
        return False
    turn = asyncio.Semaphore(_AT_ONCE)

    async def named(other: str) -> str:
        async with turn:
            return await repository.named(other)

    others = [other for other in listed.tags if other != tag and not _OF_REFERRERS.fullmatch(other)]
    return digest not in await asyncio.gather(*map(named, others))


def _stays(repository: Repository, tag: str, why: BuildFailed) -> BuildFailed:
    message = f"The tag {repository.location}:{tag} stays: {why.message}"
    return BuildFailed(message, code=why.code, retryable=why.retryable)
