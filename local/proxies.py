"""Calls within this machine go past the proxies that the environment names for others."""

import os
from collections.abc import Mapping

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """`NO_PROXY` in both its spellings: whatever either names already, and loopback."""
    named = ",".join(environment.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    hosts = dict.fromkeys([host.strip() for host in named if host.strip()] + list(_LOOPBACK))
    value = "*" if "*" in hosts else ",".join(hosts)  # beside other names, a star means nothing to most programs
    return {"NO_PROXY": value, "no_proxy": value}


def call_loopback_directly() -> None:
    """Make it so for this process, and those that it starts."""
    os.environ.update(past_proxies(os.environ))
