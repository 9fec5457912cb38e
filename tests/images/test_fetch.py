"""What is fetched, what is refused, and what both say."""

import asyncio
import base64
import gzip
import hashlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.building import made_fetcher
from shared.domain.errors import BuildFailed
from shared.images.content.addresses import public
from shared.images.content.fetch import Fetcher, Rate
from shared.settings.images import read_image_settings
from tests.images.sources import Sources


@pytest.fixture
def sources():
    with Sources() as serving:
        yield serving


async def refusal(url: str, *, allow: tuple[str, ...] = (), most_bytes: int = 1000) -> BuildFailed:
    with pytest.raises(BuildFailed) as failed:
        await Fetcher(allow=allow, most_bytes=most_bytes, timeout_seconds=10).read(url, 1000)
    assert "SECRET" not in failed.value.message
    return failed.value


async def test_a_source_is_fetched_with_its_digest(sources):
    async with Fetcher(allow=(sources.origin,), most_bytes=1000).opened(sources.put("a", b"data")) as transfer:
        assert [chunk async for chunk in transfer.chunks()] == [b"data"]
    assert (transfer.size, transfer.received) == (4, 4)
    assert transfer.digest == f"sha256:{hashlib.sha256(b'data').hexdigest()}"


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
async def test_no_spelling_of_a_private_host_is_fetched(sources, host):
    sources.put("a", b"SECRET")
    port = sources.origin.partition(":")[2]
    refused = await refusal(f"http://{host}:{port}/a?sig=SECRET")
    assert (refused.code, refused.retryable) == ("SourceUnreachable", False)


async def test_a_redirect_from_an_allowed_host_to_a_private_one_is_refused(sources):
    with Sources() as private:
        private.put("a", b"SECRET")
        url = sources.put("moved", b"", status=302, location=private.url("a"))
        refused = await refusal(url, allow=(sources.origin,))
    assert "127.0.0.1 is no public address" in refused.message


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "http://[::1", "http://[bad]/", "http://x:port/"])
async def test_a_redirect_to_no_url_is_refused(sources, location):
    url = sources.put("moved", b"", status=302, location=location)
    assert not (await refusal(url, allow=(sources.origin,))).retryable


async def test_redirects_that_do_not_end_are_refused(sources):
    url = sources.put("round", b"", status=302, location="round")
    assert "more than 5 times" in (await refusal(url, allow=(sources.origin,))).message


async def test_what_is_too_large_is_refused(sources):
    refused = await refusal(sources.put("a", b"x" * 1001), allow=(sources.origin,))
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
async def test_what_a_server_refuses_says_what_to_change(sources, status, said, retryable):
    url = sources.put("a", b"SECRET", status=status)
    refused = await refusal(url, allow=(sources.origin,))
    assert (said in refused.message, refused.retryable) == (True, retryable)


async def test_a_server_that_is_away_is_worth_another_try():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    assert (await refusal(f"http://{host}:{port}/a", allow=(f"{host}:{port}",))).retryable


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


CONTENT = bytes(range(256)) * 20_000


async def fetched(sources: Sources, url: str, etag: str = "") -> bytes:
    async with Fetcher(allow=(sources.origin,), most_bytes=10**8).opened(url, etag) as transfer:
        return b"".join([chunk async for chunk in transfer.chunks()])


@pytest.mark.parametrize("tagged", [True, False])
async def test_a_transfer_that_breaks_is_resumed(sources, tagged):
    url = sources.put("a", CONTENT, tagged=tagged, breaks_after=[0, 1_000_000, 2_500_000])
    assert await fetched(sources, url) == CONTENT
    assert sources.served("a").asked == 4
    assert (sources.served("a").sent <= len(CONTENT) + 1) == tagged  # with ranges nothing is sent twice


async def test_a_transfer_that_breaks_again_and_again_without_a_byte_is_an_outage(sources):
    url = sources.put("a", CONTENT, tagged=True, breaks_after=[0] * 30)
    with pytest.raises(BuildFailed, match="cannot be reached") as failed:
        await fetched(sources, url)
    assert failed.value.retryable


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
async def test_a_server_that_sends_the_rest_of_other_content_is_not_believed(sources, validator):
    url = sources.put("a", CONTENT, unconditional=True, headers={validator: "first"}, breaks_after=[3_000_000])

    async def change_under_way() -> None:
        async with Fetcher(allow=(sources.origin,), most_bytes=10**8).opened(url) as transfer:
            async for _ in transfer.chunks():
                sources.served("a").headers[validator] = "second"

    with pytest.raises(BuildFailed, match="changed while it was fetched"):
        await change_under_way()


async def test_a_server_that_ranges_without_conditions_is_believed_as_long_as_it_serves_the_same(sources):
    headers = {"Last-Modified": "Tue, 24 Nov 2026 15:00:00 GMT"}
    url = sources.put("a", CONTENT, unconditional=True, headers=headers, breaks_after=[3_000_000])
    assert await fetched(sources, url) == CONTENT


