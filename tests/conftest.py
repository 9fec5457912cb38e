"""What all tests may use: one Azurite, and one stack of `make up`, for the whole run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from local.azurite.server import Azurite, free_ports
from local.issuer import Signer
from tests.images.indexes import Index
from tests.images.sources import Sources

REPOSITORY = Path(__file__).parent.parent

# One example in a bound that a machine with other things to do keeps, too.
hypothesis.settings.register_profile("slipway", deadline=timedelta(seconds=3))
hypothesis.settings.load_profile("slipway")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What tests have defined on a real API server goes when all of them have ended, in whatever process."""
    given = os.environ.get("SLIPWAY_TEST_KUBECONFIG")
    if given and not hasattr(session.config, "workerinput"):
        from tests.clusters.cluster import leave_no_definitions  # noqa: PLC0415  only who has such a server pays

        asyncio.run(leave_no_definitions(given))


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@dataclass
class Stack:
    """A stack of `make up`, as a process of its own; `description` is what its local.json says."""

    home: Path
    cache: Path
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def description(self) -> dict[str, Any]:
        return json.loads((self.home / "local.json").read_text())

    def start(self) -> None:
        environment = {
            **os.environ,
            "SLIPWAY_HOME": str(self.home),
            "SLIPWAY_SCRATCH": str(self.cache),
            "PORT": str(self.port),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.up"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("(ready"):
                return
        self.process.stdout.close()
        raise AssertionError(f"the stack did not get ready: exit code {self.process.wait()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.process = None
        return code

    def client(self, token: str | None = None) -> httpx.Client:
        described = self.description
        headers = {"Authorization": f"Bearer {token or described['token']}"}
        parameters = {"api-version": "2017-09-01-preview"}
        return httpx.Client(base_url=described["baseUrl"], headers=headers, params=parameters, timeout=60)

    def token(self, *roles: str, seconds: int = 600) -> str:
        """A token of the stack's own issuer, with those roles."""
        ports = json.loads((self.home / "ports.json").read_text())
        signer = Signer(self.home / "secrets" / "issuer.pem", f"http://127.0.0.1:{ports['issuer']}")
        return signer.token(*roles, seconds=seconds)


@pytest.fixture(scope="session")
def layer_cache(tmp_path_factory) -> Path:
    """Locks, layers and downloads of packages, once for all tests."""
    return Path(os.environ.get("SLIPWAY_TEST_CACHE") or tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory) -> Path:
    """Where packages are downloaded to once for all tests; kept between runs where the environment says so."""
    return Path(os.environ.get("SLIPWAY_TEST_DOWNLOADS") or tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory, layer_cache) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("home"), layer_cache, free_ports(1)[0])
    running.start()
    yield running
    running.stop()


@pytest.fixture
def api(stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


@pytest.fixture
def index() -> Iterator[Index]:
    """An index of packages of the tests' own."""
    with Sources() as sources:
        yield Index(sources)
