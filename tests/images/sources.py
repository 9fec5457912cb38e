"""A web server on loopback that serves what a test puts there, under URLs that look signed."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


class Sources:
    def __init__(self) -> None:
        self._contents: dict[str, tuple[int, bytes, str]] = {}
        contents = self._contents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, location = contents.get(urlsplit(self.path).path.lstrip("/"), (404, b"", ""))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.origin}/{path}?sv=2024&sig=SECRET"

    def put(self, path: str, content: bytes, status: int = 200, location: str = "") -> str:
        self._contents[path] = (status, content, location)
        return self.url(path)

    def remove(self, path: str) -> None:
        del self._contents[path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