async def test_content_is_taken_as_it_is_stored(sources):
    packed = gzip.compress(CONTENT, mtime=0)
    md5 = base64.b64encode(hashlib.md5(packed).digest()).decode()
    headers = {"Content-Encoding": "gzip", "Content-MD5": md5}
    assert await fetched(sources, sources.put("a.gz", packed, headers=headers, breaks_after=[100])) == packed


@pytest.mark.parametrize("host", ["a..b", ".example.org", f"{'a' * 70}.example.org"])
async def test_a_host_that_can_have_no_address_is_refused(host):
    refused = await refusal(f"http://{host}/a?sig=SECRET")
    assert ("its URL is malformed" in refused.message, refused.retryable) == (True, False)


@pytest.mark.parametrize("tagged", [True, False])
async def test_a_source_that_changes_under_way_is_refused(sources, tagged):
    url = sources.put("a", CONTENT, tagged=tagged, breaks_after=[3_000_000])

    async def change_under_way() -> None:
        async with Fetcher(allow=(sources.origin,), most_bytes=10**8).opened(url) as transfer:
            async for _ in transfer.chunks():
                sources.served("a").content = b"other" + CONTENT[5:]

    with pytest.raises(BuildFailed, match="changed while it was fetched") as refused:
        await change_under_way()
    assert (refused.value.code, refused.value.retryable) == ("SourceChanged", False)
    assert "SECRET" not in refused.value.message


async def test_what_does_not_fit_its_content_md5_is_refused(sources):
    right = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    assert await fetched(sources, sources.put("a", CONTENT, headers={"Content-MD5": right})) == CONTENT
    with pytest.raises(BuildFailed, match="Content-MD5"):
        await fetched(sources, sources.put("a", CONTENT[:-1], headers={"Content-MD5": right}))


async def test_what_has_not_changed_is_not_sent_again(sources):
    url = sources.put("a", CONTENT, tagged=True)
    async with Fetcher(allow=(sources.origin,), most_bytes=10**8).opened(url, sources.served("a").etag) as transfer:
        assert transfer.unchanged
    assert sources.served("a").sent == 0


async def test_a_weak_tag_is_none(sources):
    url = sources.put("a", CONTENT, headers={"ETag": 'W/"1"'})
    async with Fetcher(allow=(sources.origin,), most_bytes=10**8).opened(url) as transfer:
        assert transfer.etag == ""


@pytest.mark.parametrize(("host", "taken"), [("127.0.0.1", True), ("*.0.0.1", True), ("*.example.org", False)])
async def test_where_hosts_are_named_there_are_no_others(sources, host, taken):
    fetcher = Fetcher(allow=(sources.origin,), hosts=(host,), most_bytes=1000)
    reading = fetcher.read(sources.put("a", b"data"), 1000)
    if taken:
        assert await reading == b"data"
        return
    with pytest.raises(BuildFailed, match="its host is not in SLIPWAY_FETCH_HOSTS"):
        await reading


async def test_a_blob_of_the_operator_is_called_with_a_signature_that_no_error_shows(sources):
    async def sign(url: str) -> str:
        return f"{url}?sig=SECRET"

    fetcher = Fetcher(allow=(sources.origin,), sign=sign, most_bytes=1000)
    bare = sources.put("a", b"data").partition("?")[0]
    assert await fetcher.read(bare, 1000) == b"data"
    sources.put("a", b"", status=403)
    with pytest.raises(BuildFailed) as refused:
        await fetcher.read(bare, 1000)
    assert "SECRET" not in refused.value.message


async def test_a_source_that_comes_too_slowly_is_given_up(sources):
    url = sources.put("a", b"x" * 1000, pause=0.02)
    fetcher = Fetcher(allow=(sources.origin,), most_bytes=1000, least_rate=Rate(1000, 0.3))
    with pytest.raises(BuildFailed, match="too slowly, less than 1000 bytes a second") as failed:
        await fetcher.read(url, 1000)
    assert (failed.value.code, failed.value.retryable) == ("SourceUnreachable", False)


async def test_a_source_may_come_as_slowly_as_it_likes_when_the_setting_says_so(sources):
    url = sources.put("a", b"x" * 300, pause=0.02)
    fetcher = Fetcher(allow=(sources.origin,), most_bytes=1000, least_rate=Rate(0, 0.05))
    assert len(await fetcher.read(url, 1000)) == 300


@pytest.mark.parametrize(("given", "least"), [({}, 10_240), ({"SLIPWAY_FETCH_MIN_BYTES_PER_SECOND": "0"}, 0)])
def test_how_slowly_a_source_may_come_is_a_setting(given, least):
    settings = read_image_settings({"SLIPWAY_IMAGES": "images", **given})
    assert made_fetcher(settings.fetch).least_rate == Rate(least, 60)


async def test_a_source_is_not_slow_because_what_reads_it_is(sources):
    url = sources.put("a", b"x" * 3_000_000)
    fetcher = Fetcher(allow=(sources.origin,), most_bytes=10**7, least_rate=Rate(20_000_000, 0.2))
    async with fetcher.opened(url) as transfer:
        async for _ in transfer.chunks():
            await asyncio.sleep(0.3)  # is busy with what came: that is no waiting for more
    assert transfer.received == 3_000_000
