"""The layout: shared by writers, and read back."""

import hashlib
import io
import json
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.building import ChosenVersion
from shared.domain.errors import BuildFailed, Unavailable
from shared.images.describing.artifacts import artifact
from shared.images.describing.attestations import PROVENANCE_TYPE, SBOM_TYPE
from shared.images.layouts.layout import ImageLayout, location_of
from shared.images.layouts.reader import LayoutReader
from shared.images.packing.compression import METHODS, Compression
from shared.images.packing.layers import Entry, bytes_entry, write_layer
from tests.images.making import Log, assembled, make_builder, source


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class MeetingLayout(ImageLayout):
    """Two writers both find the blob missing before either puts it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._meeting = threading.Barrier(2)

    def has_blob(self, digest: str) -> bool:
        there = super().has_blob(digest)
        self._meeting.wait(10)
        return there


def test_two_writers_of_one_blob_leave_one_file(tmp_path):
    layout = MeetingLayout(tmp_path / "layout")
    with ThreadPoolExecutor(2) as writers:
        list(writers.map(lambda _: layout.put_bytes(b"layer"), range(2)))
    assert [file.read_bytes() for file in (tmp_path / "layout" / "blobs" / "sha256").iterdir()] == [b"layer"]


def test_tags_of_writers_at_once_are_all_kept(tmp_path):
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: ImageLayout(tmp_path).put_manifest(b"%d" % number, f"digits:{number}"), range(40)))
    index = json.loads((tmp_path / "index.json").read_text())
    assert {entry["digest"] for entry in index["manifests"]} == {digest(b"%d" % number) for number in range(40)}


def test_a_tag_is_taken_twice_by_the_same_image_only(tmp_path):
    layout = ImageLayout(tmp_path)
    assert layout.put_manifest(b"one", "digits:1") == layout.put_manifest(b"one", "digits:1")
    with pytest.raises(BuildFailed, match="a tag never moves"):
        layout.put_manifest(b"other", "digits:1")


def published(folder: Path, *blobs: bytes, compression: Compression = Compression.GZIP) -> tuple[str, str]:
    layout = ImageLayout(folder)
    layers = [{"digest": layout.put_bytes(blob), "mediaType": METHODS[compression].media_type} for blob in blobs]
    manifest = json.dumps({"layers": layers}).encode()
    return location_of(folder, "digits:1"), layout.put_manifest(manifest, "digits:1")


def layer(*entries: Entry, compression: Compression = Compression.GZIP) -> bytes:
    packed = io.BytesIO()
    write_layer(entries, packed, "x", compression)
    return packed.getvalue()


@pytest.mark.parametrize("compression", Compression)
def test_an_image_is_unpacked_whole_and_again_harmlessly(tmp_path, compression):
    big = bytes(3_000_000)
    packed = layer(bytes_entry("a/b", big), Entry("a/empty"), Entry("c/link", link="../a/b"), compression=compression)
    image = published(tmp_path / "layout", packed, compression=compression)
    for _ in range(2):
        LayoutReader().unpack(*image, tmp_path / "root")
    assert ((tmp_path / "root/a/b").read_bytes(), (tmp_path / "root/a/empty").is_dir()) == (big, True)
    assert (tmp_path / "root/c/link").readlink() == Path("../a/b")


def test_a_file_takes_the_place_of_a_link_of_a_layer_below(tmp_path):
    image = published(
        tmp_path / "layout", layer(bytes_entry("a", b"1"), Entry("link", link="a")), layer(bytes_entry("link", b"2"))
    )
    LayoutReader().unpack(*image, tmp_path / "root")
    assert ((tmp_path / "root/a").read_bytes(), (tmp_path / "root/link").read_bytes()) == (b"1", b"2")


def of_names(*names: str) -> bytes:
    """A layer of somebody else's, with empty files of those names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("below", "above", "left"),
    [
        (["a", "b"], [".wh.a"], {"b"}),
        (["a/x", "a/y/z", "b"], [".wh.a"], {"b"}),
        (["a/x", "a/y/z", "b"], ["a/.wh..wh..opq"], {"a", "b"}),
        (["a/x", "b"], ["a/new", "a/.wh..wh..opq"], {"a", "a/new", "b"}),
        (["a/x", "b"], ["a/.wh..wh..opq", "a/new"], {"a", "a/new", "b"}),
        (["a/x"], ["a/.wh.x", "a/x"], {"a", "a/x"}),
        (["a"], [".wh.gone"], {"a"}),
        (["a", ".wh.a"], ["b"], {"a", "b"}),
    ],
)
def test_whiteouts_delete_what_layers_below_brought_and_nothing_of_their_own(tmp_path, below, above, left):
    image = published(tmp_path / "layout", of_names(*below), of_names(*above))
    LayoutReader().unpack(*image, tmp_path / "root")
    assert {path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*")} == left


def test_unpackers_at_once_all_find_the_image(tmp_path):
    image = published(tmp_path / "layout", layer(*(bytes_entry(f"a/{number}", b"1") for number in range(200))))
    with ThreadPoolExecutor(8) as readers:
        list(readers.map(lambda _: LayoutReader().unpack(*image, tmp_path / "root"), range(8)))
    assert len(list((tmp_path / "root" / "a").iterdir())) == 200
    assert not list(tmp_path.glob(".root.*"))


def test_what_is_said_about_an_image_is_listed_until_no_tag_has_it(tmp_path):
    layout, created = ImageLayout(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    image = b'{"layers": []}'
    about = artifact(image, "application/x", "text/plain", b"it is fine", created)

    def listed() -> list[str]:
        return [entry["digest"] for entry in json.loads((tmp_path / "index.json").read_text())["manifests"]]

    for tag in ("digits:1", "digits:2", "digits:1"):
        layout.put_artifact(about)
        layout.put_manifest(image, tag)
    assert sorted(listed()) == sorted([about.descriptor["digest"], digest(image), digest(image)])
    layout.remove_tag("digits:1", digest(b"another image"))
    assert (layout.named("digits:1"), sorted(layout.tags())) == (digest(image), ["digits:1", "digits:2"])
    layout.remove_tag("digits:1", digest(image))
    assert sorted(listed()) == sorted([about.descriptor["digest"], digest(image)])
    layout.remove_tag("digits:2", digest(image))
    assert listed() == []


async def nobody() -> bool:
    """No record names the image besides."""
    return False


async def test_a_layout_is_undone_and_its_versions_are_chosen_as_a_registry_is(tmp_path, sources, package_cache):
    builder = make_builder(tmp_path / "builder", sources, package_cache)
    first, _, made = await assembled(builder, source(sources))
    published = await builder.publish(first, made, Log())
    assert await builder.choose_version(first, made, 1) == ChosenVersion(1, is_free=False)
    other, _, others = await assembled(builder, source(sources, models={"model.pkl": (b"weights", False)}))
    assert await builder.choose_version(other, others, 1) == ChosenVersion(2, is_free=True)
    await builder.publish(replace(other, version=2), others, Log())
    for image, layers in ((other, others), (first, ()), (replace(first, version=2), made)):
        await builder.ensure_unpublished(image, layers, Log(), nobody)
    layout = ImageLayout(Path(published.location.removeprefix("oci:").rsplit(":", 2)[0]))
    assert sorted(layout.tags()) == ["digits:1", "digits:2"]
    assert {SBOM_TYPE, PROVENANCE_TYPE} <= layout.attached(published.digest)
    await builder.ensure_unpublished(first, made, Log(), nobody)
    assert (layout.tags(), layout.attached(published.digest)) == (["digits:2"], frozenset())


@pytest.mark.parametrize("link", ["/etc/passwd", "../../out", "a/../../../out"])
def test_a_link_that_leads_outside_is_not_unpacked(tmp_path, link):
    image = published(tmp_path / "layout", layer(Entry("a/link", link=link)))
    with pytest.raises(Unavailable, match="which no layer of ours does"):
        LayoutReader().unpack(*image, tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_layer_that_was_tampered_with_is_not_unpacked(tmp_path, name):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(Unavailable, match="which no layer of ours does"):
        LayoutReader().unpack(*published(tmp_path / "layout", packed.getvalue()), tmp_path / "root")
    assert not (tmp_path / "root").exists()
