"""Workers killed at any instruction, storage that stops answering: nothing is lost, doubled, stuck or false."""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.azurite.server import free_ports
from shared.images.layouts.layout import ImageLayout, tag_of
from tests.chaos.processes import Disturber, PatientClient, below
from tests.conftest import Stack
from tests.uploads import ECHO, Road

LONG = os.environ.get("SLIPWAY_CHAOS") == "long"
OPERATIONS, KILLS = (1000, 500) if LONG else (30, 15)
CLIENTS = 6
SERVICES_AT_ONCE = 2
TWO_SWEEPS = 60
DRIVERS = {version: ECHO.replace(b"'version': 1", b"'version': %d" % version) for version in (1, 2)}


@dataclass
class Accepted:
    """What the API has answered to the clients' requests."""

    models: Counter[str] = field(default_factory=Counter)
    builds: dict[str, str] = field(default_factory=dict)
    """The image's name, by the operation's path."""
    services: dict[str, list[str]] = field(default_factory=dict)
    """The operations' paths, by the service's id."""
    serving: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def operations(self) -> list[str]:
        return [*self.builds, *(location for locations in self.services.values() for location in locations)]


class Load:
    """Clients that register, build, serve, update, cancel and delete, until there are as many operations as wanted."""

    def __init__(self, client: Callable[[], PatientClient], stack: Stack, manifest_id: str, images: dict[int, str]) -> None:
        self.accepted = Accepted()
        self._client = client
        self._manifest_id = manifest_id
        self._images = images
        self._compute = {"id": stack.description["computeResourceId"], "type": "Cluster"}
        self._serving = threading.Semaphore(SERVICES_AT_ONCE)

    def run(self, seed: int, enough: Any) -> None:
        """One client's part."""
        chance = random.Random(seed)
        acts = [self._register, self._build, self._build, self._build, self._serve]
        with closing(self._client()) as client:
            while not enough():
                chance.choice(acts)(client, chance)

    def _register(self, client: PatientClient, chance: random.Random) -> None:
        name = chance.choice(["digits", "letters"])
        body = {"name": name, "url": "http://store/x", "mimeType": "application/json"}
        answer = client.ask("POST", "models", body)
        assert answer.status_code == 200, answer.text
        with self.accepted.lock:
            self.accepted.models[name] += 1

    def _build(self, client: PatientClient, chance: random.Random) -> None:
        name = chance.choice(["chaos-a", "chaos-b"])
        build = {
            "name": name,
            "manifestId": self._manifest_id,
            "imageType": "Docker",
            "computeResourceId": self._compute["id"],
        }
        location = self._location(client.ask("POST", "images", build))
        with self.accepted.lock:
            self.accepted.builds[location] = name
        if chance.random() < 0.2:
            self._cancel(client, location)

    def _serve(self, client: PatientClient, chance: random.Random) -> None:
        if not self._serving.acquire(blocking=False):
            return
        try:
            self._life_of_a_service(client, chance)
        finally:
            self._serving.release()

    def _life_of_a_service(self, client: PatientClient, chance: random.Random) -> None:
        body = {
            "name": f"s-{uuid4().hex[:20]}",
            "imageId": self._images[1],
            "computeResource": self._compute,
            "numReplicas": 1,
        }
        location = self._location(client.ask("POST", "services", body))
        created = client.ended(location)
        service_id = created["resourceLocation"].rpartition("/")[2]
        with self.accepted.lock:
            self.accepted.services[service_id] = [location]
            self.accepted.serving[service_id] = 1
        assert created["state"] == "Succeeded", created
        if chance.random() < 0.7:
            self._update(client, chance, service_id)
        if LONG or chance.random() < 0.5:
            answer = client.ask("DELETE", f"services/{service_id}")
            assert answer.status_code in (200, 204), answer.text
            with self.accepted.lock:
                self.accepted.deleted.add(service_id)
                del self.accepted.serving[service_id]

    def _update(self, client: PatientClient, chance: random.Random, service_id: str) -> None:
        location = self._location(client.ask("PUT", f"services/{service_id}", {"imageId": self._images[2]}))
        with self.accepted.lock:
            self.accepted.services[service_id].append(location)
        if chance.random() < 0.3:
            self._cancel(client, location)
        if client.ended(location)["state"] == "Succeeded":
            self.accepted.serving[service_id] = 2

    def _cancel(self, client: PatientClient, location: str) -> None:
        time.sleep(random.Random(location).uniform(0, 1))
        answer = client.ask("POST", f"{location}/cancel")
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 202:
            with self.accepted.lock:
                self.accepted.cancelled.add(location)

    def _location(self, answer: Any) -> str:
        assert answer.status_code == 202, answer.text
        return "operations/" + answer.headers["Operation-Location"].rpartition("/")[2]


@pytest.fixture(scope="module")
def stack(tmp_path_factory, layer_cache):
    own = Stack(tmp_path_factory.mktemp("home"), layer_cache, free_ports(1)[0])
    own.start()
    yield own
    own.stop()


