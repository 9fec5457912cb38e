import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from tests.conftest import REPOSITORY, Stack
from tests.waiting import eventually


def queues(home: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLIPWAY_HOME": home}
    command = [sys.executable, "-m", "local.queues", *words]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, input=given, capture_output=True, text=True, check=False)


def test_a_command_is_sent_and_a_queue_is_read(stack: Stack, api):
    name = f"m-{uuid4().hex}"
    body = json.dumps({"name": name, "url": "http://store/x", "mimeType": "application/json"})
    sent = queues(str(stack.home), "send", "slipway.model.register", given=body)
    assert sent.returncode == 0, sent.stderr
    eventually(lambda: api.get("models", params={"name": name}).json()["value"])
    assert queues(str(stack.home), "receive", "commands").stdout == ""


def test_what_cannot_be_done_is_said_plainly(stack: Stack, tmp_path):
    nothing = queues(str(tmp_path), "receive", "events")
    assert (nothing.returncode, nothing.stderr) == (1, "nothing is running here: `make up` first\n")
    garbled = queues(str(stack.home), "send", "slipway.model.register", given="{")
    assert garbled.returncode == 1
    assert "the data is no JSON" in garbled.stderr
    for name in ("commands-poisoned", "Not A Queue", ""):
        unknown = queues(str(stack.home), "receive", name)
        assert unknown.returncode == 1
        assert unknown.stderr.startswith(f"there is no queue '{name}'; there are: ")
        assert "commands, commands-poison, events" in unknown.stderr
        assert len(unknown.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["take", "events"], ["send"], ["receive"], ["receive", "events", "more"]])
def test_wrong_arguments_are_told_with_the_right_ones(tmp_path, words):
    wrong = queues(str(tmp_path), *words)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: python -m local.queues ")
