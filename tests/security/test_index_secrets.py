"""An operator's index URL may hold a token anywhere: no error that the app shows holds it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local.machine import this_platform
from shared.domain.errors import ServiceError
from shared.images.packages.index_secrets import without_index_secrets
from shared.images.packages.pip import PackageInstaller
from tests.images.indexes import Index

TOKEN = "Qx7TOKENvvyy9183"
STYLES = [
    "http://{host}/t/{token}/simple/",
    "http://{host}/{token}/simple",
    "http://{host}/basic/{token}/python/simple/",
    "http://{token}@{host}/simple/",
    "http://{token}:@{host}/pypi/",
    "http://user:{token}@{host}/artifactory/api/pypi/team/simple",
    "http://{host}/simple?key={token}",
]
HTML = {"Content-Type": "text/html"}
ANSWERS: dict[str, dict[str, object]] = {
    "refused": {"status": 401},
    "forbidden": {"status": 403},
    "missing": {"status": 404},
    "broken": {"status": 500},
    "away": {"status": 503},
    "garbage": {"content": b"\x00garbage", "headers": {"Content-Type": "application/octet-stream"}},
    "bad page": {"content": b"<html><a href='http://[bad'>x-1.0.tar.gz</a>", "headers": HTML},
    "bad JSON": {"content": b"{", "headers": {"Content-Type": "application/vnd.pypi.simple.v1+json"}},
    "no such file": {"content": b"<a href='x-1.0-py3-none-any.whl#sha256=00'>x-1.0-py3-none-any.whl</a>", "headers": HTML},
    "redirected": {"status": 302, "location": "{place}elsewhere/x/"},
    "redirected away": {"status": 302, "location": "http://127.0.0.1:1/t/{token}/simple/x/"},
    "redirected without end": {"status": 302, "location": "{place}x/"},
}
AT_ONCE = ("refused", "garbage")
"""What the installer does not try again."""


@pytest.fixture
def installer(tmp_path: Path) -> Callable[[str], PackageInstaller]:
    def make(url: str) -> PackageInstaller:
        return PackageInstaller(platform=this_platform(), python="3.13", downloads=tmp_path / "downloads", indexes=(url,))

    return make


@pytest.mark.parametrize(
    ("style", "answer"),
    [*((STYLES[0], answer) for answer in ANSWERS), *((style, answer) for style in STYLES[1:] for answer in AT_ONCE)],
)
def test_no_error_of_an_index_holds_its_token(
    index: Index, installer: Callable[[str], PackageInstaller], style: str, answer: str
) -> None:
    url = style.format(host=index.sources.origin, token=TOKEN)
    path = url.partition("://")[2].partition("/")[2].partition("?")[0].rstrip("/")
    how = dict(ANSWERS[answer])
    how["location"] = str(how.get("location", "")).format(place=f"http://{index.sources.origin}/{path}/", token=TOKEN)
    index.sources.put(f"{path}/x/", how.pop("content", b""), **how)
    for work in (
        lambda: installer(url).lock(("x",)),
        lambda: installer(url).install(f"x==1.0 --hash=sha256:{'0' * 64}\n", Path("nowhere")),
    ):
        with pytest.raises(ServiceError) as failed:
            work()
        assert TOKEN not in f"{failed.value}{failed.value.message}{failed.value.details}"


def test_an_index_that_is_away_is_called_by_its_host(installer: Callable[[str], PackageInstaller]) -> None:
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:1/…") as failed:
        installer(f"http://127.0.0.1:1/t/{TOKEN}/simple/").lock(("x",))
    assert TOKEN not in str(failed.value)


@pytest.mark.parametrize(
    "written",
    [
        "https://host/t/a%20to%2Fken9/simple/x/",
        "https://****@HOST/t/a%20to%2Fken9",
        "at `https://host/t/a%20to%2Fken9/` failed",
        "GET /t/a%20to%2Fken9/simple",
        "decoded: a to/ken9",
        "https://elsewhere/t/a%20to%2fken9/x",
    ],
)
def test_a_token_is_known_in_other_writings(written: str) -> None:
    shown = without_index_secrets(written, ["https://host/t/a%20to%2Fken9/simple"])
    assert "ken9" not in shown


def test_other_urls_and_words_stay() -> None:
    text = "See https://docs.example/simple/x: no version of packages-of-artifactory in https://host/simple/x"
    shown = without_index_secrets(text, ["https://host/artifactory/simple", "not a url", "https://[bad"])
    assert shown == "See https://docs.example/simple/x: no version of packages-of-artifactory in https://host/…"
