"""A replica that cannot be started because this machine's disk is full."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from local.compute.replica_set import ReplicaSet
from tests.compute.running import QUICK


class FullDisk:
    """The port Launcher on a machine whose disk has no room."""

    def __init__(self, number: int) -> None:
        self._number = number

    @asynccontextmanager
    async def replica(self, *_: Any) -> AsyncIterator[Any]:
        raise OSError(self._number, os.strerror(self._number))
        yield


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_fails_a_deployment_as_what_it_is(number):
    deployment: Any = SimpleNamespace(id="d")
    launcher: Any = FullDisk(number)
    session: Any = None
    replicas = ReplicaSet("s", deployment, launcher, session, QUICK, on_trial=True, changed=lambda: None)
    replicas.scale(1)
    error = await replicas.verdict()
    await replicas.stop()
    assert error is not None
    assert (error.code, error.status_code) == ("InsufficientStorage", 507)
    assert os.strerror(number) in error.message
