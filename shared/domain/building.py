"""The port ImageBuilder: what the workflow that builds images needs from outside, stage by stage."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from shared.domain.accounts import Account
from shared.domain.images import Layer
from shared.domain.manifests import Manifest
from shared.domain.models import Model
from shared.domain.ports import BuildLog
from shared.domain.wire import Json


@dataclass(frozen=True)
class PublishedImage:
    """Where an image can be pulled from, and the digest of its manifest."""

    location: str
    digest: str


TAG_TAKEN = "TagTaken"
"""The code of a publication that is refused since its tag names another image."""

type IsNamed = Callable[[], Awaitable[bool]]
"""Whether the store's own records name the image, too, by another version: asked just before something is deleted."""


@dataclass(frozen=True)
class ChosenVersion:
    """The version that an image is published under. `is_free` is whether nothing had its tag when it was chosen: then the
    tag is this build's own, and goes when the build does not succeed."""

    version: int
    is_free: bool


@dataclass(frozen=True)
class ImageSource:
    """What an image is made of, and what it is called."""

    account: Account
    name: str
    version: int
    manifest: Manifest
    models: tuple[Model, ...]
    base: str = ""
    """The base image, by its digest; empty when there is none."""
    known: "Mapping[str, Content]" = field(default_factory=dict)
    """What was fetched and decided before, by `content_key`."""
    no_cache: bool = False
    """Whether all is built anew."""
    operation_id: str = ""
    """The operation that builds it: what is begun elsewhere is begun under this name."""
    left: Mapping[str, Json] = field(default_factory=dict)
    """What the stage in hand left when it was not ready."""


@dataclass(frozen=True)
class NotYet:
    """A stage that goes on elsewhere: look again after `delay`. It is given `left` then."""

    delay: timedelta
    waiting_for: str
    left: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What something held when it was first had: its digest, and the tag its server gave it then, which may be empty."""

    digest: str
    etag: str = ""


@dataclass(frozen=True)
class Resolved:
    """What an image will be made of: its base, by digest, empty for none; and what else was decided, such as the locks of
    its packages, by `content_key`."""

    base: str
    contents: Mapping[str, Content]


@dataclass(frozen=True)
class DependencyLayers:
    """The layers below models and assets, lowest first; the base they stand on now; and what was decided meanwhile."""

    layers: tuple[Layer, ...]
    base: str
    contents: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True)
class ContentLayers:
    """The layers of models and assets, and what was fetched for each, by `content_key`."""

    layers: tuple[Layer, ...]
    contents: Mapping[str, Content]


def content_key(owner: str, part: int | str = 0) -> str:
    """What names one source: the id of a model, or of a manifest with the number of its asset, or what else it is."""
    return f"{owner}/{part}"


class ImageBuilder(Protocol):
    """Puts images together, stage by stage. Each stage is idempotent: the same source gives the same digests, byte for byte.

    Raises BuildFailed when the manifest is at fault, the message saying what to change, and Unavailable when what it
    needs is away.
    """

    async def resolve(self, source: ImageSource, log: BuildLog) -> Resolved:
        """Decide what it is to be made of, before anything is made: what cannot be built is refused here."""

    async def dependency_layers(self, source: ImageSource, log: BuildLog) -> DependencyLayers | NotYet:
        """The base image's, the scoring server, and the packages that were decided on."""

    async def content_layers(self, source: ImageSource, log: BuildLog) -> ContentLayers:
        """The models and assets, in the one folder that the driver works in; refuses what is not what it was before."""

    async def choose_version(self, source: ImageSource, layers: Sequence[Layer], latest: int) -> ChosenVersion:
        """The source's own version, when its tag is free or names this very image; else the first after `latest` whose tag
        is free."""

    async def publish(self, source: ImageSource, layers: Sequence[Layer], log: BuildLog) -> PublishedImage:
        """Config and manifest over those layers, under a tag that never moves to another digest: raises BuildFailed
        TagTaken when it names one."""

    async def ensure_unpublished(
        self, source: ImageSource, layers: Sequence[Layer], log: BuildLog, is_named: IsNamed
    ) -> None:
        """The tag of that image does not name what those layers make, and nothing that was begun for it elsewhere goes on.

        `layers` are those that it was to be published with; none when it did not come to that, and then no tag is
        touched. What another tag or the store still names stays whole. Raises BuildFailed for what may not be deleted.
        """
