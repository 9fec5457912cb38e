"""Archives: what of them is taken, and that nothing else is."""

import bz2
import contextlib
import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import BuildFailed
from shared.images.content.archives import archive_kind, members
from shared.images.content.guard import Limits
from shared.images.content.member import Member

SMALL = Limits(bytes=10_000_000, members=20, path_length=100)
NOISE = random.Random(7).randbytes(300_000)


def tar(files: Mapping[str, bytes], kind: bytes = tarfile.REGTYPE, linkname: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.type, info.size, info.linkname = kind, len(content), linkname
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return packed.getvalue()


class OnceOnly(io.RawIOBase):
    """Content that is read from its beginning to its end, in pieces of any size, as it comes from a network."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._content.readinto(memoryview(buffer)[: 1 + len(buffer) // 3])


def unpacked(content: bytes, limits: Limits = SMALL) -> dict[str, bytes | None]:
    kind = archive_kind(content[:512], "the model")
    archive = io.BytesIO(content) if kind == "zip" else OnceOnly(content)
    return {one.path: content_of(one) for one in members(archive, kind, "the model", limits)}


def content_of(member: Member) -> bytes | None:
    return b"".join(iter(partial(member.content.read, 65536), b"")) if member.content else None


PACKED = {
    "tar": tar,
    "tar.gz": lambda files: gzip.compress(tar(files)),
    "tar.bz2": lambda files: bz2.compress(tar(files)),
    "zip": zipped,
}
names = st.text(st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["C"]), min_size=1, max_size=8)
paths = st.lists(names.filter(lambda name: name not in (".", "..") and name[1:2] != ":"), min_size=1, max_size=3).map(
    "/".join
)


@pytest.mark.parametrize("kind", PACKED)
@given(files=st.dictionaries(paths, st.binary(max_size=2000), max_size=4))
def test_what_was_packed_comes_out_however_it_was_packed(kind, files):
    assert unpacked(PACKED[kind](files)) == files


@given(
    before=st.lists(names, max_size=2),
    evil=st.sampled_from(["..", "a\\b", "a\nb", "\x7f"]),
    after=st.lists(names, max_size=2),
)
def test_no_name_leaves_the_folder(before, evil, after):
    with pytest.raises(BuildFailed, match="is refused, since its name"):
        unpacked(tar({"/".join([*before, evil, *after]): b"x"}))


@pytest.mark.parametrize("name", ["/etc/passwd", "C:/x", "../x", "a/../../x", "a" * 101])
@pytest.mark.parametrize("kind", PACKED)
def test_a_member_outside_is_named(kind, name):
    with pytest.raises(BuildFailed, match="the model cannot be unpacked: its member") as failed:
        unpacked(PACKED[kind]({"fine": b"1", name: b"2"}))
    assert name[:60] in failed.value.message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused_naming_them(kind):
    with pytest.raises(BuildFailed, match="its member 'evil' is refused, since it is neither"):
        unpacked(tar({"evil": b""}, kind, "../../etc/passwd"))


def test_folders_are_kept_though_nothing_is_in_them():
    assert unpacked(zipped({"variables/": b"", "model": b"1"})) == {"variables": None, "model": b"1"}
    assert unpacked(tar({"variables": b""}, tarfile.DIRTYPE)) == {"variables": None}


@pytest.mark.parametrize("kind", PACKED)
def test_a_bomb_is_refused_before_it_has_gone_off(kind):
    with pytest.raises(BuildFailed, match="unpacks to more than"):
        unpacked(PACKED[kind]({"bomb": bytes(20_000_000)}))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_large_member_of_a_zip_is_as_large_as_what_is_read_of_it(method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive, archive.open("model.bin", "w") as member:
        for _ in range(120):
            member.write((NOISE[:20_000] if method else NOISE).ljust(1 << 20, b"\0"))
    assert len(unpacked(packed.getvalue(), Limits())["model.bin"]) == 120 << 20


def test_a_bomb_in_a_zip_goes_off_no_further_than_its_size_allows():
    bomb = zipped({"bomb": bytes(120 << 20)})
    with pytest.raises(BuildFailed, match="its member 'bomb' is refused, since it unpacks to more than 200 times its size"):
        unpacked(bomb, Limits())


def test_folders_that_no_member_names_count_as_members():
    deep = tar({f"{number}/a/b/c/d/e": b"" for number in range(4)})
    with pytest.raises(BuildFailed, match="more than 20 members, folders included"):
        unpacked(deep)


@pytest.mark.parametrize("kind", PACKED)
def test_an_archive_that_is_cut_is_refused(kind):
    whole = PACKED[kind]({"a": NOISE, "b": NOISE})
    for length in (100_000, 300_900, len(whole) // 2 + 300):
        with pytest.raises(BuildFailed, match="the model cannot be unpacked"):
            unpacked(whole[:length])


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "zip"])
@given(where=st.integers(1000, 299_000), bit=st.integers(0, 7))
def test_a_compressed_archive_that_is_damaged_is_refused(kind, where, bit):
    damaged = bytearray(PACKED[kind]({"a": NOISE, "b": b"2"}))
    damaged[where] ^= 1 << bit
    with pytest.raises(BuildFailed, match="the model"):
        unpacked(bytes(damaged))


def test_a_damaged_header_is_not_the_end_of_an_archive():
    damaged = bytearray(tar({"a": b"1", "b": b"2", "c": b"3"}))
    damaged[1024 + 148 : 1024 + 156] = b"9999999\0"
    with pytest.raises(BuildFailed, match="a header in it is damaged"):
        unpacked(bytes(damaged))


@pytest.mark.parametrize("content", [b"", b"weights", gzip.compress(b"weights", mtime=0)], ids=["empty", "text", "gzip"])
def test_what_is_no_archive_is_named(content):
    with pytest.raises(BuildFailed, match="the model"):
        unpacked(content)


@given(content=st.binary(max_size=3000), start=st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"PK\x03\x04"]))
def test_whatever_comes_is_taken_or_refused_and_nothing_else(content, start):
    taken: object = {}
    with contextlib.suppress(BuildFailed):
        taken = unpacked(start + content)
    assert isinstance(taken, dict)
