"""What a person meets at a terminal: what `make up` and `make demo` print, and how they end."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.azurite.server import free_ports
from tests.conftest import REPOSITORY
from tests.waiting import eventually

NOWHERE = "http://127.0.0.1:9"
BROKEN_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), NOWHERE)


def environment(**settings: str) -> dict[str, str]:
    """This process's own, without what names proxies or where a stack is."""
    dropped = {*BROKEN_PROXY, "NO_PROXY", "no_proxy", "PORT", "SLIPWAY_HOME"}
    return {**{name: value for name, value in os.environ.items() if name not in dropped}, **settings}


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )


@dataclass
class Program:
    """One that runs, and what it has printed until now."""

    process: subprocess.Popen[str]
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        eventually(lambda: words in self.said or self.process.poll() is not None, 120)
        assert words in self.said, self.said

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def start(tmp_path) -> Iterator[object]:
    started: list[Program] = []

    def begin(module: str, **settings: str) -> Program:
        output = tmp_path / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=REPOSITORY, env=environment(**settings), stdout=file, stderr=file
            )
        started.append(Program(process, output))
        return started[-1]

    yield begin
    for program in started:
        if program.process.poll() is None:
            program.end(signal.SIGTERM)


def test_a_stack_says_what_starts_and_how_it_is_called_and_nothing_else(start, tmp_path, layer_cache):
    port = str(free_ports(1)[0])
    up = start("local.up", PORT=port, SLIPWAY_HOME=str(tmp_path / "home"), SLIPWAY_SCRATCH=str(layer_cache))
    up.wait_for("(ready in")
    parts = [line for line in up.said.splitlines() if not re.search(r": \d+ s …$", line)]
    assert parts[:4] == ["loading", "starting Azurite", "starting the compute node", "starting the Functions host"]
    assert parts[4].startswith(f"Slipway is up at http://127.0.0.1:{port}/api/subscriptions/")
    assert len(parts) <= 20, up.said
    assert "Azure Storage does not (README, Limits)" in up.said
    assert up.end(signal.SIGINT) == 0
    assert up.said.splitlines()[-1] == "stopped"


def test_how_a_stack_is_called_can_be_pasted_as_it_is_printed(start, tmp_path, layer_cache):
    up = start("local.up", PORT=str(free_ports(1)[0]), SLIPWAY_HOME=str(tmp_path / "home"), SLIPWAY_SCRATCH=str(layer_cache))
    up.wait_for("(ready in")
    pasted = "\n".join(line.strip() for line in up.said.splitlines() if line.startswith("  "))
    answer = subprocess.run(["bash", "-euc", pasted], capture_output=True, text=True, timeout=30, check=True).stdout
    assert answer == '{"value":[]}'


def test_a_proxy_that_leads_nowhere_does_not_stand_before_loopback(start, tmp_path, layer_cache):
    home = str(tmp_path / "home")
    up = start("local.up", PORT=str(free_ports(1)[0]), SLIPWAY_HOME=home, SLIPWAY_SCRATCH=str(layer_cache), **BROKEN_PROXY)
    up.wait_for("(ready in")
    file = tmp_path / "model.json"
    file.write_text("weights")
    uploaded = run("local.upload", str(file), SLIPWAY_HOME=home, **BROKEN_PROXY)
    assert (uploaded.returncode, uploaded.stderr) == (0, "")
    assert httpx.get(uploaded.stdout.strip(), trust_env=False).text == "weights"
    for words in (["local.queues", "receive", "commands"], ["local.garbage"]):
        done = run(*words, SLIPWAY_HOME=home, **BROKEN_PROXY)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


IN_THE_WAY = [
    ({"SLIPWAY_HOME": "{file}"}, "SLIPWAY_HOME: {file} cannot be used (File exists); name a folder that can be written to."),
    ({"SLIPWAY_HOME": "{file}/below"}, "SLIPWAY_HOME: {file}/below cannot be used (Not a directory); name a folder that"),
    (
        {"SLIPWAY_HOME": "{home}", "SLIPWAY_SCRATCH": "{file}"},
        "SLIPWAY_SCRATCH: {file} cannot be used (File exists); name a",
    ),
    ({"SLIPWAY_HOME": "{home}", "PORT": "{taken}"}, "Port {taken}, which PORT names for the API, cannot be listened on: "),
    ({"SLIPWAY_HOME": "{home}", "PORT": "abc"}, "PORT: got 'abc'; accepts a number from 1 to 65535."),
]


@pytest.mark.parametrize(
    ("program", "settings", "named"),
    [("local.up", *case) for case in IN_THE_WAY] + [("local.demo", *case) for case in (IN_THE_WAY[0], IN_THE_WAY[-1])],
)
def test_what_stands_in_the_way_is_one_line_with_its_remedy(tmp_path, program, settings, named):
    file, home = tmp_path / "file", tmp_path / "home"
    file.touch()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        words = {"file": file, "home": home, "taken": listening.getsockname()[1]}
        done = run(program, **{name: value.format(**words) for name, value in settings.items()})
    assert done.returncode == 1
    assert named.format(**words) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("when", "number"),
    [("loading", signal.SIGINT), ("the stack is up", signal.SIGTERM), ("registered model", signal.SIGINT)],
)
def test_a_demo_that_is_asked_to_stop_leaves_nothing_and_says_so(start, tmp_path, layer_cache, when, number):
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    demo = start("local.demo", TMPDIR=str(scratch), SLIPWAY_SCRATCH=str(layer_cache))
    demo.wait_for(when)
    assert demo.end(number) == 130
    assert demo.said.splitlines()[-1] == "stopped; nothing runs on"
    assert "Traceback" not in demo.said
    assert list(scratch.glob("slipway-demo-*")) == []
