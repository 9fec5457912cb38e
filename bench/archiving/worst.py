"""The archives that cost most memory to read, of each kind that is known: small files for what they hold."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping

MEBIBYTE = 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE


def _header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _BLOCK)


def _attribute(name: str, value: str) -> bytes:
    """A record of a PAX header: its own length, a name and a value."""
    body = f" {name}={value}\n".encode()
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _attributes(kind: bytes, *records: bytes) -> bytes:
    content = b"".join(records)
    return _header("pax", kind, len(content)) + _padded(content)


def _file(name: str, content: bytes = b"") -> bytes:
    return _header(name, tarfile.REGTYPE, len(content)) + _padded(content)


def _tar(*parts: bytes) -> bytes:
    return b"".join(parts) + bytes(2 * _BLOCK)


def global_attributes() -> bytes:
    """Attributes of all members, a new name each time: a reader that keeps them grows by each."""
    each = (_attributes(tarfile.XGLTYPE, _attribute(f"k{number}", "v" * MEBIBYTE)) for number in range(400))
    return gzip.compress(_tar(*each, _file("a")), 1)


def many_global_attributes() -> bytes:
    """The same in small pieces, between members."""
    each = (
        _attributes(tarfile.XGLTYPE, _attribute(f"k{number}", "v" * 200)) + _file(f"{number}") for number in range(90_000)
    )
    return gzip.compress(_tar(*each), 1)


def long_attributes() -> bytes:
    """Attributes of one member, as long as a file."""
    return gzip.compress(_tar(_attributes(tarfile.XHDTYPE, _attribute("k", "v" * 300 * MEBIBYTE)), _file("a")), 1)


def chained_attributes() -> bytes:
    """Attributes of attributes, over and over, without a member."""
    return gzip.compress(_tar(*[_attributes(tarfile.XHDTYPE, _attribute("k", "v"))] * 100_000), 1)


def long_name() -> bytes:
    """A name as long as a file, and one of a link."""
    name = b"n" * 300 * MEBIBYTE
    return gzip.compress(_tar(_header("././@LongLink", tarfile.GNUTYPE_LONGNAME, len(name)), _padded(name), _file("a")), 1)


def sparse_map() -> bytes:
    """A sparse file of very many pieces, in GNU's own form."""
    start = bytearray(_header("a", tarfile.GNUTYPE_SPARSE, 0))
    start[482] = 1
    piece = bytearray((b"00000000001\0" * 42).ljust(_BLOCK, b"\0"))
    piece[504] = 1
    start[148:156] = b"%06o\0 " % (256 + sum(start[:148]) + sum(start[156:]))
    return gzip.compress(_tar(bytes(start), bytes(piece) * 400_000), 1)


def sparse_attributes() -> bytes:
    """A sparse file of very many pieces, whose list is its content."""
    said = [_attribute("GNU.sparse.major", "1"), _attribute("GNU.sparse.minor", "0"), _attribute("GNU.sparse.name", "a")]
    content = b"40000000\n" + b"1\n" * 80_000_000
    return gzip.compress(_tar(_attributes(tarfile.XHDTYPE, *said), _file("a", content)), 1)


def many_members() -> bytes:
    """As many members as are taken, with long names."""
    return gzip.compress(_tar(*(_file(f"{number:06}{'n' * 94}") for number in range(99_990))), 1)


def many_deep_members() -> bytes:
    """As many members as are taken, with names as long as a path may be."""
    parts = []
    for number in range(90_000):
        name = f"{number:06}" + "n" * 1000
        parts += [_attributes(tarfile.XHDTYPE, _attribute("path", name)), _file("a")]
    return gzip.compress(_tar(*parts), 1)


def large_directory() -> bytes:
    """A zip of a million members."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    names = range(1_000_000)
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0) + b"%07d" % name
        for name in names
    )
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, len(names), len(names), len(entries), len(local))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(local) + len(entries), 1)
    return (
        local
        + entries
        + end
        + locator
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )


def wide_directory() -> bytes:
    """A zip of few members whose directory says very much of each."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(1500):
            info = zipfile.ZipInfo(f"{number}")
            info.comment = b"c" * 65_000
            archive.writestr(info, b"")
    return packed.getvalue()


def full_zip() -> bytes:
    """A zip of as many members as are taken."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(99_990):
            archive.writestr(f"{number:06}{'n' * 94}", b"")
    return packed.getvalue()


def named_gzip() -> bytes:
    """A gzip whose header holds a name as long as a file."""
    plain = gzip.compress(_tar(_file("a")))
    return plain[:3] + b"\x08" + plain[4:10] + b"n" * 50 * MEBIBYTE + b"\0" + plain[10:]


def bzip_bomb() -> bytes:
    """Much of nothing."""
    return bz2.compress(_tar(_file("a", bytes(400 * MEBIBYTE))))


WORST: Mapping[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (
        global_attributes,
        many_global_attributes,
        long_attributes,
        chained_attributes,
        long_name,
        sparse_map,
        sparse_attributes,
        many_members,
        many_deep_members,
        large_directory,
        wide_directory,
        full_zip,
        named_gzip,
        bzip_bomb,
    )
}
