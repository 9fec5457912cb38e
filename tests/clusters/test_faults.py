"""What the client makes of a cluster in trouble, and of logs, which need a kubelet: the stand-in's alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.compute.kubernetes.failures import Answer, refusal
from shared.compute.kubernetes.kinds import DEPLOYMENT, SECRET, SERVICE_ACCOUNT
from shared.domain.errors import Conflict, DeployFailed, ServiceError, Throttled, Unavailable
from tests.clusters.cluster import Cluster, Object
from tests.clusters.objects import NAME, deployment, secret, service_account
from tests.clusters.stand_in import faults
from tests.clusters.stand_in.faults import on
from tests.clusters.stand_in.resources import SERVICE_ACCOUNTS, Resource
from tests.clusters.stand_in.store import Writer


@pytest.fixture(autouse=True)
def _only_here(stand_in):
    """Skipped on a real API server."""


async def test_a_conflict_is_tried_again(kubernetes, stand_in):
    stand_in.fail_next(on("PATCH", "deployments"), faults.conflict())
    with pytest.raises(Conflict, match=r"apply deployments\.apps one.*has been modified") as failure:
        await kubernetes.apply(deployment())
    assert failure.value.retryable
    assert await kubernetes.apply(deployment())


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_a_webhook_s_words_reach_the_user(kubernetes, stand_in, code):
    stand_in.fail_next(on("PATCH", "deployments"), faults.denied("images must be signed", code=code))
    with pytest.raises(DeployFailed, match=r'"policy\.example\.com" denied the request: images must be signed') as failure:
        await kubernetes.apply(deployment())
    assert failure.value.status_code == 400
    assert failure.value.code == "KubernetesDeploymentFailed"
    assert failure.value.details[0].code == "AdmissionDenied"
    assert not failure.value.retryable


async def test_a_webhook_s_words_hold_no_secrets(kubernetes, stand_in):
    stand_in.fail_next(on("PATCH", "secrets"), faults.denied("see https://me:pass@example.com/x?sig=abc Bearer abc.def"))
    with pytest.raises(DeployFailed) as failure:
        await kubernetes.apply(secret())
    assert "https://example.com/x" in failure.value.message
    assert not any(word in failure.value.message for word in ("pass", "sig=", "abc"))


async def test_a_quota_that_is_used_up_is_the_user_s(kubernetes, stand_in):
    stand_in.fail_next(on("PATCH", "deployments"), faults.over_quota())
    with pytest.raises(DeployFailed, match="exceeded quota: team") as failure:
        await kubernetes.apply(deployment())
    assert failure.value.code == "QuotaExceeded"


async def test_a_missing_permission_is_the_operator_s_and_is_tried_again(kubernetes, stand_in):
    stand_in.denied.add("patch deployments.apps")
    with pytest.raises(ServiceError, match=r"apply deployments\.apps one") as failure:
        await kubernetes.apply(deployment())
    assert (failure.value.code, failure.value.status_code) == ("ClusterForbidden", 500)
    assert failure.value.retryable, "an API server that has just started says so of every permission"


@pytest.mark.parametrize("user", ["slipway", 'CN=a \\"b\\" c', ""])
def test_a_missing_permission_is_one_whatever_the_app_is_called(user):
    said = f'deployments.apps "one" is forbidden: User "{user}" cannot patch resource "deployments" in API group "apps"'
    body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": said}).encode()
    error = refusal(Answer(403, {}, body), "apply deployments.apps one")
    assert (error.code, error.retryable) == ("ClusterForbidden", True)


def test_admission_that_has_just_started_is_tried_again():
    said = 'deployments.apps "one" is forbidden: not yet ready to handle request'
    body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": said}).encode()
    error = refusal(Answer(403, {}, body), "apply deployments.apps one")
    assert (error.code, error.retryable) == ("ClusterUnavailable", True)


async def test_a_list_that_expires_while_it_is_read_is_read_again(kubernetes, cluster, stand_in):
    for number in range(600):
        stand_in.store.create(*_stored(cluster, number))
    stand_in.fail_next(lambda request: "continue" in request.query, faults.gone())
    found = await kubernetes.list(SERVICE_ACCOUNT, "app.kubernetes.io/name=one")
    assert len({one["metadata"]["name"] for one in found}) == 600 == len(found)
    assert stand_in.called("GET", "serviceaccounts") == 4


async def test_a_list_that_goes_on_expiring_is_given_up(kubernetes, cluster, stand_in):
    for number in range(501):
        stand_in.store.create(*_stored(cluster, number))
    stand_in.fail_next(lambda request: "continue" in request.query, faults.gone(times=None))
    with pytest.raises(Unavailable, match="expiring"):
        await kubernetes.list(SERVICE_ACCOUNT)
    assert stand_in.called("GET", "serviceaccounts") == 6


async def test_a_throttled_caller_waits_as_long_as_it_is_told_to(kubernetes, stand_in):
    stand_in.fail_next(on("GET", "deployments"), faults.throttled(7))
    with pytest.raises(Throttled) as failure:
        await kubernetes.list(DEPLOYMENT)
    assert failure.value.retry_after == 7
    assert failure.value.retryable


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_broken_cluster_is_tried_again(kubernetes, stand_in, status):
    stand_in.fail_next(on("PATCH", "secrets"), faults.broken(status))
    with pytest.raises(Unavailable, match="etcdserver: request timed out") as failure:
        await kubernetes.apply(secret())
    assert failure.value.code == "ClusterUnavailable"


@pytest.mark.parametrize("done", [False, True])
async def test_a_cluster_that_goes_in_the_middle_of_an_answer_is_asked_again(kubernetes, stand_in, done):
    stand_in.fail_next(on("PATCH", "secrets"), faults.dropped(done=done))
    with pytest.raises(Unavailable, match="apply secrets one"):
        await kubernetes.apply(secret(a="YQ=="))
    assert (await kubernetes.get(SECRET, NAME) is not None) is done
    assert (await kubernetes.apply(secret(a="YQ==")))["data"] == {"a": "YQ=="}


async def test_a_cluster_that_goes_in_the_middle_of_a_page_is_no_shorter_list(kubernetes, stand_in):
    await kubernetes.apply(secret())
    stand_in.fail_next(on("GET", "secrets"), faults.dropped(times=None))
    with pytest.raises(Unavailable):
        await kubernetes.list(SECRET)


async def test_a_cluster_that_never_answers_costs_no_more_than_the_limit(cluster, stand_in):
    stand_in.fail_next(on("GET", "deployments"), faults.silent())
    async with cluster.api(seconds=0.2) as api:
        with pytest.raises(Unavailable, match="TimeoutError: no answer in time"):
            await api.get(DEPLOYMENT, NAME)
        assert await api.get(DEPLOYMENT, NAME) is None


async def test_a_cluster_that_is_not_there_is_unavailable(cluster, stand_in):
    nowhere = replace(cluster, kubeconfig=cluster.kubeconfig.replace(stand_in.url, "http://127.0.0.1:1"))
    async with nowhere.api() as api:
        with pytest.raises(Unavailable, match=r"get deployments\.apps one"):
            await api.get(DEPLOYMENT, NAME)


async def test_what_answers_in_the_place_of_the_cluster_is_not_taken_for_it(kubernetes, stand_in):
    stand_in.fail_next(on("GET", "secrets"), faults.something_else(200, "<html>sign in</html>"))
    with pytest.raises(Unavailable, match="no Kubernetes API server"):
        await kubernetes.list(SECRET)
    stand_in.fail_next(on("GET", "secrets"), faults.something_else(404, "<html>not here</html>"))
    with pytest.raises(ServiceError):
        await kubernetes.get(SECRET, NAME)
    stand_in.fail_next(on("DELETE", "secrets"), faults.something_else(502, "<html>bad gateway</html>"))
    with pytest.raises(Unavailable, match="502"):
        await kubernetes.delete(SECRET, NAME)


async def test_who_is_not_known_any_more_signs_in_anew_once(kubernetes, stand_in):
    await kubernetes.apply(secret())
    stand_in.fail_next(on("GET", "secrets"), faults.expired())
    assert await kubernetes.get(SECRET, NAME)
    stand_in.fail_next(on("GET", "secrets"), faults.expired(times=2))
    with pytest.raises(ServiceError, match=r"refuses the credentials of this app, asked to get secrets one") as failure:
        await kubernetes.get(SECRET, NAME)
    assert failure.value.code == "ClusterUnauthenticated"
    assert failure.value.retryable


async def test_a_proxy_of_the_environment_is_not_asked(kubernetes, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert await kubernetes.version() == "v1.37.0"


async def test_a_log_is_its_newest_lines(kubernetes, controllers, stand_in):
    pod = await _running(kubernetes, controllers)
    stand_in.log(pod, "one\ntwo\nthree", container="scoring")
    stand_in.log(pod, "crashed", container="scoring", previous=True)
    assert await kubernetes.log(pod, container="scoring", tail=2) == "two\nthree\n"
    assert await kubernetes.log(pod, container="scoring", previous=True) == "crashed\n"


async def test_a_log_begins_when_it_is_asked_to(kubernetes, controllers, stand_in):
    pod, noon = await _running(kubernetes, controllers), datetime(2026, 1, 1, 12, tzinfo=UTC)
    stand_in.log(pod, "early", container="scoring", at=noon - timedelta(minutes=1))
    stand_in.log(pod, "late", container="scoring", at=noon + timedelta(minutes=1))
    assert await kubernetes.log(pod, container="scoring", since=noon) == "late\n"


async def test_a_log_is_no_longer_than_a_mebibyte(kubernetes, controllers, stand_in):
    pod = await _running(kubernetes, controllers)
    stand_in.log(pod, "x" * 3_000_000 + "\nthe end", container="scoring")
    found = await kubernetes.log(pod, container="scoring")
    assert len(found) == 1024 * 1024
    assert found.endswith("the end\n")


async def test_a_log_that_is_not_there_is_empty(kubernetes, controllers):
    pod = await _running(kubernetes, controllers)
    assert await kubernetes.log(pod, container="scoring", previous=True) == ""
    assert await kubernetes.log(pod, container="another") == ""
    assert await kubernetes.log("nobody", container="scoring") == ""


async def test_a_log_that_breaks_off_is_no_shorter_log(kubernetes, controllers, stand_in):
    pod = await _running(kubernetes, controllers)
    stand_in.fail_next(on("GET", "/log"), faults.dropped())
    with pytest.raises(Unavailable):
        await kubernetes.log(pod, container="scoring")


async def _running(kubernetes, controllers) -> str:
    await kubernetes.apply(service_account())
    await kubernetes.apply(deployment())
    (pod,) = await controllers.roll_out(NAME)
    return pod["metadata"]["name"]


def _stored(cluster: Cluster, number: int) -> tuple[Resource, str, Object, Writer]:
    return SERVICE_ACCOUNTS, cluster.namespace, service_account(f"account-{number}"), Writer("test")
