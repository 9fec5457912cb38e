"""A model larger than the memory that may be taken for it goes through, and no disk ever holds it."""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import REPOSITORY
from tests.registries.running import registry

MIB = 1024**2
SIZE = 320 * MIB
BLOCK = random.Random(7).randbytes(MIB)


class Weights(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        for _ in range(SIZE // MIB):
            self.wfile.write(BLOCK)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def weights() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Weights)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_memory_and_disk_do_not_grow_with_the_model(weights, azurite, tmp_path):
    (tmp_path / "build").mkdir()
    with registry(tmp_path / "registry") as host:
        given = {
            "storage": azurite.connection_string,
            "registry": f"{host}/large",
            "host": weights,
            "url": f"http://{weights}/model.bin",
            "folder": str(tmp_path / "build"),
        }
        command = [sys.executable, "-m", "tests.images.large", json.dumps(given)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    took = json.loads(done.stdout)
    assert took["memory"] < 256 * MIB
    assert took["disk"] < 32 * MIB
