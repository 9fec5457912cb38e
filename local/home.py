"""What the stack of one machine keeps between its runs: ports, a secret, an issuer's key, and all that is stored."""

import base64
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from local.azurite.server import free_ports
from local.issuer import write_private


class StackError(Exception):
    """The stack cannot run; the message says why, and what to do."""


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


class Home:
    """A folder of state; one stack at a time may run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def description(self) -> Path:
        """Where a running stack says how it is called."""
        return self.folder / "local.json"

    @property
    def settings(self) -> Path:
        """The app settings of the stack that runs or ran last; readable by its owner only."""
        return self.folder / "secrets" / "settings.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; raises StackError when another stack does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StackError(f"Another stack is running on {self.folder}; stop it, or set SLIPWAY_HOME.") from None
            yield

    def ports(self, but: int) -> Ports:
        """The ports of this home, chosen at its first use, none of them `but`, which is free until the API takes it.

        Raises StackError for one that somebody else has taken.
        """
        file = self.folder / "ports.json"
        if file.exists():
            ports = Ports(**json.loads(file.read_text()))
        else:
            ports = Ports.among(free_ports(7), but)
            file.write_text(json.dumps(asdict(ports)))
        for name, port in asdict(ports).items():
            refuse_taken(port, f"which {file} keeps for '{name}'")
        return ports

    def secret(self, name: str) -> str:
        """32 random bytes in base64, made at their first use and readable by their owner only."""
        file = self.folder / "secrets" / name
        if not file.exists():
            write_private(file, base64.b64encode(secrets.token_bytes(32)))
        return file.read_text()


def refuse_taken(port: int, what: str) -> None:
    """Raises StackError when somebody listens on that port of loopback."""
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(f"Port {port}, {what}, cannot be listened on: {os.strerror(error.errno or 0)}.") from None
