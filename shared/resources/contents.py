"""What a model or asset held when it was first fetched, so that an image built later is refused other bytes; and what was
decided for a manifest, so that a rebuild is exact."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from shared.domain.accounts import Account
from shared.domain.building import Content, ImageSource
from shared.domain.documents import Change, Claim, Held, Reclaim
from shared.domain.ports import Store


def content_claim(owner: str) -> str:
    """The claim that says what was fetched for a model, or for a manifest."""
    return f"content:{owner}"


class Contents:
    """What is known of models' and manifests' contents."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def known(self, account: Account, source: ImageSource) -> Mapping[str, Content]:
        """What was fetched and decided before for the image's models and its manifest, by `content_key`."""
        return {key: content for one in await self._held(account, source) for key, content in contents_of(one).items()}

    async def recording(self, account: Account, source: ImageSource, contents: Mapping[str, Content]) -> Sequence[Change]:
        """The changes that keep what is not known yet: one an owner, which fails when another build was first."""
        fresh: defaultdict[str, dict[str, Content]] = defaultdict(dict)
        for key, content in contents.items():
            fresh[key.rpartition("/")[0]][key] = content
        held = {one.key: one for one in await self._held(account, source)}
        return [change for owner, new in fresh.items() for change in _changes(content_claim(owner), held, new)]

    async def _held(self, account: Account, source: ImageSource) -> Sequence[Held]:
        owners = [source.manifest.id, *(model.id for model in source.models)]
        held = await asyncio.gather(*(self._store.held(account, content_claim(owner)) for owner in owners))
        return [one for one in held if one is not None]


def contents_of(held: Held) -> Mapping[str, Content]:
    """What a claim says, by `content_key`."""
    return {key: Content(**content) for key, content in json.loads(held.value).items()}


def _changes(claim: str, held: Mapping[str, Held], new: Mapping[str, Content]) -> Sequence[Change]:
    before = contents_of(held[claim]) if claim in held else {}
    text = json.dumps({key: asdict(content) for key, content in {**new, **before}.items()})
    if claim not in held:
        return [Claim(claim, text)]
    return [Reclaim(held[claim], text)] if new.keys() - before.keys() else []
