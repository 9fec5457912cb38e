"""The cluster of a test: a namespace of its own on the stand-in, or on the API server of SLIPWAY_TEST_KUBECONFIG."""

import base64
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.kinds import EVENT, POD, REPLICA_SET
from shared.compute.kubernetes.kubeconfig import Kubeconfig
from shared.compute.kubernetes.objects import KINDS
from shared.compute.kubernetes.session import SECONDS, Call, Connect, Session
from tests.clusters.stand_in import StandIn
from tests.waiting import until

type Object = dict[str, Any]

VARIABLE = "SLIPWAY_TEST_KUBECONFIG"
_FILES = ("certificate-authority", "client-certificate", "client-key")
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_EXTENSIONS = (("keda.sh", "v1alpha1", "ScaledObject"), ("gateway.networking.k8s.io", "v1", "HTTPRoute"))
_OURS = {"app.kubernetes.io/managed-by": "slipway-tests"}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CONTROLLED_WITHIN = 5.0
"""Seconds in which a namespace gets its ServiceAccount `default` where controllers are at work."""
_controlled: dict[str, bool] = {}
"""Whether controllers are at work, by kubeconfig: found out once."""
_EMPTIED = (POD, REPLICA_SET, *KINDS, EVENT)


@dataclass(frozen=True)
class Cluster:
    """A namespace that is a test's own; `request` is what an administrator does.

    `stand_in` is None on a real API server; `controlled` says whether controllers are at work there.
    """

    kubeconfig: str
    namespace: str
    session: Session
    stand_in: StandIn | None
    controlled: bool = False

    def connect(self) -> Connect:
        """What a client of the app connects with."""
        return _connecting(self.kubeconfig)

    @asynccontextmanager
    async def api(self, *, seconds: float = SECONDS) -> AsyncIterator[KubernetesApi]:
        """A client of the app's, closed at the end."""
        opened = KubernetesApi(self.connect(), self.namespace, seconds=seconds)
        try:
            yield opened
        finally:
            await opened.close()

    async def request(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json", **query: str
    ) -> Object:
        """Ask the API server as an administrator; the answer, which is an error's Status too."""
        call = Call(method, path, f"{method} {path}", query=query, body=body, content_type=content_type)
        return (await self.session.answer(call)).document

    def path(self, api_version: str, plural: str, name: str = "") -> str:
        """The path of a collection of this namespace, or of an object."""
        root = "/apis" if "/" in api_version else "/api"
        return f"{root}/{api_version}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def needs_stand_in(self, what: str) -> StandIn:
        """The stand-in; on a real API server the test is skipped, for want of that."""
        if self.stand_in is None:
            pytest.skip(f"{what}: only the stand-in can")
        return self.stand_in

    def may_be_played_on(self) -> None:
        """Where a cluster has controllers and nodes of its own, tests that play them are skipped: both would do the same."""
        if self.controlled:
            pytest.skip("the cluster's own controllers are at work, and this test plays them")


@asynccontextmanager
async def running_cluster(patience: float = _CONTROLLED_WITHIN) -> AsyncIterator[Cluster]:
    """A cluster with a namespace, and the kinds of extensions; controllers of its own are waited for so long."""
    given = os.environ.get(VARIABLE, "")
    if given:
        text = kubeconfig_text(given)
        async with _namespace(text, text, None) as cluster:
            if text not in _controlled:
                _controlled[text] = await has_controllers(cluster, patience)
            yield replace(cluster, controlled=_controlled[text])
        return
    async with StandIn() as stand_in, _namespace(stand_in.kubeconfig, stand_in.admin_kubeconfig, stand_in) as cluster:
        yield cluster


async def leave_no_definitions(given: str) -> None:
    """Remove the kinds that tests have defined on that API server; those that were there before stay."""
    session = Session(_connecting(kubeconfig_text(given)))
    try:
        selector = ",".join(f"{key}={value}" for key, value in _OURS.items())
        asked = Call("DELETE", _DEFINITIONS, "remove definitions", query={"labelSelector": selector})
        await session.answer(asked)
    finally:
        await session.close()


@asynccontextmanager
async def _namespace(kubeconfig: str, admin: str, stand_in: StandIn | None) -> AsyncIterator[Cluster]:
    name = f"slipway-test-{uuid.uuid4().hex[:8]}"
    session = Session(_connecting(admin), seconds=60)
    cluster = Cluster(kubeconfig, name, session, stand_in)
    try:
        metadata = {"name": name, "labels": _RESTRICTED}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        await cluster.request("POST", "/api/v1/namespaces", namespace)
        for group, version, kind in _EXTENSIONS:
            await _ensure_defined(cluster, group, version, kind)
        yield cluster
    finally:
        await _remove(cluster)
        await session.close()


async def has_controllers(cluster: Cluster, within: float) -> bool:
    """Whether somebody gives the namespace what a controller gives each of them."""

    async def given() -> bool:
        found = await cluster.request("GET", cluster.path("v1", "serviceaccounts", "default"))
        return found.get("kind") == "ServiceAccount"

    try:
        await until(given, seconds=within)
    except TimeoutError:
        return False
    return True


async def _ensure_defined(cluster: Cluster, group: str, version: str, kind: str) -> None:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    described = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    await cluster.request(
        "POST",
        _DEFINITIONS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            # Names of groups below k8s.io are Kubernetes' own, which wants to be told that this is none of its.
            "metadata": {
                "name": f"{plural}.{group}",
                "labels": _OURS,
                "annotations": {"api-approved.kubernetes.io": "unapproved, a schema for tests only"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
                "versions": [{**described, "subresources": {"status": {}}}],
            },
        },
    )

    async def served() -> bool:
        """Its group is found, and its objects are: one comes before the other."""
        listed = await cluster.request("GET", cluster.path(f"{group}/{version}", plural))
        found = await cluster.request("GET", f"/apis/{group}/{version}"), await cluster.request("GET", f"/apis/{group}")
        return "items" in listed and "resources" in found[0] and "versions" in found[1]

    await until(served, seconds=30)


async def _remove(cluster: Cluster) -> None:
    """The namespace goes; where no controller empties namespaces, what tests leave in them goes by hand."""
    for kind in _EMPTIED:
        await cluster.request("DELETE", cluster.path(kind.api_version, kind.plural), gracePeriodSeconds="0")
    path = f"/api/v1/namespaces/{cluster.namespace}"
    await cluster.request("DELETE", path)
    left = await cluster.request("GET", path)
    if left.get("kind") == "Namespace":
        await cluster.request("PUT", f"{path}/finalize", {**left, "spec": {"finalizers": []}})


def kubeconfig_text(given: str) -> str:
    """A kubeconfig, given as its text or the file it is in; with the files that it names in it, as
    `kubectl config view --flatten` has it."""
    file = Path(given)
    document = yaml.safe_load(given if "\n" in given or given.startswith("{") else file.read_text())
    parts = [one["cluster"] for one in document.get("clusters", [])] + [one["user"] for one in document.get("users", [])]
    for part in parts:
        for key in _FILES:
            if part.get(key):
                held = (file.parent / part.pop(key)).read_bytes()
                part.setdefault(f"{key}-data", base64.b64encode(held).decode())
        if part.get("tokenFile"):
            part.setdefault("token", (file.parent / part.pop("tokenFile")).read_text().strip())
    return yaml.safe_dump(document)


def _connecting(kubeconfig: str) -> Connect:
    endpoint = Kubeconfig.parse(kubeconfig, "of the test").endpoint()

    async def connect() -> Any:
        return endpoint

    return connect
