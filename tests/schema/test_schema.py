"""The API's description and the API say the same: what the one allows the other takes, and answers as described.

By schemathesis with all its checks; `excepted` names what a description cannot say.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite.server import free_ports
from tests.conftest import REPOSITORY, Stack
from tests.uploads import Road

LONG = os.environ.get("SLIPWAY_CHAOS") == "long"
FOLDER = Path(__file__).parent
REPLACED = "positive_data_acceptance,negative_data_rejection"
"""Checks that the hooks call themselves."""


@pytest.fixture(scope="module")
def own(tmp_path_factory, layer_cache) -> Iterator[Stack]:
    """A stack of its own: what is made up may delete what others need."""
    stack = Stack(tmp_path_factory.mktemp("described"), layer_cache, free_ports(1)[0])
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def kept(own) -> dict[str, str]:
    """The ids of one resource of each kind."""
    with own.client() as api:
        road = Road(api, own.description)
        body = {"name": "digits", "url": "http://store/digits.pkl", "mimeType": "application/json"}
        image = road.image()
        return {
            "models": api.post("models", json=body).json()["id"],
            "manifests": road.manifest("http://127.0.0.1:1/nothing.py"),
            "images": image,
            "services": road.service(image, numReplicas=0)["id"],
            "operations": api.get(f"images/{image}").json()["operationId"],
            "compute": road.compute["id"],
            "computeResources": "local",
        }


def schemathesis(stack: Stack, kept: dict[str, str], token: str, *options: str) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(FOLDER / "schemathesis.toml"), "run"]
    told = ["-H", f"Authorization: Bearer {token}", "--checks", "all", "--exclude-checks", REPLACED]
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "SCHEMATHESIS_HOOKS": "tests.schema.hooks",
        "SLIPWAY_TEST_KEPT": json.dumps(kept),
    }
    return subprocess.run(
        [*program, f"{stack.description['baseUrl']}/swagger.json", *told, "--no-color", *options],
        env=environment,
        cwd=stack.home,
        capture_output=True,
        text=True,
        check=False,
    )


BOUNDED = ("--max-examples", "2", "--generation-deterministic")


@pytest.mark.parametrize("role", ["Slipway.Contributor", "Slipway.Reader"] if LONG else ["Slipway.Contributor"])
def test_what_the_description_says_is_what_the_app_does(own, kept, role):
    options = (
        ("--max-examples", os.environ.get("SLIPWAY_TEST_EXAMPLES", "300"), "--continue-on-failure") if LONG else BOUNDED
    )
    ran = schemathesis(own, kept, own.token(role, seconds=3600), *options)
    assert ran.returncode == 0, ran.stdout[-60_000:] + ran.stderr[-2000:]
    assert "Tested: 31" in ran.stdout
    assert "Stateful" in ran.stdout
