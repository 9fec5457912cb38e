"""Collected data as append blobs `data.csv`, which nobody needs to read to write them (client-facts.md, 31; RFC 4180).

A file is of the process that wrote its header: whoever finds that something is there already takes the next one,
`data.2.csv` and so on. From then on that process alone appends, and says at which position each block is to land. So a block
whose answer was lost cannot land twice: when it is sent again and its position is taken, it is there.

A row goes into the first of the process's files whose header has all its columns. There is a further file for columns that
are new, when a file has as many blocks as a blob can have, and when somebody else has written to it.
"""

import csv
import io
import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient, ContentSettings

from ..records import Record
from .delivery import Away, Refused, TooLarge
from .places import STANDARD, Places, Row

CONTAINER = "modeldata"
_LARGEST_BLOCK = 4 * 1024 * 1024
_TOGETHER = 512 * 1024  # so many characters go into one block, and are less than that even at four bytes each
_MOST_FOLDERS = 500
_MOST_FILES = 100
_MOST_NAMES = 1000
_LONGEST_NAMES = 32 * 1024  # all together
_IN_TURN = 8  # so many names are tried in turn, then farther ones: of a thousand replicas none asks a thousand times
_ATTEMPTS = 30
_NEVER = {400, 411, 413, 414, 431, 501}
_CSV = ContentSettings(content_type="text/csv; charset=utf-8")


class Rows:
    """Rows of one folder that were not appended yet."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.left: list[Row] = []
        self.names: dict[str, None] = {}
        """Of all features that any of them had at first: by these a file is chosen, and it has to stay the same."""

    def __len__(self) -> int:
        """How many."""
        return len(self.left)

    def take(self, row: Row) -> bool:
        """Take one more, unless there would be too many names."""
        if not row.features.keys() <= self.names.keys():
            names = self.names | dict.fromkeys(row.features)
            if self.left and not _fit(names):
                return False
            self.names = names
        self.left.append(row)
        return True


@dataclass
class _File:
    """One file of this process."""

    name: str
    names: Collection[str]
    """Of the features that it has columns for."""
    end: int = 0
    closed: bool = False
    """Nothing more goes there."""
    doubt: bytes = b""
    """What may have landed at its end, though nobody has said so."""

    def fits(self, names: Collection[str]) -> bool:
        return not self.closed and set(names) <= set(self.names)


@dataclass
class _Folder:
    """The files of this process in one folder, the number of the next one to try, and how many before were others'."""

    files: list[_File] = field(default_factory=list)
    number: int = 1
    vain: int = 0

    def next_name(self) -> str:
        return f"data.{self.number}.csv" if self.number > 1 else "data.csv"

    def go_on(self, *, ours: bool) -> None:
        self.vain = 0 if ours else self.vain + 1
        self.number += random.randint(1, 1 << max(0, self.vain - _IN_TURN))  # noqa: S311  no secret


