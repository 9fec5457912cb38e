"""The servers that are measured, each as its documentation starts it: one worker, its standard output in a file."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "runtime"
UV = Path(sys.executable).parent / "uv"
TRIVIAL = """import json


def init():
    pass


def run(body):
    return json.loads(body)["data"]
"""
SCIKIT = """import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def init():
    global model
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(*load_iris(return_X_y=True))


def run(body):
    return model.predict(np.array([body["data"]]))[0]


def run_batch(bodies):
    return model.predict(np.array([body["data"] for body in bodies]))
"""
ASGI = """import json

import score


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    answer = json.dumps(score.run(body) if body else "ready").encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
"""
MLSERVER = """import json

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Echo(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = payload.inputs[0].data.root
        return InferenceResponse(
            model_name=self.name, outputs=[ResponseOutput(name="data", shape=[len(data)], datatype="INT64", data=data)]
        )
"""
NUMBERS = [1, 2, 3, 4]


@dataclass(frozen=True)
class Server:
    """How one is started in a folder, and spoken to."""

    name: str
    command: Callable[[int], list[str]]
    files: Mapping[str, str]
    environment: Callable[[int], Mapping[str, str]] = field(default=lambda _: {})
    health: str = "/"
    path: str = "/score"
    body: bytes = json.dumps({"data": NUMBERS}).encode()


@dataclass(frozen=True)
class Running:
    """One that is ready."""

    server: Server
    port: int
    process: int
    start: float
    """Seconds from the start of its process to its first healthy answer."""

    def memory(self) -> float:
        """What it and its children take, in MiB; what they share is counted once (`Pss` of proc(5))."""
        return sum(_memory(process) for process in _tree(self.process)) / 1024


def slipway(driver: str = TRIVIAL, name: str = "Slipway", **settings: str) -> Server:
    """Ours. The line is as long as there are connections, or some would be refused."""

    def environment(port: int) -> Mapping[str, str]:
        ours = {"SLIPWAY_DRIVER": "score.py", "SLIPWAY_HOST": "127.0.0.1", "SLIPWAY_PORT": str(port)}
        packages = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        return ours | {"SLIPWAY_MAX_WAITING": "32", "SLIPWAY_DEPENDENCIES": str(packages)} | settings

    return Server(name, lambda _: [sys.executable, str(RUNTIME)], {"score.py": driver}, environment)


def bare_asgi() -> Server:
    """uvicorn on uvloop and httptools, no access log: it reads the body, calls the driver, sends what that returned."""
    command = [sys.executable, "-m", "uvicorn", "app:app", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]
    return Server("bare ASGI", lambda port: [*command, "--port", str(port)], {"app.py": ASGI, "score.py": TRIVIAL})


def azureml(environment: Path) -> Server:
    """The server of Azure ML's images."""
    command = [str(environment / "bin" / "azmlinfsrv"), "--entry_script", "score.py", "--worker_count", "1", "--port"]
    return Server("azureml-inference-server-http", lambda port: [*command, str(port)], {"score.py": TRIVIAL})


def mlserver(environment: Path) -> Server:
    """MLServer, in one process; its protocol is another (Open Inference Protocol, V2)."""
    settings = {"parallel_workers": 0}
    tensor = {"name": "data", "shape": [len(NUMBERS)], "datatype": "INT64", "data": NUMBERS}

    def ports(port: int) -> Mapping[str, str]:
        names = ("HTTP_PORT", "GRPC_PORT", "METRICS_PORT")
        return {f"MLSERVER_{name}": str(given) for name, given in zip(names, (port, *free_ports(2)), strict=True)}

    return Server(
        "MLServer",
        lambda _: [str(environment / "bin" / "mlserver"), "start", "."],
        {
            "model.py": MLSERVER,
            "settings.json": json.dumps(settings),
            "model-settings.json": json.dumps({"name": "echo", "implementation": "model.Echo"}),
        },
        ports,
        health="/v2/health/ready",
        path="/v2/models/echo/infer",
        body=json.dumps({"inputs": [tensor]}).encode(),
    )


def installed(folder: Path, requirement: str) -> Path:
    """A virtual environment with that and nothing else."""
    environment = folder / requirement.partition("=")[0]
    _run([str(UV), "venv", "-q", "--python", sys.executable, str(environment)])
    _run(
        [str(UV), "pip", "install", "-q", "--compile-bytecode", "--python", str(environment / "bin" / "python"), requirement]
    )
    return environment


@contextmanager
def running(server: Server, folder: Path, core: int) -> Iterator[Running]:
    """That server, on that core, ready to answer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in server.files.items():
        (folder / name).write_text(text)
    (port,) = free_ports(1)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **server.environment(port)}
    with (folder / "log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *server.command(port)], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            _wait(server, port, process, folder / "log")
            yield Running(server, port, process.pid, time.perf_counter() - began)
        finally:
            process.terminate()
            process.wait(30)


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait(server: Server, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not _healthy(server, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.name} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.002)


def _healthy(server: Server, port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", server.health)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tree(process: int) -> Iterator[int]:
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _memory(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
