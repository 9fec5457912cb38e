"""Manifests: a driver program, the models it uses and all it depends on. Source: api.md, Manifest."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from shared.domain.documents import Document, Term
from shared.domain.errors import foreign
from shared.domain.fields import AssetId, Description, Id, MediaType, RegisteredName, Url
from shared.domain.wire import Timestamp, Wire

MOST_MODELS = 20
MOST_ASSETS = 60
"""Each is a layer, and an image of more than 125 layers is one that container runtimes refuse."""


class RuntimeType(StrEnum):
    """What a driver runs on."""

    PYTHON = "Python"
    SPARK_PYTHON = "SparkPython"


class ModelType(StrEnum):
    """How models are named: by the ids of registered ones."""

    REGISTERED = "Registered"


class WebserviceType(StrEnum):
    """How a service answers."""

    REALTIME = "Realtime"


class Asset(Wire):
    """A file, or an archive of files, that goes into the image's one folder."""

    signed: ClassVar[frozenset[str]] = frozenset({"url"})

    id: AssetId | None = None
    mime_type: MediaType | None = None
    url: Url
    unpack: bool = False


class Builder(StrEnum):
    """Who puts the packages of an image together, when it is not this app itself."""

    ACR_TASKS = "acr-tasks"


class RuntimeProperties(Wire):
    """Files that say what to install; and, as extensions of api.md, Debian packages and who installs it all."""

    signed: ClassVar[frozenset[str]] = frozenset({"pip_requirements", "conda_env_file"})

    pip_requirements: Url | None = None
    conda_env_file: Url | None = None
    apt_packages: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    builder: Builder | None = None


class TargetRuntime(Wire):
    """The runtime an image brings, and what is installed into it."""

    runtime_type: RuntimeType
    properties: RuntimeProperties


class ManifestRequest(Wire):
    """What a caller says of a manifest."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "version", "createdTime"})

    name: RegisteredName
    description: Description | None = None
    driver_program: AssetId
    assets: Annotated[tuple[Asset, ...], Field(max_length=MOST_ASSETS)]
    model_ids: Annotated[tuple[Id, ...], Field(max_length=MOST_MODELS)] = ()
    model_type: ModelType | None = None
    target_runtime: TargetRuntime
    webservice_type: WebserviceType = WebserviceType.REALTIME

    @property
    def driver(self) -> Asset:
        """The asset that is the driver program (client-facts.md, 23)."""
        return next(asset for asset in self.assets if asset.id == self.driver_program)

    @model_validator(mode="after")
    def _driver_is_one_asset(self) -> Self:
        found = [asset.id for asset in self.assets].count(self.driver_program)
        if found != 1:
            raise ValueError(
                f"driverProgram: got '{foreign(self.driver_program, 80)}', the id of {found} assets; "
                "accepts the id of exactly one asset"
            )
        return self


class Manifest(Document, ManifestRequest):
    """A registered manifest: never changes, may be deleted when no image was made from it."""

    kind: ClassVar[str] = "manifest"
    narrowest: ClassVar[tuple[str, ...]] = ("modelId", "manifestName")
    together: ClassVar[tuple[str, ...]] = ("manifestName", "modelId")

    version: int
    created_time: Timestamp

    def terms(self) -> Iterator[Term]:
        yield {"manifestName": self.name}
        for model_id in dict.fromkeys(self.model_ids):
            yield {"modelId": model_id}
            yield {"manifestName": self.name, "modelId": model_id}
