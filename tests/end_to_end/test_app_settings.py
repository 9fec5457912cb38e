"""What `make up` and `make demo` tell the function app: what they are told themselves, and what machine they are on."""

import logging
import platform
import sys

import pytest

from local.app_settings import app_settings, chosen_settings
from local.azurite.server import AzuriteAddress
from local.errors import StackError
from local.home import Home
from local.issuer import Issuer
from local.machine import this_platform
from local.ports import Ports
from shared.settings import Settings, read_settings
from shared.settings.names import NAMES

REGISTRY = {"SLIPWAY_REGISTRY": "127.0.0.1:5000/slipway"}
OWN = [name for name in NAMES if name.startswith(("SLIPWAY_SECRET", "SLIPWAY_ENTRA", "SLIPWAY_TOKEN", "SLIPWAY_LOCAL"))]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def told(tmp_path):
    """Gives the settings of a stack that is started in an environment."""
    issuer = Issuer(tmp_path / "issuer.pem", 0)
    issuer.start()

    def settings(**environment: str) -> dict[str, str]:
        home, ports = Home(tmp_path), Ports(1, 2, 3, 4, 5, 6)
        return app_settings(chosen_settings(environment), home, ports, AzuriteAddress(1, 2, 3, "eA=="), issuer)

    yield settings
    issuer.stop()


def read(settings: dict[str, str]) -> Settings:
    return read_settings(settings)


@pytest.mark.parametrize(("machine", "built_for"), [("aarch64", "linux/arm64"), ("x86_64", "linux/amd64")])
@pytest.mark.parametrize("chosen", [{"SLIPWAY_TARGET_PLATFORM": ""}, {}])
def test_a_stack_builds_for_the_machine_that_runs_its_replicas(told, monkeypatch, machine, built_for, chosen):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert read(told(**chosen)).images.platform == built_for


def test_a_platform_and_a_python_that_are_chosen_are_built_for_where_a_registry_takes_the_images(told):
    images = read(told(**REGISTRY, SLIPWAY_TARGET_PLATFORM="linux/arm64", SLIPWAY_TARGET_PYTHON="3.12")).images
    assert (images.platform, images.python) == ("linux/arm64", "3.12")


def test_images_for_a_registry_are_for_linux_whatever_this_machine_runs(told, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert read(told(**REGISTRY)).images.platform == "linux/arm64"
    assert read(told()).images.platform == "darwin/arm64"


@pytest.mark.parametrize(
    ("name", "value", "here"),
    [
        ("SLIPWAY_TARGET_PYTHON", "3.12", PYTHON),
        ("SLIPWAY_TARGET_PYTHON", "three", PYTHON),
        ("SLIPWAY_TARGET_PLATFORM", "linux/s390x", this_platform()),
    ],
)
def test_a_target_that_this_machine_cannot_run_is_refused_where_services_run_on_it(told, name, value, here):
    with pytest.raises(StackError, match=f"{name}={value} would make services that cannot run.*which is {here}"):
        told(**{name: value})
    assert told(**{name: here})[name] == here


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN and not name.startswith("SLIPWAY_TARGET_")])
def test_every_setting_of_the_app_can_be_chosen(told, name):
    assert "chosen" in told(**{name: "chosen"})[name]


@pytest.mark.parametrize("name", OWN)
def test_what_a_stack_has_of_its_own_is_not_taken_and_it_says_so_and_why(told, caplog, name):
    with caplog.at_level(logging.WARNING, "local"):
        settings = told(**{name: "mine"})
    assert settings.get(name) != "mine"
    assert f"{name} of the environment is not used: the stack " in caplog.text
    assert "mine" not in caplog.text


def test_a_storage_of_the_environment_is_not_written_to(told, caplog):
    assert "mine" not in told(AzureWebJobsStorage="mine", AzureWebJobsStorage__accountName="mine").values()
    assert "AzureWebJobsStorage of the environment is not used: the stack has a storage of its own" in caplog.text


def test_what_may_be_fetched_and_who_is_served_is_added_to_what_a_stack_needs_itself(told):
    allow = {"SLIPWAY_FETCH_ALLOW": "127.0.0.1:7871", "SLIPWAY_FETCH_HOSTS": "models.example.com"}
    added = {"SLIPWAY_FETCH_CONTAINERS": "models", "SLIPWAY_ACCOUNTS": "s/g/a", "SLIPWAY_COMMAND_ACCOUNTS": "s/g/a"}
    settings = read(told(**allow, **added))
    assert settings.images.fetch.allow == ("127.0.0.1:1", "127.0.0.1:7871")
    assert settings.images.fetch.hosts == ("127.0.0.1", "models.example.com")
    assert settings.images.fetch.containers[1:] == ("models",)
    assert [account.name for account in settings.accounts] == ["local", "a"]
    assert settings.command_accounts == settings.accounts


def test_a_name_that_is_no_setting_stops_a_stack(told):
    with pytest.raises(StackError, match="SLIPWAY_REGISTY is no setting; the nearest known one is SLIPWAY_REGISTRY"):
        told(SLIPWAY_REGISTY="127.0.0.1:5000", SLIPWAY_HOME="/tmp/home")


def test_what_only_the_stack_and_the_tests_read_stops_no_stack_and_is_not_told_to_the_app(told):
    settings = told(SLIPWAY_HOME="/tmp/home", SLIPWAY_TEST_CACHE="/tmp/cache", SLIPWAY_CHAOS="long", PATH="/bin")
    assert read(settings)
    assert {"SLIPWAY_HOME", "SLIPWAY_TEST_CACHE", "SLIPWAY_CHAOS", "PATH"}.isdisjoint(settings)
