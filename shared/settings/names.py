"""The names of all settings, and what is said of a name that is none."""

import difflib
import re
from collections.abc import Iterable

PREFIX = "SLIPWAY_"
KUBECONFIGS = "SLIPWAY_KUBECONFIG_"
"""Settings whose names begin so are kubeconfigs."""
_KUBECONFIG = re.compile(f"{KUBECONFIGS}[A-Z0-9_]{{1,64}}")
NAMES = (
    "SLIPWAY_ACCOUNTS",
    "SLIPWAY_SECRET",
    "SLIPWAY_PUBLIC_URL",
    "SLIPWAY_ENTRA_TENANT",
    "SLIPWAY_TOKEN_AUDIENCES",
    "SLIPWAY_TOKEN_ISSUERS",
    "SLIPWAY_TOKEN_JWKS_URL",
    "SLIPWAY_REGISTRY",
    "SLIPWAY_REGISTRY_AUTH",
    "SLIPWAY_REGISTRY_RESOURCE_ID",
    "SLIPWAY_BASE_IMAGE_PYTHON",
    "SLIPWAY_BASE_IMAGE_SPARKPYTHON",
    "SLIPWAY_IMAGES",
    "SLIPWAY_SCRATCH",
    "SLIPWAY_TARGET_PLATFORM",
    "SLIPWAY_TARGET_PYTHON",
    "SLIPWAY_LAYER_COMPRESSION",
    "SLIPWAY_PACKAGE_INDEXES",
    "SLIPWAY_SOURCE_PACKAGES",
    "SLIPWAY_CONDA_CHANNELS",
    "SLIPWAY_FETCH_HOSTS",
    "SLIPWAY_FETCH_ALLOW",
    "SLIPWAY_FETCH_CONTAINERS",
    "SLIPWAY_MOST_FETCHED_BYTES",
    "SLIPWAY_FETCH_MIN_BYTES_PER_SECOND",
    "SLIPWAY_MOST_UNPACKED_BYTES",
    "SLIPWAY_GARBAGE",
    "SLIPWAY_LAYER_RETENTION_DAYS",
    "SLIPWAY_BUILD_LOG_RETENTION_DAYS",
    "SLIPWAY_COMMAND_ACCOUNTS",
    "SLIPWAY_EVENTS_ENDPOINT",
    "SLIPWAY_EVENTS_KEY",
    "SLIPWAY_DEADLINE_BUILD_IMAGE",
    "SLIPWAY_DEADLINE_DEPLOY_SERVICE",
    "SLIPWAY_DEADLINE_DELETE_SERVICE",
    "SLIPWAY_DEADLINE_RESTORE_SERVICE",
    "SLIPWAY_DEADLINE_RUN_PIPELINE",
    "SLIPWAY_ATTEMPTS_BUILD_IMAGE",
    "SLIPWAY_ATTEMPTS_DEPLOY_SERVICE",
    "SLIPWAY_ATTEMPTS_DELETE_SERVICE",
    "SLIPWAY_ATTEMPTS_RESTORE_SERVICE",
    "SLIPWAY_ATTEMPTS_RUN_PIPELINE",
    "SLIPWAY_OPERATION_RETENTION_DAYS",
    "SLIPWAY_KEY_VAULT",
    "SLIPWAY_COLLECTION_STORAGE",
    "SLIPWAY_COLLECTION_STORAGE__accountName",
    "SLIPWAY_COLLECTION_EVENT_HUB",
    "SLIPWAY_APP_INSIGHTS",
    "SLIPWAY_LOCAL_COMPUTE_URL",
    "SLIPWAY_LOCAL_COMPUTE_TOKEN",
    "SLIPWAY_LOCAL_FRONT_END",
)
OF_THE_STACK = ("SLIPWAY_HOME",)
"""What the programs of one machine read, and the app does not."""
_OF_DEVELOPMENT = ("SLIPWAY_TEST_", "SLIPWAY_BENCH_", "SLIPWAY_CHAOS")
"""What tests and benchmarks read."""


def is_setting(name: str) -> bool:
    """Whether the app reads a variable of that name."""
    return name in NAMES or _KUBECONFIG.fullmatch(name) is not None


def unknown(names: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each name that looks like a setting and is none, with the one that it may be meant to be."""
    mistaken = sorted(name for name in names if _looks_like_one(name) and not _known(name))
    return tuple(f"{name[:100]} is no setting{_nearest(name)}." for name in mistaken)


def _looks_like_one(name: str) -> bool:
    """By how it begins, or by all of it, where it is that beginning that is misspelt."""
    return name.upper().startswith(PREFIX) or bool(_almost(name))


def _almost(name: str) -> list[str]:
    return difflib.get_close_matches(name[:100].upper(), NAMES, n=1, cutoff=0.9)


def _known(name: str) -> bool:
    return is_setting(name) or name in OF_THE_STACK or name.startswith(_OF_DEVELOPMENT)


def _nearest(name: str) -> str:
    known = {one.removeprefix(PREFIX): one for one in (*NAMES, *OF_THE_STACK)} | {"KUBECONFIG_": f"{KUBECONFIGS}…"}
    close = difflib.get_close_matches(name[:100].upper().removeprefix(PREFIX), known, n=1)
    nearest = [known[one] for one in close] or _almost(name)
    return f"; the nearest known one is {nearest[0]}" if nearest else ", nor near one; README, Settings, has them all"
