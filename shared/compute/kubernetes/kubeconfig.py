"""Kubeconfigs that are held as text: what they say of the cluster and the user of their current context.

Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. A function app has none of an operator's files and
programs: a kubeconfig that names some is refused, and so is one that would send a secret in the clear.
"""

import base64
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from shared.compute.kubernetes.endpoint import ConnectionInvalid, Endpoint, Token
from shared.domain.errors import foreign

_PROGRAMS = ("exec", "auth-provider")
_OF_A_USER = frozenset(
    {"token", "client-certificate-data", "client-key-data", "username", "password", "extensions", *_PROGRAMS}
)
_OF_A_CLUSTER = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "proxy-url", "insecure-skip-tls-verify", "extensions"}
    | {"disable-compression"}
)
"""What is read here, refused by name, or changes nothing that is sent. Anything else is refused: to leave out `as`, for
example, would be to act with more rights than were asked for."""
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig's current context; `where` says for errors which kubeconfig it is."""

    where: str
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str) -> "Kubeconfig":
        """Of YAML or JSON; raises ConnectionInvalid, which shows nothing of the text but names of fields."""
        document = _loaded(text, where)
        context = _named(document, "context", str(document.get("current-context") or ""), where)
        cluster = _named(document, "cluster", str(context.get("cluster") or ""), where)
        user = _named(document, "user", str(context["user"]), where) if context.get("user") else {}
        return cls(where, cluster, user)

    @property
    def runs_program(self) -> bool:
        """Whether its user signs in by a program."""
        return any(self.user.get(key) for key in _PROGRAMS)

    def endpoint(self, token: Token | None = None) -> Endpoint:
        """The cluster, signed in to as the user, or with `token` for whoever that belongs to. Raises ConnectionInvalid."""
        self._refuse_unknown(self.cluster, _OF_A_CLUSTER)
        self._refuse_unknown({} if token else self.user, _OF_A_USER)
        self._refuse_foreign_means(self.cluster if token else {**self.cluster, **self.user})
        certificate = "" if token else self._pem(self.user, "client-certificate-data")
        key = "" if token else self._pem(self.user, "client-key-data")
        if bool(certificate) != bool(key):
            raise self._invalid("has one of client-certificate-data and client-key-data, and not the other")
        return Endpoint(
            server=self._server(),
            authority=self._pem(self.cluster, "certificate-authority-data"),
            token=token or self._own_token(),
            certificate=f"{certificate}\n{key}" if certificate else "",
            server_name=str(self.cluster.get("tls-server-name") or ""),
            proxy=str(self.cluster.get("proxy-url") or ""),
            verified=not self.cluster.get("insecure-skip-tls-verify"),
        )

    def _refuse_unknown(self, given: Mapping[str, Any], known: Collection[str]) -> None:
        for key, value in given.items():
            if value and key not in known and key not in _FILES:
                raise self._invalid(f"says {foreign(key, 40)}, which is not taken here")

    def _refuse_foreign_means(self, given: Mapping[str, Any]) -> None:
        for key in _PROGRAMS:
            if given.get(key):
                raise self._invalid(
                    f"signs in by a program ({key}), which is not run here; use a token or a client certificate"
                )
        for key in _FILES:
            if given.get(key) and not given.get(f"{key}-data"):
                raise self._invalid(
                    f"names a file ({key}), which is not here; hold its content: kubectl config view --flatten"
                )
        if given.get("username") or given.get("password"):
            raise self._invalid("has a password, which clusters do not take any more; use a token or a client certificate")

    def _server(self) -> str:
        server = str(self.cluster.get("server") or "").rstrip("/")
        try:
            address = urlsplit(server)
        except ValueError:
            raise self._invalid("has a server that is no URL") from None
        if address.scheme == "https" and address.hostname:
            return server
        if address.scheme == "http" and _is_loopback(address.hostname or ""):
            return server
        raise self._invalid("has a server that is not reached by https")

    def _own_token(self) -> Token | None:
        held = str(self.user.get("token") or "").strip()

        async def token() -> str:
            return held

        return token if held else None

    def _pem(self, part: Mapping[str, Any], key: str) -> str:
        try:
            return base64.b64decode(str(part.get(key) or ""), validate=True).decode("ascii")
        except ValueError:
            raise self._invalid(f"has a {key} that is no PEM in base64") from None

    def _invalid(self, what: str) -> ConnectionInvalid:
        return ConnectionInvalid(f"The kubeconfig {self.where} {what}.")


def _loaded(text: str, where: str) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415  # only who has a kubeconfig pays

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):  # its message shows the text
        raise ConnectionInvalid(f"The kubeconfig {where} is neither YAML nor JSON.") from None
    if not isinstance(document, dict):
        raise ConnectionInvalid(f"The kubeconfig {where} holds no kubeconfig.")
    return document


def _named(document: Mapping[str, Any], part: str, name: str, where: str) -> Mapping[str, Any]:
    listed = document.get(f"{part}s")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") == name and isinstance(one.get(part), dict):
            return dict(one[part])
    which = f"has no {part} named '{foreign(name, 80)}'" if name else f"does not say which {part} is the current one"
    raise ConnectionInvalid(f"The kubeconfig {where} {which}.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
