"""The entry point of the images that the tests make: a scoring server by its contract (client-facts.md, 28), and no more.

The one folder decides how it behaves: `answer` is what it answers, `fails` what its init fails with, `slow` for how many
seconds it starts, and one that is `stubborn` does not mind SIGTERM. A request may ask it to tell by a file that work on it
began, to print so many mebibytes, to sleep, or to die.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

APP = Path.cwd()
PRINTED = (b"a driver's chatter " * 100)[:1023] + b"\n"
PRINTED *= 1024
busy = peak = 0
counting = threading.Lock()


def setting(name: str) -> str:
    return (APP / name).read_text() if (APP / name).exists() else ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        if self.path != "/" and not self.admitted():
            return
        if self.path == "/":
            self.answer(200, b"Healthy", "text/plain")
        else:
            self.answer(404, b'{"no": "swagger"}')

    def do_POST(self) -> None:
        global busy, peak  # noqa: PLW0603
        if not self.admitted():
            return
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        with counting:
            busy += 1
            peak = max(peak, busy)
        try:
            if "die" in asked:
                os._exit(asked["die"])
            if "tells" in asked:
                Path(asked["tells"]).touch()
            for _ in range(asked.get("prints", 0)):
                os.write(1, PRINTED)
            time.sleep(asked.get("sleep", 0))
            (APP / "written").write_text("the one folder is writable")
        finally:
            with counting:
                busy -= 1
        told = {"answer": setting("answer"), "pid": os.getpid(), "peak": peak, "path": self.path}
        told |= {"headers": dict(self.headers), "environment": dict(os.environ), "arguments": sys.argv, "cwd": str(APP)}
        self.answer(200, json.dumps(told).encode())

    def admitted(self) -> bool:
        """Whether the key is right, which the work is not told."""
        if self.headers["Authorization"] != f"Bearer {Path(os.environ['SLIPWAY_KEYS'], 'primary').read_text()}":
            self.close_connection = True
            self.answer(401, b"{}")
            return False
        del self.headers["Authorization"]
        return True

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "keep-alive, x-one-hop")
        self.send_header("x-one-hop", "not for callers")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin: its lock would abort the interpreter at exit
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
if setting("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"level": "INFO", "message": "starting"}), flush=True)  # noqa: T201
if setting("slow"):
    time.sleep(float(setting("slow")))
if setting("fails"):
    raise RuntimeError(setting("fails"))
Server((os.environ["SLIPWAY_HOST"], int(os.environ["SLIPWAY_PORT"])), Handler).serve_forever()
