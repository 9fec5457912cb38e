import os
import subprocess
import sys

import httpx

from tests.conftest import REPOSITORY, Stack


def upload(home: str, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.upload", *files]
    environment = {**os.environ, "SLIPWAY_HOME": home}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_an_uploaded_file_is_read_by_the_printed_url(stack: Stack, tmp_path):
    file = tmp_path / "my model.json"
    file.write_text("weights")
    done = upload(str(stack.home), str(file))
    assert httpx.get(done.stdout.strip()).text == "weights", done.stderr


def test_what_is_not_there_is_named(stack: Stack, tmp_path):
    missing = upload(str(stack.home), "nowhere.json")
    assert (missing.returncode, missing.stderr) == (1, "not a file: nowhere.json\n")
    no_stack = upload(str(tmp_path), __file__)
    assert (no_stack.returncode, no_stack.stderr) == (1, "nothing is running here: `make up` first\n")
    no_file = upload(str(tmp_path))
    assert no_file.returncode == 2
    assert no_file.stderr.startswith("usage: python -m local.upload [-h] file [file ...]\n")
