import os
import re
import subprocess
import sys

from local.azurite.server import free_ports
from tests.conftest import REPOSITORY


def test_the_demo_does_the_main_job_tells_each_wait_and_leaves_nothing_running(layer_cache, tmp_path):
    port = str(free_ports(1)[0])
    home = tmp_path / "home"
    environment = {**os.environ, "SLIPWAY_SCRATCH": str(layer_cache), "SLIPWAY_HOME": str(home), "PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        f"the stack is up at http://127.0.0.1:{port}",
        "building the image: publish",
        "replicas to be healthy",
        "calls, none failed",
        "the old one is refused, the secondary still works",
        "the second delete answered 204",
        "stopped everything",
        f"The state is kept in {home}.",
    ):
        assert said in done.stdout
    assert "Next: `make up`" in done.stdout.splitlines()[-1]
    assert (home / "azurite").exists()
    times = [float(time) for time in re.findall(r"^ *(\d+\.\d\d) s  ", done.stdout, re.MULTILINE)]
    silences = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert max(silences) < 8, "a line each 4 s is promised, and a busy machine is given as much again"
