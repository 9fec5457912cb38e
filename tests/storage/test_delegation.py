"""Signatures of an app that has no account key: by a key that storage gives its identity for some days."""

import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from azure.core.credentials import AzureSasCredential

from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection

DAY = timedelta(days=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEY = (
    "<UserDelegationKey><SignedOid>oid</SignedOid><SignedTid>tid</SignedTid><SignedStart>{0}</SignedStart>"
    "<SignedExpiry>{1}</SignedExpiry><SignedService>b</SignedService><SignedVersion>2020-02-10</SignedVersion>"
    "<Value>a2V5</Value></UserDelegationKey>"
)


class ByIdentity(StorageConnection):
    """Is reached with no key, as by a managed identity; but a stand-in for storage asks nobody who they are."""

    def credential(self) -> AzureSasCredential:
        return AzureSasCredential("sig=none")


class Storage:
    """Gives keys to whoever asks, and remembers for which times."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []
        storage = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = ET.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
                start, expiry = told.findtext("Start", ""), told.findtext("Expiry", "")
                storage.asked.append((datetime.fromisoformat(start), datetime.fromisoformat(expiry)))
                content = KEY.format(start, expiry).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/account"


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage()
    thread = threading.Thread(target=storage.server.serve_forever, args=(0.01,))
    thread.start()
    yield storage
    storage.server.shutdown()
    storage.server.server_close()
    thread.join()


@pytest.fixture
async def account(storage: Storage) -> AsyncIterator[BlobAccount]:
    account = BlobAccount(ByIdentity("account", "", "", storage.url, None))
    yield account
    await account.close()


def signed_by(text: str) -> dict[str, list[str]]:
    return parse_qs(text.partition("SharedAccessSignature=")[2] or urlsplit(text).query)


async def test_what_adds_to_a_container_is_signed_by_a_key_of_seven_days_at_most(
    account: BlobAccount, storage: Storage
) -> None:
    text = await account.adding_to("modeldata", MIDNIGHT, MIDNIGHT + 7 * DAY)
    assert text.startswith(f"BlobEndpoint={storage.url};SharedAccessSignature=")
    allowed = signed_by(text)
    assert (allowed["sp"], allowed["sr"], allowed["skoid"]) == (["ac"], ["c"], ["oid"])
    assert allowed["se"] == allowed["ske"]
    assert storage.asked == [(MIDNIGHT, MIDNIGHT + 7 * DAY)]
    assert storage.asked[0][1] - datetime.now(UTC) <= 7 * DAY


async def test_a_key_is_asked_for_once_while_it_lasts(account: BlobAccount, storage: Storage) -> None:
    for _ in range(3):
        await account.adding_to("modeldata", MIDNIGHT, MIDNIGHT + 7 * DAY)
    assert len(storage.asked) == 1
    await account.adding_to("modeldata", MIDNIGHT + DAY, MIDNIGHT + 8 * DAY)
    assert storage.asked[1:] == [(MIDNIGHT + DAY, MIDNIGHT + 8 * DAY)]


async def test_a_url_that_reads_a_blob_is_signed_by_a_key_that_outlives_it(account: BlobAccount, storage: Storage) -> None:
    for _ in range(2):
        allowed = signed_by(await account.signed("blobs", "one"))
        assert (allowed["sp"], allowed["sr"]) == (["r"], ["b"])
        assert datetime.fromisoformat(allowed["se"][0]) < datetime.fromisoformat(allowed["ske"][0])
    ((start, expiry),) = storage.asked
    assert start < datetime.now(UTC) < expiry - DAY
