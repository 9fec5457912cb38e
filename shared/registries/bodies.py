"""Bodies of answers: bounded before anything else is done with them, and JSON only when they are."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp


async def bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or as much of it as shows that it is longer than that: one byte more."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > most:
            break
    return bytes(content[: most + 1])


def json_object(content: bytes) -> Mapping[str, Any]:
    """The JSON object that the content is; empty when it is none, or holds half a surrogate pair, that cannot be stored."""
    try:
        found = json.loads(content)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing of what is none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
