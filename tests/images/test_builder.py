"""Images from real sources over real HTTP, with packages from the real index."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.domain.accounts import Account
from shared.domain.errors import BuildFailed
from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.domain.ports import ImageSource, PublishedImage
from shared.images.builder import BuilderSettings, LayoutImageBuilder
from shared.images.layout import LayoutReader
from shared.settings import this_platform
from tests.images.sources import Sources

ACCOUNT = Account("Sub", "Group #1", "local")
DRIVER = b"def init(): pass\ndef run(body): return body\n"
ID = "01890000-0000-7000-8000-00000000000{}"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def runtime_folder(folder: Path) -> Path:
    runtime = folder / "runtime"
    (runtime / "server").mkdir(parents=True)
    (runtime / "__main__.py").write_text("import server\n")
    (runtime / "server" / "__init__.py").write_text("")
    (runtime / "requirements.txt").write_text("")
    return runtime


@pytest.fixture
def sources():
    with Sources() as serving:
        yield serving


@pytest.fixture
def builder(tmp_path, sources, package_cache) -> LayoutImageBuilder:
    return make_builder(tmp_path, sources, package_cache)


def make_builder(folder: Path, sources: Sources, downloads: Path) -> LayoutImageBuilder:
    cache = folder / "cache"
    cache.mkdir(parents=True)
    (cache / "packages").symlink_to(downloads)
    return LayoutImageBuilder(
        BuilderSettings(
            images=folder / "images",
            cache=cache,
            runtime=runtime_folder(folder),
            platform=this_platform(),
            python="3.13",
            fetch_allow=(sources.origin,),
        )
    )


def source(
    sources: Sources,
    *,
    models: dict[str, tuple[bytes, bool]] | None = None,
    assets: dict[str, tuple[bytes, bool]] | None = None,
    requirements: str | None = None,
    changes: dict[str, object] | None = None,
) -> ImageSource:
    made = [
        Model(
            id=ID.format(number),
            name=path.replace("/", "-"),
            version=1,
            url=sources.put(path, content),
            mime_type="application/json",
            unpack=unpack,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for number, (path, (content, unpack)) in enumerate((models or {}).items())
    ]
    others = [
        Asset(id="x", url=sources.put(path, content), unpack=unpack) for path, (content, unpack) in (assets or {}).items()
    ]
    properties = RuntimeProperties(
        pip_requirements=sources.put("requirements.txt", requirements.encode()) if requirements is not None else None
    )
    manifest = Manifest(
        id=ID.format(9),
        name="digits",
        version=3,
        driver_program="driver",
        assets=(Asset(id="driver", url=sources.put("driver.py", DRIVER)), *others),
        model_ids=tuple(model.id for model in made),
        target_runtime=TargetRuntime(runtime_type=RuntimeType.PYTHON, properties=properties),
        created_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ImageSource(ACCOUNT, "digits", 1, manifest.but(**changes) if changes else manifest, tuple(made))


async def built(builder: LayoutImageBuilder, image: ImageSource, log: Log | None = None) -> PublishedImage:
    log = log or Log()
    layers = (*await builder.dependency_layers(image, log), *await builder.content_layers(image, log))
    return await builder.publish(image, layers, log)


async def unpacked(builder: LayoutImageBuilder, image: ImageSource, into: Path) -> Path:
    published = await built(builder, image)
    LayoutReader().unpack(published.location, published.digest, into)
    return into / "var" / "azureml-app"


def tar_gz(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


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


async def test_the_same_bytes_under_another_name_do_not_change_another_image(sources, tmp_path, package_cache):
    builder = make_builder(tmp_path / "one", sources, package_cache)
    first = await built(builder, source(sources, models={"a/model.pkl": (b"same", False)}))
    fresh = make_builder(tmp_path / "two", sources, package_cache)
    await built(fresh, source(sources, models={"b/model.pkl": (b"same", False)}))
    again = await fresh.content_layers(source(sources, models={"a/model.pkl": (b"same", False)}), Log())
    assert [layer.title for layer in again][1] == "model a-model.pkl version 1"
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


async def test_a_tag_never_moves_to_another_image(builder, sources):
    await built(builder, source(sources, models={"model.pkl": (b"1", False)}))
    with pytest.raises(BuildFailed, match="a tag never moves"):
        await built(builder, source(sources, models={"model.pkl": (b"2", False)}))
