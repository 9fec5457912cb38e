"""What an error says to set can be set for `make up`, and then works."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from local.azurite.server import free_ports
from tests.conftest import Stack
from tests.uploads import Road, finished


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """`python -m http.server` on a folder; its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def built(stack: Stack, url: str) -> dict[str, object]:
    """The operation that built an image of a model there."""
    with stack.client() as api:
        road = Road(api, stack.description)
        model = api.post("models", json={"name": "file", "url": url, "mimeType": "application/json"}).json()
        return finished(api, road.build(road.manifest(models=(model["id"],))))


def test_a_file_of_this_machine_is_a_model_once_the_setting_that_the_error_names_is_set(
    stack, tmp_path, layer_cache, monkeypatch
):
    (tmp_path / "model.json").write_text("{}")
    with files_of(tmp_path) as host:
        refused = built(stack, f"http://{host}/model.json")
        assert refused["state"] == "Failed"
        assert "the host is not in SLIPWAY_FETCH_ALLOW" in str(refused["error"])
        monkeypatch.setenv("SLIPWAY_FETCH_ALLOW", host)
        monkeypatch.setenv("SLIPWAY_IMAGES", str(tmp_path / "images"))
        own = Stack(tmp_path / "home", layer_cache, free_ports(1)[0])
        own.start()
        try:
            operation = built(own, f"http://{host}/model.json")
            assert operation["state"] == "Succeeded"
            with own.client() as api:
                assert Road(api, own.description).service(str(operation["resourceLocation"]).rpartition("/")[2])
            assert list((tmp_path / "images").iterdir())
        finally:
            own.stop()
