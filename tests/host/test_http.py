"""What the real host does to a request on its way to a function, and to the answer on its way back."""

import http.client
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

APP = """
def told(req, **more):
    seen = {"method": req.method, "url": req.url, "headers": dict(req.headers), "query": dict(req.params),
            "route": dict(req.route_params), "size": len(req.get_body()), **more}
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")

@app.route(route="echo/{rest}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)

@app.route(route="threads", methods=["GET"])
def in_a_thread(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)

@app.route(route="things/{id:guid}", methods=["GET"])
async def things_by_guid(req: func.HttpRequest) -> func.HttpResponse:
    return told(req, function="by guid")

@app.route(route="things/{name}", methods=["GET"])
async def things_by_name(req: func.HttpRequest) -> func.HttpResponse:
    return told(req, function="by name")

@app.route(route="things/special", methods=["GET"])
async def things_special(req: func.HttpRequest) -> func.HttpResponse:
    return told(req, function="special")

@app.route(route="things/{name}", methods=["PUT"])
async def a_put(req: func.HttpRequest) -> func.HttpResponse:
    return told(req, function="put")

@app.route(route="pages/{number:int?}", methods=["GET"])
async def pages(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)

@app.route(methods=["GET"])
async def without_route(req: func.HttpRequest) -> func.HttpResponse:
    return told(req)

@app.route(route="raises")
async def raises(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("https://store/blob?sig=secret")

@app.route(route="answers/{status}")
async def answers(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(b"body", status_code=int(req.route_params["status"]), headers={"X-Own": "1"})
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; HttpOnly")
    return response

@app.route(route="text")
async def text(req: func.HttpRequest) -> str:
    return "grüezi"

@app.route(route="trace")
async def trace(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(context.trace_context.trace_parent)
"""
GUID = "0190a0b0-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def hosted(host):
    return host(APP)


@pytest.fixture(scope="module")
def client(hosted):
    with httpx.Client(base_url=hosted.url) as client:
        yield client


def seen(response: httpx.Response) -> dict:
    assert response.status_code == 200, response.text
    return response.json()


