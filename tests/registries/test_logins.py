"""Logins, as Docker, podman and `az acr login` write them."""

import base64
import json
import logging

import pytest

from shared.registries.logins import Login, read_logins, unused_logins
from shared.registries.references import Reference
from shared.registries.registries import Registries
from tests.images.making import no_identity


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def logins(**entries: object):
    return read_logins(json.dumps({"auths": entries}))


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": auth("u:p")}, Login("u", "p")),
        ({"auth": auth("u:p:q")}, Login("u", "p:q")),
        ({"auth": auth("u:p\n")}, Login("u", "p")),
        ({"auth": f" {auth('u:p' * 30)[:40]}\n{auth('u:p' * 30)[40:]}\n"}, Login("u", "p" + "u:p" * 29)),
        ({"auth": auth("u:pass").rstrip("=")}, Login("u", "pass")),
        ({"auth": "", "username": "u", "password": "p"}, Login("u", "p")),
        ({"auth": None, "username": "u", "password": "p", "email": None}, Login("u", "p")),
        ({"auth": auth("00000000:"), "identitytoken": "T"}, Login("00000000", "", "T")),
        ({"username": "<token>", "identitytoken": "T"}, Login("<token>", "", "T")),
    ],
)
def test_an_entry_is_read_as_it_is_written(entry, login):
    assert logins(h=entry) == {"h": login}
    assert all(secret not in repr(logins(h=entry)) for secret in (login.password, login.identity_token) if len(secret) > 1)


@pytest.mark.parametrize(
    "empty", [{}, {"auth": ""}, {"auth": None}, {"username": "u"}, {"auth": auth(":")}, {"email": "a@b"}]
)
def test_an_entry_without_a_login_is_named_and_spoils_no_other(empty, caplog):
    with caplog.at_level(logging.WARNING):
        assert logins(**{"ghcr.io": {"auth": auth("u:p")}, "https://index.docker.io/v1/": empty}) == {
            "ghcr.io": Login("u", "p")
        }
    assert "https://index.docker.io/v1/" in caplog.text
    assert "ghcr.io" not in caplog.text


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("https://registry-1.docker.io/v2/", "docker.io"),
        ("ghcr.io/", "ghcr.io"),
        ("GHCR.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("ghcr.io:443", "ghcr.io"),
        ("quay.io/org", "quay.io/org"),
        ("quay.io/org/name/", "quay.io/org/name"),
        ("localhost:5000", "localhost:5000"),
    ],
)
def test_hosts_have_one_name(name, key):
    assert list(logins(**{name: {"auth": auth("u:p")}})) == [key]


@pytest.mark.parametrize(
    "entry", [{"auth": "SECRET!"}, {"auth": auth("SECRET")}, {"auth": 7}, {"password": ["SECRET"]}, "SECRET", None]
)
def test_an_entry_that_makes_no_sense_is_named_without_its_secret(entry):
    with pytest.raises(ValueError, match=r"no JSON of the form .* see the entry of ghcr\.io") as refused:
        logins(**{"ghcr.io": entry})
    assert "SECRET" not in str(refused.value)


def test_the_login_that_names_most_of_a_repository_is_its():
    given = logins(
        **{"quay.io": {"auth": auth("a:a")}, "quay.io/org": {"auth": auth("b:b")}, "quay.io/org/x": {"auth": auth("c:c")}}
    )
    registries = Registries(given, no_identity)

    def name(reference: str) -> str:
        login = registries.repository(Reference.parse(reference))._registry._authority._login
        return login.username if login else ""

    images = [
        "quay.io/other/x",
        "quay.io/org/y",
        "quay.io/org/x",
        "quay.io/org/x/y",
        "quay.io/organ/x",
        "QUAY.io/org/y",
        "ghcr.io/org/x",
    ]
    assert [name(image) for image in images] == ["a", "b", "c", "c", "a", "b", ""]


def test_logins_that_nothing_uses_are_told():
    keys = ["docker.io", "ghcr.io", "quay.io/org", "quay.io/other", "registry.example:5000", "r.azurecr.io"]
    used = ["python:3.13-slim", "quay.io/org/base@sha256:" + "0" * 64, "r.azurecr.io/slipway", "127.0.0.1:5000/x"]
    assert unused_logins(keys, used) == ["ghcr.io", "quay.io/other", "registry.example:5000"]
    assert unused_logins(keys, []) == keys
    assert unused_logins(["quay.io/org/deep"], ["quay.io/org"]) == []
    assert unused_logins(["docker.io"], ["org/image", "registry-1.docker.io/x/y:1"]) == []
    assert unused_logins([], used) == []
