"""Images of conda packages: when their layer is made anew, and what is told of their channels."""

import gc
import gzip

import pytest

from shared.domain.errors import BuildFailed
from shared.images.builder import LayeringImageBuilder
from shared.images.packages import dependencies
from tests.images.channels import ChannelServer, CondaChannel
from tests.images.making import Log, assembled, built, built_from, make_builder, source


@pytest.fixture
def builder(tmp_path, sources, package_cache) -> LayeringImageBuilder:
    return make_builder(tmp_path, sources, package_cache)


async def test_another_version_of_what_installs_conda_packages_makes_their_layer_anew(
    sources, tmp_path, package_cache, monkeypatch
):
    with ChannelServer() as server:
        channel = CondaChannel(server)
        channel.add("weights", "1.0", {"share/weights": b"0.5"})
        builder, log = make_builder(tmp_path, sources, package_cache, conda_channels=(channel.url,)), Log()
        _, known = await built_from(builder, source(sources, conda="dependencies: [weights]"))
        monkeypatch.setattr(dependencies, "CONDA_INSTALLER", "another")
        await built(builder, known, log)
    assert "conda environment: 1 new" in log.text


async def test_the_token_of_a_channel_is_in_no_image_and_no_error(sources, tmp_path, package_cache):
    with ChannelServer() as server:
        channel = CondaChannel(server, "t/SECRET/channel")
        channel.add("weights", "1.0", {"share/weights": b"0.5"})
        builder = make_builder(tmp_path, sources, package_cache, conda_channels=(channel.url,))
        await built(builder, source(sources, conda="dependencies: [weights]"))
        with pytest.raises(BuildFailed, match=r"a channel of: http://[^/]*/channel") as refused:
            await builder.resolve(source(sources, conda="channels: [other]"), Log())
        assert "SECRET" not in refused.value.message
        server.remove("t/SECRET/channel/noarch/repodata.json")
        with pytest.raises(BuildFailed, match="A channel could not be read") as refused:
            await builder.resolve(source(sources, conda="dependencies: [weights]"), Log())
        assert "SECRET" not in refused.value.message
    blobs = [file.read_bytes() for file in (tmp_path / "images").rglob("blobs/*/*")]
    texts = [gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob for blob in blobs]
    assert any(b"/channel/noarch/weights-1.0-0.conda" in text for text in texts)
    assert not any(b"SECRET" in text for text in texts)


async def test_setuptools_of_one_file_is_that_of_all(builder, sources):
    image = source(sources, requirements="setuptools==82.0.0\n", conda="dependencies: [pip: [six==1.17.0]]")
    log = Log()
    await assembled(builder, image, log)
    assert "setuptools==82.0.0" in log.text


async def test_where_conda_packages_cannot_be_had_nothing_else_is_begun(sources, tmp_path, package_cache):
    with ChannelServer() as server:
        channel = CondaChannel(server)
        builder = make_builder(tmp_path, sources, package_cache, conda_channels=(channel.url,))
        image = source(sources, conda="dependencies: [nowhere]", requirements="six==1.17.0\n")
        with pytest.raises(BuildFailed, match="nowhere"):
            await builder.resolve(image, Log())
    gc.collect()  # a coroutine that nobody awaited warns
