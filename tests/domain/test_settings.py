import platform
from datetime import timedelta

import pytest

from shared.domain.accounts import Account
from shared.domain.manifests import RuntimeType
from shared.settings import read_settings
from shared.settings.environment import SettingError
from shared.storage.connection import StorageConnection, StorageSettingError
from tests.settings import SETTINGS


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith("SLIPWAY")])
def test_a_missing_setting_is_named(name):
    with pytest.raises(SettingError, match=name):
        read_settings({other: value for other, value in SETTINGS.items() if other != name})


@pytest.mark.parametrize(("name", "value"), [("SLIPWAY_ACCOUNTS", "sub/group"), ("SLIPWAY_SECRET", "c2hvcnQ=")])
def test_a_malformed_setting_is_named_and_not_shown(name, value):
    with pytest.raises(SettingError, match=f"{name} accepts") as refused:
        read_settings({**SETTINGS, name: value})
    assert value not in str(refused.value)


def test_accounts_are_several_with_commas_between_them():
    accounts = read_settings({**SETTINGS, "SLIPWAY_ACCOUNTS": "a/b/c, d/e/f"}).accounts
    assert accounts == (Account("a", "b", "c"), Account("d", "e", "f"))


WEBHOOK = {"SLIPWAY_EVENTS_ENDPOINT": "https://hook/x", "SLIPWAY_EVENTS_KEY": "whsec_" + "c2VjcmV0" * 4}


def test_kinds_of_operation_have_deadlines_and_attempts_of_their_own():
    plans = read_settings({**SETTINGS, "SLIPWAY_DEADLINE_BUILD_IMAGE": "60", "SLIPWAY_ATTEMPTS_DEPLOY_SERVICE": "3"}).plans
    assert (plans["build-image"].deadline, plans["build-image"].attempts) == (timedelta(minutes=1), 8)
    assert (plans["deploy-service"].deadline, plans["deploy-service"].attempts) == (timedelta(minutes=10), 3)


@pytest.mark.parametrize(
    "name", ["SLIPWAY_DEADLINE_BUILD_IMAGE", "SLIPWAY_ATTEMPTS_RUN_PIPELINE", "SLIPWAY_OPERATION_RETENTION_DAYS"]
)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "٣x", "9" * 30])
def test_a_number_that_makes_no_sense_is_refused_naming_the_setting(name, value):
    with pytest.raises(SettingError, match=f"{name} accepts a whole number"):
        read_settings({**SETTINGS, name: value})


def test_events_go_nowhere_else_unless_a_setting_says_so():
    assert read_settings(SETTINGS).events is None
    assert read_settings({**SETTINGS, **WEBHOOK}).events.endpoint == "https://hook/x"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SLIPWAY_EVENTS_ENDPOINT": "hook"}, "SLIPWAY_EVENTS_ENDPOINT accepts"),
        ({"SLIPWAY_EVENTS_KEY": ""}, "SLIPWAY_EVENTS_KEY is missing"),
        ({"SLIPWAY_EVENTS_KEY": "not base64!"}, "SLIPWAY_EVENTS_KEY accepts"),
    ],
)
def test_an_events_endpoint_without_sense_or_key_is_refused(changed, named):
    with pytest.raises(SettingError, match=named):
        read_settings({**SETTINGS, **WEBHOOK, **changed})


def test_a_key_of_event_grid_is_taken_as_it_is():
    grid = {"SLIPWAY_EVENTS_ENDPOINT": "https://t.westeurope-1.eventgrid.azure.net/api/events", "SLIPWAY_EVENTS_KEY": "key!"}
    assert read_settings({**SETTINGS, **grid}).events.key == "key!"


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_telemetry_is_sent_where_the_standard_variables_say(name):
    assert not read_settings(SETTINGS).telemetry
    assert read_settings({**SETTINGS, name: "http://collector:4318"}).telemetry


def test_commands_are_taken_for_the_accounts_that_are_named():
    assert read_settings(SETTINGS).command_accounts == ()
    named = read_settings({**SETTINGS, "SLIPWAY_COMMAND_ACCOUNTS": "sub/group/local"}).command_accounts
    assert named == (Account("sub", "group", "local"),)


def test_images_go_to_a_registry_or_to_a_folder():
    in_folder, in_registry = read_settings(SETTINGS), read_settings({**SETTINGS, "SLIPWAY_REGISTRY": "r.azurecr.io/a/"})
    assert (in_folder.images.images.name, in_folder.images.registry) == ("images", "")
    assert (in_registry.images.images, in_registry.images.registry) == (None, "r.azurecr.io/a")
    with pytest.raises(SettingError, match="SLIPWAY_IMAGES"):
        read_settings({**SETTINGS, "SLIPWAY_IMAGES": ""})


