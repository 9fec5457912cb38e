"""Fetching the files of packages from the indexes that name them. Source: PyPA specifications, simple repository API."""

import base64
import errno
import os
import ssl
import time
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from shared.domain.errors import BuildFailed, ServiceError, Unavailable, foreign
from shared.images.packages.pylock import PackageFile
from shared.images.packages.store import TooLarge, copied

_IDLE_SECONDS = 30
_DENIED = (401, 403)
_NOT_FOUND = (404, 410)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class PackageFetcher:
    """Fetches with the credentials of those indexes, each file within a time and a size."""

    def __init__(self, indexes: Iterable[str], most_bytes: int) -> None:
        self._credentials = {_realm(index): header for index in indexes if (header := _authorization(index))}
        self._schemes = {"http", "https", *(urlsplit(index).scheme for index in indexes)}
        self._most_bytes = most_bytes

    def fetch(self, file: PackageFile, into: Path, until: float) -> str:
        """Its SHA-256. Raises BuildFailed for what is not there or may not be had, Unavailable when the index is away."""
        if urlsplit(file.url).scheme not in self._schemes:
            raise BuildFailed(f"The package index names {foreign(file.name)} at no URL of HTTP.", code="PackagesFailed")
        request = Request(file.url, headers={"Accept-Encoding": "identity"})  # noqa: S310  # its scheme was checked
        if header := self._credentials.get(_realm(file.url)):
            request.add_unredirected_header("Authorization", header)
        try:
            with _opener(file.url).open(request, timeout=_IDLE_SECONDS) as answer:
                return copied(_InTime(answer, until), into, self._most_bytes)
        except TooLarge:
            message = f"{foreign(file.name)} has more than {self._most_bytes >> 20} MiB"
            raise BuildFailed(f"{message}, which is all a package may have.", code="PackagesFailed") from None
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, HTTPError):
                error.close()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:  # that is this machine's
                raise
            raise _failure(file.name, error) from None


class _Answer(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _InTime:
    """An answer that is read until its time is up."""

    def __init__(self, answer: _Answer, until: float) -> None:
        self._answer = answer
        self._until = until

    def read(self, size: int, /) -> bytes:
        """The next bytes; raises TimeoutError."""
        if time.monotonic() > self._until:
            raise TimeoutError("its time is up")
        return self._answer.read1(size)  # what is there: a slow answer is not waited for in one piece


def _opener(url: str) -> OpenerDirector:
    """By the proxies and certificates that the installer goes by."""
    told = {name.lower(): value for name, value in os.environ.items()}
    proxies = {scheme: told.get(f"{scheme}_proxy") or told.get("all_proxy") for scheme in ("http", "https")}
    context = ssl.create_default_context()
    if urlsplit(url).hostname in os.environ.get("UV_INSECURE_HOST", "").split():
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    by_proxy = ProxyHandler({scheme: proxy for scheme, proxy in proxies.items() if proxy})
    return build_opener(by_proxy, HTTPSHandler(context=context))


def _realm(url: str) -> tuple[str, str]:
    """Where credentials hold: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _authorization(index: str) -> str:
    user = urlsplit(index).netloc.rpartition("@")[0]
    return f"Basic {base64.b64encode(unquote(user).encode()).decode()}" if user else ""


def _failure(name: str, error: Exception) -> ServiceError:
    status = error.code if isinstance(error, HTTPError) else 0
    if status in _DENIED:
        message = f"The package index refuses the app's credentials ({status}) for {foreign(name)}."
        return BuildFailed(message, code="IndexDenied")
    if status in _NOT_FOUND:
        message = f"The package index has not the file {foreign(name)} that it names ({status})."
        return BuildFailed(message, code="PackagesFailed")
    why = f"status {status}" if status else foreign(error, 200)
    return Unavailable(f"The index is away: {foreign(name)} could not be fetched: {why}.", code="IndexUnavailable")
