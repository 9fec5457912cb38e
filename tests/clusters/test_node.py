"""What the node of the tests does as a kubelet does: what is proven on it rests on that."""

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runtime.slipway_server.http.keys import Keys
from tests.clusters.node.containers import Container, Mount
from tests.clusters.node.environment import expanded
from tests.clusters.node.images import Unpacked
from tests.clusters.node.volumes import swap
from tests.waiting import until


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that other users may go through, and write to."""
    with TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o777)
        yield Path(scratch)


async def started(script: str, *mounts: Mount, read_only: bool = True) -> Container:
    """A shell in a container whose image is this machine's own files."""
    image = Unpacked(Path("/"), {"User": "65532", "Entrypoint": ["/bin/sh", "-c", script]})
    environment = {"PATH": "/usr/bin:/bin", "GREETING": "hello"}
    return await Container.start(image, list(mounts), environment, "one", read_only=read_only)


def said(container: Container) -> list[str]:
    return [line for _, line in container.printed]


async def test_a_container_is_its_user_process_1_and_has_its_own_environment_only():
    container = await started('id -u; id -g; echo $$; echo "$GREETING"; hostname; env | grep -c PYTEST; exit 7')
    assert await container.ended() == 7
    assert said(container) == ["65532", "65532", "1", "hello", "one", "0"]


async def test_a_container_writes_to_what_it_has_mounted_to_write_and_to_nothing_else(folder):
    for name, mode in (("keys", 0o755), ("work", 0o777)):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    mounts = (Mount(folder / "keys", "/mnt", read_only=True), Mount(folder / "work", "/srv", read_only=False))
    container = await started("for each in /mnt /srv /usr /tmp; do touch $each/x 2>&- && echo $each; done; true", *mounts)
    assert await container.ended() == 0
    assert said(container) == ["/srv"]
    assert (folder / "work" / "x").exists()


async def test_a_container_has_the_time_it_is_given_to_end_and_is_killed_after_that():
    obedient = await started("trap 'echo bye; exit 3' TERM; echo up; while true; do sleep 0.05; done")
    deaf = await started("trap '' TERM; echo up; while true; do sleep 0.05; done")
    for container, seconds in ((obedient, 20), (deaf, 0.2)):

        async def is_up(container: Container = container) -> bool:
            return said(container) == ["up"]

        await until(is_up)
        await container.stop(seconds)
    assert (await obedient.ended(), said(obedient)) == (3, ["up", "bye"])
    assert await deaf.ended() == 128 + signal.SIGKILL


def test_a_secret_is_swapped_as_a_whole_and_the_scoring_server_reads_it_again(tmp_path):
    swap(tmp_path, {"primary": b"one", "secondary": b"two"})
    first = (tmp_path / "..data").resolve()
    assert (tmp_path / "primary").readlink() == Path("..data/primary")
    swap(tmp_path, {"primary": b"one", "secondary": b"two"})
    assert (tmp_path / "..data").resolve() == first
    swap(tmp_path, {"primary": b"new", "secondary": b"two"})
    assert not first.exists()
    assert [Keys(tmp_path).accept(f"Bearer {key}") for key in ("one", "new", "two")] == [False, True, True]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("plain", "plain"),
        ("pa$$word", "pa$word"),
        ("pa$word", "pa$word"),
        ("$(HOST)/x", "db/x"),
        ("$$(HOST)", "$(HOST)"),
        ("$(NOBODY)", "$(NOBODY)"),
        ("$(", "$("),
        ("$$$$", "$$"),
        ("$", "$"),
    ],
)
def test_variables_are_read_as_a_kubelet_reads_them(value, read):
    assert expanded(value, {"HOST": "db"}) == read
