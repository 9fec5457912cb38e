"""A node in this process, with real replicas: processes that run a small scoring server out of images made here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.compute.images import Images
from tests.compute.running import LIMITS, Running, running
