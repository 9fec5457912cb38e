"""Why a rollout is not done, or a service has failed: told from what the cluster says of it."""

import json

import pytest

from shared.compute.kubernetes.diagnosis import Diagnosis, diagnosed, observed
from shared.compute.kubernetes.kinds import Object
from shared.compute.kubernetes.troubles import LogSource
from tests.clusters.told import (
    BACK_OFF,
    IMAGE,
    NOW,
    POD,
    RUNNING,
    ago,
    condition,
    deployment,
    event,
    pod,
    pull,
    terminated,
    waiting,
)


def diagnosis(one: Object, *events: Object, of: Object | None = None) -> Diagnosis:
    return diagnosed(of or deployment(), [one], events, NOW)


def failure(found: Diagnosis) -> tuple[int, str, str]:
    """Status, code, and the code of the first detail."""
    assert found.error is not None, found.waiting_for
    assert found.error.details
    return found.error.status_code, found.error.code, found.error.details[0].code


FAILED = "KubernetesDeploymentFailed"
PULL = waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')
UNAUTHORIZED = "failed to authorize: failed to fetch anonymous token: unexpected status from GET request: 401 Unauthorized"
NO_ROOM = "0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient memory. preemption: 0/3 nodes are available."
TAINTED = "0/3 nodes are available: 3 node(s) had untolerated taint {sku: gpu}."


def unschedulable(message: str, since: float) -> Object:
    return pod(None, condition("PodScheduled", "False", since, reason="Unschedulable", message=message))


KILLED = event("Killing", "Container scoring failed startup probe, will be restarted")
HUNG = event("Killing", "Container scoring failed liveness probe, will be restarted")
EXEC = "failed to create containerd task: exec /usr/bin/python: exec format error"

