"""Drivers of `SparkPython`: a Spark session is there for them, with pyspark as an image has it and the machine's Java.

All in one file, for which pyspark is installed once: it is published as source, and large.
"""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx
import pytest

from tests.conftest import Stack
from tests.registries.running import judge
from tests.runtime.installing import install
from tests.runtime.replicas import RUNTIME, Start
from tests.uploads import Road, finished, upload
from tests.waiting import until

SPARK = {"SLIPWAY_SPARK": "1", **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ}}


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a Spark driver's requirements name."""
    judge("java", "openjdk-17-jre-headless")
    return install(tmp_path_factory.mktemp("spark"), "pyspark==4.3.0", "numpy==2.5.5")


SOURCE = """
import user
def init():
    user.init()
def run(body):
    return user.run(body)
"""
USER = """
import helper
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.ml.linalg import Vectors
app = sc.applicationId
def init():
    assert spark.sparkContext.applicationId == app
    spark.range(10).createOrReplaceTempView("numbers")
def run(body):
    if body == "java":
        return spark._jvm.java.lang.ProcessHandle.current().pid()
    if body == "partitions":
        return spark.conf.get("spark.sql.shuffle.partitions")
    if body == "same":
        return SparkSession.builder.getOrCreate() is spark and SparkSession.active().sparkContext is sc
    if body == "vector":
        return Vectors.sparse(3, {1: 2.5})
    if body == "udf":
        return spark.table("numbers").limit(2).select(udf(helper.twice, "long")("id").alias("twice"))
    return spark.createDataFrame([tuple(row) for row in body], ["a", "b"])
"""
HELPER = "import numpy\ndef twice(number):\n    return int(numpy.int64(2 * number))\n"


NAMELESS = """
import os, sys
command = ["unshare", "--user", "--map-user=65532", "--map-group=65532", sys.executable, {runtime!r}]
os.execvp(command[0], command)
"""


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_session_is_there_for_every_module_of_the_driver_and_stops_with_the_replica(
    start: Start, packages: Path
) -> None:
    files = {"user.py": USER, "helper.py": HELPER, "spark-defaults.conf": "spark.sql.shuffle.partitions 3\n"}
    replica = await start(SOURCE, files=files, dependencies=packages, environment=SPARK).ready()
    assert (await replica.score('"partitions"')).json() == "3"
    assert (await replica.score('"same"')).json() is True
    assert (await replica.score('"vector"')).json() == [0.0, 2.5, 0.0]
    assert (await replica.score('"udf"')).json() == [{"twice": 0}, {"twice": 2}]
    assert (await replica.score([[1, "x"], [2, None]])).json() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    java = (await replica.score('"java"')).json()
    replica.stop()
    assert replica.ended() == 0

    async def is_gone() -> bool:
        return not alive(java)

    await until(is_gone)


async def test_the_user_of_an_image_needs_no_name_and_no_home(start: Start, packages: Path, tmp_path: Path) -> None:
    program = tmp_path / "nameless.py"
    program.write_text(NAMELESS.format(runtime=str(RUNTIME)))
    source = "import os\ndef run(body):\n    return [os.getuid(), spark.range(3).count()]\n"
    replica = await start(source, dependencies=packages, environment=SPARK, program=program).ready()
    assert (await replica.score({})).json() == [65532, 3]


async def test_a_replica_with_spark_is_one_process(start: Start) -> None:
    replica = start("def run(body):\n    return body\n", environment={**SPARK, "SLIPWAY_PROCESSES": "2"})
    assert replica.ended() == 1
    assert "a replica with Spark is one process" in replica.log[-1].message


async def test_without_pyspark_the_replica_says_so(start: Start) -> None:
    replica = start("def run(body):\n    return body\n", environment=SPARK)
    assert replica.ended() == 1
    assert replica.log[-1].message == "The driver did not start: ModuleNotFoundError: No module named 'pyspark'"


TRAINING = """
import sys
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
flowers = spark.createDataFrame([(1.0, 0.2, 0), (1.5, 0.3, 0), (4.5, 1.5, 1), (5.1, 1.8, 1)], ["length", "width", "label"])
stages = [VectorAssembler(inputCols=["length", "width"], outputCol="features"), LogisticRegression()]
Pipeline(stages=stages).fit(flowers).write().save(sys.argv[1])
spark.stop()
"""
DRIVER = b"""
from dataclasses import asdict, dataclass
from pyspark.ml import PipelineModel
@dataclass
class Flower:
    length: float
    width: float
def init():
    global model
    model = PipelineModel.load("flowers")
def run(flowers: list[Flower]) -> list[float]:
    scored = model.transform(spark.createDataFrame([asdict(flower) for flower in flowers]))
    return [row.prediction for row in scored.select("prediction").collect()]
"""


def trained(packages: Path, folder: Path) -> bytes:
    """A pipeline of Spark's, trained and saved, as a client packs it."""
    environment = {**os.environ, "PYTHONPATH": str(packages), "PYSPARK_PYTHON": sys.executable}
    command = [sys.executable, "-W", "ignore", "-c", TRAINING, str(folder / "flowers")]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder / "flowers", "flowers")
    return packed.getvalue()


def test_a_pipeline_of_spark_is_trained_registered_built_deployed_and_scored(
    stack: Stack, api: httpx.Client, packages: Path, tmp_path: Path
) -> None:
    road = Road(api, stack.description)
    url = upload(stack.description, "flowers.tar.gz", trained(packages, tmp_path))
    model = {"name": "flowers", "url": url, "mimeType": "application/json", "unpack": True}
    properties = {"pipRequirements": upload(stack.description, "requirements.txt", b"numpy==2.5.5\n")}
    driver = {"id": "driver", "mimeType": "application/x-python", "url": upload(stack.description, "driver.py", DRIVER)}
    manifest = api.post(
        "manifests",
        json={
            "name": "flowers",
            "driverProgram": "driver",
            "assets": [driver],
            "modelIds": [api.post("models", json=model).json()["id"]],
            "targetRuntime": {"runtimeType": "SparkPython", "properties": properties},
        },
    )
    assert manifest.status_code == 200, manifest.text
    built = finished(api, road.build(manifest.json()["id"]))
    assert built["state"] == "Succeeded", built
    service = road.service(built["resourceLocation"].rpartition("/")[2])
    flowers = [{"length": 1.2, "width": 0.2}, {"length": 4.9, "width": 1.7}]
    assert road.score(service, flowers).json() == [0.0, 1.0]
    refused = road.score(service, [{"length": 1.2}])
    assert (refused.status_code, refused.json()["message"]) == (400, "[0].width: it is required, and not there")
