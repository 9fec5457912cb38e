"""`python -m admin check`: what is wrong with a deployment is told without starting it, a line for each check."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite.server import free_ports
from local.issuer import Issuer
from tests.clusters.cluster import Cluster, running_cluster
from tests.conftest import REPOSITORY
from tests.images.bases import push_base, small_layer
from tests.registries.running import TokenService, registry
from tests.settings import SETTINGS

NOWHERE = f"http://127.0.0.1:{free_ports(1)[0]}"


def check(settings: dict[str, str] | None = None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command prints, and its exit code, in an environment of these settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    command = [sys.executable, "-m", "admin", "check", *arguments]
    environment = inherited | (settings or {})
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False)


def lines(done: subprocess.CompletedProcess[str], mark: str) -> list[str]:
    """What has that mark, without it."""
    return [line.removeprefix(mark).strip() for line in done.stdout.splitlines() if line.startswith(f"{mark} ")]


@pytest.fixture
def settings(azurite, tmp_path) -> Iterator[dict[str, str]]:
    """Those of a deployment in which all is well."""
    issuer = Issuer(tmp_path / "issuer.pem", 0)
    issuer.start()
    own = {"AzureWebJobsStorage": azurite.connection_string, "SLIPWAY_IMAGES": str(tmp_path / "images")}
    yield {**SETTINGS, **own, "SLIPWAY_TOKEN_ISSUERS": issuer.signer.url, "SLIPWAY_TOKEN_JWKS_URL": issuer.keys_url}
    issuer.stop()


@pytest.fixture
def tokens() -> Iterator[TokenService]:
    service = TokenService()
    yield service
    service.stop()


def login(host: str, name: str, password: str) -> str:
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}}})


def test_all_is_well_with_a_running_stack(stack):
    done = check(None, "--home", str(stack.home))
    assert (done.returncode, lines(done, "wrong"), lines(done, "note")) == (0, [], [])
    assert done.stdout.startswith(f"The settings are those of the stack of {stack.home}.\n")
    assert [line.split(":")[0] for line in lines(done, "ok")] == [
        "settings",
        "issuer",
        "storage, tables",
        "storage, queues",
        "storage, blobs",
    ]


def test_a_home_on_which_no_stack_was_started_has_no_settings(tmp_path):
    done = check(None, "--home", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"no stack was started on {tmp_path}; `make up` starts one.\n")


def test_the_environment_is_read_and_all_that_is_wrong_with_it_is_told(settings):
    done = check({**settings, "SLIPWAY_GARBGE": "x", "SLIPWAY_SECRET": "SECRET", "SLIPWAY_TARGET_PYTHON": "2.7"})
    assert done.returncode == 1
    assert done.stdout.startswith("The settings are those of the environment")
    assert lines(done, "wrong") == [
        "names: SLIPWAY_GARBGE is no setting; the nearest known one is SLIPWAY_GARBAGE.",
        "settings: SLIPWAY_SECRET accepts at least 32 random bytes in base64.",
        "settings: SLIPWAY_TARGET_PYTHON accepts a version of Python from 3.12 on, such as 3.13.",
    ]
    assert lines(done, "note") == ["network: not tried; mend the settings first."]


def test_a_name_that_is_no_setting_is_wrong_though_all_else_is_well(settings):
    done = check({**settings, "SLIPWAY_REGISTY": "x"})
    assert done.returncode == 1
    assert [line.split(":")[0] for line in lines(done, "wrong")] == ["names"]
    assert len(lines(done, "ok")) == 5


def test_an_issuer_and_a_storage_that_do_not_answer_are_named_with_the_settings_to_look_at(settings):
    key = base64.b64encode(b"SECRET" * 6).decode()
    away = ";".join(f"{service}Endpoint={NOWHERE}/a" for service in ("Blob", "Queue", "Table"))
    storage = f"AccountName=a;AccountKey={key};{away}"
    done = check({**settings, "AzureWebJobsStorage": storage, "SLIPWAY_TOKEN_JWKS_URL": f"{NOWHERE}/keys"})
    told = lines(done, "wrong")
    assert done.returncode == 1
    assert [line.split(":")[0] for line in told] == ["issuer", "storage, tables", "storage, queues", "storage, blobs"]
    assert "SLIPWAY_TOKEN_JWKS_URL" in told[0]
    assert all("AzureWebJobsStorage" in line for line in told[1:])
    assert key not in done.stdout


def test_a_storage_that_refuses_the_key_is_told_from_one_that_is_away(settings):
    parts = dict(part.split("=", 1) for part in settings["AzureWebJobsStorage"].split(";") if part)
    other = {**parts, "AccountKey": base64.b64encode(b"another key" * 6).decode()}
    storage = ";".join(f"{name}={value}" for name, value in other.items())
    told = lines(check({**settings, "AzureWebJobsStorage": storage}), "wrong")
    assert len(told) == 3
    assert all("refused this app's identity with 403" in line for line in told)


def test_an_address_where_no_keys_are_is_no_issuer(settings):
    url = settings["SLIPWAY_TOKEN_ISSUERS"]
    for path, said in ((f"{url}/nothing", "404"), (f"{url}/.well-known/openid-configuration", "holds no array `keys`")):
        (told,) = lines(check({**settings, "SLIPWAY_TOKEN_JWKS_URL": path}), "wrong")
        assert told.startswith("issuer: no key set: ")
        assert said in told


def test_a_storage_that_nobody_signs_in_to_is_told_so(settings):
    by_name = {**settings, "AzureWebJobsStorage": "", "AzureWebJobsStorage__accountName": "nosuchaccount"}
    told = lines(check(by_name), "wrong")
    assert [line.split(":")[0] for line in told] == ["storage, tables", "storage, queues", "storage, blobs"]
    assert all("the app's identity cannot sign in" in line for line in told)


def test_a_variable_of_opentelemetry_s_that_is_wrong_is_told_before_the_app_starts(settings):
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "few"}
    (told,) = lines(check({**settings, **sent}), "wrong")
    assert told.startswith("settings: A variable of OpenTelemetry's (OTEL_…) is wrong: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")


@pytest.fixture
def guarded(tokens: TokenService, tmp_path: Path) -> Iterator[str]:
    """A registry whose token service knows one login."""
    with registry(tmp_path, tokens.auth(tmp_path)) as host:
        yield host


def into(settings: dict[str, str], host: str, **others: str) -> dict[str, str]:
    """Those of a deployment whose images go to that registry."""
    images = {"SLIPWAY_IMAGES": "", "SLIPWAY_REGISTRY": f"{host}/slipway", "SLIPWAY_BASE_IMAGE_PYTHON": f"{host}/base:1"}
    return {**settings, **images, **others}


def test_a_registry_is_signed_in_to_with_the_login_for_it(settings, tokens, guarded):
    good, bad = login(guarded, *tokens.login), login(guarded, "robot", "SECRET")
    assert any(
        line.startswith("registry: ") for line in lines(check(into(settings, guarded, SLIPWAY_REGISTRY_AUTH=good)), "ok")
    )
    for given in ({}, {"SLIPWAY_REGISTRY_AUTH": bad}):
        done = check(into(settings, guarded, **given))
        refused, base = lines(done, "wrong")
        assert refused.startswith(f"registry: The registry {guarded} cannot be signed in to")
        assert "SLIPWAY_REGISTRY_AUTH" in refused
        assert base.startswith("base image, Python: ")
        assert "SECRET" not in done.stdout


def test_a_login_that_may_only_read_is_found_out_before_a_build_does(settings, tokens, guarded):
    tokens.permitted = ("pull",)
    told = lines(check(into(settings, guarded, SLIPWAY_REGISTRY_AUTH=login(guarded, *tokens.login))), "wrong")
    assert told[0].startswith("registry: ")


def test_a_login_that_nothing_uses_is_noted_and_a_base_image_is_looked_for(settings, tmp_path):
    with registry(tmp_path) as host:
        push_base(host, "base", small_layer(), platform="linux/amd64")
        done = check(into(settings, host, SLIPWAY_REGISTRY_AUTH=login(f"{host}.example", "robot", "SECRET")))
        other = check(into(settings, host, SLIPWAY_BASE_IMAGE_PYTHON=f"{host}/no-such-base:1"))
    assert done.returncode == 0
    assert [line.split(":")[0] for line in lines(done, "ok")][-2:] == ["registry", "base image, Python"]
    (noted,) = lines(done, "note")
    assert noted.startswith(f"SLIPWAY_REGISTRY_AUTH: the login for {host}.example is used by nothing")
    assert "SECRET" not in done.stdout
    assert other.returncode == 1
    assert "SLIPWAY_BASE_IMAGE_PYTHON" in lines(other, "wrong")[0]


def test_settings_that_do_nothing_beside_the_others_are_noted(settings):
    tenant = {"SLIPWAY_ENTRA_TENANT": "8f2b7a3e-5d41-4c1e-9a60-0d2f6b7c8e91"}
    key = {"SLIPWAY_EVENTS_KEY": "whsec_" + base64.b64encode(b"SECRET" * 6).decode()}
    done = check({**settings, **tenant, **key})
    assert lines(done, "note") == [
        "SLIPWAY_EVENTS_KEY: does nothing without SLIPWAY_EVENTS_ENDPOINT.",
        "SLIPWAY_TOKEN_ISSUERS: does nothing beside SLIPWAY_ENTRA_TENANT, which takes its place.",
        "SLIPWAY_TOKEN_JWKS_URL: does nothing beside SLIPWAY_ENTRA_TENANT, which takes its place.",
    ]


@pytest.fixture
async def cluster() -> Iterator[Cluster]:
    async with running_cluster() as running:
        yield running


async def test_a_cluster_is_signed_in_to_with_the_kubeconfig_of_its_setting(settings, cluster):
    unknown = cluster.kubeconfig.replace("token: ", "token: not-")
    given = {"SLIPWAY_KUBECONFIG_GOOD": cluster.kubeconfig, "SLIPWAY_KUBECONFIG_OLD": unknown}
    done = await asyncio.to_thread(check, {**settings, **given})
    (good,) = [line for line in lines(done, "ok") if line.startswith("cluster, ")]
    (old,) = lines(done, "wrong")
    assert good.startswith("cluster, SLIPWAY_KUBECONFIG_GOOD: Kubernetes v")
    assert old.startswith("cluster, SLIPWAY_KUBECONFIG_OLD: ")
    assert old.endswith("see SLIPWAY_KUBECONFIG_OLD.")
