"""Roles: what a caller may do, by the token's `roles` claim."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.errors import Forbidden


class Role(StrEnum):
    """An app role: its value is what the `roles` claim holds."""

    READER = "Slipway.Reader"
    CONTRIBUTOR = "Slipway.Contributor"


_IMPLIED = {Role.READER: {Role.READER}, Role.CONTRIBUTOR: {Role.READER, Role.CONTRIBUTOR}}


@dataclass(frozen=True)
class Caller:
    """Who calls, and the roles they have."""

    subject: str
    roles: frozenset[Role]


def roles_of(claim: Iterable[object]) -> frozenset[Role]:
    """The roles that a claim gives, contributors being readers too; what is unknown gives nothing."""
    values = {value for value in claim if isinstance(value, str)}
    given = [role for role in Role if role.value in values]
    return frozenset(implied for role in given for implied in _IMPLIED[role])


def require(caller: Caller, role: Role) -> None:
    """Raises Forbidden unless the caller has that role."""
    if role not in caller.roles:
        raise Forbidden(f"This needs the role {role}, which the token's roles claim does not give.")
