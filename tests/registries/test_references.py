import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.registries.references import Reference, base_url

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "host", "repository", "selected"),
    [
        ("python", "docker.io", "library/python", "latest"),
        ("python:3.13-slim", "docker.io", "library/python", "3.13-slim"),
        ("org/name:1", "docker.io", "org/name", "1"),
        ("ghcr.io/org/name", "ghcr.io", "org/name", "latest"),
        ("localhost:5000/a/b:x", "localhost:5000", "a/b", "x"),
        ("localhost/a", "localhost", "a", "latest"),
        ("acr.azurecr.io/python:3.13@" + DIGEST, "acr.azurecr.io", "python", DIGEST),
        ("[::1]:5000/a@" + DIGEST, "[::1]:5000", "a", DIGEST),
    ],
)
def test_a_reference_is_read_as_people_mean_it(text, host, repository, selected):
    assert Reference.parse(text) == Reference(host, repository, selected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.io:５/x",
        "UPPER/x",
        "a b",
        "host.io/",
        "x:",
        "x@sha256:1",
        "x@" + DIGEST + "0",
        "a//b",
        "../x",
        "x:-a",
        "a.io:65536/a",
    ],
)
def test_what_names_no_image_is_refused(text):
    with pytest.raises(ValueError, match="names no image"):
        Reference.parse(text)


@given(
    st.sampled_from(["docker.io", "ghcr.io", "localhost:5000", "127.0.0.1:1", "a.azurecr.io"]),
    st.from_regex(r"[a-z0-9]{1,8}/[a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["latest", "1.0", "v1_2", DIGEST]),
)
def test_a_reference_reads_back_as_it_is_written(host, repository, selected):
    reference = Reference(host, repository, selected)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(str(reference.pinned(DIGEST))).selected == DIGEST


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
    ],
)
def test_only_this_machine_is_called_without_tls(host, url):
    assert base_url(host) == url
