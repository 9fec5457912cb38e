"""What a model or asset held when it was first fetched, so that an image built later is refused other bytes."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shared.domain.accounts import Account
from shared.domain.documents import Change, Claim
from shared.domain.ports import ImageSource, Store


def content_claim(owner: str) -> str:
    """The claim that says what was fetched for a model, or for the assets of a manifest."""
    return f"content:{owner}"


class Contents:
    """The digests of what was fetched."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def known(self, account: Account, source: ImageSource) -> Mapping[str, str]:
        """Those of the image's models and assets that were fetched before, by `content_key`."""
        owners = [source.manifest.id, *(model.id for model in source.models)]
        held = await asyncio.gather(*(self._store.held(account, content_claim(owner)) for owner in owners))
        return {key: digest for one in held if one for key, digest in json.loads(one.value).items()}


def recording(digests: Mapping[str, str], known: Mapping[str, str]) -> Sequence[Change]:
    """The changes that keep what is not known yet: one claim an owner, which fails when another build was first."""
    fresh: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, digest in digests.items():
        if key not in known:
            fresh[key.rpartition("/")[0]][key] = digest
    return [Claim(content_claim(owner), json.dumps(kept)) for owner, kept in fresh.items()]
