"""The objects of a service: as they are rendered, by Kubernetes' schemas, and by the promises made of them.

The files of `golden` are what is rendered for some telling services. To write them anew after a change that is meant:
`SLIPWAY_WRITE_GOLDEN=1 pytest tests/clusters/test_objects.py`, then read the difference.
"""

import json
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes_validate.utils import all_versions, latest_version

from shared.compute.kubernetes.encoding import applied_text
from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.names import account_label, object_name, selector
from shared.compute.kubernetes.objects import KINDS, kinds, rendered, revision, scaler_kind
from shared.domain.compute_resources import ClusterSettings
from shared.domain.computing import CollectionTargets, ServiceSpec
from shared.domain.fields import quantity
from shared.domain.service_settings import AutoScaler, ContainerResourceReservation, ServiceSettings
from shared.domain.services import AuthKeys
from tests.clusters.specs import CASES, CLUSTER, SPEC, Case, clusters, specs
from tests.clusters.stand_in.exchange import from_yaml
from tests.clusters.stand_in.schemas import Schemas

GOLDEN, PUBLISHED = Path(__file__).parent / "golden", Path(__file__).parent / "schemas"
OLDEST, NEWEST = "1.31.0", latest_version()
"""The oldest Kubernetes that AKS supports, and the newest whose schemas are known."""
CUSTOM = {"ScaledObject": "scaledobject", "HTTPRoute": "httproute"}

any_case = st.builds(Case, specs, clusters, replicas=st.integers(0, 1000), awake=st.booleans())


def objects(case: Case) -> tuple[Object, ...]:
    return rendered(case.spec, case.cluster, replicas=case.replicas, awake=case.awake)


def named(case: Case, kind: str) -> Any:
    return next(found for found in objects(case) if found["kind"] == kind)


def template(case: Case) -> Any:
    return named(case, "Deployment")["spec"]["template"]


def container(case: Case) -> Any:
    return template(case)["spec"]["containers"][0]


def scaled(cluster: ClusterSettings, **wanted: Any) -> Any:
    spec = replace(SPEC, settings=ServiceSettings(auto_scaler=AutoScaler(**wanted)))
    return named(Case(spec, cluster), scaler_kind(cluster).kind)["spec"]


@cache
def custom(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((PUBLISHED / f"{name}.json").read_text()))


@cache
def schemas(version: str) -> Schemas:
    return Schemas(version)


def wrong(rendered_object: Object, version: str) -> object:
    """What is wrong with it, by the schema of that version."""
    if rendered_object["kind"] in CUSTOM:
        return next(custom(CUSTOM[rendered_object["kind"]]).iter_errors(rendered_object), None)
    return schemas(version).wrong(rendered_object)


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_is_what_was_read_and_agreed_to(name: str) -> None:
    golden, text = GOLDEN / f"{name}.yaml", yaml.safe_dump_all(objects(CASES[name]), sort_keys=False, width=120)
    if os.environ.get("SLIPWAY_WRITE_GOLDEN"):
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", CASES)
def test_each_object_is_valid_by_the_schemas_of_kubernetes(name: str, version: str) -> None:
    assert version in all_versions()
    for one in objects(CASES[name]):
        if one["kind"] in CUSTOM:
            custom(CUSTOM[one["kind"]]).validate(one)
        else:
            kubernetes_validate.validate(one, version, strict=True)


@settings(max_examples=60, deadline=None)
@given(any_case)
def test_any_service_on_any_cluster_gives_valid_objects_with_valid_names_and_labels(case: Case) -> None:
    for one in objects(case):
        assert [wrong(one, version) for version in (OLDEST, NEWEST)] == [None, None]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", one["metadata"]["name"])
        assert one["metadata"]["namespace"] == case.cluster.namespace
        for labels in all_labels(one):
            for value in labels.values():
                assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", value)


def all_labels(part: Any) -> Iterator[dict[str, str]]:
    """All labels in it, those of templates and selectors included."""
    if isinstance(part, dict):
        yield from (part[key] for key in ("labels", "matchLabels") if key in part)
        for value in part.values():
            yield from all_labels(value)
    elif isinstance(part, list):
        for value in part:
            yield from all_labels(value)


@given(any_case)
def test_pods_meet_the_restricted_pod_security_standard(case: Case) -> None:
    pod = template(case)["spec"]
    allowed_volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert all(set(volume) - {"name"} <= allowed_volumes for volume in pod["volumes"])
    for one in pod["containers"]:
        context = one["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount", "seLinuxOptions"} & context.keys()
        assert not any("hostPort" in port for port in one["ports"])


@given(any_case)
def test_all_that_pods_write_to_is_a_volume_and_they_get_no_token_of_the_cluster(case: Case) -> None:
    pod = template(case)["spec"]
    empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    mounted = {mount["mountPath"] for mount in container(case)["volumeMounts"] if mount["name"] in empty}
    assert container(case)["securityContext"]["readOnlyRootFilesystem"] is True
    assert mounted == {"/tmp", "/var/slipway/work"}
    assert pod["automountServiceAccountToken"] is False
    assert named(case, "ServiceAccount")["automountServiceAccountToken"] is False


