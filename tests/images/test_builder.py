"""Images from real sources over real HTTP, with packages from the real index."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.domain.errors import BuildFailed
from shared.domain.manifests import Asset, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.images.builder import LayeringImageBuilder
from shared.images.image_config import image_config
from shared.images.layouts.reader import LayoutReader
from shared.images.packages.dependencies import PIP_LOCK
from shared.images.packages.distributions import locked
from tests.images.channels import ChannelServer, CondaChannel
from tests.images.making import (
    DRIVER,
    ID,
    Log,
    assembled,
    built,
    built_from,
    make_builder,
    source,
    tar_gz,
    unpacked,
)
from tests.images.test_archives import zipped

ZIP = zipped({"zipped/b": b"2"})


@pytest.fixture
def builder(tmp_path, sources, package_cache) -> LayeringImageBuilder:
    return make_builder(tmp_path, sources, package_cache)


async def test_everything_lies_in_one_folder_archives_unpacked_there(builder, sources, tmp_path):
    models = {
        "m/model.pkl": (b"weights", False),
        "m/tree.tar.gz": (tar_gz({"tree/a.txt": b"a", "tree/b/c.txt": b"c"}), True),
    }
    app = await unpacked(
        builder, source(sources, models=models, assets={"my%20data.csv": (b"1,2", False)}), tmp_path / "root"
    )
    files = {path.relative_to(app).as_posix(): path.read_bytes() for path in app.rglob("*") if path.is_file()}
    mapped = json.loads(files.pop("model_config_map.json"))
    assert files == {
        "model.pkl": b"weights",
        "tree/a.txt": b"a",
        "tree/b/c.txt": b"c",
        "my data.csv": b"1,2",
        "driver.py": DRIVER,
    }
    assert mapped["accountContext"] == {
        "subscriptionId": "Sub",
        "resourceGroupName": "Group #1",
        "accountName": "local",
    }
    assert mapped["models"]["m-model.pkl"] == {"id": ID.format(0), "version": 1}


async def test_the_image_says_how_it_is_started(builder, sources):
    published = await built(builder, source(sources))
    config = LayoutReader().image_config(published.location, published.digest)
    assert config["Entrypoint"] == ["python", "/opt/slipway/runtime"]
    assert config["WorkingDir"] == "/var/azureml-app"
    assert "SLIPWAY_DRIVER=driver.py" in config["Env"]
    assert config["User"] == "65532"


async def test_the_layout_is_one_that_other_tools_read(builder, sources, tmp_path):
    published = await built(builder, source(sources))
    folder = Path(published.location.split(":")[1])
    index = json.loads((folder / "index.json").read_text())
    (entry,) = [one for one in index["manifests"] if "org.opencontainers.image.ref.name" in one["annotations"]]
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert (entry["digest"], entry["annotations"]["org.opencontainers.image.ref.name"]) == (published.digest, "digits:1")
    manifest = json.loads((folder / "blobs" / published.digest.replace(":", "/")).read_text())
    config = json.loads((folder / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == len(config["history"])


async def test_the_same_input_gives_the_same_digest_on_another_machine(sources, tmp_path, package_cache):
    images = source(sources, models={"model.pkl": (b"w" * 100_000, False)}, requirements="six==1.17.0\n")
    one, other = (make_builder(tmp_path / name, sources, package_cache) for name in ("one", "other"))
    assert (await built(one, images)).digest == (await built(other, images)).digest


async def test_a_second_build_comes_from_the_cache_without_the_index(builder, sources, monkeypatch):
    image = source(sources, requirements="six\n")
    first, known = await built_from(builder, image)
    log = Log()
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:1/none")
    assert await built(builder, known, log) == first
    assert "packages: 2 layers, 2 from cache" in log.text
    assert "new" not in log.text


async def test_a_rebuild_is_of_the_packages_of_the_first_build_whatever_its_file_says_now(builder, sources):
    image = source(sources, requirements="six==1.16.0\n")
    first, known = await built_from(builder, image)
    sources.put("requirements.txt", b"six==1.17.0\n")
    assert await built(builder, known) == first
    sources.remove("requirements.txt")
    assert await built(builder, replace(known, no_cache=True)) == first


async def test_without_the_cache_all_is_built_anew_and_comes_to_the_same(builder, sources):
    image = source(sources, models={"model.pkl": (b"w", False)}, requirements="six==1.17.0\n")
    first, log = await built(builder, image), Log()
    assert await built(builder, replace(image, no_cache=True), log) == first
    assert "from cache" not in log.text
    assert log.text.count("since noCache was asked for") == 3
    assert "resolved 2 requirements" in log.text


async def test_a_layer_says_what_it_was_made_under_and_why_it_was_not_there(builder, sources):
    image, _, first = await assembled(builder, source(sources, models={"model.pkl": (b"w", False)}))
    _, _, again = await assembled(builder, image)
    assert {layer.why_new for layer in first} == {"nothing is known under its key"}
    assert {(layer.why_new, layer.cached) for layer in again} == {(None, True)}
    assert [layer.key for layer in again] == [layer.key for layer in first]
    assert len({layer.key for layer in first}) == len(first)


async def test_each_package_is_a_layer_that_images_of_other_packages_share(builder, sources):
    one, other = [
        (await assembled(builder, source(sources, requirements=text)))[1].layers
        for text in ("six==1.17.0\nidna==3.10\n", "six==1.17.0\ntoml==0.10.2\n")
    ]
    assert [layer.title for layer in one[2:]] == ["idna==3.10", "setuptools==80.10.2", "six==1.17.0"]
    new = [layer.title for layer in other if not layer.cached]
    assert new == ["toml==0.10.2"]


async def test_packages_share_layers_when_there_are_more_than_layers(builder, sources, package_cache, tmp_path):
    """As far as their names say so: another package changes one group."""
    many = source(sources, requirements="six==1.17.0\nidna==3.10\ntoml==0.10.2\n")
    image = replace(many, known=(await builder.resolve(many, Log())).contents)
    assembly = builder._assembly(image, Log())
    layers = await builder._dependencies.layers(image, assembly, most=2)
    assert len(layers) == 4
    assert sorted(", ".join(layer.title for layer in layers[2:]).split(", ")) == [
        "idna==3.10",
        "setuptools==80.10.2",
        "six==1.17.0",
        "toml==0.10.2",
    ]


async def test_an_image_is_made_of_what_was_kept_when_its_sources_are_gone(builder, sources):
    models = {"model.pkl": (b"weights", False), "t.tar.gz": (tar_gz({"tree/a": b"1"}), True), "z.zip": (ZIP, True)}
    image = source(sources, models=models, requirements="six==1.17.0\n")
    first, known = await built_from(builder, image)
    for path in ("model.pkl", "t.tar.gz", "z.zip", "driver.py", "requirements.txt"):
        sources.remove(path)
    for no_cache in (False, True):
        log = Log()
        assert await built(builder, replace(known, no_cache=no_cache), log) == first
        assert log.text.count("What was kept of it is used.") == 4


async def test_a_source_that_has_not_changed_is_not_fetched_again(builder, sources):
    image = source(sources)
    url = sources.put("model.pkl", b"weights" * 1000, tagged=True)
    model = Model(
        id=ID.format(7), name="m", version=1, url=url, mime_type="application/json", created_at=image.manifest.created_time
    )
    image = replace(image, models=(model,))
    first, known = await built_from(builder, image)
    for no_cache in (False, True):
        assert await built(builder, replace(known, no_cache=no_cache)) == first
    assert sources.served("model.pkl").sent == 7000


async def test_a_file_of_a_size_nobody_tells_is_packed_when_all_of_it_has_come(builder, sources, tmp_path):
    image = source(sources, models={"model.pkl": (b"weights" * 500_000, False)})
    sources.served("model.pkl").sized = False
    app = await unpacked(builder, image, tmp_path / "root")
    assert (app / "model.pkl").read_bytes() == b"weights" * 500_000


async def test_the_same_bytes_under_another_name_do_not_change_another_image(sources, tmp_path, package_cache):
    builder = make_builder(tmp_path / "one", sources, package_cache)
    first = await built(builder, source(sources, models={"a/model.pkl": (b"same", False)}))
    fresh = make_builder(tmp_path / "two", sources, package_cache)
    image, _, _ = await assembled(fresh, source(sources, models={"b/model.pkl": (b"same", False)}))
    mine = source(sources, models={"a/model.pkl": (b"same", False)})
    *_, again = await assembled(fresh, replace(mine, known={key: image.known[key] for key in image.known}))
    assert [layer.title for layer in again[2:]] == [
        "model a-model.pkl version 1",
        "model_config_map.json",
        "the driver 'driver'",
    ]
    assert first.digest


async def test_the_log_tells_what_was_fetched_installed_and_pushed_and_holds_no_signature(builder, sources):
    log = Log()
    image = source(sources, models={"model.pkl": (b"w", False)}, requirements="six==1.17.0\n")
    await built(builder, image, log)
    for said in ("model model.pkl version 1: http", "as model.pkl", "six==1.17.0", "resolved 2 requirements", "pushed oci:"):
        assert said in log.text
    assert "sig=" not in log.text


async def test_pure_packages_that_exist_as_source_only_are_built(builder, sources, tmp_path):
    image = source(sources, requirements="azure-ml-api-sdk==0.1.0a11\n")
    app = await unpacked(builder, image, tmp_path / "root")
    packages = app.parent.parent / "opt" / "slipway" / "python"
    assert (packages / "arff.py").exists()
    assert (packages / "azureml" / "api" / "schema" / "schemaUtil.py").exists()
    assert (packages / "pkg_resources").is_dir()


@pytest.mark.parametrize(
    ("requirements", "code", "said"),
    [
        ("no-such-package-of-slipways\n", "RequirementNotFound", "no-such-package-of-slipways"),
        ("requests==2.32.0\nurllib3==1.20\n", "DependencyConflict", "urllib3"),
        ("-e .\n", "BadRequirements", "Line 1"),
        ("six\n--index-url http://x\n", "BadRequirements", "Line 2"),
        ("six @ http://x/six.whl\n", "BadRequirements", "six"),
        ("./six.whl\n", "BadRequirements", "Line 1"),
        ("six\n\nujson==1.35\n", "NoWheel", "ujson"),
    ],
)
async def test_requirements_that_cannot_be_installed_say_what_to_change(builder, sources, requirements, code, said):
    with pytest.raises(BuildFailed) as failed:
        await assembled(builder, source(sources, requirements=requirements))
    assert (failed.value.code, failed.value.retryable) == (code, False)
    assert said in failed.value.message


async def test_two_sources_of_one_name_are_refused_naming_both(builder, sources):
    models = {"a/model.pkl": (b"1", False), "b/model.pkl": (b"2", False)}
    with pytest.raises(
        BuildFailed, match=r"model b-model\.pkl version 1 and model a-model\.pkl version 1 both bring 'model\.pkl'"
    ):
        await assembled(builder, source(sources, models=models))


@pytest.mark.parametrize("order", [1, -1])
async def test_a_file_where_another_needs_a_folder_is_refused(builder, sources, order):
    models = dict([("tree", (b"1", False)), ("t.tar.gz", (tar_gz({"tree/a": b"1"}), True))][::order])
    with pytest.raises(BuildFailed, match="both bring 'tree"):
        await assembled(builder, source(sources, models=models))


async def test_a_name_that_slipway_uses_itself_is_refused(builder, sources):
    with pytest.raises(BuildFailed, match="Slipway itself"):
        await assembled(builder, source(sources, models={"model_config_map.json": (b"1", False)}))


async def test_a_source_that_is_not_there_is_named_without_its_signature(builder, sources):
    image = source(sources, models={"model.pkl": (b"1", False)})
    sources.remove("model.pkl")
    with pytest.raises(BuildFailed, match=r"model\.pkl cannot be fetched: there is nothing there \(404\)") as failed:
        await assembled(builder, image)
    assert "sig=" not in failed.value.message


SPARK = {"target_runtime": TargetRuntime(runtime_type=RuntimeType.SPARK_PYTHON, properties=RuntimeProperties())}


@pytest.mark.parametrize("path", ["models/", "a%2F..%2Fb", "%2E%2E", "a%5Cb", "n" * 1025])
async def test_a_file_whose_url_gives_it_no_name_is_refused_before_anything_is_fetched(builder, sources, path):
    with pytest.raises(BuildFailed, match=r"^assets\[1\] 'x': its URL ends in no name of a file") as refused:
        await builder.resolve(source(sources, assets={path: (b"weights", False)}), Log())
    assert (refused.value.code, sources.served(path).asked) == ("BadFileName", 0)
    assert "SECRET" not in refused.value.message
    await builder.resolve(source(sources, assets={path: (b"an archive, whatever it is called", True)}), Log())


async def test_a_driver_that_is_an_archive_is_refused_before_anything_is_fetched(builder, sources):
    assets = (Asset(id="driver", url="http://x/driver.py", unpack=True),)
    with pytest.raises(BuildFailed) as failed:
        await builder.resolve(source(sources, changes={"assets": assets, "driver_program": "driver"}), Log())
    assert failed.value.code == "BadDriver"


async def test_a_runtime_without_a_base_image_is_refused_where_others_have_one(sources, tmp_path, package_cache):
    builder = make_builder(tmp_path, sources, package_cache, bases={RuntimeType.PYTHON: "registry.example/python:3.13"})
    with pytest.raises(BuildFailed, match="SparkPython; no base image is set for it") as failed:
        await builder.resolve(source(sources, changes=SPARK), Log())
    assert failed.value.code == "RuntimeNotSupported"


async def test_an_image_for_spark_says_so(sources):
    for changes, said in ((SPARK, True), (None, False)):
        config = json.loads(image_config(source(sources, changes=changes), (), platform="linux/amd64", driver="driver.py"))
        assert ("SLIPWAY_SPARK=1" in config["config"]["Env"]) == said


async def test_packages_of_a_spark_image_hold_spark_though_nobody_named_it(builder, sources):
    image = source(sources, changes=SPARK)
    resolved = await builder.resolve(image, Log())
    lock = await builder._dependencies.lock(replace(image, known=resolved.contents), PIP_LOCK)
    assert {package.name for package in locked(lock)} == {"numpy", "py4j", "pyspark"}


async def test_a_source_that_is_not_what_it_was_when_first_fetched_is_refused_naming_it(builder, sources):
    image = source(sources, models={"model.pkl": (b"first", False)}, assets={"data.csv": (b"1,2", False)})
    known, *_ = await assembled(builder, image)
    sources.put("model.pkl", b"other")
    for no_cache in (False, True):
        with pytest.raises(BuildFailed) as refused:
            await assembled(builder, replace(known, no_cache=no_cache))
        assert refused.value.code == "SourceChanged"
        assert "model model.pkl version 1" in refused.value.message
        assert "SECRET" not in refused.value.message
    sources.put("model.pkl", b"first")
    assert (await assembled(builder, known))[0].known == known.known


async def test_a_tag_never_moves_to_another_image(builder, sources):
    await built(builder, source(sources, models={"model.pkl": (b"1", False)}))
    with pytest.raises(BuildFailed, match="a tag never moves"):
        await built(builder, source(sources, models={"model.pkl": (b"2", False)}))


async def test_a_conda_environment_is_a_layer_whose_programs_come_first(sources, tmp_path, package_cache):
    with ChannelServer() as server:
        channel = CondaChannel(server)
        channel.add("weights", "1.0", {"share/weights": b"0.5", "bin/tell": b"#!/bin/sh\necho hello\n"})
        builder = make_builder(tmp_path, sources, package_cache, conda_channels=(channel.url,))
        text = f"channels: ['{channel.url}']\ndependencies:\n- weights\n- pip:\n  - six==1.17.0\n"
        image = source(sources, conda=text)
        published, known = await built_from(builder, image)
        channel.add("weights", "2.0", {"share/weights": b"0.7"})
        again = await built(builder, replace(known, no_cache=True))
    assert again == published
    LayoutReader().unpack(published.location, published.digest, tmp_path / "root")
    opt = tmp_path / "root" / "opt" / "slipway"
    assert (opt / "conda" / "share" / "weights").read_bytes() == b"0.5"
    assert (opt / "python" / "six.py").exists()
    environment = LayoutReader().image_config(published.location, published.digest)["Env"]
    (path,) = [entry for entry in environment if entry.startswith("PATH=")]
    assert path.startswith("PATH=/opt/slipway/conda/bin:")


async def test_a_channel_that_the_operator_does_not_name_is_refused_by_name(builder, sources):
    image = source(sources, conda="channels: [somebody]\ndependencies: [numpy]\n")
    with pytest.raises(BuildFailed, match="somebody") as refused:
        await assembled(builder, image)
    assert refused.value.code == "BadCondaEnvironment"
