"""`python -m admin COMMAND`: what an operator does to a deployment, from wherever its settings are."""

import argparse
import sys
from pathlib import Path

from admin import check
from admin.command import Command, CommandFailed

COMMANDS: dict[str, Command] = {
    "check": check.COMMAND,
}


def main() -> int:
    """The command's exit code: 0 when all is well, 1 when it is not, 2 for a command line that makes no sense."""
    given = _parser().parse_args()
    try:
        return COMMANDS[given.command].run(given)
    except CommandFailed as failed:
        print(failed, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m admin", description="Operate a deployment of Slipway.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.help, description=f"{command.help[:1].upper()}{command.help[1:]}.")
        one.add_argument("--home", type=Path, help="the home of a stack of `make up`, whose settings are taken")
        command.arguments(one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
