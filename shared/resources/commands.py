"""Commands by queue: each is carried out by the use case of its HTTP request, its body checked by the same code."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

from shared.domain.accounts import Account
from shared.domain.commands import Command
from shared.domain.documents import Document
from shared.domain.errors import Detail, Forbidden, InvalidRequest, foreign
from shared.domain.fields import Id
from shared.domain.images import ImageRequest
from shared.domain.manifests import Manifest, ManifestRequest
from shared.domain.models import Model, ModelRequest
from shared.domain.operations import Operation
from shared.domain.pipelines import PipelineRequest
from shared.domain.services import ServiceCreateRequest, ServiceUpdateRequest
from shared.domain.wire import Json, Wire, parse
from shared.resources.images import Images
from shared.resources.manifests import Manifests
from shared.resources.models import Models
from shared.resources.operations import Operations
from shared.resources.pipelines import Pipelines
from shared.resources.repeatability import NO_CONTENT, NoContent, Once, Repeatable, Requests
from shared.resources.services import Services

_KEPT = timedelta(days=8)
"""Longer than a message lives in a queue."""
_PATH = re.compile(r"(?i)(?:/api)?/subscriptions/([^/]+)/resourceGroups/([^/]+)/accounts/([^/]+)/?")


class _Named(Wire):
    """What names the resource that a command is about."""

    id: Id


type _Act = Callable[[Account, Command, Repeatable], Awaitable[object]]


class Commands:
    """Carries out the commands for the accounts that are allowed to be driven by queue."""

    def __init__(
        self,
        allowed: Collection[Account],
        *,
        requests: Requests,
        models: Models,
        manifests: Manifests,
        images: Images,
        services: Services,
        operations: Operations,
        pipelines: Pipelines,
    ) -> None:
        self._allowed = {account.scope: account for account in allowed}
        self._requests = requests
        self._models = models
        self._manifests = manifests
        self._images = images
        self._services = services
        self._operations = operations
        self._pipelines = pipelines
        self._acts: dict[str, _Act] = {
            "slipway.model.register": self._register_model,
            "slipway.manifest.create": self._create_manifest,
            "slipway.image.create": self._create_image,
            "slipway.service.create": self._create_service,
            "slipway.service.update": self._update_service,
            "slipway.service.delete": self._delete_service,
            "slipway.operation.cancel": self._cancel_operation,
            "slipway.pipeline.run": self._run_pipeline,
        }

    async def carry_out(self, command: Command) -> None:
        """Do what it says, once, however often it comes. Raises what the use case raises; Forbidden; InvalidRequest."""
        act = self._acts.get(command.type)
        if act is None:
            raise _invalid(f"type: got '{foreign(command.type, 80)}'; accepts {', '.join(self._acts)}.")
        account = self._account(command.subject)
        asked = json.dumps([command.type, account.scope, command.data], sort_keys=True)
        key = f"event:{json.dumps([command.source, command.id])}"
        await act(account, command, Repeatable(key, hashlib.sha256(asked.encode()).hexdigest(), _KEPT))

    def _account(self, subject: str) -> Account:
        match = _PATH.fullmatch(subject)
        if match is None:
            raise _invalid(f"subject: got '{foreign(subject, 200)}'; accepts the account's path, /api/subscriptions/….")
        account = self._allowed.get(Account(match[1], match[2], match[3]).scope)
        if account is None:
            raise Forbidden("This account takes no commands by queue.", code="CommandsNotAllowed")
        return account

    async def _register_model(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        body = _body(ModelRequest, command.data)
        await self._once(account, repeatable, Model, lambda once: self._models.register(account, body, once))

    async def _create_manifest(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        body = _body(ManifestRequest, command.data)
        await self._once(account, repeatable, Manifest, lambda once: self._manifests.register(account, body, once))

    async def _create_image(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        body = _body(ImageRequest, command.data)
        await self._once(account, repeatable, Operation, lambda once: self._images.build(account, body, once))

    async def _create_service(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        body = _body(ServiceCreateRequest, command.data)
        await self._once(account, repeatable, Operation, lambda once: self._services.create(account, body, once))

    async def _update_service(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        identifier, rest = _named(command)
        body = _body(ServiceUpdateRequest, rest)
        await self._once(account, repeatable, Operation, lambda once: self._services.update(account, identifier, body, once))

    async def _delete_service(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        """Once it is accepted its operation ends the calls, also when compute is away just now."""
        identifier = _body(_Named, command.data).id

        async def delete(once: Once) -> NoContent:
            await self._services.delete(account, identifier, once=once)
            return NO_CONTENT

        await self._once(account, repeatable, NoContent, delete)

    async def _cancel_operation(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        identifier, cancel = _body(_Named, command.data).id, self._operations.cancel
        await self._once(account, repeatable, Operation, lambda once: cancel(account, identifier, once))

    async def _run_pipeline(self, account: Account, command: Command, repeatable: Repeatable) -> None:
        body = _body(PipelineRequest, command.data)
        await self._once(account, repeatable, Operation, lambda once: self._pipelines.run(account, body, once))

    async def _once[D: Document](
        self, account: Account, request: Repeatable, kind: type[D], act: Callable[[Once], Awaitable[D]]
    ) -> None:
        await self._requests.once(account, request, kind, act)


def _body[W: Wire](kind: type[W], data: object) -> W:
    return parse(kind, json.dumps(data).encode())


def _named(command: Command) -> tuple[str, dict[str, Json]]:
    """The id in the data, and the rest, which is the body of the HTTP request."""
    rest = {name: value for name, value in command.data.items() if name != "id"}
    return _body(_Named, {"id": command.data.get("id")}).id, rest


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="InvalidEvent", details=[Detail("InvalidAttribute", message)])
