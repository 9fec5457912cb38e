"""One machine is no open door: who holds none of a stack's keys can neither write into its queues nor read what it keeps."""

import base64
import hashlib
import hmac
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from azure.storage.queue import QueueServiceClient

from local.home import Home

PUBLISHED = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that Azurite's documentation names."""
MESSAGE = "<QueueMessage><MessageText>e30=</MessageText></QueueMessage>"


def account_signature(key: str) -> str:
    """A shared-access signature for all of the account, made by hand as any page's script can."""
    expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = ["devstoreaccount1", "rwdlacup", "bqt", "sco", "", expiry, "", "https,http", "2022-11-02", "", ""]
    digest = hmac.new(base64.b64decode(key), "\n".join(said).encode(), hashlib.sha256).digest()
    return urlencode(
        {
            "sv": "2022-11-02",
            "ss": "bqt",
            "srt": "sco",
            "sp": "rwdlacup",
            "se": expiry,
            "spr": "https,http",
            "sig": base64.b64encode(digest).decode(),
        }
    )


def posted_by_a_page(endpoint: str, key: str) -> httpx.Response:
    """What a web page can send without asking first: a simple request of the Fetch standard."""
    headers = {"Content-Type": "text/plain", "Origin": "https://evil.example", "Sec-Fetch-Mode": "no-cors"}
    return httpx.post(f"{endpoint}/commands/messages?{account_signature(key)}", content=MESSAGE, headers=headers)


@pytest.fixture
def queue_endpoint(stack) -> str:
    with QueueServiceClient.from_connection_string(stack.description["blobConnectionString"]) as service:
        return service.primary_endpoint.rstrip("/")


def test_a_page_that_knows_the_published_key_cannot_send_a_command(queue_endpoint):
    answer = posted_by_a_page(queue_endpoint, PUBLISHED)
    assert answer.status_code == 403, answer.text


def test_the_same_request_with_the_stack_s_own_key_would_be_taken(stack, queue_endpoint):
    key = stack.description["blobConnectionString"].partition("AccountKey=")[2].partition(";")[0]
    assert key != PUBLISHED
    with QueueServiceClient.from_connection_string(stack.description["blobConnectionString"]) as service:
        with service.get_queue_client("nobodys") as queue:
            queue.create_queue()
        answer = httpx.post(f"{queue_endpoint}/nobodys/messages?{account_signature(key)}", content=MESSAGE)
        service.delete_queue("nobodys")
    assert answer.status_code == 201, answer.text


def test_nobody_else_can_look_into_what_a_stack_keeps(stack):
    assert stat.S_IMODE(stack.home.stat().st_mode) == 0o700
    readable = [
        path for path in stack.home.rglob("*") if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    below = {path.relative_to(stack.home).parts[0] for path in readable}
    assert below <= {"compute", "images"}, "only what was unpacked of images has modes of its own"


def test_a_home_that_holds_other_things_keeps_who_may_look_into_it(tmp_path):
    (tmp_path / "mine.txt").touch()
    tmp_path.chmod(0o755)
    with Home(tmp_path).locked():
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("secrets", "logs", "azurite")} == {0o700}


def test_a_home_of_an_earlier_time_is_closed(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / ".lock").touch()
    with Home(home).locked():
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_key_is_made_once_and_is_for_its_owner_only(tmp_path):
    home = Home(tmp_path / "home")
    key = home.secret("azurite-key")
    assert home.secret("azurite-key") == key
    assert len(base64.b64decode(key)) == 32
    assert stat.S_IMODE(Path(tmp_path / "home/secrets/azurite-key").stat().st_mode) == 0o600
