"""Builders and what they build from, for tests of images."""

import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from local.machine import this_platform
from shared.domain.accounts import Account
from shared.domain.building import DependencyLayers, ImageSource, PublishedImage
from shared.domain.images import Layer
from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.images.builder import BuilderSettings, LayeringImageBuilder
from shared.images.content.fetch import Fetcher
from shared.images.content.guard import Limits
from shared.images.content.source_layers import SourceLayers
from shared.images.drivers.checking import DriverCheck
from shared.images.layouts.reader import LayoutReader
from shared.images.packages.dependencies import Dependencies, DependencySettings
from shared.images.packing.cache import LayerCache
from shared.registries.platforms import Platform
from shared.registries.registries import Registries
from shared.storage.memory import MemoryKeep
from tests.images.sources import Sources
from tests.twins import ManualClock

ACCOUNT = Account("Sub", "Group #1", "local")
CLOCK = ManualClock()
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


def make_builder(
    folder: Path, sources: Sources, downloads: Path, registries: Registries | None = None, **settings: Any
) -> LayeringImageBuilder:
    """A builder with a keep of its own; `settings` are those of the builder, its fetcher and its dependencies."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "packages").symlink_to(downloads)
    keep = settings.pop("keep", None) or MemoryKeep(CLOCK)
    fetcher = Fetcher(allow=(sources.origin, *settings.pop("allow", ())), most_bytes=settings.pop("most_bytes", 10**9))
    runtime = settings.pop("runtime", None) or runtime_folder(folder)
    names = ("source_packages", "indexes", "conda_channels")
    of_dependencies = {name: settings.pop(name) for name in names if name in settings}
    builder_settings = BuilderSettings(**{"images": folder / "images", "platform": this_platform(), **settings})
    dependencies = DependencySettings(
        Platform.parse(builder_settings.platform).plain, "3.13", scratch, runtime, **of_dependencies
    )
    return LayeringImageBuilder(
        builder_settings,
        registries or Registries({}, no_identity),
        LayerCache(keep, CLOCK),
        Dependencies(dependencies, fetcher, keep, CLOCK),
        SourceLayers(fetcher, keep, Limits()),
        driver_check=DriverCheck(fetcher, keep, "3.13"),
    )


def no_identity() -> NoReturn:
    raise AssertionError("no registry here is signed in to by identity")


def source(
    sources: Sources,
    *,
    models: dict[str, tuple[bytes, bool]] | None = None,
    assets: dict[str, tuple[bytes, bool]] | None = None,
    requirements: str | None = None,
    conda: str | None = None,
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
        pip_requirements=sources.put("requirements.txt", requirements.encode()) if requirements is not None else None,
        conda_env_file=sources.put("environment.yml", conda.encode()) if conda is not None else None,
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
    return ImageSource(
        ACCOUNT, "digits", 1, manifest.but(**changes) if changes else manifest, tuple(made), operation_id=ID.format(8)
    )


async def built(builder: LayeringImageBuilder, image: ImageSource, log: Log | None = None) -> PublishedImage:
    published, _ = await built_from(builder, image, log)
    return published


async def built_from(
    builder: LayeringImageBuilder, image: ImageSource, log: Log | None = None
) -> tuple[PublishedImage, ImageSource]:
    """The image, as the workflow has it built, and the source with all that is known of it then."""
    image, _, layers = await assembled(builder, image, log)
    return await builder.publish(image, layers, log or Log()), image


async def assembled(
    builder: LayeringImageBuilder, image: ImageSource, log: Log | None = None
) -> tuple[ImageSource, DependencyLayers, tuple[Layer, ...]]:
    """All but published."""
    log = log or Log()
    resolved = await builder.resolve(image, log)
    image = replace(image, base=resolved.base, known={**resolved.contents, **image.known})
    below = await builder.dependency_layers(image, log)
    content = await builder.content_layers(image, log)
    image = replace(image, known={**content.contents, **image.known})
    return image, below, (*below.layers, *content.layers)


async def unpacked(builder: LayeringImageBuilder, image: ImageSource, into: Path) -> Path:
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
