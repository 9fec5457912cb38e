"""What a stack keeps between its runs, and what it says when that cannot be used."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import astuple

import pytest

from local.azurite.server import free_ports
from local.errors import StackError
from local.home import Home, ensure_writable
from local.ports import Ports, port_of, refuse_taken


@pytest.fixture
def home(tmp_path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    with home.locked():
        yield home


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_no_port_that_is_chosen_is_the_apis_own():
    assert astuple(Ports.among([1, 2, 3, 4, 5, 6, 7], but=4)) == (1, 2, 3, 5, 6, 7)
    assert astuple(Ports.among([1, 2, 3, 4, 5, 6, 7], but=8)) == (1, 2, 3, 4, 5, 6)


def test_ports_stay_what_they_are(home):
    assert home.ports(but=1) == home.ports(but=2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[1, 2, 3, 4, 5, 6]",
        b'{"blob": 1}',
        b'{"blob": 1, "queue": 2, "table": 3, "control": 4, "front_end": 5, "issuer": 6, "more": 7}',
        b'{"blob": "1", "queue": 2, "table": 3, "control": 4, "front_end": 5, "issuer": 6}',
        b'{"blob": true, "queue": 2, "table": 3, "control": 4, "front_end": 5, "issuer": 6}',
        b'{"blob": 99999, "queue": 2, "table": 3, "control": 4, "front_end": 5, "issuer": 6}',
        b'{"blob": 2, "queue": 2, "table": 3, "control": 4, "front_end": 5, "issuer": 6}',
    ],
)
def test_damaged_ports_are_named_with_what_it_costs_to_choose_new_ones(home, content):
    file = home.folder / "ports.json"
    file.write_bytes(content)
    with pytest.raises(
        StackError, match=f"^{re.escape(str(file))} is damaged: .+ or delete it: .*URLs .*lead nowhere.$"
    ) as told:
        home.ports(but=7071)
    assert "\n" not in str(told.value)


def test_a_kept_port_that_somebody_took_is_named_with_how_to_find_who_and_what_a_new_one_costs(home, taken):
    home.ports(but=1)
    file = home.folder / "ports.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "table": taken}))
    with pytest.raises(
        StackError, match=rf"^Port {taken}, which {re.escape(str(file))} keeps for 'table', .*lsof -i :{taken}.*URLs"
    ):
        home.ports(but=1)


def test_the_apis_port_is_none_that_is_kept_for_another_part(home):
    kept = home.ports(but=1).queue
    with pytest.raises(StackError, match=f"^PORT: {kept} is kept for 'queue' by .*; choose another.$"):
        home.ports(but=kept)


def test_a_taken_port_is_told_with_the_remedy(taken):
    with pytest.raises(StackError, match=f"^Port {taken}, the API's, cannot be listened on: .+ in use. Set PORT.$"):
        refuse_taken(taken, "the API's", "Set PORT.")
    refuse_taken(free_ports(1)[0], "the API's", "Set PORT.")


@pytest.mark.parametrize(
    "text", ["abc", "0", "65536", "-1", " 7071", "7071 ", "7_071", "70.71", "²", "٧٠٧١", "9" * 5000, "\n"]
)
def test_what_is_no_port_is_refused(text):
    with pytest.raises(StackError, match=r"^PORT: got '.*'; accepts a number from 1 to 65535.$") as told:
        port_of(text)
    assert len(str(told.value)) < 200


def test_a_port_is_read():
    assert [port_of("1"), port_of("7071"), port_of("65535")] == [1, 7071, 65535]


@pytest.mark.parametrize("damaged", ["", " \n"])
def test_a_secret_that_is_empty_is_refused_and_never_made_anew_unasked(home, damaged):
    assert home.secret("secret") == home.secret("secret")
    (home.folder / "secrets" / "secret").write_text(damaged)
    with pytest.raises(StackError, match="secrets/secret is empty: put its content back; or delete it, and keys"):
        home.secret("secret")


def test_a_folder_that_cannot_be_written_to_is_named_with_its_setting(tmp_path):
    file = tmp_path / "file"
    file.touch()
    unusable = [file, file / "below", tmp_path / "dangling"]
    unusable[2].symlink_to(tmp_path / "nowhere" / "else")
    for folder in unusable:
        with pytest.raises(
            StackError, match=f"^SLIPWAY_HOME: {re.escape(str(folder))} cannot be used .*; name a folder that can"
        ):
            ensure_writable(folder, "SLIPWAY_HOME")


@pytest.mark.parametrize("name", ["~", "~me", "$HOME"])
def test_a_path_that_a_shell_was_to_expand_is_not_taken_as_it_stands(tmp_path, name):
    with pytest.raises(StackError, match=f"SLIPWAY_HOME: .*{re.escape(name)}/slipway cannot be used"):
        ensure_writable(tmp_path / name / "slipway", "SLIPWAY_HOME")
    assert not list(tmp_path.iterdir())


def test_a_stack_that_was_killed_does_not_run(home):
    home.description.write_text('{"baseUrl": "http://127.0.0.1:1"}')
    assert home.running() == {"baseUrl": "http://127.0.0.1:1"}
    killed = Home(home.folder.parent / "killed")
    with killed.locked():
        killed.description.write_text("{}")
    with pytest.raises(StackError, match=r"^nothing is running here: `make up` first$"):
        killed.running()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_description_that_cannot_be_read_is_named(home, content):
    home.description.write_bytes(content)
    with pytest.raises(StackError, match=f"^{re.escape(str(home.description))} cannot be read: "):
        home.running()
    home.description.unlink()
    home.description.mkdir()
    with pytest.raises(StackError, match=r"cannot be read: .*Is a directory"):
        home.running()


def test_two_stacks_do_not_share_a_home(home):
    with pytest.raises(StackError, match=r"^Another stack is running on .*; stop it, or set SLIPWAY_HOME.$"), home.locked():
        pass