@pytest.mark.parametrize("value", ["slipway", "UPPER/x", "https://r.io/x", "r.io/a:1", "r.io/a b"])
def test_what_is_no_registry_is_refused(value):
    with pytest.raises(SettingError, match="SLIPWAY_REGISTRY accepts"):
        read_settings({**SETTINGS, "SLIPWAY_REGISTRY": value})


def test_each_runtime_type_has_a_base_image_of_its_own():
    given = {"SLIPWAY_BASE_IMAGE_PYTHON": "python:3.13-slim", "SLIPWAY_BASE_IMAGE_SPARKPYTHON": "r.io/spark:4"}
    bases = read_settings({**SETTINGS, **given}).images.bases
    assert bases == {
        RuntimeType.PYTHON: "docker.io/library/python:3.13-slim",
        RuntimeType.SPARK_PYTHON: "r.io/spark:4",
    }
    with pytest.raises(SettingError, match="SLIPWAY_BASE_IMAGE_PYTHON"):
        read_settings({**SETTINGS, "SLIPWAY_BASE_IMAGE_PYTHON": "Not An Image"})


def test_the_resource_id_of_a_registry_is_checked_when_the_app_starts():
    with pytest.raises(SettingError, match="SLIPWAY_REGISTRY_RESOURCE_ID: 'registry' is no registry's resource id"):
        read_settings({**SETTINGS, "SLIPWAY_REGISTRY_RESOURCE_ID": "registry"})
    assert read_settings(SETTINGS).images.registry_resource is None


def test_logins_that_make_no_sense_are_refused_naming_the_setting_and_showing_nothing():
    with pytest.raises(SettingError, match="SLIPWAY_REGISTRY_AUTH holds") as refused:
        read_settings({**SETTINGS, "SLIPWAY_REGISTRY_AUTH": '{"auths": {"r.io": "SECRET"}}'})
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("given", [{}, {"SLIPWAY_TARGET_PLATFORM": ""}])
def test_images_are_for_amd64_whatever_machine_builds_them(given, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert read_settings({**SETTINGS, **given}).images.platform == "linux/amd64"
    assert read_settings({**SETTINGS, "SLIPWAY_TARGET_PLATFORM": "linux/arm64"}).images.platform == "linux/arm64"


@pytest.mark.parametrize(
    ("given", "platform"),
    [("linux/amd64/v3", "linux/amd64/v3"), ("linux/arm64/v8", "linux/arm64"), (" linux/amd64 ", "linux/amd64")],
)
def test_a_platform_may_name_a_variant(given, platform):
    assert read_settings({**SETTINGS, "SLIPWAY_TARGET_PLATFORM": given}).images.platform == platform


@pytest.mark.parametrize("given", ["amd64", "linux/amd64/v3/x", "linux amd64", "linux/"])
def test_what_is_no_platform_is_refused(given):
    with pytest.raises(SettingError, match=r"SLIPWAY_TARGET_PLATFORM accepts linux/amd64, .* each also with a variant"):
        read_settings({**SETTINGS, "SLIPWAY_TARGET_PLATFORM": given})


def test_no_part_of_an_account_leaves_its_scope():
    assert Account("..", "a/b", "c!d").scope == "=2E=2E!a=2Fb!c=21d"


def test_storage_is_reached_by_connection_string_by_name_or_as_the_emulator():
    emulator = StorageConnection.from_settings({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    named = StorageConnection.from_settings({"AzureWebJobsStorage__accountName": "acc"})
    text = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=eA==;EndpointSuffix=core.usgovcloudapi.net"
    assert emulator.table == "http://127.0.0.1:10002/devstoreaccount1"
    assert (named.blob, named.key) == ("https://acc.blob.core.windows.net", None)
    assert StorageConnection.from_settings({"AzureWebJobsStorage": text}).queue == "https://acc.queue.core.usgovcloudapi.net"


@pytest.mark.parametrize("settings", [{}, {"AzureWebJobsStorage": "AccountKey=SECRET"}])
def test_storage_settings_that_name_no_account_are_refused_without_showing_the_key(settings):
    with pytest.raises(StorageSettingError) as refused:
        StorageConnection.from_settings(settings)
    assert "SECRET" not in str(refused.value)
