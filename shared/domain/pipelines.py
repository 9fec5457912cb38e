"""Pipelines: a model, a manifest, an image and a service in one request, later parts referring to earlier ones."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from shared.domain.fields import Id
from shared.domain.ids import canonical
from shared.domain.images import ImageRequest
from shared.domain.manifests import MOST_MODELS, ManifestRequest
from shared.domain.models import ModelRequest
from shared.domain.services import ServiceCreateRequest
from shared.domain.wire import Wire

MODEL, MANIFEST, IMAGE = "$model", "$manifest", "$image"


def _id_or(reference: str) -> AfterValidator:
    def check(text: str) -> str:
        identifier = text if text == reference else canonical(text)
        if identifier is None:
            raise ValueError(f"accepts a UUID, or {reference}: what this pipeline makes")
        return identifier

    return AfterValidator(check)


class PipelineManifest(ManifestRequest):
    """A manifest whose models are the pipeline's own, unless it says otherwise."""

    model_ids: Annotated[tuple[Annotated[str, _id_or(MODEL)], ...], Field(max_length=MOST_MODELS)] = ()

    def made_of(self, model_id: Id | None) -> ManifestRequest:
        """The request, now that the model's id is known."""
        named = self.model_ids or (MODEL,) * (model_id is not None)
        ids = tuple(model_id or given if given == MODEL else given for given in named)
        return ManifestRequest.model_validate({**self.__dict__, "model_ids": ids})


class PipelineImage(ImageRequest):
    """An image of the pipeline's own manifest, unless it says otherwise."""

    manifest_id: Annotated[str, _id_or(MANIFEST)] = MANIFEST

    def made_of(self, manifest_id: Id | None) -> ImageRequest:
        """The request, now that the manifest's id is known."""
        given = manifest_id if self.manifest_id == MANIFEST else self.manifest_id
        return ImageRequest.model_validate({**self.__dict__, "manifest_id": given})


class PipelineService(ServiceCreateRequest):
    """A service of the pipeline's own image, unless it says otherwise. When there is one of that name, it is updated."""

    image_id: Annotated[str, _id_or(IMAGE)] = IMAGE

    def made_of(self, image_id: Id | None) -> ServiceCreateRequest:
        """The request, now that the image's id is known."""
        given = image_id if self.image_id == IMAGE else self.image_id
        return ServiceCreateRequest.model_validate({**self.__dict__, "image_id": given})


class PipelineRequest(Wire):
    """What is to be made, in this order; each part may be left out."""

    model: ModelRequest | None = None
    manifest: PipelineManifest | None = None
    image: PipelineImage | None = None
    service: PipelineService | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that are given, in order."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _refers_to_its_own_parts(self) -> Self:
        if not self.parts:
            raise ValueError("a pipeline has at least one of model, manifest, image and service")
        if self.model is None and self.manifest and MODEL in self.manifest.model_ids:
            raise ValueError(f"manifest.modelIds: got '{MODEL}' in a pipeline without a model; accepts ids")
        if self.manifest is None and self.image and self.image.manifest_id == MANIFEST:
            raise ValueError("image.manifestId: required, since this pipeline has no manifest")
        if self.image is None and self.service and self.service.image_id == IMAGE:
            raise ValueError("service.imageId: required, since this pipeline has no image")
        return self