FINAL = {
    "a registry that denies": (pod(PULL), [pull(UNAUTHORIZED, count=2)], (500, FAILED, "ImagePullBackOff"), "401"),
    "an image that is gone": (
        pod(PULL),
        [pull(f"{IMAGE}: not found", count=2)],
        (400, FAILED, "ImagePullBackOff"),
        "not found",
    ),
    "a registry that is away for long": (
        pod(PULL, condition("PodScheduled", "True", 200)),
        [pull("dial tcp: lookup registry.example.com: no such host", count=5)],
        (500, FAILED, "ImagePullBackOff"),
        "no such host",
    ),
    "an image for another platform": (
        pod(PULL),
        [pull("no match for platform in manifest: not found")],
        (500, FAILED, "WrongArchitecture"),
        "architecture",
    ),
    "a program for another processor": (
        pod(terminated("StartError", 128, EXEC)),
        [],
        (500, FAILED, "WrongArchitecture"),
        "exec",
    ),
    "a name that is none": (
        pod(waiting("InvalidImageName", "couldn't parse image reference")),
        [],
        (500, FAILED, "InvalidImageName"),
        "parse",
    ),
    "a crash loop": (pod(BACK_OFF, last=terminated(), restarts=2), [], (400, FAILED, "CrashLoopBackOff"), "exit code 1"),
    "too little memory": (
        pod(BACK_OFF, last=terminated("OOMKilled", 137), restarts=2),
        [],
        (400, FAILED, "OOMKilled"),
        "64Gi",
    ),
    "a driver that is never ready": (
        pod(RUNNING, last=terminated("Error", 137), restarts=1),
        [event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 502", count=150), KILLED],
        (400, FAILED, "Unhealthy"),
        "statuscode: 502",
    ),
    "a server that hangs again and again": (
        pod(BACK_OFF, last=terminated("Error", 137), restarts=2),
        [event("Unhealthy", "Liveness probe failed: context deadline exceeded"), HUNG],
        (400, FAILED, "Unhealthy"),
        "deadline exceeded",
    ),
    "no room": (
        unschedulable(NO_ROOM, 130),
        [],
        (400, FAILED, "Unschedulable"),
        "want of cpu and memory; it asks for cpu 250m",
    ),
    "no node that may take it": (unschedulable(TAINTED, 130), [], (500, FAILED, "Unschedulable"), "taint"),
    "a secret that is missing": (
        pod(waiting("CreateContainerConfigError", 'secret "slipway-6f1c" not found'), condition("PodScheduled", "True", 61)),
        [],
        (500, FAILED, "CreateContainerConfigError"),
        "secret",
    ),
    "a volume that is missing": (
        pod(waiting("ContainerCreating"), condition("PodScheduled", "True", 125)),
        [event("FailedMount", 'MountVolume.SetUp failed for volume "keys" : secret "slipway-6f1c" not found')],
        (500, FAILED, "FailedMount"),
        "keys",
    ),
}


@pytest.mark.parametrize("name", FINAL)
def test_a_rollout_that_will_never_end_well_says_why(name: str) -> None:
    one, events, expected, words = FINAL[name]
    found = diagnosis(one, *events)
    assert failure(found) == expected
    assert words in str(found.error)


GOING = pod(BACK_OFF, last=terminated(), restarts=5) | {"metadata": {"name": POD, "deletionTimestamp": ago(1)}}
HICCUPS = {
    "one pull that was refused": (pod(waiting("ErrImagePull")), [pull(UNAUTHORIZED)], "registry"),
    "a registry that is away for a moment": (pod(PULL), [pull("dial tcp: i/o timeout", count=2)], "timeout"),
    "one crash": (pod(terminated()), [], "exit code 1"),
    "a crash and one more": (pod(BACK_OFF, last=terminated(), restarts=1), [], "exit code 1"),
    "a server that hung once": (pod(RUNNING, last=terminated("Error", 137), restarts=1), [HUNG], "stopped answering"),
    "no room a moment ago": (unschedulable(NO_ROOM, 20), [], "memory"),
    "a node that is on its way": (
        unschedulable(NO_ROOM, 300),
        [event("TriggeredScaleUp", "pod triggered scale-up: [{aks-pool 1->2 (max: 5)}]")],
        "memory",
    ),
    "a secret that is not seen yet": (pod(waiting("CreateContainerConfigError", 'secret "x" not found')), [], "secret"),
    "a mount that came about in the end": (
        pod(waiting("ContainerCreating"), condition("PodScheduled", "True", 300)),
        [event("FailedMount", "timed out waiting for the condition"), event("Pulling", f'Pulling image "{IMAGE}"')],
        "0 are ready",
    ),
    "a driver that is starting": (
        pod(RUNNING),
        [event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 502")],
        "statuscode: 502",
    ),
    "a pod that is going": (GOING, [], "0 are ready"),
    "a pod that was evicted": (pod(terminated(), phase="Failed", reason="Evicted"), [], "0 are ready"),
    "another pod's trouble": (pod(PULL), [pull(UNAUTHORIZED, count=9) | {"involvedObject": {"name": "other"}}], "pull"),
}


@pytest.mark.parametrize("name", HICCUPS)
def test_what_may_pass_is_waited_for(name: str) -> None:
    one, events, words = HICCUPS[name]
    found = diagnosis(one, *events)
    assert found.error is None
    assert words in found.waiting_for
    assert not found.done


QUOTA = 'pods "slipway-6f1c-x" is forbidden: exceeded quota: compute, requested: limits.memory=8Gi, used: limits.memory=60Gi'
WEBHOOK = 'admission webhook "validation.gatekeeper.sh" denied the request: [costs] label cost-centre is missing'
SECURITY = 'pods "slipway-6f1c-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
LIMITS = 'pods "slipway-6f1c-x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 8Gi'
POLICY = (
    "ValidatingAdmissionPolicy 'signed' with binding 'signed' denied request: images must be signed by the platform team"
)
NEEDS = 'pods "x" is forbidden: failed quota: team: must specify limits.cpu for: scoring; limits.memory for: scoring'
BELOW = (
    'Pod "slipway-6f1c-x" is invalid: spec.containers[0].resources.requests: Invalid value: "2": '
    "must be less than or equal to cpu limit of 1"
)

REFUSALS = {
    f'pods "slipway-6f1c-x" is forbidden: {POLICY}': (400, FAILED, "AdmissionDenied"),
    NEEDS: (400, FAILED, "QuotaNeedsReservation"),
    BELOW: (400, FAILED, "LimitRange"),
    'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2': (400, FAILED, "LimitRange"),
    'pods "x" is forbidden: maximum memory usage per Pod is 1Gi, but no limit is specified': (400, FAILED, "LimitRange"),
    QUOTA: (400, "QuotaExceeded", "QuotaExceeded"),
    WEBHOOK: (400, FAILED, "AdmissionDenied"),
    SECURITY: (500, FAILED, "PodSecurity"),
    'pods "x-" is forbidden: unable to validate against any security context constraint: [provider "anyuid": Forbidden]': (
        500,
        FAILED,
        "SecurityContextConstraint",
    ),
    'pods "x-1" is forbidden: image policy webhook backend denied one or more images: not scanned': (
        400,
        FAILED,
        "AdmissionDenied",
    ),
    'pods "x-1" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]': (
        400,
        "QuotaExceeded",
        "QuotaExceeded",
    ),
    LIMITS: (400, FAILED, "LimitRange"),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_pods_that_are_refused_say_so_in_the_clusters_own_words(message: str) -> None:
    def refused(since: float) -> Diagnosis:
        refusal = condition("ReplicaFailure", "True", since, reason="FailedCreate", message=message)
        return diagnosed(deployment(refusal, updatedReplicas=0, replicas=0), [], [], NOW)

    assert refused(5).error is None
    found = refused(40)
    assert failure(found) == REFUSALS[message]
    assert (message.partition("is forbidden: ")[2] or message) in str(found.error)


def test_a_refusal_that_nobody_knows_is_given_longer_and_is_the_operators() -> None:
    said = 'Internal error occurred: failed calling webhook "x": connection refused'
    refusals = [condition("ReplicaFailure", "True", since, reason="FailedCreate", message=said) for since in (40, 130)]
    assert diagnosed(deployment(refusals[0]), [], [], NOW).error is None
    assert failure(diagnosed(deployment(refusals[1]), [], [], NOW)) == (500, FAILED, "FailedCreate")


GIVEN_UP = condition("Progressing", "False", 1, reason="ProgressDeadlineExceeded")


def test_when_the_cluster_gives_up_what_was_waited_for_is_the_cause() -> None:
    probing = event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    found = diagnosis(pod(RUNNING), probing, of=deployment(GIVEN_UP))
    assert failure(found) == (400, FAILED, "Unhealthy")
    assert found.log == LogSource(POD, "scoring", previous=False)


def test_when_the_cluster_gives_up_and_nothing_says_why_it_is_the_time_that_ran_out() -> None:
    found = diagnosis(pod(waiting("ContainerCreating")), of=deployment(GIVEN_UP))
    assert found.error
    assert (found.error.status_code, found.error.code) == (504, "DeploymentTimedOut")


def ready(since: float = 1) -> Object:
    return pod(RUNNING, condition("PodScheduled", "True", 60), condition("Ready", "True", since))


def test_a_rollout_is_done_when_all_that_is_left_is_new_and_ready() -> None:
    done = diagnosed(deployment(wanted=2, availableReplicas=2), [ready(), ready()], [], NOW)
    assert (done.done, done.ready, done.wanted) == (True, 2, 2)


@pytest.mark.parametrize(
    "status", [{"replicas": 3}, {"updatedReplicas": 1}, {"availableReplicas": 1}, {"observedGeneration": 0}]
)
def test_a_rollout_with_something_still_to_change_is_not(status: dict[str, int]) -> None:
    going_on = deployment(wanted=2, **{"availableReplicas": 2} | status)
    assert not diagnosed(going_on, [ready(), ready()], [], NOW).done


def test_a_parked_service_is_rolled_out_when_no_replica_is_left() -> None:
    assert diagnosed(deployment(wanted=0), [], [], NOW).done
    assert not diagnosed(deployment(wanted=0, replicas=1), [], [], NOW).done


CRASHED = pod(BACK_OFF, last=terminated(), restarts=2)


def test_the_log_of_the_run_that_crashed_is_the_one_to_fetch() -> None:
    assert diagnosis(CRASHED).log == LogSource(POD, "scoring", previous=True)
    assert diagnosis(pod(terminated(), restarts=2)).log == LogSource(POD, "scoring", previous=False)


def test_a_crash_shows_its_last_words() -> None:
    lines = ["starting", '{"level": "ERROR", "message": "Traceback\\n  File \\"x\\"\\nKeyError: \'model\'"}', ""]
    error = diagnosis(CRASHED).with_log(lines).error
    assert error
    assert error.details
    assert error.message.endswith("It last said: KeyError: 'model'")
    assert [detail.code for detail in error.details] == ["CrashLoopBackOff", "Log"]
    assert error.details[1].message.splitlines() == ["starting", "Traceback", '  File "x"', "KeyError: 'model'"]


def test_a_crash_shows_what_a_request_s_record_says() -> None:
    told = json.dumps({"requestId": "0", "apiName": "", "message": "Traceback\nKeyError: 'model'"})
    error = diagnosis(CRASHED).with_log([json.dumps({"level": "ERROR", "message": told})]).error
    assert error
    assert error.message.endswith("It last said: KeyError: 'model'")


def test_a_log_gives_away_that_the_architecture_is_wrong() -> None:
    found = diagnosis(CRASHED).with_log(["exec /usr/local/bin/python: exec format error"])
    assert failure(found) == (500, FAILED, "WrongArchitecture")


def test_a_line_that_nests_without_end_is_shown_as_it_is() -> None:
    error = diagnosis(CRASHED).with_log(["[" * 20_000]).error
    assert error
    assert "It last said: [[[" in error.message


def test_no_token_of_a_log_or_an_event_is_shown() -> None:
    error = diagnosis(CRASHED).with_log(["GET https://a.blob.core.windows.net/b?sig=secret", "Bearer secret"]).error
    denied = diagnosis(pod(PULL), pull("GET https://r.io/token?scope=x&code=secret: 403 Forbidden", count=2)).error
    assert "secret" not in f"{error}{denied}"


def test_a_final_cause_is_told_before_one_that_may_pass() -> None:
    other = unschedulable(NO_ROOM, 10) | {"metadata": {"name": "other"}}
    assert failure(diagnosed(deployment(wanted=2), [other, CRASHED], [], NOW))[2] == "CrashLoopBackOff"


UNAVAILABLE = condition("Available", "False", 400, reason="MinimumReplicasUnavailable")


def test_a_service_of_which_something_is_ready_is_ready() -> None:
    assert observed(deployment(UNAVAILABLE, wanted=2, readyReplicas=1), [ready(), CRASHED], NOW).ready
    assert observed(deployment(wanted=0), [], NOW).ready


def test_a_service_of_which_nothing_is_ready_has_failed_after_five_minutes() -> None:
    for_now = observed(deployment(condition("Available", "False", 200)), [CRASHED], NOW)
    assert (for_now.ready, for_now.error) == (False, None)
    crashed, unknown = (observed(deployment(UNAVAILABLE), pods, NOW).error for pods in ([CRASHED], []))
    assert crashed
    assert (crashed.code, crashed.details and crashed.details[0].code) == (FAILED, "CrashLoopBackOff")
    assert unknown
    assert (unknown.code, unknown.status_code) == (FAILED, 500)


def test_the_five_minutes_begin_when_the_last_replica_stopped_being_ready() -> None:
    one = pod(RUNNING, condition("Initialized", "True", 4000), condition("Ready", "False", 100))
    assert observed(deployment(UNAVAILABLE, wanted=2), [one, CRASHED], NOW).error is None


def test_what_is_observed_of_one_trouble_reads_the_same_at_every_look() -> None:
    looks = (pod(BACK_OFF, last=terminated(), restarts=9), pod(terminated(), restarts=10))
    first, second = (observed(deployment(UNAVAILABLE), [one], NOW).error for one in looks)
    assert first == second


def test_what_a_quota_wants_to_be_specified_is_named_as_the_field_to_give():
    refused = deployment(condition("ReplicaFailure", "True", 31, reason="FailedCreate", message=NEEDS))
    error = diagnosed({**refused, "status": {**refused["status"], "updatedReplicas": 0}}, [], [], NOW).error
    given = "Give containerResourceReservation.cpuLimit and containerResourceReservation.memoryLimit."
    assert error.message.endswith(given)


def test_what_is_told_of_a_replica_is_that_of_its_scoring_container_whatever_else_runs_there() -> None:
    crashed = pod(terminated("OOMKilled", 137), restarts=2)
    sidecar = {"name": "istio-proxy", "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "10m"}}}
    refused = unschedulable(NO_ROOM, 300)
    for one in (crashed, refused):
        one["spec"]["containers"].insert(0, sidecar)
    assert "the memory of 64Gi" in str(diagnosis(crashed).error)
    assert "memory 64Gi" in str(diagnosis(refused).error)
