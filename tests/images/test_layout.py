"""The layout: shared by writers, and read back."""

import hashlib
import io
import json
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.domain.errors import BuildFailed, Unavailable
from shared.images.layers import Entry, bytes_entry, write_layer
from shared.images.layout import ImageLayout, LayoutReader, location_of


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
    kept = tmp_path / "kept"
    kept.write_bytes(b"layer")
    layout = MeetingLayout(tmp_path / "layout")
    with ThreadPoolExecutor(2) as writers:
        list(writers.map(lambda _: layout.put_file(digest(b"layer"), kept), range(2)))
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


def published(folder: Path, *blobs: Path) -> tuple[str, str]:
    layout = ImageLayout(folder)
    layers = [{"digest": digest(blob.read_bytes())} for blob in blobs]
    for blob in blobs:
        layout.put_file(digest(blob.read_bytes()), blob)
    manifest = json.dumps({"layers": layers}).encode()
    return location_of(folder, "digits:1"), layout.put_manifest(manifest, "digits:1")


def test_an_image_is_unpacked_whole_and_again_harmlessly(tmp_path):
    write_layer([bytes_entry("a/b", b"1"), Entry("a/empty")], tmp_path / "layer", "x")
    image = published(tmp_path / "layout", tmp_path / "layer")
    for _ in range(2):
        LayoutReader().unpack(*image, tmp_path / "root")
    assert ((tmp_path / "root/a/b").read_bytes(), (tmp_path / "root/a/empty").is_dir()) == (b"1", True)


def test_unpackers_at_once_all_find_the_image(tmp_path):
    write_layer([bytes_entry(f"a/{number}", b"1") for number in range(200)], tmp_path / "layer", "x")
    image = published(tmp_path / "layout", tmp_path / "layer")
    with ThreadPoolExecutor(8) as readers:
        list(readers.map(lambda _: LayoutReader().unpack(*image, tmp_path / "root"), range(8)))
    assert len(list((tmp_path / "root" / "a").iterdir())) == 200
    assert not list(tmp_path.glob(".root.*"))


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_layer_that_was_tampered_with_is_not_unpacked(tmp_path, name):
    with tarfile.open(tmp_path / "layer", "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(Unavailable, match="which no layer of ours does"):
        LayoutReader().unpack(*published(tmp_path / "layout", tmp_path / "layer"), tmp_path / "root")
    assert not (tmp_path / "root").exists()
