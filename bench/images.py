"""What images cost, beside `buildah bud` and push of a Dockerfile of the same layers. Run by `make bench NAME=images`.

Needs Debian's buildah and docker-registry. Both sides have the same base, packages, model and driver, and push to the same
registry; each round begins with nothing of their own: no packages, no layers.
"""

import asyncio
import ensurepip
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from bench.reporting.measures import at_most, noted
from local.azurite.server import Azurite, AzuriteAddress
from local.machine import this_platform
from local.upload import Uploads
from shared.building import made_builder, made_registries
from shared.clock import SystemClock
from shared.domain.accounts import Account
from shared.domain.building import DependencyLayers, ImageBuilder, ImageSource
from shared.domain.ids import new_id
from shared.domain.images import Layer
from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.settings.images import read_image_settings
from shared.storage.blobs import BlobAccount
from shared.storage.connection import StorageConnection
from tests.images.bases import push_base, python_layer
from tests.registries.running import registry

CLOCK = SystemClock()
ROUNDS = int(os.environ.get("SLIPWAY_BENCH_ROUNDS", "3"))
REQUIREMENTS = b"scikit-learn==1.9.1\npandas==3.1.1\n"
MORE_REQUIREMENTS = REQUIREMENTS + b"six==1.17.0\n"
MODEL_BYTES = 100 * 1024**2
LARGE_BYTES = int(os.environ.get("SLIPWAY_BENCH_MODEL_BYTES", str(4 * 1024**3)))
DRIVER = b"def init():\n    pass\n\n\ndef run(body):\n    return body\n"
OTHER_DRIVERS = [DRIVER + b"# another\n" * count for count in range(1, 6)]
NAMES = {"first": "first build", "driver": "only the driver changed", "nothing": "nothing changed"}
ACCOUNT = Account("sub", "bench", "local")
DOCKERFILE = """FROM {host}/base/python:1
ARG PIP_CERT
COPY runtime /opt/slipway/runtime
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-deps", \\
     "--target", "/opt/slipway/runtime/lib", "-r", "/opt/slipway/runtime/requirements.txt"]
COPY requirements.txt /tmp/requirements.txt
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--target", "/opt/slipway/python", \\
     "-r", "/tmp/requirements.txt"]
WORKDIR /var/azureml-app
COPY model.bin model.bin
COPY driver.py driver.py
"""


class Silent:
    """A log that nobody reads."""

    def line(self, text: str) -> None:
        """Not kept."""


def model_content(size: int = MODEL_BYTES) -> bytes:
    """As weights are: it does not shrink."""
    return random.Random(7).randbytes(size)


