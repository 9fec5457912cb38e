import os
import subprocess
import sys

from tests.conftest import REPOSITORY, Stack
from tests.uploads import Road


def garbage(home: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLIPWAY_HOME": home}
    command = [sys.executable, "-m", "local.garbage", *words]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_garbage_is_listed_and_nothing_that_was_just_built_is_any(stack: Stack, api):
    image_id = Road(api, stack.description).image()
    for words in ((), ("--remove",)):
        said = garbage(str(stack.home), *words)
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout.splitlines()[-1].startswith("0 things, 0 bytes")
    assert api.get(f"images/{image_id}").json()["creationState"] == "Succeeded"


def test_without_a_stack_it_says_so(tmp_path):
    nothing = garbage(str(tmp_path))
    assert (nothing.returncode, nothing.stderr) == (1, "nothing is running here: `make up` first\n")
