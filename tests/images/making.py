"""Builders and what they build from, for tests of images."""

import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from shared.domain.accounts import Account
from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.domain.models import Model
from shared.domain.ports import ImageSource, PublishedImage
from shared.images.builder import BuilderSettings, LayeringImageBuilder
from shared.images.layout import LayoutReader
from shared.registries.registries import Registries
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


def make_builder(
    folder: Path, sources: Sources, downloads: Path, registries: Registries | None = None, **settings: Any
) -> LayeringImageBuilder:
    cache = folder / "cache"
    cache.mkdir(parents=True)
    (cache / "packages").symlink_to(downloads)
    return LayeringImageBuilder(
        BuilderSettings(
            **{
                "images": folder / "images",
                "cache": cache,
                "runtime": settings.get("runtime") or runtime_folder(folder),
                "platform": this_platform(),
                "python": "3.13",
                "fetch_allow": (sources.origin,),
                **settings,
            }
        ),
        registries or Registries({}, no_identity),
    )


def no_identity() -> NoReturn:
    raise AssertionError("no registry here is signed in to by identity")


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


async def built(builder: LayeringImageBuilder, image: ImageSource, log: Log | None = None) -> PublishedImage:
    log = log or Log()
    image = replace(image, base=await builder.base(image, log))
    layers = (*await builder.dependency_layers(image, log), *(await builder.content_layers(image, log)).layers)
    return await builder.publish(image, layers, log)


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
