"""What fails is answered without its cause, and logged with it, once."""

import errno
import json
import logging
import os

import azure.functions as func
import pytest

from functions.answering import answered
from functions.replies import Reply
from shared.domain.errors import InvalidRequest, ServiceError, Unavailable

REQUEST = func.HttpRequest("GET", "http://127.0.0.1/api/x", headers={}, params={}, route_params={}, body=b"")


async def answer_to(error: Exception) -> func.HttpResponse:
    async def fail() -> Reply:
        raise error

    return await answered(REQUEST, "GET list_models", fail)


def caused(error: ServiceError) -> ServiceError:
    """It, raised from a failure that was raised from another one."""
    try:
        try:
            raise OSError("no route to https://store.example.com/blob?sig=SECRET\nand more")
        except OSError as deepest:
            raise ValueError("Authorization: Bearer SECRET is refused") from deepest
    except ValueError as cause:
        error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [Unavailable("storage is away"), ServiceError("it failed", code="StorageFailed")])
async def test_a_failure_is_logged_once_with_all_its_causes_and_the_requests_id(caplog, error):
    answer = await answer_to(caused(error))
    (record,) = caplog.records
    said = record.getMessage()
    assert record.levelno == logging.ERROR
    for part in (answer.headers["x-ms-request-id"], "list_models", str(error.status_code), error.code, error.message):
        assert part in said
    assert "caused by ValueError" in said
    assert "caused by OSError: no route to https://store.example.com/blob\\nand more" in said
    assert "SECRET" not in said
    told = json.loads(answer.get_body())
    assert (told["statusCode"], told["message"]) == (error.status_code, error.message)


async def test_a_refusal_is_not_logged(caplog):
    assert (await answer_to(caused(InvalidRequest("name: no")))).status_code == 400
    assert not caplog.records


async def test_a_bug_is_logged_with_its_trace_and_answered_without_it(caplog):
    answer = await answer_to(RuntimeError("reading https://store/blob?sig=SECRET broke"))
    (record,) = caplog.records
    assert answer.headers["x-ms-request-id"] in record.getMessage()
    assert "RuntimeError: reading https://store/blob broke" in record.getMessage()
    assert "SECRET" not in record.getMessage()
    assert answer.status_code == 500
    assert b"broke" not in answer.get_body()


async def test_a_full_disk_is_507_and_worth_another_try(caplog):
    answer = await answer_to(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    told = json.loads(answer.get_body())
    assert (answer.status_code, told["code"], told["statusCode"]) == (507, "InsufficientStorage", 507)
    assert answer.headers["Retry-After"]
    assert "No space left on device" in caplog.records[0].getMessage()


async def test_a_chain_of_causes_that_has_no_end_is_cut(caplog):
    error = Unavailable("away")
    link: BaseException = error
    for number in range(100):
        link.__cause__ = link = ValueError(str(number))
    await answer_to(error)
    assert caplog.records[0].getMessage().count("caused by") == 8
