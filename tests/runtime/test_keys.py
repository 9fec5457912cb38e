"""Keys as a Secret is mounted, and what needs one (client-facts.md, 32 and 33)."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.slipway_server.http.keys import Keys
from tests.runtime.replicas import Replica, Start
from tests.waiting import until

ECHO = "def run(body, request_headers):\n    return [body, 'authorization' in request_headers]\n"
PREFIX = "/api/v1/service/irises"


class Secret:
    """A volume as a kubelet keeps it: what is in it lies behind `..data`, a link that is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()
        for name in ("primary", "secondary"):
            (folder / name).symlink_to(Path("..data") / name)

    def hold(self, **keys: str) -> None:
        self._version += 1
        version = self.folder / f"..{self._version}"
        version.mkdir()
        for name, key in keys.items():
            (version / name).write_text(key)
        (self.folder / "..new").symlink_to(version.name)
        (self.folder / "..new").rename(self.folder / "..data")


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    secret = Secret(tmp_path / "keys")
    secret.hold(primary="one", secondary="two\n")
    return secret


async def status(replica: Replica, key: str | None = None, path: str = "/score", scheme: str = "Bearer") -> int:
    """What comes of a request with that key."""
    headers = {"Authorization": f"{scheme} {key}"} if key is not None else {}
    method = "POST" if path.endswith("/score") else "GET"
    answer = await replica.client.request(method, path, content=b"1" if method == "POST" else None, headers=headers)
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)
    return answer.status_code


async def test_both_keys_are_good_and_nothing_else_is(start: Start, secret: Secret) -> None:
    replica = await start(ECHO, keys=secret.folder).ready()
    good = [await status(replica, key) for key in ("one", "two")]
    bad = [await status(replica, key) for key in (None, "three", "one,two", "ONE")]
    assert (good, bad) == ([200, 200], [401] * 4)
    assert [await status(replica, "one", scheme=scheme) for scheme in ("bearer", "Basic")] == [200, 401]


async def test_health_and_metrics_need_no_key_and_what_tells_of_the_driver_does(start: Start, secret: Secret) -> None:
    replica = await start(ECHO, keys=secret.folder, environment={"SERVICE_PATH_PREFIX": PREFIX[1:]}).ready()
    for path in ("/", f"{PREFIX}/", "/healthz/live", "/healthz/ready", "/metrics"):
        assert await status(replica, path=path) == 200
    for path in ("/swagger.json", "/openapi.json", f"{PREFIX}/score", f"{PREFIX}/swagger.json"):
        assert await status(replica, path=path) == 401
        assert await status(replica, "two", path=path) in {200, 404}


async def test_a_health_check_tells_a_stranger_one_word_and_who_sends_a_key_the_revision_too(
    start: Start, secret: Secret
) -> None:
    told = {"SERVICE_PATH_PREFIX": PREFIX[1:], "SLIPWAY_REVISION": "the-revision"}
    replica = await start(ECHO, keys=secret.folder, environment=told).ready()
    for path in ("/", f"{PREFIX}/"):
        for method in ("GET", "HEAD"):
            for key, revision in ((None, None), ("three", None), ("one", "the-revision"), ("two", "the-revision")):
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                answer = await replica.client.request(method, path, headers=headers)
                assert (answer.status_code, answer.headers.get("x-slipway-revision")) == (200, revision)
                assert answer.text == ("Healthy" if method == "GET" else "")
                assert "the-revision" not in str(answer.headers) + answer.text or revision


async def test_without_keys_nobody_is_told_a_revision(start: Start) -> None:
    replica = await start(ECHO, environment={"SLIPWAY_REVISION": "the-revision"}).ready()
    answer = await replica.client.get("/", headers={"Authorization": "Bearer one"})
    assert (answer.status_code, "x-slipway-revision" in answer.headers) == (200, False)


async def test_a_regenerated_key_works_and_the_old_one_stops_with_no_restart(start: Start, secret: Secret) -> None:
    replica = await start(ECHO, keys=secret.folder).ready()
    assert await status(replica, "one") == 200
    secret.hold(primary="new", secondary="two")

    async def new() -> bool:
        return await status(replica, "new") == 200

    await until(new, seconds=5)
    assert [await status(replica, key) for key in ("one", "two")] == [401, 200]


async def test_a_folder_without_keys_answers_nobody_and_no_folder_everybody(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    closed = await start(ECHO, keys=tmp_path / "empty").ready()
    assert [await status(closed, key) for key in (None, "one")] == [401] * 2
    assert await status(await start(ECHO).ready()) == 200


async def test_a_key_never_reaches_the_driver(start: Start, secret: Secret) -> None:
    replica = await start(ECHO, keys=secret.folder).ready()
    assert (await replica.score(1, headers={"Authorization": "Bearer one"})).json() == [1, False]


async def test_a_large_body_is_not_read_from_one_without_a_key(start: Start, secret: Secret) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"1" * 10_000

    replica = await start(ECHO, keys=secret.folder).ready()
    for content in (b"1" * 5_000_000, chunks()):
        answer = await replica.client.post("/score", content=content)
        assert (answer.status_code, answer.headers["connection"]) == (401, "close")
    large = b'"' + b"1" * 5_000_000 + b'"'
    assert (await replica.score(large, headers={"Authorization": "Bearer two"})).status_code == 200


@pytest.mark.parametrize("content", [b"", b"\n", None])
def test_a_file_that_holds_nothing_is_no_key(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "primary").write_bytes(content)
    keys = Keys(tmp_path)
    assert keys.needed
    assert not [given for given in (None, "", "Bearer", "Bearer ", "Bearer \n", "Bearer é") if keys.accept(given)]


def test_a_file_that_cannot_be_read_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "primary").mkdir()
    os.mkfifo(tmp_path / "unrelated")
    assert not Keys(tmp_path).accept("Bearer one")
