"""What is sent to ACR Tasks, given to a builder of Dockerfiles that nobody here wrote: buildah takes the run's place."""

import ensurepip
import io
import os
import re
import ssl
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from local.machine import this_platform
from shared.domain.manifests import RuntimeType
from shared.registries.registries import Registries
from shared.tasks.builder import TasksImageBuilder
from tests.images.bases import _libraries, _tar, push_base, python_layer
from tests.images.making import Log, make_builder, no_identity, source
from tests.images.sources import Sources
from tests.registries.running import judge, registry
from tests.tasks.acr import Acr

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as address:
        push_base(address, "base/python", python_layer(), _tar([*shell(), *pip()]))
        yield address


def shell() -> Iterator[tuple[str, bytes, int]]:
    program = Path("/bin/sh").resolve()
    yield "bin/sh", program.read_bytes(), 0o755
    for library in sorted(set(_libraries(program))):
        yield str(library).lstrip("/"), library.read_bytes(), 0o755


def pip() -> Iterator[tuple[str, bytes, int]]:
    """pip as Python brings it, which trusts whom this machine trusts."""
    (wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            yield f"usr/local/lib/python{sysconfig.get_python_version()}/site-packages/{name}", packed.read(name), 0o644
    trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if trusted:
        yield CERTIFICATES, Path(trusted).read_bytes(), 0o644
        yield "etc/pip.conf", f"[global]\ncert = /{CERTIFICATES}\n".encode(), 0o644


class Buildah:
    """Runs of ACR Tasks, by another builder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        places = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self._command = [judge("buildah"), "--storage-driver", "vfs", *places]

    def build(self, acr: Acr, host: str) -> None:
        """Do what the run was asked for."""
        run, context, written = acr.run, self._folder / "context", self._folder / "digest"
        with tarfile.open(fileobj=io.BytesIO(acr.contexts[run.request["sourceLocation"]])) as packed:
            packed.extractall(context, filter="data")
        (image,) = run.request["imageNames"]
        dockerfile = context / run.request["dockerFilePath"]
        isolated = ("--isolation", "chroot", "--tls-verify=false", "--format", "docker")
        run.log = self.ran("build", *isolated, "--file", str(dockerfile), "--tag", f"{host}/{image}", str(context)).encode()
        self.ran("push", "--tls-verify=false", "--digestfile", str(written), f"{host}/{image}")
        repository, _, tag = image.rpartition(":")
        run.images = ({"registry": host, "repository": repository, "tag": tag, "digest": written.read_text()},)
        run.status = "Succeeded"

    def python(self, image: str, program: str) -> str:
        """What a program says that runs in the image, with the packages where images look for them."""
        container = self.ran("from", "--tls-verify=false", f"docker://{image}").split()[-1]
        self.ran("config", "--env", "PYTHONPATH=/opt/slipway/python", container)
        return self.ran("run", "--isolation", "chroot", container, "--", "python", "-c", program)

    def ran(self, *arguments: str) -> str:
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


async def test_an_image_stands_on_the_packages_that_a_real_builder_installed(acr, runs, host, tmp_path):
    registries, log, buildah = Registries({}, no_identity), Log(), Buildah(tmp_path)
    place = {"registry": f"{host}/slipway", "images": None, "bases": {RuntimeType.PYTHON: f"{host}/base/python:1"}}
    (tmp_path / "downloads").mkdir()
    with Sources() as sources:
        inner = make_builder(tmp_path, sources, tmp_path / "downloads", registries, **place)
        builder = TasksImageBuilder(
            inner,
            runs,
            registries,
            registry=place["registry"],
            platform=this_platform(),
            requirements=inner._dependencies.requirements,
        )
        image = source(sources, requirements="six==1.17.0\ndocopt==0.6.2  # which has no wheel\n")
        resolved = await builder.resolve(image, log)
        image = replace(image, base=resolved.base, known=resolved.contents)
        begun = await builder.dependency_layers(image, log)
        buildah.build(acr, host)
        below = await builder.dependency_layers(replace(image, left=begun.left), log)
        image = replace(image, base=below.base, known={**image.known, **below.contents})
        content = await builder.content_layers(image, log)
        image = replace(image, known={**image.known, **content.contents})
        published = await builder.publish(image, (*below.layers, *content.layers), log)
        assert await builder.dependency_layers(image, log) == replace(below, layers=ANY)
    await registries.close()
    said = buildah.python(published.location, "import six, docopt; print(six.__version__, docopt.__version__)")
    assert said == "1.17.0 0.6.2\n"
    assert len(acr.runs) == 1
    assert any(line.startswith("yd1: STEP 2") for line in log.lines)
    assert any(re.fullmatch("base image: 3 layers, .*: 3 mounted", line) for line in log.lines), log.lines
