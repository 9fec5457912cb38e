"""Images in a real registry, over a base image; read, unpacked and run by tools that nobody here wrote."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from isal import igzip

from local.azurite.server import free_ports
from local.machine import this_platform
from shared.domain.building import ChosenVersion
from shared.domain.errors import BuildFailed
from shared.domain.manifests import RuntimeType
from shared.images.builder import LayeringImageBuilder
from shared.images.describing.attestations import LOCK_TYPE, PROVENANCE_TYPE, SBOM_TYPE
from shared.images.packing.compression import Compression
from shared.registries.logins import read_logins
from shared.registries.references import Reference
from shared.registries.registries import Registries
from shared.registries.repository import Repository
from tests.conftest import REPOSITORY
from tests.images.bases import CONFIG, INDEX, LAYER, MANIFEST, PATH, digest_of, push_base, python_layer, small_layer
from tests.images.making import ID, Log, assembled, built, built_from, make_builder, no_identity, source, tar_gz
from tests.registries.running import TokenService, judge, proxy, registry


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        push_base(address, "base/python", small_layer(), others=("linux/s390x",))
        yield address


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("elsewhere")) as address:
        push_base(address, "base/python", small_layer())
        yield address


@pytest.fixture
async def make(tmp_path, sources, package_cache) -> AsyncIterator[Callable[..., LayeringImageBuilder]]:
    """A builder with a cache of its own, that pushes to a name of its own."""
    registries = Registries({}, no_identity)

    def builder(host: str, base: str, **settings: Any) -> LayeringImageBuilder:
        bases = {RuntimeType.PYTHON: base}
        place = {"registry": f"{host}/{uuid4().hex}", "images": None, "bases": bases}
        return make_builder(tmp_path / uuid4().hex, sources, package_cache, registries, **{**place, **settings})

    yield builder
    await registries.close()


async def nobody() -> bool:
    """No record names the image besides."""
    return False


async def somebody() -> bool:
    """Another record names the image."""
    return True


def ran(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(location: str, *more: str) -> Any:
    return json.loads(ran(judge("skopeo"), "inspect", "--tls-verify=false", *more, f"docker://{location}"))


def small(sources: Any) -> Any:
    models = {"model.pkl": (b"weights", False), "tree.tar.gz": (tar_gz({"tree/a.txt": b"a"}), True)}
    return source(sources, models=models, requirements="six==1.17.0\n")


async def test_other_tools_find_the_image_its_layers_and_how_it_is_started(make, host, sources):
    published = await built(make(host, f"{host}/base/python:1"), small(sources))
    shown = inspected(published.location)
    assert shown["Digest"] == published.digest
    assert published.location.startswith(f"{host}/")
    assert published.location.endswith("/digits:1")
    config = inspected(published.location, "--config")["config"]
    assert config["Entrypoint"] == ["python", "/opt/slipway/runtime"]
    assert (config["User"], config["WorkingDir"]) == ("65532", "/var/azureml-app")
    assert list(config["ExposedPorts"]) == ["5001/tcp"]
    assert {f"PATH={PATH}", "BASE=yes", "SLIPWAY_DRIVER=driver.py"} <= set(config["Env"])


async def test_the_image_unpacks_to_its_base_and_the_one_folder(make, host, sources, tmp_path):
    published = await built(make(host, f"{host}/base/python:1"), small(sources))
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    ran(judge("skopeo"), "copy", "--src-tls-verify=false", f"docker://{published.location}", f"oci:{layout}:x")
    ran(judge("umoci"), "unpack", "--rootless", "--image", f"{layout}:x", bundle)
    root = bundle / "rootfs"
    assert (root / "etc" / "base").read_text() == "a base image"
    app = root / "var" / "azureml-app"
    assert (app / "model.pkl").read_bytes() == b"weights"
    assert (app / "tree" / "a.txt").read_bytes() == b"a"
    assert (root / "opt" / "slipway" / "python" / "six.py").exists()


async def test_a_base_in_the_same_registry_is_mounted_and_one_elsewhere_is_copied(make, host, elsewhere, sources):
    near, far = Log(), Log()
    one = await built(make(host, f"{host}/base/python:1"), small(sources), near)
    other = await built(make(host, f"{elsewhere}/base/python:1"), small(sources), far)
    assert "1 mounted" in near.text
    assert "1 copied" in far.text
    assert one.digest == other.digest


async def test_a_build_of_what_is_there_sends_nothing(make, host, sources):
    builder, log = make(host, f"{host}/base/python:1"), Log()
    first, known = await built_from(builder, small(sources))
    assert await built(builder, known, log) == first
    assert "1 there" in log.text
    assert "new" not in log.text


async def test_layers_are_mounted_from_the_image_that_they_were_made_for(make, host, sources):
    builder = make(host, f"{host}/base/python:1")
    first, known = await built_from(builder, small(sources))
    log = Log()
    other = await built(builder, replace(known, name="other"), log)
    assert other.digest == first.digest
    assert "new" not in log.text


async def test_a_layout_on_disk_stands_on_a_base_too(make, host, sources, tmp_path):
    layouts = tmp_path / "layouts"
    published = await built(make(host, f"{host}/base/python:1", registry="", images=layouts), small(sources))
    in_registry = await built(make(host, f"{host}/base/python:1"), small(sources))
    assert published.digest == in_registry.digest


@pytest.mark.parametrize(
    ("base", "said"), [("base/none:1", "There is no base image"), ("base/python:9", "There is no base image")]
)
async def test_a_base_that_is_not_there_is_named(make, host, sources, base, said):
    with pytest.raises(BuildFailed, match=said) as refused:
        await built(make(host, f"{host}/{base}"), small(sources))
    assert refused.value.code == "BaseImageNotFound"


async def test_a_base_for_other_platforms_is_refused_naming_them(make, host, sources):
    push_base(host, "base/foreign", others=())
    other = "linux/arm64" if this_platform() != "linux/arm64" else "linux/amd64"
    with pytest.raises(BuildFailed, match=f"there for {this_platform()}, not for {other}"):
        await built(make(host, f"{host}/base/foreign:1", platform=other), small(sources))


async def test_a_tag_never_moves_and_only_what_names_it_takes_it_back(make, host, sources):
    builder = make(host, f"{host}/base/python:1")
    image, _, made = await assembled(builder, small(sources))
    published = await builder.publish(image, made, Log())
    other, _, others = await assembled(builder, source(sources))
    with pytest.raises(BuildFailed) as refused:
        await builder.publish(other, others, Log())
    assert refused.value.code == "TagTaken"
    for one, layers in ((other, others), (other, ()), (image, ())):
        await builder.ensure_unpublished(one, layers, Log(), nobody)
        assert inspected(published.location)["Digest"] == published.digest
    for _ in range(2):
        await builder.ensure_unpublished(image, made, Log(), nobody)
        assert tag_status(published.location) == 404


async def test_versions_whose_tags_name_other_images_are_skipped_and_an_equal_image_is_adopted(make, host, sources):
    builder = make(host, f"{host}/base/python:1")
    image, _, made = await assembled(builder, small(sources))
    assert await builder.choose_version(image, made, 1) == ChosenVersion(1, is_free=True)
    for version in (1, 2, 4):
        await builder.publish(replace(image, version=version), made, Log())
    assert await builder.choose_version(image, made, 1) == ChosenVersion(1, is_free=False)
    other, _, others = await assembled(builder, source(sources))
    assert await builder.choose_version(other, others, 1) == ChosenVersion(3, is_free=True)
    assert await builder.choose_version(other, others, 3) == ChosenVersion(5, is_free=True)


def tag_status(location: str) -> int:
    host, _, rest = location.partition("/")
    repository, _, tag = rest.rpartition(":")
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    return httpx.get(url, headers={"Accept": f"{MANIFEST}, {INDEX}"}).status_code


async def test_a_registry_behind_nginx_and_a_token_service_takes_images_over_its_own_bases(
    tmp_path, tmp_path_factory, sources, package_cache
):
    tokens, folder = TokenService(), tmp_path_factory.mktemp("signed")
    with registry(folder, tokens.auth(folder)) as behind, proxy(folder / "nginx", behind) as front:
        login = {"auth": base64.b64encode(":".join(tokens.login).encode()).decode()}
        registries = Registries(read_logins(json.dumps({"auths": {front: login}})), no_identity)
        place = {"registry": f"{front}/x", "images": None, "bases": {RuntimeType.PYTHON: f"{front}/base/python:1"}}
        builder = make_builder(tmp_path / "builder", sources, package_cache, registries, **place)
        await push_plain(registries.repository(Reference.parse(f"{front}/base/python:1")))
        log = Log()
        image, _, made = await assembled(builder, small(sources), log)
        published = await builder.publish(image, made, log)
        assert "1 mounted" in log.text
        credentials = ["--creds", ":".join(tokens.login)]
        assert inspected(published.location, *credentials)["Digest"] == published.digest
        await builder.ensure_unpublished(image, made, log, nobody)
        assert await registries.repository(Reference.parse(published.location)).named("1") == ""
        await registries.close()
    tokens.stop()


async def push_plain(repository: Repository) -> None:
    """A base image of one layer, pushed as Slipway pushes."""
    layer = igzip.compress(small_layer(), 2, mtime=0)
    system, _, architecture = this_platform().partition("/")
    rootfs = {"type": "layers", "diff_ids": [digest_of(small_layer())]}
    config = json.dumps({"os": system, "architecture": architecture, "rootfs": rootfs}).encode()
    for blob in (layer, config):
        await repository.upload(digest_of(blob), blob)
    described = [
        {"mediaType": kind, "digest": digest_of(blob), "size": len(blob)}
        for kind, blob in ((CONFIG, config), (LAYER, layer))
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    await repository.put_manifest(json.dumps(manifest).encode(), "1")


async def test_two_accounts_of_one_name_share_no_repository(make, host, sources):
    builder, image = make(host, f"{host}/base/python:1"), small(sources)
    other = replace(image, account=replace(image.account, resource_group="another"))
    one, two = await built(builder, image), await built(builder, other)
    assert one.location != two.location


async def test_the_image_runs_and_scores(make, host, sources, tmp_path):
    push_base(host, "base/real", python_layer())
    published = await built(make(host, f"{host}/base/real:1", runtime=REPOSITORY / "runtime"), small(sources))
    with running(published.location, tmp_path) as url:
        answer = answered(url)
    assert (answer.status_code, answer.json()) == (200, {"x": 1})


@contextmanager
def container(location: str, folder: Path) -> Iterator[tuple[list[str], str]]:
    """A container of the image: how it is called upon, and its name."""
    buildah = [judge("buildah"), "--storage-driver", "vfs"]
    buildah += ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
    try:
        yield buildah, ran(*buildah, "from", "--tls-verify=false", f"docker://{location}").strip()
    finally:
        ran(*buildah, "rm", "--all")
        shutil.rmtree(folder / "root", ignore_errors=True)


@contextmanager
def running(location: str, folder: Path) -> Iterator[str]:
    """The image as a container that runs; where it is scored."""
    (port,) = free_ports(1)
    with container(location, folder) as (buildah, name):
        ran(*buildah, "config", "--env", f"SLIPWAY_PORT={port}", "--env", "SLIPWAY_HOST=127.0.0.1", name)
        entrypoint = inspected(location, "--config")["config"]["Entrypoint"]
        process = subprocess.Popen([*buildah, "run", "--isolation", "chroot", name, "--", *entrypoint])
        try:
            yield f"http://127.0.0.1:{port}/score"
        finally:
            process.terminate()
            process.wait(timeout=30)


def answered(url: str) -> httpx.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = httpx.post(url, json={"x": 1})
            if answer.status_code != 503:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, url
        time.sleep(0.1)


def referred(location: str, digest: str) -> dict[str, Any]:
    """The artifacts about an image, by their types, as a registry without referrers of its own lists them."""
    repository = location.rpartition(":")[0]
    index = json.loads(
        ran(judge("skopeo"), "inspect", "--tls-verify=false", "--raw", f"docker://{repository}:{tag(digest)}")
    )
    return {one["artifactType"]: one for one in index["manifests"]}


def tag(digest: str) -> str:
    return digest.replace(":", "-")


def content_of(location: str, descriptor: dict[str, Any], folder: Path) -> str:
    """What an artifact holds, copied out of the registry by another tool."""
    copied = folder / descriptor["digest"].partition(":")[2]
    source = f"docker://{location.rpartition(':')[0]}@{descriptor['digest']}"
    ran(judge("skopeo"), "copy", "--src-tls-verify=false", source, f"dir:{copied}")
    manifest = json.loads((copied / "manifest.json").read_text())
    return (copied / manifest["layers"][0]["digest"].partition(":")[2]).read_text()


async def test_an_image_has_its_packages_its_provenance_and_its_lock_beside_it(make, host, sources, tmp_path):
    published = await built(make(host, f"{host}/base/python:1"), small(sources))
    about = referred(published.location, published.digest)
    assert about.keys() == {SBOM_TYPE, PROVENANCE_TYPE, LOCK_TYPE}
    sbom = json.loads(content_of(published.location, about[SBOM_TYPE], tmp_path))
    assert {"six", "setuptools"} <= {component["name"] for component in sbom["components"]}
    statement = json.loads(content_of(published.location, about[PROVENANCE_TYPE], tmp_path))
    assert statement["subject"][0]["digest"]["sha256"] == published.digest.partition(":")[2]
    materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"base image", "the driver 'driver'", "pip.lock"} <= {material["name"] for material in materials}
    assert "SECRET" not in json.dumps(statement)
    assert "six==1.17.0" in content_of(published.location, about[LOCK_TYPE], tmp_path)


async def test_what_is_said_about_an_image_is_said_once_and_stays_with_its_other_name(make, host, sources):
    builder = make(host, f"{host}/base/python:1")
    image, _, layers = await assembled(builder, small(sources))
    published = await builder.publish(image, layers, Log())
    first = referred(published.location, published.digest)
    again = replace(image, version=2, operation_id=ID.format(5))
    assert (await builder.publish(again, layers, Log())).digest == published.digest
    assert referred(published.location, published.digest) == first
    for one in (again, image):
        with pytest.raises(BuildFailed, match="stays: the registry deletes no tags"):
            await builder.ensure_unpublished(one, layers, Log(), nobody)
        assert referred(published.location, published.digest) == first
        assert inspected(published.location)["Digest"] == published.digest


async def test_what_is_said_about_an_image_goes_with_its_last_name(make, host, sources):
    builder = make(host, f"{host}/base/python:1")
    image, _, layers = await assembled(builder, small(sources))
    published = await builder.publish(image, layers, Log())
    first = referred(published.location, published.digest)
    with pytest.raises(BuildFailed, match="stays: the registry deletes no tags"):
        await builder.ensure_unpublished(image, layers, Log(), somebody)
    assert referred(published.location, published.digest) == first
    await builder.ensure_unpublished(image, layers, Log(), nobody)
    assert tag_status(published.location) == 404
    assert tag_status(f"{published.location.rpartition(':')[0]}:{tag(published.digest)}") == 404


async def test_an_image_for_another_platform_is_made_of_that_platforms_base_and_wheels(make, host, sources, tmp_path):
    other = "linux/arm64" if this_platform() != "linux/arm64" else "linux/amd64"
    push_base(host, "base/other", small_layer(), platform=other, others=(this_platform(),))
    image = source(sources, requirements="markupsafe==3.0.2\n")
    published = await built(make(host, f"{host}/base/other:1", platform=other), image)
    architecture = other.partition("/")[2]
    shown = inspected(published.location, "--config")
    assert (shown["os"], shown["architecture"]) == ("linux", architecture)
    copied = tmp_path / "layout"
    ran(judge("skopeo"), "copy", "--src-tls-verify=false", f"docker://{published.location}", f"oci:{copied}:x")
    ran(judge("umoci"), "unpack", "--rootless", "--image", f"{copied}:x", tmp_path / "bundle")
    (native,) = (tmp_path / "bundle" / "rootfs" / "opt" / "slipway" / "python").rglob("_speedups*.so")
    assert {"arm64": "aarch64", "amd64": "x86_64"}[architecture] in native.name


async def test_an_image_for_a_variant_says_so_and_is_made_of_the_same_wheels(make, host, sources):
    platform = "linux/amd64/v3"
    push_base(host, "base/variants", small_layer(), platform="linux/amd64", others=())
    published = await built(make(host, f"{host}/base/variants:1", platform=platform), small(sources))
    shown = json.loads(
        ran(judge("skopeo"), "inspect", "--tls-verify=false", "--config", "--raw", f"docker://{published.location}")
    )
    assert (shown["os"], shown["architecture"], shown["variant"]) == ("linux", "amd64", "v3")


async def test_layers_may_be_compressed_by_zstd(make, host, sources, tmp_path):
    published = await built(make(host, f"{host}/base/python:1", compression=Compression.ZSTD), small(sources))
    layers = inspected(published.location, "--raw")["layers"]
    assert [layer["mediaType"].rpartition("+")[2] for layer in layers] == ["gzip", *["zstd"] * (len(layers) - 1)]
    with container(published.location, tmp_path) as (buildah, name):
        root = Path(ran(*buildah, "mount", name).strip())
        assert (root / "var" / "azureml-app" / "model.pkl").read_bytes() == b"weights"
        assert (root / "opt" / "slipway" / "python" / "six.py").exists()
