"""Who calls the stand-in, and with what kubeconfig."""

from typing import Any

from aiohttp import web

TOKEN = "the-app-s-token"
ADMIN = "the-administrator-s-token"
"""Whoever has it may do all, meets no faults, and is not recorded."""


def token_of(request: web.Request) -> str:
    """The bearer token."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def is_admin(request: web.Request) -> bool:
    """Whether an administrator asks."""
    return token_of(request) == ADMIN


def kubeconfig(server: str, user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    """A kubeconfig of one cluster and one user."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "there", "user": "me"}}],
        "clusters": [{"name": "there", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "me", "user": user}],
    }
