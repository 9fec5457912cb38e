"""What the scoring server costs, beside others with the same driver. Run by `make bench NAME=scoring`.

Needs Debian's wrk. The servers have one core, the load the other. They are loaded by turns, a second each: what else the
machine does meets all of them. Medians.
"""

import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.reporting.measures import at_least, at_most, noted
from bench.serving.load import Load, most, paced
from bench.serving.servers import SCIKIT, Server, azureml, bare_asgi, installed, mlserver, running, slipway
from local.azurite.server import Azurite

ROUNDS = int(os.environ.get("SLIPWAY_BENCH_ROUNDS", "15"))
STARTS = 7
WINDOW = 1  # seconds
AZUREML = "azureml-inference-server-http==1.5.1"
MLSERVER = "mlserver==1.7.1"
BATCH = {"SLIPWAY_MAX_CONCURRENCY": "32", "SLIPWAY_BATCH_MILLISECONDS": "5"}


@dataclass
class Measured:
    """What was measured of one server."""

    most: list[Load] = field(default_factory=list)
    half: list[Load] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    memory: float = 0

    @property
    def rate(self) -> float:
        """Requests a second, at most."""
        return statistics.median(load.rate for load in self.most)

    @property
    def p99(self) -> float:
        """At half of that."""
        return statistics.median(load.p99 for load in self.half)


type Results = dict[str, Measured]


class Bench:
    """Measures servers on the first core, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._core, self._other = (sorted(os.sched_getaffinity(0)) * 2)[:2]
        self.results: Results = defaultdict(Measured)

    def load(self, *servers: Server, paces: Sequence[Server] = ()) -> None:
        """Load them by turns, a second each, while the others wait; then those of `paces` at half of their best rate."""
        with ExitStack() as stack:
            started = [stack.enter_context(running(each, self._folder / each.name, self._core)) for each in servers]
            for number in range(1 + ROUNDS):
                for each in started:
                    load = most(each, self._folder, self._other, WINDOW)
                    self.results[each.server.name].most += [load] if number else []  # the first warms it up
            for each in started:
                self.results[each.server.name].memory = each.memory()
            for each in ROUNDS * [each for each in started if each.server in paces]:
                measured = self.results[each.server.name]
                measured.half.append(paced(each, self._other, measured.rate / 2, WINDOW))

    def starts(self, *servers: Server) -> None:
        """Start them by turns, without load."""
        for server in STARTS * servers:
            with running(server, self._folder / server.name, self._core) as started:
                self.results[server.name].starts.append(started.start)


def report(results: Results) -> None:
    """The ratios of the medians, and what they are made of."""
    ours, theirs, asgi = (results[name] for name in ("Slipway", "azureml-inference-server-http", "bare ASGI"))
    at_least("requests a second, trivial driver, against azureml-inference-server-http", ours.rate / theirs.rate, 4)
    at_most("p99 at half of its own best rate, against the same", ours.p99 / theirs.p99, 0.5)
    on, off = results["batching"].rate, results["no batching"].rate
    at_least("requests a second, scikit-learn, batching against none", on / off, 3)
    at_most(
        "start to ready, against azureml-inference-server-http",
        statistics.median(ours.starts) / statistics.median(theirs.starts),
        0.4,
    )
    at_most("memory, against the same", ours.memory / theirs.memory, 0.5)
    at_least("requests a second, trivial driver, against the bare ASGI server", ours.rate / asgi.rate, 0.5)
    collecting = results["collecting"].rate / results["not collecting"].rate
    at_least("requests a second, data collection on against off", collecting, 0.85)
    for name, measured in results.items():
        noted(f"{name}: {_columns(measured)}", _values(measured))


def _columns(measured: Measured) -> str:
    start = "; start" if measured.starts else ""
    half = "; p50, p99 at half of it" if measured.half else ""
    return f"requests a second, p50, p99{half}; MiB{start}"


def _values(measured: Measured) -> str:
    groups = [f"{measured.rate:.0f}, {_latencies(measured.most)}"]
    groups += [_latencies(measured.half)] if measured.half else []
    groups += [f"{measured.memory:.0f}"]
    groups += [f"{statistics.median(measured.starts):.2f} s"] if measured.starts else []
    return "; ".join(groups)


def _latencies(loads: list[Load]) -> str:
    p50, p99 = (statistics.median(getattr(load, name) for load in loads) for name in ("p50", "p99"))
    return f"{p50 * 1000:.2f} ms, {p99 * 1000:.2f} ms"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, Azurite() as azurite:
        folder = Path(name)
        ours, theirs = slipway(), azureml(installed(folder, AZUREML))
        other = mlserver(installed(folder, MLSERVER))
        bench = Bench(folder / "apps")
        bench.load(ours, theirs, bare_asgi(), other, paces=(ours, theirs))
        bench.starts(ours, theirs, other)
        bench.load(slipway(SCIKIT, "no batching", **BATCH), slipway(SCIKIT, "batching", SLIPWAY_BATCH_SIZE="32", **BATCH))
        collecting = {"AML_MODEL_DC_STORAGE_ENABLED": "true", "AML_MODEL_DC_STORAGE": azurite.connection_string}
        bench.load(slipway(name="not collecting"), slipway(name="collecting", **collecting))
        report(bench.results)


if __name__ == "__main__":
    main()