class CollectedBlobs:
    """Appends collected rows."""

    def __init__(self, connection: Callable[[], str], places: Places) -> None:
        """`connection` says the connection string, which may be another one from one time to the next."""
        self._connection = connection
        self._places = places
        self._folders: dict[str, _Folder] = {}
        self._connected_by = ""
        self._container: ContainerClient

    @classmethod
    def connected(cls, connection: Callable[[], str], places: Places) -> Self:
        """For that storage account. Raises ValueError when the text is no connection string."""
        blobs = cls(connection, places)
        blobs._connect()
        return blobs

    def _connect(self) -> None:
        text = self._connection()
        if text != self._connected_by:
            service = BlobServiceClient.from_connection_string(text, retry_total=0, connection_timeout=5, read_timeout=20)
            self._container, self._connected_by = service.get_container_client(CONTAINER), text

    def parcels(self, records: Iterable[Record]) -> Iterator[Rows]:
        """The rows of the records, by folder."""
        folders: dict[str, Rows] = {}
        for row in self._places.rows(records):
            rows = folders.get(row.folder)
            if rows is None or not rows.take(row):
                if rows:
                    yield rows
                folders[row.folder] = rows = Rows(row.folder)
                rows.take(row)
        yield from folders.values()

    def send(self, rows: Rows) -> None:
        """Append all that is left, each row once. Raises Away, Refused and TooLarge."""
        vain = 0
        self._connect()
        while rows.left:
            with _said_by_storage():
                if not self._append(self._file(rows.folder, rows.names), rows):
                    vain += 1
            if vain == _ATTEMPTS:
                raise Away("others write to the same files all the time")

    # Which file.

    def _file(self, folder: str, names: Collection[str]) -> _File:
        if folder not in self._folders and len(self._folders) >= _MOST_FOLDERS:
            del self._folders[next(iter(self._folders))]  # that of a day gone by
        here = self._folders.setdefault(folder, _Folder())
        while not (fitting := next((file for file in here.files if file.fits(names)), None)):
            if len(here.files) == _MOST_FILES:
                raise Refused(f"There are {_MOST_FILES} files with other columns for one day")
            here.files.append(self._begun(folder, here, names))
        return fitting

    def _begun(self, folder: str, here: _Folder, names: Collection[str]) -> _File:
        """A file whose header this process has written. One whose header's answer was lost is left with that header."""
        known = dict.fromkeys((*(here.files[-1].names if here.files else ()), *names))
        header = _header(columns := tuple(known if _fit(known) else names))
        for _ in range(_ATTEMPTS):
            name = f"{folder}/{here.next_name()}"
            ours = self._is_ours(self._container.get_blob_client(name), header)
            here.go_on(ours=ours)
            if ours:
                return _File(name, columns, len(header))
        raise Away(f"{_ATTEMPTS} files are others' already")

    def _is_ours(self, blob: BlobClient, header: bytes) -> bool:
        """Whether this is the first to write there."""
        self._ensure(blob)
        try:
            blob.append_block(header, appendpos_condition=0)
        except HttpResponseError as error:
            if error.status_code in (409, 412):
                return False
            raise
        return True

    def _ensure(self, blob: BlobClient) -> None:
        """It is there. Who may not overwrite is told so of one that is, in other words than who may: the append decides."""
        try:
            self._create(blob)
        except ResourceNotFoundError:
            with suppress(HttpResponseError):  # who may do no more than add finds that the app has made it
                self._container.create_container()
            self._create(blob)

    def _create(self, blob: BlobClient) -> None:
        try:
            blob.create_append_blob(content_settings=_CSV, match_condition=MatchConditions.IfMissing)
        except ResourceExistsError:
            return
        except HttpResponseError as error:
            if error.status_code != 403:
                raise

    # Appending.

    def _append(self, file: _File, rows: Rows) -> bool:
        """Append what goes into one block; whether it is in the file now."""
        data, count = _rendered(file, rows.left)
        if len(data) > _LARGEST_BLOCK and count > 1:  # without the last, they are no more than go together
            data, count = _rendered(file, rows.left[: count - 1])
        if len(data) > _LARGEST_BLOCK:
            del rows.left[0]
            raise TooLarge(f"A row has {len(data)} bytes, and {_LARGEST_BLOCK} is the most")
        try:
            self._container.get_blob_client(file.name).append_block(data, appendpos_condition=file.end)
        except HttpResponseError as error:
            if not _landed(error, file, data):
                return False
        except AzureError:
            file.doubt = data
            raise
        file.end, file.doubt = file.end + len(data), b""
        del rows.left[:count]
        return True


def _landed(error: HttpResponseError, file: _File, data: bytes) -> bool:
    """Whether the block is in the file nevertheless: nobody else writes there, so what has taken its place is this very
    block, whose answer was lost. A block that nobody is in doubt of was kept off by a stranger's: that file is done with.
    """
    if error.status_code == 412 and file.doubt == data:
        return True
    if error.status_code in (404, 412) or _code(error) == "BlockCountExceedsLimit":
        file.closed = True
        return False
    if error.status_code in (408, 500, 502, 503, 504):
        file.doubt = data
    raise error


def _header(names: Collection[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow((*STANDARD, *names))
    return _encoded(text)


def _rendered(file: _File, rows: Sequence[Row]) -> tuple[bytes, int]:
    """The first of the rows, as many as go into a block; and how many they are."""
    text = io.StringIO(newline="")
    writer, count = csv.writer(text), 0
    for row in rows:
        os.sched_yield()  # who waits for an answer comes first
        writer.writerow([*row.standard, *map(row.features.get, file.names)])
        count += 1
        if text.tell() > _TOGETHER:
            break
    return _encoded(text), count


def _encoded(text: io.StringIO) -> bytes:
    return text.getvalue().encode(errors="backslashreplace")  # JSON can hold halves of characters


def _fit(names: Collection[str]) -> bool:
    return len(names) <= _MOST_NAMES and sum(map(len, names)) <= _LONGEST_NAMES


def _code(error: HttpResponseError) -> str:
    """The name of the error, which storage's clients add to Azure's common class."""
    return str(getattr(error, "error_code", None) or "")


@contextmanager
def _said_by_storage() -> Iterator[None]:
    """What its errors mean. Their texts hold the address, and that may hold a signature."""
    try:
        yield
    except HttpResponseError as error:
        why = f"{error.status_code} {_code(error)}".strip()
        raise Refused(why) if error.status_code in _NEVER else Away(why) from None
    except AzureError as error:
        raise Away(type(error).__name__) from None
