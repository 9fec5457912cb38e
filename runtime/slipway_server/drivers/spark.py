"""A Spark session for the driver of a `SparkPython` image, with the driver's own pyspark and the Java of the image."""

import atexit
import builtins
import importlib
import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",  # all of it is in this replica, whatever the machine is called
    "spark.driver.bindAddress": "127.0.0.1",
}


def provide() -> None:
    """Start the session of this replica and make it known to all modules, as `spark`, and its context as `sc`.

    It is stopped when the process ends. A `spark-defaults.conf` in the driver's folder counts. Raises ModuleNotFoundError
    where pyspark is not among the driver's packages, what pyspark raises where there is no Java, and ValueError for several
    processes: no session survives a fork.
    """
    if os.environ.get("SLIPWAY_PROCESSES", "1") != "1":
        raise ValueError("SLIPWAY_PROCESSES: a replica with Spark is one process, which has threads of its own.")
    for name, value in _environment():
        os.environ.setdefault(name, value)
    builder = importlib.import_module("pyspark.sql").SparkSession.builder.master("local[*]").appName("slipway")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    # Python functions run in processes of their own, which import what the driver does.
    session = builder.config("spark.executorEnv.PYTHONPATH", os.pathsep.join(sys.path)).getOrCreate()
    atexit.register(session.stop)
    builtins.spark, builtins.sc = session, session.sparkContext  # type: ignore[attr-defined]


def _environment() -> Iterator[tuple[str, str]]:
    yield "PYSPARK_PYTHON", sys.executable
    if Path("spark-defaults.conf").exists():
        yield "SPARK_CONF_DIR", str(Path.cwd())
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # the user of the image has no name and no home, and Java's libraries insist on both
        yield from (("SPARK_USER", "slipway"), ("HADOOP_USER_NAME", "slipway"))
        yield "SPARK_SUBMIT_OPTS", f"-Duser.home={tempfile.gettempdir()}"
