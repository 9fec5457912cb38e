"""Function apps written by the tests, hosted by real processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREAMBLE = """
import asyncio, json, logging, os, time
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


class Hosted:
    """A host process that listens, and what it has logged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.messages: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def url(self) -> str:
        return self.said("listening on")[0].split()[-1]

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._heard:
                self.messages.append(json.loads(line)["message"])
                self._heard.notify_all()

    def said(self, text: str, count: int = 1, within: float = 60) -> list[str]:
        """The messages with that text, as soon as there are so many."""
        with self._heard:
            told = self._heard.wait_for(lambda: len(self._with(text)) >= count, within)
            assert told, f"not said {count} times: {text!r}, but {self.messages}"
            return self._with(text)

    def _with(self, text: str) -> list[str]:
        return [message for message in self.messages if text in message]

    def signalled(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after that signal, once all it said has been read; it is given a third of a minute."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(20)
        self._reader.join()
        self.process.stderr.close()
        self.process.stdin.close()
        return code


def write_app(folder: Path, source: str, host_json: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function_app.py").write_text(PREAMBLE + textwrap.dedent(source))
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **host_json}))
    return folder


def launch(folder: Path, settings: dict[str, str], arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "local.host", "--app", str(folder), "--port", "0", *arguments]
    environment = {**os.environ, **settings}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Hosted]]:
    """Starts hosts, and stops those still running at the end of the module."""
    started: list[Hosted] = []

    def start(source: str, *arguments: str, folder: Path | None = None, host_json: dict | None = None, **settings: str):
        app = write_app(folder or tmp_path_factory.mktemp("app"), source, host_json or {})
        started.append(Hosted(launch(app, settings, arguments)))
        assert started[-1].url
        return started[-1]

    yield start
    for hosted in started:
        if hosted.process.returncode is None:
            hosted.process.terminate()
            hosted.ended()


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Starts a host that must refuse, and gives its last message."""

    def start(source: str, *arguments: str, host_json: dict | None = None, **settings: str) -> str:
        process = launch(write_app(tmp_path / "app", source, host_json or {}), settings, arguments)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 1, said
        return json.loads(said.splitlines()[-1])["message"]

    return start
