"""A web server on loopback that serves what a test puts there, under URLs that look signed, and breaks off when told to."""

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Served:
    """One source: its content, and how it is served."""

    content: bytes = b""
    status: int = 200
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    tagged: bool = False
    """Whether it has an ETag, and answers conditional and range requests by it."""
    unconditional: bool = False
    """Whether it answers range requests whatever they are conditional on."""
    breaks_after: list[int] = field(default_factory=list)
    """How many bytes each of the next answers holds before it breaks off."""
    sized: bool = True
    """Whether it says how large it is."""
    pause: float = 0
    """Seconds between two bytes."""
    asked: int = 0
    sent: int = 0

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"' if self.tagged else ""


class Sources:
    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        served = self._served

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                one = served.get(urlsplit(self.path).path.lstrip("/"), Served(status=404))
                one.asked += 1
                _answer(self, one)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.origin}/{path}?sv=2024&sig=SECRET"

    def put(self, path: str, content: bytes, status: int = 200, location: str = "", **how: object) -> str:
        self._served[path] = Served(content, status, location, **how)
        return self.url(path)

    def served(self, path: str) -> Served:
        return self._served[path]

    def remove(self, path: str) -> None:
        del self._served[path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(request: BaseHTTPRequestHandler, one: Served) -> None:
    begin, status = 0, one.status
    if one.tagged and request.headers.get("If-None-Match") == one.etag:
        status = 304
    asked = request.headers.get("Range", "")
    same = one.tagged and request.headers.get("If-Range", one.etag) == one.etag
    if asked and (same or one.unconditional):
        begin, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
    body = b"" if status == 304 else one.content[begin:]
    request.send_response(status)
    headers = {"ETag": one.etag, "Location": one.location, **one.headers}
    if status == 206:
        headers["Content-Range"] = f"bytes {begin}-{len(one.content) - 1}/{len(one.content)}"
    if one.sized:
        headers["Content-Length"] = str(len(body))
    for name, value in headers.items():
        if value:
            request.send_header(name, value)
    request.end_headers()
    sent = body[: one.breaks_after.pop(0)] if one.breaks_after and status != 304 else body
    one.sent += len(sent)
    with contextlib.suppress(ConnectionError):  # who asked has gone
        step = 1 if one.pause else max(1, len(sent))
        for start in range(0, len(sent), step):
            request.wfile.write(sent[start : start + step])
            time.sleep(one.pause)
