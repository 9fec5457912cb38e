"""Wrong settings stop the app where it starts, and who started it is told, by `make up` and by the log."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.azurite.server import free_ports
from tests.conftest import REPOSITORY
from tests.settings import SETTINGS

WRONG = {
    "SLIPWAY_LAYER_COMPRESSION": "brotli",
    "SLIPWAY_PACKAGE_INDEXES": "my index",
    "SLIPWAY_KUBECONFIG_PROD": "hello SECRET",
    "SLIPWAY_EVENTS_ENDPOINT": "https://hook.example",
    "SLIPWAY_EVENTS_KEY": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/SECRET)",
}


def up(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What `make up` does to the end, which comes by itself."""
    environment = {**os.environ, "SLIPWAY_HOME": str(home), "PORT": str(free_ports(1)[0]), **settings}
    command = [sys.executable, "-m", "local.up"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_make_up_prints_all_that_is_wrong_with_the_settings_and_ends(tmp_path):
    ended = up(tmp_path / "home", SLIPWAY_SECRET="mine", **WRONG)
    assert "SLIPWAY_SECRET of the environment is not used: the stack keeps a secret of its own.\n" in ended.stderr
    said = ended.stderr.partition("the Functions host cannot start: ")[2].splitlines()
    assert ended.returncode == 1
    assert said[0] == "4 settings are wrong:"
    assert {line.split()[1] for line in said[1:5]} == WRONG.keys() - {"SLIPWAY_EVENTS_ENDPOINT"}
    assert said[5] == f"Its log is {tmp_path / 'home' / 'logs' / 'host.log'}."
    assert "SECRET" not in ended.stdout + ended.stderr.replace("SLIPWAY_SECRET", "")


def test_make_up_starts_nothing_for_a_name_that_is_no_setting(tmp_path):
    ended = up(tmp_path / "home", SLIPWAY_GARBGE="off")
    assert ended.returncode == 1
    assert ended.stderr == "SLIPWAY_GARBGE is no setting; the nearest known one is SLIPWAY_GARBAGE.\n"
    assert not (tmp_path / "home").exists()


def test_make_up_starts_nothing_for_a_python_that_its_services_cannot_run_on(tmp_path):
    other = f"3.{sys.version_info.minor + 1}"
    ended = up(tmp_path / "home", SLIPWAY_TARGET_PYTHON=other)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"SLIPWAY_TARGET_PYTHON={other} would make services that cannot run: ")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@contextmanager
def deployed(settings: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The app as it is deployed, under the local host."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")} | settings
    command = [sys.executable, "-m", "local.host", "--app", str(REPOSITORY), "--port", "0", "--state", str(folder)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def settings(azurite, tmp_path) -> dict[str, str]:
    own = {"AzureWebJobsStorage": azurite.connection_string, "SLIPWAY_IMAGES": str(tmp_path / "images")}
    return {**SETTINGS, **own, "SLIPWAY_SCRATCH": str(tmp_path / "scratch")}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"SLIPWAY_TARGET_PYTHON": "three"},
            "SLIPWAY_TARGET_PYTHON accepts a version of Python from 3.12 on, such as 3.13.",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "few"},
            "A variable of OpenTelemetry's (OTEL_…) is wrong: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a",
        ),
    ],
)
def test_the_app_has_no_function_with_a_wrong_setting_and_the_error_says_which(settings, tmp_path, wrong, message):
    with deployed({**settings, **wrong}, tmp_path) as app:
        _, said = app.communicate(timeout=50)
    assert app.returncode == 1
    assert json.loads(said.splitlines()[-1])["message"].startswith(message)


def test_an_app_that_is_deployed_runs_with_a_name_that_it_does_not_know_and_says_so_once(settings, tmp_path):
    with deployed({**settings, "SLIPWAY_OF_ANOTHER_VERSION": "x", "SLIPWAY_GARBGE": "off"}, tmp_path) as app:
        assert app.stderr is not None
        lines = []
        for line in app.stderr:
            lines.append(json.loads(line))
            if "listening on" in lines[-1]["message"]:
                break
        answer = httpx.get(
            f"{lines[-1]['message'].split()[-1]}/api/subscriptions/sub/resourceGroups/group/accounts/local/models"
        )
    errors = [line["message"] for line in lines if line["level"] == "ERROR"]
    assert len(errors) == 1
    assert "SLIPWAY_GARBGE is no setting; the nearest known one is SLIPWAY_GARBAGE." in errors[0]
    assert "SLIPWAY_OF_ANOTHER_VERSION is no setting" in errors[0]
    assert answer.status_code == 401
