"""Runs of ACR Tasks, by the published management client.

A run is begun as a `taskRuns` resource, whose name is ours to choose; `scheduleRun` gives runs names of its own, and would
begin another when it is asked again. Source: Microsoft.ContainerRegistry 2025-03-01-preview, taskRuns and runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from azure.core import AzureClouds
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from shared.domain.errors import BuildFailed, Unavailable
from shared.domain.fencing import check_fence
from shared.registries.platforms import Platform
from shared.registries.resources import RegistryResource
from shared.tasks.failures import translated
from shared.tasks.signed import put

if TYPE_CHECKING:
    from azure.mgmt.containerregistrytasks.aio import ContainerRegistryTasksMgmtClient
    from azure.mgmt.containerregistrytasks.models import DockerBuildRequest, TaskRun
    from azure.mgmt.containerregistrytasks.models import Run as FoundRun

_CLOUDS = {
    ".azurecr.io": AzureClouds.AZURE_PUBLIC_CLOUD,
    ".azurecr.us": AzureClouds.AZURE_US_GOVERNMENT,
    ".azurecr.cn": AzureClouds.AZURE_CHINA_CLOUD,
}
_SHORTEST, _LONGEST = 300, 28_800
"""Seconds: what ACR Tasks takes as a run's timeout."""
SUCCEEDED = "Succeeded"
_ENDED = frozenset({SUCCEEDED, "Failed", "Canceled", "Error", "Timeout"})


def cloud_of(host: str) -> AzureClouds | None:
    """Whose management API knows the registry of that host; None when it is not Azure's."""
    return next((cloud for ending, cloud in _CLOUDS.items() if host.endswith(ending)), None)


@dataclass(frozen=True)
class Run:
    """How a run fares. `id` is empty as long as it is not in the queue."""

    id: str
    status: str
    error: str = ""
    digests: tuple[tuple[str, str], ...] = ()
    """What it pushed: `repository:tag`, and the digest."""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in _ENDED


class TaskRuns:
    """The runs of one registry, each known by a name of ours. The client is made when it is first needed.

    Raises BuildFailed for what is refused, Throttled, and Unavailable when the API is away.
    """

    def __init__(
        self,
        registry: RegistryResource,
        *,
        cloud: AzureClouds,
        timeout: timedelta,
        credential: Callable[[], Any],
        transport: Any = None,
    ) -> None:
        self._registry = registry
        self._cloud = cloud
        self._timeout = timeout
        self._credential = credential
        self._transport = transport
        self._client: ContainerRegistryTasksMgmtClient | None = None
        self._signed_in: Any = None

    async def find(self, name: str) -> Run | None:
        """The run that was begun under that name."""
        with translated(self._registry.name):
            try:
                return _run_of(await self._opened().task_runs.get(*self._place, name))
            except ResourceNotFoundError:
                return None

    async def begin(self, name: str, *, context: bytes, image: str, platform: str, no_cache: bool) -> Run:
        """Build the context's Dockerfile, and push it as that `repository:tag`.

        To be called when nothing has the name: the context gets a new place each time, and a `taskRuns` resource that is
        put with another request than before runs again.
        """
        from azure.mgmt.containerregistrytasks.models import TaskRun, TaskRunProperties  # noqa: PLC0415

        check_fence()
        with translated(self._registry.name):
            upload = await self._opened().registries.get_build_source_upload_url(*self._place)
        await put(upload.upload_url or "", context)
        request = self._request(upload.relative_path or "", image, platform, no_cache=no_cache)
        check_fence()
        with translated(self._registry.name):
            task_run = TaskRun(properties=TaskRunProperties(run_request=request))
            begun = await self._opened().task_runs.begin_create(*self._place, name, task_run, polling=False)
            return _run_of(await begun.result())

    async def get(self, run_id: str) -> Run:
        """How the run of that id fares."""
        with translated(self._registry.name):
            return _run(await self._opened().runs.get(*self._place, run_id))

    async def log_url(self, run_id: str) -> str:
        """A signed URL that reads the run's log."""
        with translated(self._registry.name):
            return (await self._opened().runs.get_log_sas_url(*self._place, run_id)).log_link or ""

    async def ensure_canceled(self, name: str) -> Run | None:
        """The run of that name does not go on; the run, when this had to end it. Harmless when there was none."""
        run = await self.find(name)
        if run is None or run.ended:
            return None
        if not run.id:
            raise Unavailable(f"The run {name} is not in the queue yet, and cannot be cancelled.", code="RemoteBuilderAway")
        check_fence()
        try:
            await self._cancel(run.id)
        except BuildFailed:
            now = await self.get(run.id)
            if not now.ended:
                raise
            return None
        return run

    async def close(self) -> None:
        """Close its connections."""
        for opened in (self._client, self._signed_in):
            if opened is not None:
                await opened.close()
        self._client = self._signed_in = None

    async def _cancel(self, run_id: str) -> None:
        """202, which earlier descriptions of the API have too, is an error to the client."""
        answers: list[Any] = []
        with translated(self._registry.name):
            try:
                await self._opened().runs.cancel(*self._place, run_id, raw_response_hook=answers.append)
            except (HttpResponseError, ValueError):
                if not answers or answers[-1].http_response.status_code != 202:
                    raise

    @property
    def _place(self) -> tuple[str, str]:
        return self._registry.resource_group, self._registry.name

    def _opened(self) -> "ContainerRegistryTasksMgmtClient":
        if self._client is None:
            from azure.mgmt.containerregistrytasks.aio import ContainerRegistryTasksMgmtClient  # noqa: PLC0415

            self._signed_in = self._credential()
            given = {"transport": self._transport} if self._transport is not None else {}
            self._client = ContainerRegistryTasksMgmtClient(
                self._signed_in, self._registry.subscription, cloud_setting=self._cloud, retry_total=0, **given
            )
        return self._client

    def _request(self, source: str, image: str, platform: str, *, no_cache: bool) -> "DockerBuildRequest":
        from azure.mgmt.containerregistrytasks.models import DockerBuildRequest, PlatformProperties  # noqa: PLC0415

        target = Platform.parse(platform)
        return DockerBuildRequest(
            docker_file_path="Dockerfile",
            image_names=[image],
            is_push_enabled=True,
            no_cache=no_cache,
            platform=PlatformProperties(
                os=target.os.capitalize(), architecture=target.architecture, variant=target.variant or None
            ),
            source_location=source,
            timeout=round(min(max(self._timeout.total_seconds(), _SHORTEST), _LONGEST)),
        )


def _run_of(found: "TaskRun") -> Run:
    properties = found.properties
    if properties is None or properties.run_result is None:
        return Run("", _text(properties.provisioning_state if properties else None))
    return _run(properties.run_result)


def _run(found: "FoundRun") -> Run:
    pushed = ((f"{image.repository}:{image.tag}", str(image.digest)) for image in found.output_images or ())
    return Run(found.run_id, _text(found.status), found.run_error_message or "", tuple(pushed))


def _text(status: str | Enum | None) -> str:
    """The client gives a member of an enumeration for what it knows, and text for what it does not."""
    return str(status.value if isinstance(status, Enum) else status or "Queued")
