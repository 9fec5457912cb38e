"""What a service is to be, after whatever was asked of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.compute.state import GIVEN_UP, Deployment, ServiceFiles, ServiceState
from shared.compute.local_process import KeyDigests
from shared.domain.errors import Conflict, NotFound
from shared.domain.operations import ErrorResponse
from tests.compute.running import counted

KEYS = KeyDigests(primary="p", secondary="s")
FAILURE = ErrorResponse(code="ServiceDeploymentFailed", message="It failed.", status_code=400)


def deployment(identifier: str) -> Deployment:
    return Deployment(
        id=identifier,
        account="s!g!a",
        service_name="digits",
        image_location="oci:/images:digits:1",
        image_digest="sha256:0",
        settings=counted(),
        keys=KEYS,
    )


NEW = ServiceState(id="one")
LIVE = NEW.deploying(deployment("1")).switched()


def asked(state: ServiceState, event: tuple[str, str]) -> ServiceState:
    """The state after an event, where it can happen."""
    kind, identifier = event
    if kind == "switched":
        return state.switched() if state.pending else state
    if kind == "failing":
        return state.failing(FAILURE) if state.pending else state
    if kind == "deploying" and state.withdrawn:
        return state
    steps = {
        "deploying": lambda: state.deploying(deployment(identifier)),
        "rolled_back": lambda: state.rolled_back(identifier),
    }
    return steps.get(kind, state.withdraw)()


events = st.tuples(st.sampled_from(["deploying", "switched", "failing", "rolled_back", "withdraw"]), st.sampled_from("123"))


@given(st.lists(events, max_size=20), events)
def test_everything_may_be_asked_twice(history: list[tuple[str, str]], event: tuple[str, str]) -> None:
    state = NEW
    for each in history:
        state = asked(state, each)
    if event[0] in ("deploying", "withdraw"):
        once = asked(state, event)
        assert asked(once, event) == once


@given(st.lists(events, max_size=20))
def test_what_answers_goes_on_until_another_does(history: list[tuple[str, str]]) -> None:
    state = NEW
    for event in history:
        after = asked(state, event)
        if state.live and after.live is None:
            assert (event, state.previous) == (("rolled_back", state.live.id), None)
        if after.live and state.live and after.live != state.live:
            assert event[0] == "switched"
        state = after


def test_a_deployment_is_pending_then_live() -> None:
    pending = NEW.deploying(deployment("1"))
    assert pending.rollout("1", "a replica").waiting_for == "a replica"
    assert pending.switched().rollout("1", "").ready
    with pytest.raises(NotFound):
        pending.rollout("2", "")


def test_a_failed_update_leaves_what_answers() -> None:
    failed = LIVE.deploying(deployment("2")).failing(FAILURE)
    assert failed.rollout("2", "").error == FAILURE
    assert failed.rollout("1", "").ready


def test_a_deployment_given_up_is_not_taken_again() -> None:
    given_up = LIVE.deploying(deployment("2")).rolled_back("2")
    assert given_up.pending is None
    assert given_up.deploying(deployment("2")) == given_up
    assert given_up.rollout("2", "").error == GIVEN_UP
    assert NEW.rolled_back("1").deploying(deployment("1")).pending is None, "not even when it comes late"


def test_a_live_deployment_given_up_answers_until_the_one_before_is_back() -> None:
    given_up = LIVE.deploying(deployment("2")).switched().rolled_back("2")
    assert (given_up.live, given_up.pending) == (deployment("2"), deployment("1"))
    assert given_up.switched().rollout("1", "").ready


def test_a_first_deployment_given_up_answers_no_more() -> None:
    assert LIVE.rolled_back("1").name is None


def test_a_withdrawn_service_takes_no_deployment() -> None:
    with pytest.raises(Conflict):
        LIVE.withdraw().deploying(deployment("2"))


def test_states_are_kept_as_they_are(tmp_path: Path) -> None:
    files = ServiceFiles(tmp_path)
    state = LIVE.deploying(deployment("2")).failing(FAILURE).with_keys(KEYS)
    files.save(state)
    assert list(ServiceFiles(tmp_path).load()) == [state]
    files.remove(state.id)
    files.remove(state.id)
    assert list(files.load()) == []
