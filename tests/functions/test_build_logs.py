"""Build logs by HTTP: plain text, for whoever may read the image."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from functions.answers import operation_status
from shared.domain.operations import ErrorDetail, ErrorResponse, Operation, OperationType, State, StepStatus
from shared.resources.images import lines_since
from tests.uploads import Road, finished

LOG = """2026-01-01T00:00:01.000Z first
2026-01-01T00:00:02.500Z second
… 3 lines were lost while storage was away
2026-01-01T00:00:03.000Z third
"""
BASE = "https://app.example.com/api/subscriptions/s/resourceGroups/g/accounts/a"


@pytest.fixture(scope="module")
def image(stack) -> str:
    with stack.client() as api:
        return Road(api, stack.description).image()


def test_a_reader_reads_the_log_of_a_build(stack, image):
    with stack.client(stack.token("Slipway.Reader")) as reader:
        answer = reader.get(f"images/{image}/logs")
        address = reader.get(f"images/{image}").json()["imageBuildLogUri"]
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text == httpx.get(address).text
    assert "the driver 'driver': http" in answer.text


def test_a_log_is_read_since_a_moment_or_for_so_many_seconds(api, image):
    lines = api.get(f"images/{image}/logs").text.splitlines()
    last = lines[-1].split()[0]
    assert api.get(f"images/{image}/logs", params={"since": last}).text.splitlines()[-1] == lines[-1]
    assert api.get(f"images/{image}/logs", params={"since": "3600"}).text.splitlines() == lines
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert api.get(f"images/{image}/logs", params={"since": tomorrow}).text == ""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "yesterday"}, "since: got"),
        ({"since": "2026-01-01T00:00:00"}, "a time with its zone"),
        ({"tail": "5"}, "tail: unknown"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(api, image, query, said):
    refused = api.get(f"images/{image}/logs", params=query)
    assert refused.status_code == 400
    assert said in refused.json()["message"]


def test_the_log_of_no_image_is_404(api):
    assert api.get(f"images/{uuid4()}/logs").json()["code"] == "ImageNotFound"


@pytest.mark.parametrize(("second", "first_line"), [(0, 0), (1, 0), (2, 1), (2.5, 1), (2.6, 3), (3, 3)])
def test_lines_that_do_not_say_when_go_with_those_before(second, first_line):
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    assert lines_since(LOG, since) == "".join(LOG.splitlines(keepends=True)[first_line:])
    assert lines_since(LOG, since + timedelta(minutes=1)) == ""


@pytest.mark.parametrize(
    "stored",
    [
        "images/{id}/logs",
        "https://store.blob.core.windows.net/build-logs/01890000-0000-7000-8000-0000000000aa%7Cg%7Ca/{id}.log",
    ],
)
def test_a_failure_that_any_version_stored_is_shown_with_an_address_of_the_api(stored):
    image, now = str(uuid4()), datetime(2026, 1, 1, tzinfo=UTC)
    error = ErrorResponse(
        code="PackagesFailed",
        message="no",
        status_code=400,
        details=(ErrorDetail(code="BuildLog", message=stored.format(id=image)), ErrorDetail(code="Other", message=image)),
    )
    operation = Operation(
        id=str(uuid4()),
        operation_type=OperationType.IMAGE,
        state=State.FAILED,
        created_time=now,
        resource_id=image,
        error=error,
        workflow="build-image",
        step="undo",
        steps=(StepStatus(name="undo", last_error=error),),
        not_before=now,
        deadline=now,
    )
    shown = operation_status(operation, BASE)
    assert shown.error is not None
    assert shown.error == shown.steps[0].last_error
    assert [detail.message for detail in shown.error.details or ()] == [
        f"{BASE}/images/{image}/logs?api-version=2017-09-01-preview",
        image,
    ]


def test_a_build_whose_driver_cannot_be_fetched_says_where_its_log_is(api, road):
    operation = finished(api, road.build(road.manifest(driver="http://127.0.0.1:1/driver.py")))
    where = operation["error"]["details"][0]["message"]
    answer = httpx.get(where, headers={"Authorization": api.headers["Authorization"]})
    assert "failed: " in answer.text