@given(specs, specs, clusters)
def test_two_services_never_meet(one: ServiceSpec, other: ServiceSpec, cluster: ClusterSettings) -> None:
    names = [{each["metadata"]["name"] for each in objects(Case(spec, cluster))} for spec in (one, other)]
    selected = [named(Case(spec, cluster), "Deployment")["spec"]["selector"]["matchLabels"] for spec in (one, other)]
    assert (one.service_id == other.service_id) == bool(names[0] & names[1]) == (selected[0] == selected[1])
    assert (one.account.scope == other.account.scope) == (account_label(one.account) == account_label(other.account))


@given(specs, specs, clusters)
def test_the_revision_changes_with_the_template_and_only_with_it(
    one: ServiceSpec, other: ServiceSpec, cluster: ClusterSettings
) -> None:
    same = replace(other, service_id=one.service_id, service_name=one.service_name, account=one.account)
    first, second = (named(Case(spec, cluster), "Deployment") for spec in (one, same))
    assert (revision(first) == revision(second)) == (without_revision(first) == without_revision(second))


def without_revision(deployment: Object) -> Any:
    pod = deployment["spec"]["template"]
    labels = {name: value for name, value in pod["metadata"]["labels"].items() if name != "slipway.io/revision"}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}}


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, settings=ServiceSettings(num_replicas=9)),
        replace(SPEC, settings=ServiceSettings(auto_scaler=AutoScaler(max_replicas=5))),
        replace(SPEC, keys=AuthKeys(primary_key="other", secondary_key="other")),
        replace(SPEC, deployment_id="another"),
        replace(SPEC, targets=CollectionTargets(storage="not used, for it is off")),
    ],
)
def test_what_is_no_part_of_the_template_restarts_no_pod(spec: ServiceSpec) -> None:
    assert revision(named(Case(spec), "Deployment")) == revision(named(Case(), "Deployment"))


def test_another_connection_string_needs_other_pods_and_is_in_none_of_them() -> None:
    before = CASES["tls-pull-secret-collection"]
    after = replace(before, spec=replace(before.spec, targets=replace(before.spec.targets, storage="AccountName=other")))
    assert revision(named(before, "Deployment")) != revision(named(after, "Deployment"))
    assert "AccountName=" not in json.dumps(named(after, "Deployment"))


@given(any_case)
def test_keys_and_targets_are_nowhere_but_in_the_secret(case: Case) -> None:
    case = replace(case, spec=replace(case.spec, keys=AuthKeys(primary_key="S3cret!1", secondary_key="S3cret!2")))
    secret = named(case, "Secret")
    assert [b64decode(secret["data"][entry]).decode() for entry in ("primary", "secondary")] == ["S3cret!1", "S3cret!2"]
    others = json.dumps([one for one in objects(case) if one["kind"] != "Secret"])
    assert "S3cret" not in others
    assert "UzNjcmV0" not in others


@given(any_case)
def test_every_object_is_found_by_the_selector_and_is_of_a_listed_kind(case: Case) -> None:
    key, _, value = selector(case.spec.service_id).partition("=")
    served = [(kind.api_version, kind.kind) for kind in kinds(case.cluster)]
    listed = [(kind.api_version, kind.kind) for kind in KINDS]
    for one in objects(case):
        assert one["metadata"]["labels"][key] == value
        assert (one["apiVersion"], one["kind"]) in served
    assert set(served) <= set(listed)


def test_the_image_is_pulled_by_digest_from_where_the_cluster_pulls() -> None:
    assert container(Case())["image"] == f"registry.example.com:5000/models/fraud@{SPEC.image_digest}"
    mirrored = container(CASES["tls-pull-secret-collection"])["image"]
    assert mirrored == f"mirror.example.com/models/fraud@{SPEC.image_digest}"


