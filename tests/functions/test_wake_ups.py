"""Queue functions under the published runtime: doubled, garbled and given-up wake-ups."""

import time

from local.stack import SUBSCRIPTION
from shared.domain.accounts import Account
from shared.storage.queues import WAKE_UPS, wake_up
from tests.operations import an_operation
from tests.queues import send
from tests.uploads import finished

ACCOUNT = Account(SUBSCRIPTION, "local", "local")


def test_doubled_wake_ups_do_not_double_what_is_done(api, stack, road):
    accepted = road.build(road.manifest())
    operation_id = accepted.headers["Operation-Location"].rpartition("/")[2]
    for _ in range(20):
        send(stack, WAKE_UPS, wake_up(ACCOUNT, an_operation(operation_id)))
    ended = finished(api, accepted)
    assert ended["state"] == "Succeeded"
    assert api.get(accepted.headers["Operation-Location"]).json() == ended


def test_garbled_wake_ups_do_not_keep_others_from_being_done(api, stack, road):
    for text in ("garbage", "{}", wake_up(ACCOUNT, an_operation())):
        send(stack, WAKE_UPS, text)
    assert finished(api, road.build(road.manifest()))["state"] == "Succeeded"


def test_what_redelivery_gave_up_on_is_closed_with_the_recorded_cause(api, stack, road):
    manifest_id = road.manifest(models=(unreachable_model(api),))
    accepted = road.build(manifest_id)
    location = accepted.headers["Operation-Location"]
    deadline = time.monotonic() + 30
    while "waitingFor" not in api.get(location).json():  # it was tried, failed, and is to be tried again
        assert time.monotonic() < deadline
        time.sleep(0.05)
    send(stack, f"{WAKE_UPS}-poison", wake_up(ACCOUNT, an_operation(location.rpartition("/")[2])))
    ended = finished(api, accepted)
    assert (ended["state"], ended["error"]["code"]) == ("Failed", "SourceUnreachable")


def unreachable_model(api) -> str:
    body = {"name": "away", "url": "http://slipway.invalid/model.pkl", "mimeType": "application/json"}
    return api.post("models", json=body).json()["id"]
