"""What all HTTP functions of an account share: who calls, which account, and which api-version.

Source: api.md; client-facts.md, 2–8 and 15.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import azure.functions as func
from pydantic import BaseModel

from functions.addresses import account_url
from functions.answering import answered
from functions.conditional import read_if
from functions.query import refuse_doubled
from functions.repeating import repeatable
from functions.replies import API_VERSIONS, Reply
from shared.bootstrap import Slipway, slipway
from shared.domain.accounts import Account
from shared.domain.documents import Document
from shared.domain.errors import InvalidRequest, NotFound, foreign
from shared.domain.ids import canonical
from shared.domain.operations import Operation
from shared.domain.signatures import unsigned
from shared.domain.tracing import valid_trace_parent
from shared.domain.wire import Wire, parse
from shared.identity.roles import Caller, Role, require
from shared.resources.repeatability import Once, Repeatable
from shared.resources.tags import IF_MATCH, IF_NONE_MATCH, Preconditions

ACCOUNT_ROUTE = "subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/accounts/{accountName}"
FIRST_LOOK = 1
"""Seconds after which it is worth looking at an operation for the first time."""


@dataclass(frozen=True)
class Call:
    """A request that has passed: its caller may make it, and its account is served here."""

    slipway: Slipway
    caller: Caller | None
    """None where anybody may call."""
    account: Account
    account_url: str
    """The account's base URL."""
    request: func.HttpRequest
    repeatable: Repeatable | None
    preconditions: Preconditions
    """What is to hold of the resource; who changes it passes them on, to be checked where it is changed."""

    async def once[D: Document](self, kind: type[D], act: Callable[[Once], Awaitable[D]]) -> D:
        """What came of this request when it was first carried out, which may be now."""
        return await self.slipway.requests.once(self.account, self.repeatable, kind, act)

    @property
    def id(self) -> str:
        """The id in the path, in canonical text; raises NotFound when it is no id at all."""
        identifier = canonical(self.request.route_params["id"])
        if identifier is None:
            text = foreign(self.request.route_params["id"], 80)
            raise NotFound(f"There is nothing under the id '{text}', which is not a UUID.")
        return identifier

    async def deleted(self, delete: Callable[[Account, str, Preconditions], Awaitable[bool]]) -> Reply:
        """Delete what the path names: 200 when it was there, 204 when it was not (client-facts.md, 8)."""
        identifier = canonical(self.request.route_params["id"])
        there_was = identifier is not None and await delete(self.account, identifier, self.preconditions)
        return Reply(200 if there_was else 204)

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        parameters: Mapping[str, str] = self.request.params
        return parameters

    def body[T: Wire](self, kind: type[T]) -> T:
        """The body as a `kind`, an absent one being an empty object; raises InvalidRequest."""
        return parse(kind, self.request.get_body() or b"{}")

    def shown(self, document: Document, body: BaseModel | None = None) -> Reply:
        """200 with what callers see of a document, itself unless that is something else, and its ETag."""
        seen = self.seen(document)
        return Reply(200, body or seen, {"ETag": seen.tag})

    def seen[T](self, value: T) -> T:
        """The value as this caller sees it: who may not register a URL is not shown its signature."""
        return value if self.caller is not None and Role.CONTRIBUTOR in self.caller.roles else unsigned(value)

    def accepted(self, operation: Operation) -> Reply:
        """202, with where the operation is shown (client-facts.md, 6)."""
        location = f"{self.account_url}/operations/{operation.id}"
        return Reply(202, headers={"Operation-Location": location, "Retry-After": str(FIRST_LOOK)})


type Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """One endpoint as it is served and described: api.md, Endpoints."""

    name: str
    method: str
    path: str
    does: str
    role: Role | None
    answers: Mapping[int, type[BaseModel] | type[str] | None]
    takes: type[Wire] | None = None
    filters: type[Wire] | None = None
    paged: bool = False
    version_optional: bool = False
    conditional: bool = False
    """Whether what it names has an ETag, of which preconditions may be asked."""
    in_account: bool = True
    """Whether the path is one of an account, else it is the app's."""

    @property
    def template(self) -> str:
        """All of its path, but for the prefix that the host gives to all."""
        return f"{ACCOUNT_ROUTE}/{self.path}" if self.in_account else self.path


ROUTES: list[Route] = []


def endpoint(
    blueprint: func.Blueprint,
    method: str,
    path: str,
    *,
    answers: Mapping[int, type[BaseModel] | type[str] | None],
    role: Role | None = Role.READER,
    takes: type[Wire] | None = None,
    filters: type[Wire] | None = None,
    paged: bool = False,
    version_optional: bool = False,
    conditional: bool = False,
) -> Callable[[Handler], Handler]:
    """Make a handler the HTTP function of that method and path under the account. `role` None means anybody."""

    def register(handler: Handler) -> Handler:
        does = (handler.__doc__ or "").strip()
        name = handler.__name__
        route = Route(name, method, path, does, role, answers, takes, filters, paged, version_optional, conditional)
        ROUTES.append(route)

        async def serve(req: func.HttpRequest) -> func.HttpResponse:
            return await answered(req, f"{method} {name}", lambda: _served(route, handler, req))

        serve.__name__ = serve.__qualname__ = name
        declare = blueprint.route(route=f"{ACCOUNT_ROUTE}/{path}", methods=[method], auth_level=func.AuthLevel.ANONYMOUS)
        blueprint.function_name(name)(declare(serve))
        return handler

    return register


async def _served(route: Route, handler: Handler, request: func.HttpRequest) -> Reply:
    parent = valid_trace_parent(request.headers.get("traceparent"))
    with slipway().telemetry.span(f"{route.method} {route.path}", parent):
        call = await _admitted(route, request)
        if request.method != "GET" and not route.conditional:
            call.preconditions.check_untagged()
        reply = await handler(call)
        seen = replace(reply, body=call.seen(reply.body))
        return read_if(call.preconditions, seen) if request.method == "GET" else seen


async def _admitted(route: Route, request: func.HttpRequest) -> Call:
    app = slipway()
    caller = None if route.role is None else await app.verifier.caller(request.headers.get("Authorization"))
    if caller is not None and route.role is not None:
        require(caller, route.role)
    account = app.served_account(
        request.route_params["subscriptionId"],
        request.route_params["resourceGroupName"],
        request.route_params["accountName"],
    )
    if route.role is not None:
        _check_version(request.params.get("api-version"), optional=route.version_optional)
    if route.paged or route.filters is not None:
        refuse_doubled(request)
    preconditions = Preconditions.parse(request.headers.get(IF_MATCH), request.headers.get(IF_NONE_MATCH))
    return Call(app, caller, account, account_url(request), request, repeatable(request, app.now()), preconditions)


def _check_version(given: str | None, *, optional: bool) -> None:
    versions = ", ".join(API_VERSIONS)
    if given is None:
        if optional:
            return
        raise InvalidRequest(f"api-version: required, and absent; accepts {versions}.", code="MissingApiVersion")
    if len(set(given.split(","))) != 1 or given.split(",")[0] not in API_VERSIONS:  # sent twice, the host joins it: X,X
        raise InvalidRequest(f"api-version: got '{foreign(given, 80)}'; accepts {versions}.", code="UnsupportedApiVersion")
