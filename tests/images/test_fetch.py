"""What is fetched, what is refused, and what both say."""

import asyncio
import hashlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import BuildFailed
from shared.images.fetch import Fetcher, public
from tests.images.sources import Sources


@pytest.fixture
def sources():
    with Sources() as serving:
        yield serving


async def refusal(url: str, into, *, allow: tuple[str, ...] = (), most_bytes: int = 1000) -> BuildFailed:
    with pytest.raises(BuildFailed) as failed:
        await Fetcher(allow=allow, most_bytes=most_bytes, timeout_seconds=10).fetch(url, into)
    assert "SECRET" not in failed.value.message
    return failed.value


async def test_a_source_is_fetched_with_its_digest(sources, tmp_path):
    fetched = await Fetcher(allow=(sources.origin,), most_bytes=1000).fetch(sources.put("a", b"data"), tmp_path / "a")
    assert (fetched.path.read_bytes(), fetched.size) == (b"data", 4)
    assert fetched.digest == f"sha256:{hashlib.sha256(b'data').hexdigest()}"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "[::ffff:127.0.0.1]",
        "localhost",
    ],
)
async def test_no_spelling_of_a_private_host_is_fetched(sources, tmp_path, host):
    sources.put("a", b"SECRET")
    port = sources.origin.partition(":")[2]
    refused = await refusal(f"http://{host}:{port}/a?sig=SECRET", tmp_path / "a")
    assert (refused.code, refused.retryable) == ("SourceUnreachable", False)
    assert not (tmp_path / "a").exists()


async def test_a_redirect_from_an_allowed_host_to_a_private_one_is_refused(sources, tmp_path):
    with Sources() as private:
        private.put("a", b"SECRET")
        url = sources.put("moved", b"", status=302, location=private.url("a"))
        refused = await refusal(url, tmp_path / "a", allow=(sources.origin,))
    assert "127.0.0.1 is no public address" in refused.message


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "http://[::1", "http://[bad]/", "http://x:port/"])
async def test_a_redirect_to_no_url_is_refused(sources, tmp_path, location):
    url = sources.put("moved", b"", status=302, location=location)
    assert not (await refusal(url, tmp_path / "a", allow=(sources.origin,))).retryable


async def test_redirects_that_do_not_end_are_refused(sources, tmp_path):
    url = sources.put("round", b"", status=302, location="round")
    assert "more than 5 times" in (await refusal(url, tmp_path / "a", allow=(sources.origin,))).message


async def test_what_is_too_large_is_refused(sources, tmp_path):
    refused = await refusal(sources.put("a", b"x" * 1001), tmp_path / "a", allow=(sources.origin,))
    assert "more than 1000 bytes" in refused.message


@pytest.mark.parametrize(
    ("status", "said", "retryable"),
    [
        (403, "may have expired", False),
        (404, "nothing there", False),
        (500, "answers 500", True),
        (429, "answers 429", True),
    ],
)
async def test_what_a_server_refuses_says_what_to_change(sources, tmp_path, status, said, retryable):
    url = sources.put("a", b"SECRET", status=status)
    refused = await refusal(url, tmp_path / "a", allow=(sources.origin,))
    assert (said in refused.message, refused.retryable) == (True, retryable)


async def test_a_server_that_is_away_is_worth_another_try(tmp_path):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    assert (await refusal(f"http://{host}:{port}/a", tmp_path / "a", allow=(f"{host}:{port}",))).retryable


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "192.88.99.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "ff02::1",
        "fd00:ec2::254",
    ],
)
def test_an_address_that_leads_inside_is_not_public(address):
    assert not public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_as_public_as_the_one_in_it(address):
    assert public(ipaddress.IPv6Address(f"::ffff:{address}")) == public(address)
