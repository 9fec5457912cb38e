"""Archives that a caller makes: what they may take of memory, and names that would delete files of an image."""

import io
import tarfile
import zipfile

import pytest

from bench.archiving.reading import read_apart
from bench.archiving.worst import WORST
from shared.domain.errors import BuildFailed
from shared.images.content.archives import archive_kind, members
from shared.images.content.guard import Limits
from shared.images.content.one_folder import Source
from shared.images.packing.compression import Compression
from shared.images.packing.layers import bytes_entry, write_layer

MOST_MEBIBYTES = 80
REASONS = {
    "global_attributes": "a header holds 1048",
    "many_global_attributes": "what it says of all members has more than 4096 bytes",
    "long_attributes": "a header holds 314572",
    "chained_attributes": "more than 16 headers stand before one member",
    "long_name": "a header holds 314572800 bytes, more than 65536",
    "sparse_map": "it is a sparse file",
    "sparse_attributes": "it is a sparse file",
    "many_members": "taken",
    "many_deep_members": "the names of its members have more than 16777216 characters",
    "large_directory": "it has 1000000 members, more than 100000",
    "wide_directory": "its directory has 97",
    "full_zip": "taken",
    "named_gzip": "header exceeds",
    "bzip_bomb": "it unpacks to more than 200 times its size",
}
WHITEOUTS = [".wh.config.json", ".wh..wh..opq", "folder/.wh.config.json", ".wh.folder/config.json", "./.wh.a"]


@pytest.mark.parametrize("kind", WORST)
def test_the_worst_archives_take_little_memory_and_are_refused_for_what_they_are(kind, tmp_path):
    file = tmp_path / kind
    file.write_bytes(WORST[kind]())
    read = read_apart(file)
    assert REASONS[kind] in read.outcome
    assert read.grown < MOST_MEBIBYTES


def packed(kind: str, name: str) -> bytes:
    into = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(into, "w") as archive:
            archive.writestr(name, b"")
    else:
        with tarfile.open(fileobj=into, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name))
    return into.getvalue()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", WHITEOUTS)
def test_a_member_that_would_delete_files_of_an_image_is_refused(kind, name):
    content = packed(kind, name)
    with pytest.raises(BuildFailed, match=r"names that begin with \.wh\. delete files of an image") as refused:
        list(members(io.BytesIO(content), archive_kind(content[:512], "it"), "it", Limits()))  # type: ignore[arg-type]
    assert refused.value.code == "BadArchive"


@pytest.mark.parametrize("name", [".wh.driver.py", ".wh..wh..opq", "%2Ewh.driver.py"])
def test_a_url_that_ends_in_such_a_name_is_refused(name):
    source = Source("the driver 'driver'", f"http://store/assets/{name}?sig=x", unpack=False, key="k")
    with pytest.raises(BuildFailed) as refused:
        source.refuse_without_name()
    assert refused.value.code == "BadFileName"


@pytest.mark.parametrize("name", WHITEOUTS)
def test_no_layer_is_written_with_such_a_name_whoever_brings_it(name):
    with pytest.raises(BuildFailed, match=r"\.wh\."):
        write_layer([bytes_entry(f"opt/slipway/python/{name}", b"")], io.BytesIO(), "x", Compression.GZIP)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7])
def test_a_size_that_is_none_is_a_bad_archive(size):
    header = bytearray(tarfile.TarInfo("a").tobuf())
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    content = bytes(header) + bytes(1024)
    with pytest.raises(BuildFailed) as refused:
        list(members(io.BytesIO(content), "tar", "it", Limits()))  # type: ignore[arg-type]
    assert refused.value.code == "BadArchive"
