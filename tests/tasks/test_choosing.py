import pytest

from shared.domain.errors import BuildFailed
from shared.domain.manifests import Builder
from shared.tasks.choosing import ChosenImageBuilder
from tests.tasks.making import LAYER, Inner, Log, nobody, source

ALL = ["resolve", "dependency_layers", "content_layers", "choose_version", "publish", "ensure_unpublished"]
REMOTE = [
    {"apt_packages": "gcc"},
    {"builder": Builder.ACR_TASKS},
    {"builder": Builder.ACR_TASKS, "pip_requirements": "https://h/r"},
]
HERE = [{}, {"pip_requirements": "https://h/r.txt"}]


async def built(builder: ChosenImageBuilder, wanted: dict[str, object]) -> None:
    image, log = source(**wanted), Log()
    await builder.resolve(image, log)
    await builder.dependency_layers(image, log)
    await builder.content_layers(image, log)
    await builder.choose_version(image, (LAYER,), 1)
    await builder.publish(image, (LAYER,), log)
    await builder.ensure_unpublished(image, (LAYER,), log, nobody)


@pytest.mark.parametrize("wanted", REMOTE)
async def test_debian_packages_and_whoever_asks_for_it_are_built_remotely(wanted):
    here, remote = Inner(), Inner()
    await built(ChosenImageBuilder(here, remote), wanted)
    assert (here.calls, remote.calls) == ([], ALL)


@pytest.mark.parametrize("wanted", HERE)
async def test_all_else_is_assembled_here(wanted):
    for remote in (Inner(), None):
        here = Inner()
        await built(ChosenImageBuilder(here, remote), wanted)
        assert here.calls == ALL
        assert remote is None or remote.calls == []


@pytest.mark.parametrize("wanted", REMOTE)
async def test_where_remote_builds_are_not_set_up_what_needs_them_is_refused_naming_the_settings(wanted):
    builder = ChosenImageBuilder(Inner(), None)
    with pytest.raises(BuildFailed, match=r"SLIPWAY_REGISTRY .* SLIPWAY_REGISTRY_RESOURCE_ID") as refused:
        await builder.resolve(source(**wanted), Log())
    assert refused.value.code == "RemoteBuilderNotSet"


async def test_what_was_refused_can_be_taken_back():
    here = Inner()
    await ChosenImageBuilder(here, None).ensure_unpublished(source(apt_packages="gcc"), (), Log(), nobody)
    assert here.calls == ["ensure_unpublished"]
