import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_the_demo_does_the_main_job_and_leaves_nothing_running(layer_cache):
    environment = {**os.environ, "SLIPWAY_SCRATCH": str(layer_cache)}
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
        "calls, none failed",
        "the old one is refused, the secondary still works",
        "the second delete answered 204",
        "stopped everything",
    ):
        assert said in done.stdout
