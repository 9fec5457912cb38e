"""Garbage: what nobody needs goes, and nothing else, whatever is listed, used or under way."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.domain.ports import Collector, Needed, Unneeded
from shared.images.builder import LayeringImageBuilder
from shared.images.content.source_layers import kept_name
from shared.images.describing.artifacts import artifact, describe
from shared.images.describing.attestations import PROVENANCE_TYPE, SBOM_TYPE
from shared.images.keep_collector import KeepCollector
from shared.images.layouts.collector import LayoutCollector, layout_folder
from shared.images.layouts.layout import ImageLayout
from shared.images.layouts.reader import LayoutReader
from shared.registries.manifests import MANIFEST_TYPE
from shared.storage.memory import MemoryKeep
from tests.images.making import ACCOUNT, Log, assembled, built, built_from, make_builder, source
from tests.twins import EPOCH, ManualClock

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime.now(UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keep(clock) -> MemoryKeep:
    return MemoryKeep(clock)


@pytest.fixture
def builder(tmp_path, sources, package_cache, keep) -> LayeringImageBuilder:
    return make_builder(tmp_path, sources, package_cache, keep=keep)


def needed(*images: str, contents: frozenset[str] = frozenset(), layers_used_since: datetime = NOW) -> Needed:
    """What is needed, and all that is not settled or used for a moment is old enough."""
    day_ago = NOW - timedelta(days=1)
    return Needed({ACCOUNT: frozenset(images)}, frozenset(), contents, day_ago, layers_used_since, day_ago)


def grow_old(folder: Path) -> None:
    for file in folder.rglob("*"):
        os.utime(file, (LONG_AGO.timestamp(),) * 2)


async def unneeded(collector: Collector, wanted: Needed) -> list[Unneeded]:
    return [one async for one in collector.unneeded(wanted)]


async def collected(collector: Collector, wanted: Needed) -> list[str]:
    found = await unneeded(collector, wanted)
    for one in found:
        await collector.remove(one, wanted)
    assert await unneeded(collector, wanted) == []
    return [one.name for one in found]


@pytest.fixture
def layouts(tmp_path, keep) -> LayoutCollector:
    return LayoutCollector(tmp_path / "images", keep)


def blobs(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("blobs/*/*")}


async def test_the_blobs_of_an_image_that_is_listed_no_more_go_and_those_of_others_stay(builder, layouts, sources, tmp_path):
    kept = await built(builder, source(sources, models={"kept.pkl": (b"1", False)}))
    before = blobs(tmp_path / "images")
    gone = await built(builder, replace(source(sources, models={"gone.pkl": (b"2", False)}), version=2))
    grow_old(tmp_path / "images")
    names = await collected(layouts, needed("digits:1"))
    assert any(name.endswith(":digits:2") for name in names)
    assert blobs(tmp_path / "images") == before
    LayoutReader().unpack(kept.location, kept.digest, tmp_path / "root")
    assert gone.digest.partition(":")[2] not in blobs(tmp_path / "images")


async def test_layers_in_use_stay_though_no_image_has_them(builder, layouts, sources, tmp_path, keep):
    await built(builder, source(sources))
    grow_old(tmp_path / "images")
    in_use = [one async for one in keep.names("layers/")]
    assert in_use
    found = await unneeded(layouts, needed(layers_used_since=EPOCH))
    layers = {digest for one in await unneeded(layouts, needed()) for digest in [Path(one.name).name]}
    assert len(layers) > len(found) > 0


async def test_what_a_build_under_way_has_put_or_looked_for_stays(builder, layouts, sources, tmp_path):
    image, _, layers = await assembled(builder, source(sources))
    grow_old(tmp_path / "images")
    wanted = needed()
    found = await unneeded(layouts, wanted)
    await builder.publish(image, layers, Log())
    for one in found:
        await layouts.remove(one, wanted)
    published = await builder.publish(image, layers, Log())
    LayoutReader().unpack(published.location, published.digest, tmp_path / "root")


async def test_what_is_said_about_an_image_stays_for_another_of_its_content(builder, layouts, sources, tmp_path):
    _, known = await built_from(builder, source(sources))
    grow_old(tmp_path / "images")
    wanted = needed("digits:2")
    found = await unneeded(layouts, wanted)
    published = await built(builder, replace(known, version=2))
    for one in found:
        await layouts.remove(one, wanted)
    layout = ImageLayout(layout_folder(tmp_path / "images", ACCOUNT.scope))
    listed = [layout.read_json(entry["digest"]) for entry in layout.manifests()]
    said = [part["digest"] for one in listed if "subject" in one for part in (one["config"], *one["layers"])]
    assert layout.attached(published.digest) >= {SBOM_TYPE, PROVENANCE_TYPE}
    assert all(layout.has_blob(digest) for digest in said)


async def test_what_is_said_about_an_image_that_never_came_goes_and_others_are_built_on(builder, layouts, sources, tmp_path):
    image, _, layers = await assembled(builder, source(sources))
    layout = ImageLayout(layout_folder(tmp_path / "images", ACCOUNT.scope))
    published = await builder.publish(image, layers, Log())
    lone = artifact(b"{}", SBOM_TYPE, SBOM_TYPE, b"of an image that never came", image.manifest.created_time)
    for blob in lone.blobs:
        layout.put_bytes(blob)
    layout.put_artifact(lone)
    grow_old(tmp_path / "images")
    assert str(layout.blob(describe(MANIFEST_TYPE, lone.manifest)["digest"])) in await collected(layouts, needed("digits:1"))
    assert layout.attached(published.digest) >= {SBOM_TYPE, PROVENANCE_TYPE}
    await built(builder, replace(image, version=2))


async def test_an_image_that_was_just_published_stays_though_the_list_was_read_before(builder, layouts, sources, tmp_path):
    published = await built(builder, source(sources))
    assert await unneeded(layouts, needed()) == []
    LayoutReader().unpack(published.location, published.digest, tmp_path / "root")


async def test_what_is_kept_for_models_and_manifests_stays_and_the_rest_goes(builder, sources, keep):
    image = source(sources, models={"model.pkl": (b"weights", False)}, requirements="six==1.17.0\n")
    _, known = await built_from(builder, image)
    contents = frozenset(content.digest for content in known.known.values())
    assert await collected(KeepCollector(keep), needed(contents=contents, layers_used_since=EPOCH)) == []
    for digest in contents - {""}:
        assert await keep.size(kept_name(digest)) is not None
    assert len(await collected(KeepCollector(keep), needed())) > 4
    assert [one async for one in keep.names("")] == []


@pytest.mark.parametrize("name", ["contents/sha256/x", "incoming/x"])
async def test_what_is_used_between_finding_and_removing_stays(keep, clock, name):
    collector, wanted = KeepCollector(keep), needed()
    await keep.put(name, b"1")
    (found,) = await unneeded(collector, wanted)
    clock.advance(NOW - clock.now())
    await keep.put(name, b"2")
    await collector.remove(found, wanted)
    assert await keep.get(name) == b"2"
