"""The ports of loopback that a stack listens on."""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

from local.azurite.server import free_ports
from local.errors import StackError

_DIGITS = 5  # of the highest port


@dataclass(frozen=True)
class Ports:
    """Ports that stay what they are, since blob URLs, scoring URIs and tokens hold them."""

    blob: int
    queue: int
    table: int
    control: int
    front_end: int
    issuer: int

    @classmethod
    def among(cls, free: Sequence[int], but: int) -> Self:
        """The first of those that are free, none of them `but`."""
        return cls(*[port for port in free if port != but][: len(fields(cls))])

    @classmethod
    def chosen(cls, but: int) -> Self:
        """Free ones, none of them `but`."""
        return cls.among(free_ports(len(fields(cls)) + 1), but)

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Those of a file's text; raises ValueError where it is not what `text` of this class gives."""
        names = [field.name for field in fields(cls)]
        found = json.loads(text)
        if not isinstance(found, dict) or set(found) != set(names):
            raise ValueError(f"it accepts one JSON object with {', '.join(names)}")
        for name in names:
            if type(found[name]) is not int or not 0 < found[name] < 65536:
                raise ValueError(f"{name} accepts a number from 1 to 65535")
        if len(set(found.values())) < len(names):
            raise ValueError("two of its ports are the same")
        return cls(**found)

    def text(self) -> str:
        """As a file keeps them."""
        return json.dumps(asdict(self))

    def named(self) -> dict[str, int]:
        """Each by its name."""
        return asdict(self)


def port_of(text: str) -> int:
    """The port that a setting names; raises StackError where it is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS or not 0 < int(text) < 65536:
        raise StackError(f"PORT: got {text[:64]!r}; accepts a number from 1 to 65535.")
    return int(text)


def refuse_taken(port: int, what: str, remedy: str) -> None:
    """Raises StackError, which says what to do, when that port of loopback cannot be listened on."""
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", port))
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise StackError(f"Port {port}, {what}, cannot be listened on: {why}. {remedy}") from None
