"""Collected data as append blobs `data.csv`, which replicas write together (client-facts.md, 31; RFC 4180).

Each append says at which position it is to land. One whose answer was lost cannot land twice, and what two replicas write at
once lands one after the other, with one header.

A row goes into the first file of the day whose header has all its columns. There is a further file, `data.2.csv` and so on,
for columns that are new, and when a file has as many blocks as a blob can have.
"""

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient, BlobType, ContainerClient, ContentSettings

from ..records import Record
from .delivery import Away, Refused, TooLarge
from .places import STANDARD, Places, Row

CONTAINER = "modeldata"
_LARGEST_BLOCK = 4 * 1024 * 1024
_TOGETHER = 512 * 1024  # so many characters go into one block, and are less than that even at four bytes each
_MOST_BLOCKS = 50_000
_MOST_FILES = 100
_MOST_NAMES = 1000
_LONGEST_NAMES = 32 * 1024  # all together: a header is less than is read of a file to know it
_HEADER_BYTES = 256 * 1024
_ATTEMPTS = 20
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
    """One file, as far as this process knows it."""

    blob: BlobClient
    names: Collection[str]
    """Of the features that it has columns for."""
    end: int = 0
    full: bool = False

    def fits(self, names: Collection[str]) -> bool:
        return not self.full and set(names) <= set(self.names)


class CollectedBlobs:
    """Appends collected rows."""

    def __init__(self, container: ContainerClient, places: Places) -> None:
        self._container = container
        self._places = places
        self._files: dict[str, list[_File]] = {}

    @classmethod
    def connected(cls, connection_string: str, places: Places) -> Self:
        """For that storage account. Raises ValueError when the text is no connection string."""
        service = BlobServiceClient.from_connection_string(
            connection_string, retry_total=0, connection_timeout=5, read_timeout=20
        )
        return cls(service.get_container_client(CONTAINER), places)

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
        while rows.left:
            with _said_by_storage():
                if not self._append(self._file(rows.folder, rows.names), rows):
                    vain += 1
            if vain == _ATTEMPTS:
                raise Away("others append all the time")

    # Which file.

    def _file(self, folder: str, names: Collection[str]) -> _File:
        if folder not in self._files and len(self._files) >= _MOST_FILES:
            self._files.clear()  # those of days gone by
        files = self._files.setdefault(folder, [])
        while not (fitting := next((file for file in files if file.fits(names)), None)):
            if len(files) == _MOST_FILES:
                raise Refused(f"There are {_MOST_FILES} files with other columns for one day")
            files.append(self._opened(folder, names, files))
        return fitting

    def _opened(self, folder: str, names: Collection[str], files: Sequence[_File]) -> _File:
        """The next file of the folder, made if it is not there."""
        blob = self._container.get_blob_client(f"{folder}/data.{len(files) + 1}.csv" if files else f"{folder}/data.csv")
        self._ensure(blob)
        properties = blob.get_blob_properties()
        if properties.blob_type != BlobType.APPENDBLOB:
            return _File(blob, (), full=True)
        if properties.size == 0:
            known = dict.fromkeys((*(files[-1].names if files else ()), *names))
            return _File(blob, known if _fit(known) else names)
        columns = _header(blob)
        full = (properties.append_blob_committed_block_count or 0) >= _MOST_BLOCKS or columns[:3] != STANDARD
        return _File(blob, columns[3:], properties.size, full)

    def _ensure(self, blob: BlobClient) -> None:
        try:
            blob.create_append_blob(content_settings=_CSV, match_condition=MatchConditions.IfMissing)
        except ResourceExistsError:
            return
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):
                self._container.create_container()
            blob.create_append_blob(content_settings=_CSV, match_condition=MatchConditions.IfMissing)

    # Appending.

    def _append(self, file: _File, rows: Rows) -> bool:
        """Append what goes into one block. If that is not in the file now, what was known of it is put right."""
        data, count = _rendered(file, rows.left)
        if len(data) > _LARGEST_BLOCK and count > 1:  # without the last, they are no more than go together
            data, count = _rendered(file, rows.left[: count - 1])
        if len(data) > _LARGEST_BLOCK:
            del rows.left[0]
            raise TooLarge(f"A row has {len(data)} bytes, and {_LARGEST_BLOCK} is the most")
        try:
            file.blob.append_block(data, appendpos_condition=file.end)
            file.end += len(data)
        except HttpResponseError as error:
            if not self._settled(error, file, rows.folder, data):
                return False
        del rows.left[:count]
        return True

    def _settled(self, error: HttpResponseError, file: _File, folder: str, data: bytes) -> bool:
        """Whether the block is in the file nevertheless: where it was to be is something already, and that may be what
        another replica wrote, or this very block, whose answer was lost.
        """
        if error.status_code == 404:
            del self._files[folder]  # it was there a moment ago
            return False
        if _code(error) == "BlockCountExceedsLimit":
            file.full = True
            return False
        if error.status_code != 412:
            raise error
        size = file.blob.get_blob_properties().size
        landed: bool = size >= file.end + len(data) and file.blob.download_blob(file.end, len(data)).readall() == data
        if not landed and (file.end == 0 or size < file.end):
            del self._files[folder]  # its header is another's
        file.end = size
        return landed


def _rendered(file: _File, rows: Sequence[Row]) -> tuple[bytes, int]:
    """The first of the rows, as many as go into a block, below the header where there is none yet; and how many they are."""
    text = io.StringIO(newline="")
    writer, count = csv.writer(text), 0
    if file.end == 0:
        writer.writerow((*STANDARD, *file.names))
    for row in rows:
        os.sched_yield()  # who waits for an answer comes first
        writer.writerow([*row.standard, *map(row.features.get, file.names)])
        count += 1
        if text.tell() > _TOGETHER:
            break
    return text.getvalue().encode(errors="backslashreplace"), count  # JSON can hold halves of characters


def _fit(names: Collection[str]) -> bool:
    return len(names) <= _MOST_NAMES and sum(map(len, names)) <= _LONGEST_NAMES


def _header(blob: BlobClient) -> tuple[str, ...]:
    start = blob.download_blob(0, _HEADER_BYTES).readall().decode(errors="replace")
    return tuple(next(csv.reader(io.StringIO(start, newline="")), ()))


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
