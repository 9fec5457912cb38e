"""How a host stops: nothing new is taken, and what runs may finish, but not for ever."""

import asyncio
import signal

import httpx
import pytest

APP = """
@app.route(route="slow/{seconds}")
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("slow begins")
    try:
        await asyncio.sleep(float(req.route_params["seconds"]))
    except asyncio.CancelledError:
        logging.info("slow is cancelled")
        raise
    return func.HttpResponse("done")

@app.route(route="stuck")
def stuck(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("stuck begins")
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_host_stops_without_waiting_for_its_drain(host, number):
    hosted = host(APP, "--drain", "60")
    with httpx.Client() as client:  # its connection stays open
        assert client.get(f"{hosted.url}/api/slow/0").text == "done"
        assert hosted.signalled(number) == 0


async def test_a_request_under_way_is_answered_and_no_new_one_is_taken(host):
    hosted = host(APP)
    async with httpx.AsyncClient(base_url=hosted.url) as client:
        slow = asyncio.create_task(client.get("/api/slow/1"))
        await asyncio.to_thread(hosted.said, "slow begins")
        stopped = asyncio.create_task(asyncio.to_thread(hosted.signalled))
        assert (await slow).text == "done"
        assert await stopped == 0
        with pytest.raises(httpx.ConnectError):
            await client.get("/api/slow/0")


async def test_what_runs_past_the_drain_is_cut_off(host):
    hosted = host(APP, "--drain", "0.3")
    async with httpx.AsyncClient(base_url=hosted.url, timeout=30) as client:
        calls = [asyncio.create_task(client.get(path)) for path in ("/api/slow/60", "/api/stuck")]
        await asyncio.to_thread(hosted.said, "begins", 2)
        assert await asyncio.to_thread(hosted.signalled) == 0
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert hosted.said("slow is cancelled")
    assert hosted.said("still running after 0.3 s, and cut off")
    assert not any(isinstance(answer, httpx.Response) and answer.is_success for answer in answers)


def test_a_host_stops_with_its_parent_where_it_is_told_to(host):
    hosted = host(APP, "--exit-with-parent")
    hosted.process.stdin.close()
    assert hosted.ended() == 0
