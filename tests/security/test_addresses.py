"""Links in answers begin with an address that is known to be one: the settings', else a Host header that parses."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from functions.addresses import app_url
from local.azurite.server import free_ports
from tests.conftest import Stack

PUBLIC = "https://models.example.org/a/subscriptions/front"
MODEL = {"name": "digits", "url": "http://store/digits.pkl", "mimeType": "application/json"}
NO_HOSTS = [
    "evil.example/x?",
    "evil.example/x#",
    "evil.example\\x",
    "user@evil.example",
    "evil.example,other.example",
    "evil.example:port",
    "evil.example:65536",
    "evil.example:1:2",
    "évil.example",
    "a b",
    "<script>",
    "%65vil.example",
    "[::1",
    "[::1]x",
    "[1.2.3.4]",
    "[::1%25eth0]",
    "::1",
    ":80",
    "a" * 256,
    "a://" * 2000,
]


def asked(stack: Stack, hosts: list[str], path: str = "models?count=1", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer to a request with those Host headers."""
    url = urlsplit(stack.description["baseUrl"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    connection.putrequest("GET", f"{url.path}/{path}", skip_host=True)
    for host in hosts:
        connection.putheader("Host", host.encode())
    token = f"Bearer {stack.description['token']}"
    for name, value in {"Authorization": token, "api-version": "", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    connection.close()
    return found


def next_link(stack: Stack, host: str, **headers: str) -> str:
    status, _, body = asked(stack, [host], "models?count=1&api-version=2017-09-01-preview", **headers)
    assert status == 200, body
    return json.loads(body)["nextLink"]


@pytest.fixture
def _two_models(api) -> None:
    for _ in range(2):
        assert api.post("models", json=MODEL).status_code == 200


@pytest.mark.parametrize("path", ["models", "swagger.json", "nothing", "../../../../../../../../health"])
@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_host_that_is_none_is_refused_by_its_name_wherever_it_is_sent(stack, host, path):
    status, headers, body = asked(stack, [host], path)
    error = json.loads(body)
    assert (status, error["statusCode"], error["code"]) == (400, 400, "InvalidHost")
    assert error["message"].startswith("Host: got '")
    assert error["details"][0]["message"] == error["message"]
    assert len(body) < 1000
    assert "location" not in " ".join(headers)


def test_two_hosts_are_none(stack):
    assert asked(stack, ["a.example", "b.example"])[0] == 400


@pytest.mark.usefixtures("_two_models")
@pytest.mark.parametrize(
    "host", ["api.example.org", "api.example.org:443", "API_1", "10.0.0.4:80", "[::1]", "[fe80::1]:7071"]
)
def test_links_begin_with_the_host_that_was_called(stack, host):
    assert next_link(stack, host).startswith(f"http://{host}/api/subscriptions/")


@pytest.mark.usefixtures("_two_models")
def test_what_somebody_says_to_have_forwarded_is_in_no_link(stack):
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert next_link(stack, "api.example.org", **forwarded).startswith("http://api.example.org/api/")


@pytest.fixture(scope="module")
def public(tmp_path_factory, layer_cache) -> Iterator[Stack]:
    """A stack behind a front end that puts a path before its own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLIPWAY_PUBLIC_URL", f"{PUBLIC}/")
        stack = Stack(tmp_path_factory.mktemp("public"), layer_cache, free_ports(1)[0])
        stack.start()
    yield stack
    stack.stop()


def test_links_begin_with_the_public_address_whatever_the_host_is(public):
    account = f"{PUBLIC}{urlsplit(public.description['baseUrl']).path}"
    with public.client() as api:
        for _ in range(2):
            assert api.post("models", json=MODEL).status_code == 200
        for host in ("10.0.0.4:80", "evil.example"):
            assert next_link(public, host).startswith(f"{account}/models?")
        described = api.get("swagger.json", headers={"Host": "evil.example"}).json()
        assert described["servers"] == [{"url": account}]
        assert described["paths"]["/health"]["servers"] == [{"url": f"{PUBLIC}/api"}]
        resource = public.description["computeResourceId"]
        manifest = {
            "name": "none",
            "driverProgram": "driver",
            "assets": [{"id": "driver", "url": "http://127.0.0.1:1/x"}],
            "targetRuntime": {"runtimeType": "Python", "properties": {}},
        }
        asked_for = {
            "name": "none",
            "manifestId": api.post("manifests", json=manifest).json()["id"],
            "imageType": "Docker",
            "computeResourceId": resource,
        }
        location = api.post("images", json=asked_for).headers["Operation-Location"]
        assert location.startswith(f"{account}/operations/")
        operation = api.get(f"operations/{location.rpartition('/')[2]}").json()
        assert operation["resourceLocation"].startswith(f"{account}/images/")


def test_what_is_under_no_account_is_beside_all_of_them():
    assert app_url(f"{PUBLIC}/api/subscriptions/s/resourceGroups/g/accounts/a") == f"{PUBLIC}/api"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "models"), ("GET", "swagger.json"), ("DELETE", "nothing"), ("PATCH", "models"), ("POST", "models")],
)
def test_no_answer_may_be_taken_for_another_type_than_it_says(stack, api, method, path):
    assert api.request(method, path).headers["X-Content-Type-Options"] == "nosniff"
    assert api.request(method, path, headers={"Authorization": ""}).headers["X-Content-Type-Options"] == "nosniff"


def test_neither_may_that_of_health(stack, api):
    origin = stack.description["baseUrl"].partition("/subscriptions/")[0]
    for method in ("GET", "POST"):
        assert api.request(method, f"{origin}/health").headers["X-Content-Type-Options"] == "nosniff"