@pytest.fixture(scope="module")
def disturbed(stack) -> Accepted:
    """What was accepted while the processes were disturbed; two sweep periods after that."""
    with stack.client() as api:
        road = Road(api, stack.description)
        images = {version: road.image(driver) for version, driver in DRIVERS.items()}
        manifest_id = road.manifest()
    disturber = Disturber(stack, 7, storage_away=10, storage_every=60 if LONG else 12)
    load = Load(lambda: PatientClient(stack, disturber.addresses), stack, manifest_id, images)

    def enough() -> bool:
        return len(load.accepted.operations) >= OPERATIONS and disturber.kills >= KILLS and disturber.stops > 0

    with disturber.workers():
        with disturber.at_work(), ThreadPoolExecutor(CLIENTS) as pool:
            for ended in [pool.submit(load.run, seed, enough) for seed in range(CLIENTS)]:
                ended.result()
        print(f"{disturber.kills} kills, {disturber.stops} outages, {len(load.accepted.operations)} operations")  # noqa: T201
        began = time.monotonic()
        with closing(PatientClient(stack, disturber.addresses)) as client:
            while [found for state in ("NotStarted", "Running") for found in client.all("operations", state=state)]:
                assert time.monotonic() - began < TWO_SWEEPS, client.all("operations", state="Running")
                time.sleep(0.5)
    return load.accepted


@pytest.fixture(scope="module")
def client(stack, disturbed):
    patient = PatientClient(stack, [stack.description["baseUrl"]])
    yield patient
    patient.close()


def test_every_accepted_operation_has_ended_and_truly(client, disturbed):
    for location in disturbed.operations:
        operation = client.ask("GET", location).json()
        expected = "Cancelled" if location in disturbed.cancelled else "Succeeded"
        assert operation["state"] == expected, operation


def test_there_are_no_operations_but_those_that_were_accepted(client, disturbed):
    listed = Counter(operation["id"] for operation in client.all("operations"))
    asked = {location.rpartition("/")[2] for location in disturbed.operations}
    assert asked <= set(listed)
    extra = [client.ask("GET", f"operations/{identifier}").json() for identifier in set(listed) - asked]
    deletes = Counter(operation["resourceLocation"].rpartition("/")[2] for operation in extra)
    prepared = 2
    assert sum(deletes.values()) == prepared + len(disturbed.deleted)
    assert {service_id: deletes[service_id] for service_id in disturbed.deleted} == dict.fromkeys(disturbed.deleted, 1)


def test_versions_of_a_name_have_no_gap_and_no_double(client, disturbed):
    for name, count in disturbed.models.items():
        versions = sorted(model["version"] for model in client.all("models", name=name))
        assert versions == list(range(1, count + 1))
    images = [image for image in client.all("images") if image["name"].startswith("chaos-")]
    for name, count in Counter(disturbed.builds.values()).items():
        assert sorted(image["version"] for image in images if image["name"] == name) == list(range(1, count + 1))


def test_the_registry_has_a_tag_for_each_built_image_and_none_for_any_other(stack, client):
    (index,) = (stack.home / "images").rglob("index.json")
    layout = ImageLayout(index.parent)
    tags = {tag_of(entry): entry["digest"] for entry in layout.manifests() if tag_of(entry)}
    about = {layout.subject(entry) for entry in layout.manifests() if not tag_of(entry)}
    built = [image for image in client.all("images") if image["creationState"] == "Succeeded"]
    assert set(tags) == {image["imageLocation"].removeprefix(f"oci:{index.parent}:") for image in built}
    for digest in tags.values():
        manifest = json.loads(blob(index, digest).read_bytes())
        for part in (manifest["config"], *manifest["layers"]):
            assert blob(index, part["digest"]).stat().st_size == part["size"]
    assert about == set(tags.values())


def blob(index: Path, digest: str) -> Path:
    return index.parent / "blobs" / digest.replace(":", "/")


def test_services_answer_as_they_say_and_deleted_ones_do_not(stack, client, disturbed):
    with stack.client() as api:
        road = Road(api, stack.description)
        for service_id, version in disturbed.serving.items():
            service = client.ask("GET", f"services/{service_id}").json()
            assert service["state"] == "Succeeded"
            assert road.score(service, 1).json() == {"echo": 1, "version": version}
    for service_id in disturbed.deleted:
        assert client.ask("GET", f"services/{service_id}").status_code == 404


def test_nothing_runs_that_no_service_names(stack, client):
    wanted = Counter(deployed(client))
    running: Counter[str] = Counter()
    for pid in below(stack.process.pid):
        folder = Path(f"/proc/{pid}/cwd").readlink()
        if folder.name == "app":
            running[folder.parent.name.rpartition("-")[0]] += 1
    assert running == wanted


def deployed(client: PatientClient) -> list[str]:
    """The ids of the deployments that answer the services' calls."""
    deployments = [
        deployment
        for service in client.all("services")
        for deployment in client.ask("GET", "deployments", serviceId=service["id"]).json()
    ]
    return [one["id"] for one in deployments if one["status"] == "Succeeded" and "expiredAt" not in one]
