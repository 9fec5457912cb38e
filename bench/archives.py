"""The memory that the worst archives take that are known. Run by `make bench NAME=archives`."""

import tempfile
from pathlib import Path

from bench.archiving.reading import read_apart
from bench.archiving.worst import MEBIBYTE, WORST
from bench.reporting.measures import at_most

MOST = 80
"""MiB that reading an archive may take, of the 160 that a build may: README, Images."""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        for kind, made in WORST.items():
            file = Path(name) / kind
            file.write_bytes(made())
            read = read_apart(file)
            size = file.stat().st_size / MEBIBYTE
            at_most(f"{kind}, {size:.1f} MiB, {read.seconds:.1f} s: {read.outcome[:60]}", read.grown, MOST, " MiB")
            file.unlink()


if __name__ == "__main__":
    main()