def test_pods_stop_only_after_front_ends_have_heard_and_requests_have_ended() -> None:
    drains = container(Case())["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert template(Case())["spec"]["terminationGracePeriodSeconds"] > drains + 60


def test_a_driver_may_take_minutes_to_start_and_the_rollout_outlasts_that() -> None:
    probe = container(Case())["startupProbe"]
    takes = probe["periodSeconds"] * probe["failureThreshold"]
    assert 300 <= takes < named(Case(), "Deployment")["spec"]["progressDeadlineSeconds"] < 600


def test_what_is_reserved_is_requested_and_memory_is_limited_to_it() -> None:
    reserving = replace(
        SPEC, settings=ServiceSettings(container_resource_reservation=ContainerResourceReservation(memory="2Gi"))
    )
    assert container(Case(reserving))["resources"] == {
        "requests": {"cpu": "250m", "memory": "2Gi"},
        "limits": {"memory": "2Gi"},
    }
    assert container(Case())["resources"] == {"requests": {"cpu": "250m", "memory": "512Mi"}}


def test_limits_that_are_named_are_limits_and_no_default_request_is_above_them() -> None:
    assert container(CASES["limited"])["resources"] == {
        "requests": {"cpu": "500m", "memory": "256Mi"},
        "limits": {"cpu": "2", "memory": "256Mi"},
    }


def test_a_parked_service_keeps_its_address_and_its_keys() -> None:
    left = {one["kind"] for one in objects(CASES["parked"])}
    assert {"Ingress", "Service", "Secret"} == left & {"Ingress", "Service", "Secret", "HorizontalPodAutoscaler"}
    assert named(CASES["parked"], "Deployment")["spec"]["replicas"] == 0


@given(any_case)
def test_the_only_replica_may_be_taken_from_its_node(case: Case) -> None:
    budget = named(case, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


@given(st.integers(0, 100))
def test_any_target_utilization_is_one_that_autoscalers_take(percent: int) -> None:
    slots = scaled(CASES["hpa-slots"].cluster, target_utilization=percent)["metrics"][0]["pods"]["target"]["averageValue"]
    cpu = scaled(CASES["hpa-cpu"].cluster, target_utilization=percent)["metrics"][0]["resource"]["target"]
    keda = scaled(CASES["keda-from-zero"].cluster, target_utilization=percent)["triggers"][0]["metadata"]["targetValue"]
    assert quantity(slots) * 100 == cpu["averageUtilization"] == max(percent, 1)
    assert float(keda) == pytest.approx(max(percent, 1) / 100)


def test_only_keda_that_is_told_of_calls_lets_a_service_have_no_replica() -> None:
    zero = CASES["keda-from-zero"]
    keda = zero.cluster.but(scaling=zero.cluster.scaling.but(prometheus_address=None, activation_query=None))
    assert scaled(zero.cluster, min_replicas=0)["minReplicaCount"] == 0
    assert scaled(keda, min_replicas=0)["minReplicaCount"] == 1
    assert scaled(CLUSTER, min_replicas=0)["minReplicas"] == 1
    assert named(replace(zero, awake=True), "ScaledObject")["spec"]["minReplicaCount"] == 1


def test_the_query_for_activation_names_the_service() -> None:
    trigger = named(CASES["keda-from-zero"], "ScaledObject")["spec"]["triggers"][1]
    assert trigger["metadata"]["query"] == 'sum(rate(ingress_requests{service="fraud.v2"}[1m]))'


@pytest.mark.parametrize("name", ["minimal", "gateway"])
def test_the_front_end_leads_all_below_the_services_path_to_it(name: str) -> None:
    text = json.dumps(objects(CASES[name])[-1]["spec"])
    assert '"/api/v1/service/fraud.v2"' in text
    assert object_name(SPEC.service_id) in text


def test_an_address_without_a_name_gets_a_rule_without_a_host() -> None:
    by_address = Case(cluster=CLUSTER.but(front_end=CLUSTER.front_end.but(address="https://20.1.2.3", tls_secret="tls")))
    assert "hostnames" not in named(CASES["gateway"], "HTTPRoute")["spec"]
    assert "host" not in named(by_address, "Ingress")["spec"]["rules"][0]
    assert named(by_address, "Ingress")["spec"]["tls"] == [{"secretName": "tls"}]


def test_a_value_reaches_the_driver_as_it_was_written_since_the_kubelet_reduces_what_is_doubled():
    written = {"A": "pa$$word", "B": "^a$$", "C": "https://$(HOST)/x", "D": "$", "HOST": "db"}
    spec = replace(SPEC, settings=SPEC.settings.but(environment_variables=written))
    told = {each["name"]: each["value"] for each in container(Case(spec))["env"] if "value" in each}
    assert {name: expanded(told[name], told) for name in written} == written


def expanded(value: str, variables: dict[str, str]) -> str:
    """As the kubelet has it (k8s.io/kubernetes/third_party/forked/golang/expansion)."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda found: "$" if found[1] == "$" else variables.get(found[2], found[0]),
        value,
    )


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_applied_reads_alike_as_yaml_and_as_json(text: str) -> None:
    written = applied_text({"value": text, "key " + text[:40]: [text]})
    assert from_yaml(written) == json.loads(written) == {"value": text, "key " + text[:40]: [text]}


def test_the_environment_of_a_service_is_that_of_its_container_and_changes_the_revision():
    greeting = SPEC.settings.but(environment_variables={"GREETING": "hello", "HOME": "/elsewhere"})
    plain, greeted = (rendered(spec, CLUSTER, replicas=1)[3] for spec in (SPEC, replace(SPEC, settings=greeting)))
    (container,) = greeted["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert (environment["GREETING"], environment["HOME"]) == ("hello", "/tmp")
    assert revision(plain) != revision(greeted)
