"""Files of packages are fetched with an index's credentials from that index alone, and within bounds."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.domain.errors import BuildFailed, Unavailable
from shared.images.packages.fetching import PackageFetcher
from shared.images.packages.pylock import PackageFile
from tests.images.sources import Sources

LONG = 3600.0


@pytest.fixture
def another_host() -> Iterator[tuple[str, list[str]]]:
    """A server at another port, and what it was told as Authorization."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.headers.get("Authorization", ""))
            moved = self.path.startswith("/moved/")
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", f"http://{self.path.removeprefix('/moved/')}")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(url: str, into: Path, *indexes: str, most: int = 1000, seconds: float = LONG) -> str:
    return PackageFetcher(indexes, most).fetch(PackageFile(url, ""), into / "file", time.monotonic() + seconds)


def test_credentials_go_to_their_index_and_nowhere_else(another_host, tmp_path):
    host, told = another_host
    fetched(f"http://{host}/a.whl", tmp_path, f"http://user:p%40ss@{host}/simple")
    fetched(f"http://{host}/b.whl", tmp_path / "..", "http://user:pass@other.example/simple")
    assert told == ["Basic dXNlcjpwQHNz", ""]


def test_credentials_do_not_follow_to_where_a_file_has_moved(another_host, tmp_path):
    host, told = another_host
    fetched(
        f"http://{host}/moved/{host.replace('127.0.0.1', 'localhost')}/a.whl", tmp_path, f"http://user:pass@{host}/simple"
    )
    assert [bool(one) for one in told] == [True, False]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, BuildFailed, "IndexDenied"),
        (403, BuildFailed, "IndexDenied"),
        (404, BuildFailed, "PackagesFailed"),
        (500, Unavailable, "IndexUnavailable"),
        (503, Unavailable, "IndexUnavailable"),
    ],
)
def test_what_the_index_answers_instead_is_told_without_the_signature(sources: Sources, tmp_path, status, kind, code):
    with pytest.raises(kind) as failed:
        fetched(sources.put("a.whl", b"", status=status), tmp_path)
    assert (failed.value.code, "a.whl" in failed.value.message, "SECRET" in failed.value.message) == (code, True, False)


def test_an_answer_that_breaks_off_or_does_not_come_is_an_outage(sources: Sources, tmp_path):
    slow = sources.put("slow.whl", b"x" * 100, pause=0.02)
    for url, seconds in ((slow, 0.5), ("http://127.0.0.1:1/a.whl", LONG)):
        with pytest.raises(Unavailable) as away:
            fetched(url, tmp_path, seconds=seconds)
        assert away.value.code == "IndexUnavailable"
        (tmp_path / "file").unlink(missing_ok=True)


def test_a_file_has_a_size(sources: Sources, tmp_path):
    with pytest.raises(BuildFailed, match=r"large\.whl has more than"):
        fetched(sources.put("large.whl", b"x" * 1001), tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.whl", "a.whl", "gopher://host/a"])
def test_an_index_cannot_name_files_of_this_machine(tmp_path, url):
    with pytest.raises(BuildFailed, match="at no URL of HTTP"):
        fetched(url, tmp_path)
