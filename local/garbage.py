"""`python -m local.garbage`: what the garbage timer of a running stack would remove now; with `--remove`, remove it."""

import argparse
import asyncio
import json
import sys

from local.errors import StackError
from local.home import Home
from local.proxies import call_loopback_directly
from shared.bootstrap import Slipway
from shared.settings import read_settings


async def collect(slipway: Slipway, *, remove: bool) -> None:
    """Print each thing, and what it comes to."""
    try:
        found = await slipway.garbage.collect(dry_run=not remove)
    finally:
        await slipway.close()
    for one in found:
        print(f"{one.kind:<6} {one.size:>12,} {one.name}")
    print(f"{len(found)} things, {sum(one.size for one in found):,} bytes{' removed' if remove else ' would be removed'}")


def main() -> int:
    """0 when it was done, 1 when no stack is running."""
    parser = argparse.ArgumentParser(prog="python -m local.garbage", description="The garbage of the stack of `make up`.")
    parser.add_argument("--remove", action="store_true", help="remove it; without, it is only listed")
    given = parser.parse_args()
    call_loopback_directly()
    home = Home.chosen()
    try:
        home.running()
        settings = read_settings(json.loads(home.settings.read_text()))
        asyncio.run(collect(Slipway(settings), remove=given.remove))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
