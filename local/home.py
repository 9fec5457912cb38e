"""What the stack of one machine keeps between its runs: ports, a secret, an issuer's key, and all that is stored."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from local.errors import StackError
from local.issuer import write_private
from local.ports import Ports, refuse_taken

_DEFAULT = Path(__file__).parent.parent / ".slipway"
_NEW_PORTS = "new ones are chosen, and URLs of blobs and services that were handed out lead nowhere."


class Home:
    """A folder of state; one stack at a time may run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @classmethod
    def chosen(cls) -> Self:
        """The folder that SLIPWAY_HOME names, or `.slipway` of this repository."""
        return cls(Path(os.environ.get("SLIPWAY_HOME") or _DEFAULT))

    @property
    def description(self) -> Path:
        """Where a running stack says how it is called."""
        return self.folder / "local.json"

    @property
    def settings(self) -> Path:
        """The app settings of the stack that runs or ran last; readable by its owner only."""
        return self.folder / "secrets" / "settings.json"

    @property
    def _lock(self) -> Path:
        return self.folder / ".lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; raises StackError when another stack does, or nothing can be written there."""
        own = self._is_own()
        for folder in (self.folder, *(self.folder / name for name in ("secrets", "logs", "azurite"))):
            ensure_writable(folder, "SLIPWAY_HOME")
            if own or folder != self.folder:  # a folder that holds other things, too, keeps who may look into it
                folder.chmod(0o700)
        with self._lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(f"Another stack is running on {self.folder}; stop it, or set SLIPWAY_HOME.") from None
            yield

    def _is_own(self) -> bool:
        """Whether nothing else is kept in the folder."""
        try:
            return self._lock.exists() or not any(self.folder.iterdir())
        except OSError:  # it is not there yet, or no folder, which is told when it is used
            return True

    def running(self) -> dict[str, Any]:
        """How the stack that runs here is called; raises StackError when none does, also where one was killed."""
        try:
            described: dict[str, Any] = json.loads(self.description.read_text())
            with self._lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return described
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            raise StackError(f"{self.description} cannot be read: {error}") from None
        raise StackError("nothing is running here: `make up` first")

    def ports(self, but: int) -> Ports:
        """The ports of this home, chosen at its first use, none of them `but`, which is free until the API takes it.

        Raises StackError when they are damaged, for one that somebody else has taken, and for one that is `but`.
        """
        file = self.folder / "ports.json"
        if not file.exists():
            write_private(file, Ports.chosen(but).text().encode())
        ports = self._kept(file)
        for name, port in ports.named().items():
            if port == but:
                raise StackError(f"PORT: {port} is kept for '{name}' by {file}; choose another.")
            remedy = f"Stop what has it (`lsof -i :{port}` names it); or delete the file: {_NEW_PORTS}"
            refuse_taken(port, f"which {file} keeps for '{name}'", remedy)
        return ports

    def _kept(self, file: Path) -> Ports:
        try:
            return Ports.parsed(file.read_text())
        except ValueError as error:
            raise StackError(
                f"{file} is damaged: {error}. Write it by the ports in {self.settings}; or delete it: {_NEW_PORTS}"
            ) from None

    def secret(self, name: str) -> str:
        """32 random bytes in base64, made at their first use and readable by their owner only."""
        file = self.folder / "secrets" / name
        if not file.exists():
            write_private(file, base64.b64encode(secrets.token_bytes(32)))
        secret = file.read_text()
        if not secret.strip():
            raise StackError(f"{file} is empty: put its content back; or delete it, and keys that were handed out change.")
        return secret


def ensure_writable(folder: Path, setting: str) -> None:
    """Make that folder; raises StackError where nothing can be written into it."""
    if not folder.exists() and any(part.startswith(("~", "$")) for part in folder.parts):
        raise StackError(f"{setting}: {folder} cannot be used; write out what only a shell makes of ~ and $.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise StackError(
            f"{setting}: {folder} cannot be used ({os.strerror(error.errno or 0)}); name a folder that can be written to."
        ) from None
