"""The stack of `make up` as a person has it: stopped, started again, killed."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from local.azurite.server import free_ports
from tests.conftest import Stack
from tests.uploads import Road, upload
from tests.waiting import eventually


@pytest.fixture
def own_stack(tmp_path, layer_cache):
    stack = Stack(tmp_path / "home", layer_cache, free_ports(1)[0])
    stack.start()
    yield stack
    if stack.process is not None:
        stack.stop()


def descendants(pid: int) -> set[int]:
    """All processes below that one, however deep."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() or _signalled(pid)}


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pids: set[int], seconds: float) -> float:
    began = time.monotonic()
    while alive(pids):
        assert time.monotonic() - began < seconds, alive(pids)
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_stop_ends_everything_within_10_seconds_and_the_next_start_brings_services_back(own_stack):
    with own_stack.client() as api:
        road = Road(api, own_stack.description)
        service = road.service(road.image(), numReplicas=2)
        keys = road.keys(service)
        assert road.score(service, 1).status_code == 200
    processes = descendants(own_stack.process.pid)
    assert len(processes) >= 6
    began = time.monotonic()
    assert own_stack.stop() == 0
    wait_for_end(processes, 1)
    assert time.monotonic() - began < 10
    assert not (own_stack.home / "local.json").exists()

    own_stack.start()
    with own_stack.client() as api:
        road = Road(api, own_stack.description)
        assert api.get(f"services/{service['id']}").json()["scoringUri"] == service["scoringUri"]
        assert road.keys(service) == keys
        deadline = time.monotonic() + 30
        while road.score(service, 1, keys["primaryKey"]).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert road.score(service, 1, keys["primaryKey"]).json()["echo"] == 1


def test_a_killed_supervisor_leaves_no_process_behind(own_stack):
    with own_stack.client() as api:
        road = Road(api, own_stack.description)
        road.service(road.image())
    processes = descendants(own_stack.process.pid)
    assert own_stack.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for_end(processes, 20)


def test_two_stacks_do_not_share_a_home(own_stack):
    second = Stack(own_stack.home, own_stack.cache, free_ports(1)[0])
    with pytest.raises(AssertionError, match="exit code 1"):
        second.start()
    second.process.stdout.close()


def test_a_worker_that_is_stopped_in_the_middle_of_a_step_leaves_it_to_the_next_at_once(own_stack):
    with own_stack.client() as api:
        road = Road(api, own_stack.description)
        url = upload(own_stack.description, "large.bin", os.urandom(250 * 1024 * 1024))
        model = api.post("models", json={"name": "large", "url": url, "mimeType": "application/octet-stream"}).json()
        location = road.build(road.manifest(models=(model["id"],))).headers["Operation-Location"]
        eventually(lambda: api.get(location).json()["steps"][3]["state"] == "Running")
        (worker,) = [pid for pid in descendants(own_stack.process.pid) if b"local.host" in command_line(pid)]
        os.kill(worker, signal.SIGTERM)
        began = time.monotonic()

        def ended() -> bool:
            with contextlib.suppress(httpx.TransportError):  # the host is away for a moment
                return api.get(location).json()["state"] == "Succeeded"
            return False

        eventually(ended)
        assert time.monotonic() - began < 18, "a lease that is not given back lasts for 20 s"


def command_line(pid: int) -> bytes:
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_bytes() if file.exists() else b""


def test_a_worker_that_dies_is_started_again_and_nothing_accepted_is_lost(own_stack):
    with own_stack.client() as api:
        road = Road(api, own_stack.description)
        manifest_id = road.manifest()
        accepted = road.build(manifest_id)
        for pid in descendants(own_stack.process.pid):
            if b"local.host" in command_line(pid):
                os.kill(pid, signal.SIGKILL)
        state = ""
        deadline = time.monotonic() + 150
        while state not in ("Succeeded", "Failed"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
            with contextlib.suppress(httpx.TransportError):  # the host is away for a moment
                state = api.get(accepted.headers["Operation-Location"]).json()["state"]
        assert state == "Succeeded"
