import pytest

from shared.domain.accounts import Account
from shared.settings import SettingError, read_settings
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