def pip_layer() -> bytes:
    """A tar of pip, which the base needs for the other side."""
    (wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    packed = io.BytesIO()
    with zipfile.ZipFile(wheel) as files, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in files.namelist():
            info = tarfile.TarInfo(f"usr/local/lib/python3.13/site-packages/{name}")
            info.size = files.getinfo(name).file_size
            archive.addfile(info, io.BytesIO(files.read(name)))
    return packed.getvalue()


@dataclass
class Place:
    """Where both sides work: a registry and where it keeps what it has, and a storage account."""

    host: str
    stored: Path
    storage: AzuriteAddress

    def bytes_stored(self) -> int:
        """What the registry has."""
        return sum(file.stat().st_size for file in self.stored.rglob("*") if file.is_file())


@dataclass
class Slipway:
    """Our side: a builder with a name of its own in the registry."""

    place: Place
    scratch: Path
    allow: tuple[str, ...] = ()
    prefix: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        storage = self.place.storage
        environment = {
            "SLIPWAY_REGISTRY": f"{self.place.host}/{self.prefix}",
            "SLIPWAY_BASE_IMAGE_PYTHON": f"{self.place.host}/base/python:1",
            "SLIPWAY_SCRATCH": str(self.scratch),
            "SLIPWAY_TARGET_PLATFORM": this_platform(),
            "SLIPWAY_FETCH_ALLOW": ",".join((f"127.0.0.1:{storage.blob}", *self.allow)),
        }
        self.blobs = BlobAccount(StorageConnection.from_settings({"AzureWebJobsStorage": storage.connection_string}))
        self.uploads = Uploads(storage.connection_string, storage.blob_endpoint)
        settings = read_image_settings(environment)
        self._opened = AsyncExitStack()
        self.registries = made_registries(settings, self._opened)
        self.builder: ImageBuilder = made_builder(
            settings, self.registries, self.blobs, CLOCK, deadline=timedelta(minutes=30), opened=self._opened
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._opened.aclose()
        await self.blobs.close()

    async def source(self, model_url: str, driver: bytes, requirements: bytes = REQUIREMENTS) -> ImageSource:
        """A manifest of those."""
        model = Model(
            id=new_id(CLOCK.now(), CLOCK.random_bits),
            name="model",
            version=1,
            url=model_url,
            mime_type="application/json",
            created_at=CLOCK.now(),
        )
        requirements_url = await self.uploads.put("requirements.txt", requirements)
        manifest = Manifest(
            id=new_id(CLOCK.now(), CLOCK.random_bits),
            name="bench",
            version=1,
            driver_program="driver",
            assets=(Asset(id="driver", url=await self.uploads.put("driver.py", driver)),),
            model_ids=(model.id,),
            target_runtime=TargetRuntime(
                runtime_type=RuntimeType.PYTHON, properties=RuntimeProperties(pip_requirements=requirements_url)
            ),
            created_time=CLOCK.now(),
        )
        return ImageSource(ACCOUNT, "bench", 1, manifest, (model,), operation_id=manifest.id)

    async def build(self, source: ImageSource) -> tuple[float, ImageSource, tuple[Layer, ...]]:
        """As the workflow has it built: its seconds, what is known of the source then, and the layers."""
        began, log = time.monotonic(), Silent()
        resolved = await self.builder.resolve(source, log)
        source = replace(source, base=resolved.base, known={**resolved.contents, **source.known})
        made = await self.builder.dependency_layers(source, log)
        assert isinstance(made, DependencyLayers)
        content = await self.builder.content_layers(source, log)
        source = replace(source, known={**content.contents, **source.known})
        layers = (*made.layers, *content.layers)
        await self.builder.publish(source, layers, log)
        return time.monotonic() - began, source, layers


@dataclass
class Buildah:
    """The other side, with a storage of its own."""

    host: str
    folder: Path
    name: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        context = self.folder / "context"
        context.mkdir(parents=True)
        (context / "Dockerfile").write_text(DOCKERFILE.format(host=self.host))
        (context / "requirements.txt").write_bytes(REQUIREMENTS)
        (context / "model.bin").write_bytes(model_content())
        shutil.copytree(Path(__file__).parent.parent / "runtime", context / "runtime")

    def build(self, tag: str, driver: bytes) -> float:
        """Its seconds."""
        (self.folder / "context" / "driver.py").write_bytes(driver)
        began = time.monotonic()
        certificates = os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"
        self._run(
            "bud", "--layers", "--isolation", "chroot", "--tls-verify=false", "-q", "-t", self._image(tag),
            "--volume", f"{certificates}:/ca.crt:ro", "--build-arg", "PIP_CERT=/ca.crt", str(self.folder / "context"),
        )  # fmt: skip
        self._run("push", "--tls-verify=false", "-q", self._image(tag))
        return time.monotonic() - began

    def size(self, tag: str) -> int:
        """Of its layers, as the registry has them."""
        url = f"http://{self.host}/v2/buildah/{self.name}/manifests/{tag}"
        shown = httpx.get(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}).json()
        return sum(layer["size"] for layer in shown["layers"])

    def clear(self) -> None:
        """Unmount what it has mounted."""
        self._run("rmi", "--all", "--force")

    def _image(self, tag: str) -> str:
        return f"{self.host}/buildah/{self.name}:{tag}"

    def _run(self, *words: str) -> str:
        places = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        done = subprocess.run(["buildah", *places, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"buildah {words[0]}: {done.stderr}")
        return done.stdout


@dataclass
class Round:
    """What one round took, each side, by what was built; and what else was measured."""

    ours: dict[str, float] = field(default_factory=dict)
    theirs: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


def their_round(place: Place, folder: Path, took: Round) -> None:
    """First build, rebuild with another driver, rebuild of what is there."""
    buildah = Buildah(place.host, folder)
    try:
        took.theirs["first"] = buildah.build("first", DRIVER)
        changed = [buildah.build("driver", driver) for driver in OTHER_DRIVERS]
        took.theirs["driver"] = statistics.median(changed)
        took.theirs["nothing"] = statistics.median(buildah.build("nothing", OTHER_DRIVERS[-1]) for _ in OTHER_DRIVERS)
        took.measured["their size"] = buildah.size("first")
    finally:
        buildah.clear()


async def our_round(place: Place, folder: Path, took: Round) -> None:
    """The same; and what another package adds to send."""
    slipway = Slipway(place, folder)
    first = await slipway.source(await slipway.uploads.put("model.bin", model_content()), DRIVER)
    took.ours["first"], known, layers = await slipway.build(first)
    of_model = {key: content for key, content in known.known.items() if key.startswith(first.models[0].id)}
    changed, again = list[float](), list[float]()
    for version, driver in enumerate(OTHER_DRIVERS, 2):
        source = replace(await slipway.source(first.models[0].url, driver), models=first.models, known=of_model)
        seconds, known, _ = await slipway.build(replace(source, version=version))
        changed.append(seconds)
    before = place.bytes_stored()
    for _ in OTHER_DRIVERS:
        seconds, _, _ = await slipway.build(known)
        again.append(seconds)
    took.ours |= {"driver": statistics.median(changed), "nothing": statistics.median(again)}
    took.measured |= {"sent": place.bytes_stored() - before, "our size": sum(layer.size for layer in layers)}
    more = await slipway.source(first.models[0].url, DRIVER, MORE_REQUIREMENTS)
    more = replace(more, models=first.models, known=of_model, version=99)
    took.ours["another package"], _, layers = await slipway.build(more)
    took.measured["new bytes"] = sum(layer.size for layer in layers if layer.key and not layer.cached)
    took.measured["layers"] = len(layers)
    await slipway.close()


def report(rounds: Sequence[Round]) -> None:
    """The medians, and the ratios of the medians."""
    for what, target in (("first", 0.35), ("driver", 0.15), ("nothing", 0.1)):
        ours, theirs = (statistics.median(getattr(one, side)[what] for one in rounds) for side in ("ours", "theirs"))
        at_most(f"{NAMES[what]}: Slipway against buildah", ours / theirs, target)
        noted("the same, seconds: Slipway, buildah", f"{ours:.2f}, {theirs:.2f}")
    last = rounds[-1].measured
    at_most("bytes of blobs sent when nothing changed", last["sent"], 0)
    at_most("image size against buildah's", last["our size"] / last["their size"], 1.0)
    noted("image sizes, MiB: Slipway, buildah", f"{last['our size'] / 2**20:.1f}, {last['their size'] / 2**20:.1f}")
    another = statistics.median(one.ours["another package"] for one in rounds)
    noted("one more small package: seconds, bytes sent, layers in all",
          f"{another:.2f}, {last['new bytes']:.0f}, {last['layers']:.0f}")  # fmt: skip


async def large(place: Place, folder: Path, url: str) -> None:
    """Build with the model at that URL, in this process; prints its seconds and its peak memory."""
    slipway = Slipway(place, folder, allow=(url.split("/")[2],))
    seconds, _, _ = await slipway.build(await slipway.source(url, DRIVER, b""))
    print(json.dumps({"seconds": seconds, "peak": peak_memory(), "disk": used_disk(folder)}))
    await slipway.close()


def peak_memory() -> float:
    """Of this process, in MiB; `getrusage` would tell of the one that started it, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def used_disk(folder: Path) -> int:
    """Bytes that are left in the scratch folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class Weights(BaseHTTPRequestHandler):
    """A model that no disk holds, as large as its path says."""

    block = random.Random(7).randbytes(1024 * 1024)

    def do_GET(self) -> None:
        size = int(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for left in range(size, 0, -len(self.block)):
            self.wfile.write(self.block[:left])

    def log_message(self, *_: object) -> None:
        """Quietly."""


def measure_memory(place: Place, folder: Path) -> None:
    """A large model, in a process of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Weights)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{LARGE_BYTES}"
    given = {"host": place.host, "stored": str(place.stored), "storage": asdict(place.storage), "folder": str(folder)}
    done = subprocess.run(
        [sys.executable, __file__, json.dumps({**given, "url": url})], capture_output=True, text=True, check=True
    )
    measured = json.loads(done.stdout)
    at_most(f"peak memory with a model of {LARGE_BYTES / 2**30:.0f} GiB", measured["peak"], 256, " MiB")
    at_most("what of it is on the function's disk", measured["disk"], 0)
    noted("the same: seconds, MiB a second", f"{measured['seconds']:.0f}, {LARGE_BYTES / 2**20 / measured['seconds']:.0f}")
    server.shutdown()


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, registry(Path(name)) as host, Azurite() as azurite:
        folder = Path(name)
        push_base(host, "base/python", python_layer(), pip_layer())
        place = Place(host, folder / "blobs", azurite.address)
        rounds = []
        for number in range(ROUNDS):
            took = Round()
            their_round(place, folder / f"buildah-{number}", took)
            asyncio.run(our_round(place, folder / f"scratch-{number}", took))
            rounds.append(took)
        report(rounds)
        measure_memory(place, folder / "large")


def main_large(given: dict[str, Any]) -> None:
    """The process that `measure_memory` starts."""
    place = Place(given["host"], Path(given["stored"]), AzuriteAddress(**given["storage"]))
    asyncio.run(large(place, Path(given["folder"]), given["url"]))


if __name__ == "__main__":
    main_large(json.loads(sys.argv[1])) if len(sys.argv) > 1 else main()
