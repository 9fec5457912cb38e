"""What becomes of packages that are published as source only is the operator's choice: nothing trusts them unasked."""

import pytest

from shared.settings.environment import SettingError
from shared.settings.images import SourcePackages, read_image_settings

RESOURCE = (
    "/subscriptions/01890000-0000-7000-8000-000000000001/resourceGroups/g"
    "/providers/Microsoft.ContainerRegistry/registries/registry"
)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("", SourcePackages.SANDBOX),
        ("sandbox", SourcePackages.SANDBOX),
        ("build", SourcePackages.SANDBOX),
        ("refuse", SourcePackages.REFUSE),
        ("trust", SourcePackages.TRUST),
    ],
)
def test_what_becomes_of_source_packages_is_a_setting_and_nothing_trusts_them_unasked(word, meant):
    settings = read_image_settings({"SLIPWAY_IMAGES": "/images", "SLIPWAY_SOURCE_PACKAGES": word})
    assert settings.packages.sources is meant


def test_source_packages_are_built_remotely_only_where_that_is_set_up():
    named = {"SLIPWAY_REGISTRY": "r.azurecr.io", "SLIPWAY_SOURCE_PACKAGES": "acr-tasks"}
    with pytest.raises(SettingError, match="SLIPWAY_SOURCE_PACKAGES=acr-tasks needs SLIPWAY_REGISTRY_RESOURCE_ID"):
        read_image_settings(named)
    settings = read_image_settings({**named, "SLIPWAY_REGISTRY_RESOURCE_ID": RESOURCE})
    assert settings.packages.sources is SourcePackages.ACR_TASKS


def test_an_unknown_word_is_refused_with_those_that_are_known():
    with pytest.raises(SettingError, match="SLIPWAY_SOURCE_PACKAGES accepts sandbox, acr-tasks, refuse or trust"):
        read_image_settings({"SLIPWAY_IMAGES": "/images", "SLIPWAY_SOURCE_PACKAGES": "maybe"})
