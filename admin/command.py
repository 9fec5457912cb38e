"""What a command of the operator's is, and whose settings it works with."""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class CommandFailed(Exception):
    """The command cannot be carried out; the message says why, and what to do."""


@dataclass(frozen=True)
class Command:
    """`run` gives the exit code; `arguments` adds what the command takes besides `--home`."""

    help: str
    run: Callable[[Namespace], int]
    arguments: Callable[[ArgumentParser], None] = lambda _: None


@dataclass(frozen=True)
class Source:
    """Environment variables of the app, and where they come from."""

    where: str
    variables: Mapping[str, str] = field(repr=False)


def source_of(home: Path | None) -> Source:
    """The environment, or what the stack of that home was told when it last started. Raises CommandFailed."""
    if home is None:
        return Source("the environment (--home .slipway reads those of a stack of `make up`)", os.environ)
    file = home / "secrets" / "settings.json"
    try:
        variables = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{file} cannot be read: no stack was started on {home}; `make up` starts one.") from error
    running = "" if (home / "local.json").exists() else ", which is not running"
    return Source(f"the stack of {home}{running}", variables)
