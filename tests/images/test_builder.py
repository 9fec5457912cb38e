"""Images from real sources over real HTTP, with packages from the real index."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.domain.errors import BuildFailed
from shared.domain.manifests import Asset, RuntimeProperties, RuntimeType, TargetRuntime
from shared.images.builder import LayeringImageBuilder
from shared.images.layout import LayoutReader
from tests.images.making import DRIVER, ID, Log, built, make_builder, source, tar_gz, unpacked


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
    (entry,) = index["manifests"]
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
    first, log = await built(builder, image), Log()
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:1/none")
    assert await built(builder, image, log) == first
    assert "dependencies: installed" in log.text
    assert log.text.count("from cache") == 3


async def test_without_the_cache_all_is_built_anew_and_comes_to_the_same(builder, sources):
    image = source(sources, models={"model.pkl": (b"w", False)}, requirements="six==1.17.0\n")
    first, log = await built(builder, image), Log()
    assert await built(builder, replace(image, no_cache=True), log) == first
    assert "from cache" not in log.text
    assert log.text.count("since noCache was asked for") == 4
    assert "resolved 2 requirements" in log.text


async def test_a_layer_says_what_it_was_made_under_and_why_it_was_not_there(builder, sources):
    image = source(sources, models={"model.pkl": (b"w", False)})
    first, again = [(await builder.content_layers(image, Log())).layers for _ in range(2)]
    assert {layer.why_new for layer in first} == {"nothing is kept under its key"}
    assert {(layer.why_new, layer.cached) for layer in again} == {(None, True)}
    assert [layer.key for layer in again] == [layer.key for layer in first]
    assert len({layer.key for layer in first}) == len(first)


async def test_the_same_bytes_under_another_name_do_not_change_another_image(sources, tmp_path, package_cache):
    builder = make_builder(tmp_path / "one", sources, package_cache)
    first = await built(builder, source(sources, models={"a/model.pkl": (b"same", False)}))
    fresh = make_builder(tmp_path / "two", sources, package_cache)
    await built(fresh, source(sources, models={"b/model.pkl": (b"same", False)}))
    again = await fresh.content_layers(source(sources, models={"a/model.pkl": (b"same", False)}), Log())
    assert [layer.title for layer in again.layers][1] == "model a-model.pkl version 1"
    assert first.digest


async def test_the_log_tells_what_was_fetched_installed_and_pushed_and_holds_no_signature(builder, sources):
    log = Log()
    image = source(sources, models={"model.pkl": (b"w", False)}, requirements="six==1.17.0\n")
    await built(builder, image, log)
    for said in ("fetched model model.pkl", "six==1.17.0", "resolved 2 requirements", "pushed oci:", "1 bytes"):
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
        await builder.dependency_layers(source(sources, requirements=requirements), Log())
    assert (failed.value.code, failed.value.retryable) == (code, False)
    assert said in failed.value.message


async def test_two_sources_of_one_name_are_refused_naming_both(builder, sources):
    models = {"a/model.pkl": (b"1", False), "b/model.pkl": (b"2", False)}
    with pytest.raises(
        BuildFailed, match=r"model b-model\.pkl version 1 and model a-model\.pkl version 1 both bring 'model\.pkl'"
    ):
        await builder.content_layers(source(sources, models=models), Log())


@pytest.mark.parametrize("order", [1, -1])
async def test_a_file_where_another_needs_a_folder_is_refused(builder, sources, order):
    models = dict([("tree", (b"1", False)), ("t.tar.gz", (tar_gz({"tree/a": b"1"}), True))][::order])
    with pytest.raises(BuildFailed, match="both bring 'tree"):
        await builder.content_layers(source(sources, models=models), Log())


async def test_a_name_that_slipway_uses_itself_is_refused(builder, sources):
    with pytest.raises(BuildFailed, match="Slipway itself"):
        await builder.content_layers(source(sources, models={"model_config_map.json": (b"1", False)}), Log())


async def test_a_source_that_is_not_there_is_named_without_its_signature(builder, sources):
    image = source(sources, models={"model.pkl": (b"1", False)})
    sources.remove("model.pkl")
    with pytest.raises(BuildFailed, match=r"model\.pkl cannot be fetched: there is nothing there \(404\)") as failed:
        await builder.content_layers(image, Log())
    assert "sig=" not in failed.value.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"target_runtime": TargetRuntime(runtime_type=RuntimeType.SPARK_PYTHON, properties=RuntimeProperties())},
            "RuntimeNotSupported",
        ),
        (
            {
                "target_runtime": TargetRuntime(
                    runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties(conda_env_file="http://x/env.yml")
                )
            },
            "CondaNotSupported",
        ),
        ({"assets": (Asset(id="driver", url="http://x/driver.py", unpack=True),), "driver_program": "driver"}, "BadDriver"),
    ],
)
async def test_what_this_builder_cannot_build_it_says_before_it_fetches_anything(builder, sources, changes, code):
    with pytest.raises(BuildFailed) as failed:
        await builder.dependency_layers(source(sources, changes=changes), Log())
    assert failed.value.code == code


async def test_a_source_that_is_not_what_it_was_when_first_fetched_is_refused_naming_it(builder, sources):
    image = source(sources, models={"model.pkl": (b"first", False)}, assets={"data.csv": (b"1,2", False)})
    known = (await builder.content_layers(image, Log())).digests
    assert len(known) == 3
    sources.put("model.pkl", b"other")
    with pytest.raises(BuildFailed) as refused:
        await builder.content_layers(replace(image, known=known), Log())
    assert refused.value.code == "SourceChanged"
    assert "model model.pkl version 1" in refused.value.message
    assert "SECRET" not in refused.value.message
    sources.put("model.pkl", b"first")
    assert (await builder.content_layers(replace(image, known=known), Log())).digests == known


async def test_a_tag_never_moves_to_another_image(builder, sources):
    await built(builder, source(sources, models={"model.pkl": (b"1", False)}))
    with pytest.raises(BuildFailed, match="a tag never moves"):
        await built(builder, source(sources, models={"model.pkl": (b"2", False)}))
