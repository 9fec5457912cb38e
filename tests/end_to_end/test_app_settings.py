"""What `make up` and `make demo` tell the function app, on machines of other kinds than this."""

import platform

import pytest

from local.azurite.server import AzuriteAddress
from local.home import Home, Ports
from local.issuer import Issuer
from local.stack import _settings
from shared.settings import read_settings


@pytest.fixture
def told_platform(tmp_path):
    """Asks for the platform that images of a stack are built for."""
    issuer = Issuer(tmp_path / "issuer.pem", 0)
    issuer.start()

    def told() -> str:
        settings = _settings(Home(tmp_path), Ports(1, 2, 3, 4, 5, 6), AzuriteAddress(1, 2, 3), issuer)
        return read_settings(settings).images.platform

    yield told
    issuer.stop()


@pytest.mark.parametrize(("machine", "built_for"), [("aarch64", "linux/arm64"), ("x86_64", "linux/amd64")])
@pytest.mark.parametrize("chosen", ["", None])
def test_a_stack_builds_for_the_machine_that_runs_its_replicas(told_platform, monkeypatch, machine, built_for, chosen):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.delenv("SLIPWAY_TARGET_PLATFORM", raising=False)
    if chosen is not None:
        monkeypatch.setenv("SLIPWAY_TARGET_PLATFORM", chosen)
    assert told_platform() == built_for


def test_a_platform_that_is_chosen_is_built_for(told_platform, monkeypatch):
    monkeypatch.setenv("SLIPWAY_TARGET_PLATFORM", "linux/s390x")
    assert told_platform() == "linux/s390x"
