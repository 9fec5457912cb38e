"""Layers: the same bytes for the same entries, compressed by all cores, and read by what others use."""

import gzip
import hashlib
import io
import random
import tarfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.images.packing.compression import BLOCK, METHODS, BlockCompressor, Compression
from shared.images.packing.layers import APP, Entry, bytes_entry, write_layer

WEIGHTS = random.Random(7).randbytes(2_500_000)
CODE = b"def run(body):\n    return body\n" * 100_000


def opened(compression: Compression, content: bytes) -> bytes:
    if compression is Compression.GZIP:
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True).read()


@pytest.mark.parametrize("compression", Compression)
@given(sizes=st.lists(st.integers(0, 2 * BLOCK), max_size=4))
def test_blocks_come_out_as_one_file(compression, sizes):
    pieces = [WEIGHTS[:size] for size in sizes]
    packed = io.BytesIO()
    compressor = BlockCompressor(packed, METHODS[compression])
    for piece in pieces:
        compressor.write(piece)
    compressor.close()
    assert opened(compression, packed.getvalue()) == b"".join(pieces)


@pytest.mark.parametrize("compression", Compression)
def test_a_layer_says_what_it_is(compression):
    packed = io.BytesIO()
    entries = [bytes_entry("a/weights", WEIGHTS), bytes_entry("a/code", CODE), Entry("a/link", link="code")]
    layer = write_layer(entries, packed, "model", compression)
    plain = opened(compression, packed.getvalue())
    assert layer.digest == f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert (layer.size, layer.title) == (len(packed.getvalue()), "model")
    assert layer.media_type.endswith(compression)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert archive.getnames() == ["a", "a/weights", "a/code", "a/link"]
        assert archive.extractfile("a/link").read() == CODE


def test_code_is_compressed_better_than_weights_and_weights_hardly_grow():
    sizes = {}
    for name, content in {"code": CODE, "weights": WEIGHTS}.items():
        layer = write_layer([bytes_entry(name, content)], io.BytesIO(), name, Compression.GZIP)
        sizes[name] = layer.size / len(content)
    assert sizes["code"] < 0.05
    assert sizes["weights"] < 1.01


def test_the_same_entries_give_the_same_bytes():
    def once() -> str:
        return write_layer([bytes_entry("x", WEIGHTS[:5000])], io.BytesIO(), "x", Compression.GZIP).digest

    assert once() == once()


def test_folders_are_named_once_and_belong_to_whose_the_folder_is():
    packed = io.BytesIO()
    entries = [Entry(f"{APP}/a", owner=7), bytes_entry(f"{APP}/a/b", b"1", owner=7), bytes_entry("opt/x", b"2")]
    write_layer(entries, packed, "x", Compression.GZIP)
    with tarfile.open(fileobj=io.BytesIO(packed.getvalue())) as archive:
        owners = {info.name: info.uid for info in archive}
    assert owners == {"var": 0, "var/azureml-app": 7, f"{APP}/a": 7, f"{APP}/a/b": 7, "opt": 0, "opt/x": 0}