def raw(url: str, request: bytes) -> bytes:
    """The answer to a request that no well-behaved client sends."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_url_is_absolute_by_the_host_header(client):
    told = seen(client.get("/api/echo/a?x=1&y=a%20b", headers={"host": "example.test:81"}))
    assert told["url"] == "http://example.test:81/api/echo/a?x=1&y=a%20b"


def test_a_request_without_a_host_header_gets_the_address_it_came_to(hosted):
    answer = raw(hosted.url, b"GET /api/echo/a HTTP/1.0\r\n\r\n")
    assert f'"url": "{hosted.url}/api/echo/a"'.encode() in answer


def test_literals_match_without_regard_to_case_and_parameters_keep_theirs(client):
    assert seen(client.get("/API/Echo/MiXed"))["route"] == {"rest": "MiXed"}


def test_a_trailing_slash_changes_nothing_and_an_empty_segment_is_no_parameter(client):
    assert seen(client.get("/api/echo/a/"))["route"] == {"rest": "a"}
    assert client.get("/api/echo//").status_code == 404
    assert client.get("/api/echo/a/b").status_code == 404


def test_a_route_needs_the_prefix(client):
    assert client.get("/echo/a").status_code == 404


def test_the_prefix_comes_from_host_json(host):
    hosted = host(APP, host_json={"extensions": {"http": {"routePrefix": ""}}})
    assert seen(httpx.get(f"{hosted.url}/echo/a"))["route"] == {"rest": "a"}
    assert httpx.get(f"{hosted.url}/api/echo/a").status_code == 404


def test_a_function_without_a_route_is_found_by_its_name(client):
    assert seen(client.get("/api/without_route"))["route"] == {}


def test_a_wrong_method_is_404_and_so_is_head_on_a_get_route(client):
    responses = [client.request(method, f"/api/things/{GUID}") for method in ("POST", "HEAD", "OPTIONS")]
    assert [(response.status_code, response.content) for response in responses] == [(404, b"")] * 3


def test_a_route_without_methods_takes_any(client):
    assert [seen(client.request(m, "/api/echo/a"))["method"] for m in ("GET", "PATCH", "DELETE")] == [
        "GET",
        "PATCH",
        "DELETE",
    ]


def test_functions_are_tried_by_name_and_not_by_how_well_they_fit(client):
    assert seen(client.get("/api/things/special"))["function"] == "by name"
    assert seen(client.get(f"/api/things/{GUID}"))["function"] == "by guid"
    assert seen(client.put("/api/things/special"))["function"] == "put"


def test_an_optional_parameter_may_be_absent_and_a_constraint_refuses(client):
    assert seen(client.get("/api/pages"))["route"] == {}
    assert seen(client.get("/api/pages/12"))["route"] == {"number": "12"}
    assert client.get("/api/pages/twelve").status_code == 404


def test_parameters_are_decoded_but_for_the_slash(client):
    assert seen(client.get("/api/echo/a%20b%2Fc%2fd%C3%BC+"))["route"] == {"rest": "a b%2Fc%2fdü+"}


def test_a_path_that_is_not_utf_8_stays_encoded(client):
    assert seen(client.get("/api/echo/%FF"))["route"] == {"rest": "%FF"}


def test_empty_query_values_are_dropped_and_repeated_ones_joined(client):
    told = seen(client.get("/api/echo/a?tag=x&empty=&flag&Tag=y&tag=&sum=1%2B1+2"))
    assert told["query"] == {"tag": "x,y", "sum": "1+1 2"}


def test_repeated_headers_are_joined(client):
    told = seen(client.get("/api/echo/a", headers=[("X-Many", "1"), ("x-many", "2")]))
    assert told["headers"]["x-many"] == "1,2"


def test_traceparent_reaches_the_context(client):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert client.get("/api/trace", headers={"traceparent": parent}).text == parent


def test_a_body_arrives_whole_with_or_without_a_length(client):
    content = b"x" * 3_000_000
    assert seen(client.post("/api/echo/a", content=content))["size"] == 3_000_000
    assert seen(client.post("/api/echo/a", content=iter([content, content])))["size"] == 6_000_000


def test_a_method_is_handed_on_as_it_was_sent_also_on_a_connection_that_is_kept(hosted):
    url = urlsplit(hosted.url)
    connection = http.client.HTTPConnection(url.hostname, url.port)
    for method in ("FOO", "GET", "GOT", "CONNECT", "PATCH"):
        connection.request(method, "/api/echo/a", body=b"abc")
        told = json.loads(connection.getresponse().read())
        assert (told["method"], told["size"]) == (method, 3)
    connection.close()


def test_a_body_announced_over_100_mib_is_413(hosted):
    announced = f"POST /api/echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * 2**20 + 1}\r\n\r\n"
    assert raw(hosted.url, announced.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_over_100_mib_is_413(hosted):
    def chunks():
        yield from [b"x" * 2**20] * 100
        yield b"x"

    assert httpx.post(f"{hosted.url}/api/echo/a", content=chunks(), timeout=60).status_code == 413


def test_an_exception_is_500_without_a_body_and_logged_without_signatures(client, hosted):
    response = client.get("/api/raises")
    assert (response.status_code, response.content) == (500, b"")
    (message,) = hosted.said("raises failed")
    assert "RuntimeError: https://store/blob" in message
    assert "secret" not in "".join(hosted.messages)


def test_status_headers_and_every_cookie_go_back(client):
    response = client.get("/api/answers/418")
    assert (response.status_code, response.headers["x-own"], response.content) == (418, "1", b"body")
    assert response.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]


def test_an_answer_that_has_no_body_is_sent_without_one(client):
    responses = [client.get(f"/api/answers/{status}") for status in (204, 304)]
    assert [(r.status_code, r.content, "content-length" in r.headers) for r in responses] == [
        (204, b"", False),
        (304, b"", False),
    ]


def test_a_text_is_an_answer(client):
    response = client.get("/api/text")
    assert (response.text, response.headers["content-type"]) == ("grüezi", "text/plain; charset=utf-8")


def test_a_function_that_is_not_async_runs_too(client):
    assert seen(client.get("/api/threads"))["method"] == "GET"


def test_a_caller_that_leaves_in_the_middle_of_its_body_harms_nobody(client, hosted):
    address = urlsplit(hosted.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"POST /api/echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")
    assert seen(client.get("/api/echo/a"))["size"] == 0
