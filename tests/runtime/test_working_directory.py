"""Serving where nothing can be written but in one folder."""

from pathlib import Path

from runtime.slipway_server.working_directory import mirror
from tests.runtime.replicas import Start

DRIVER = """
import os, features
def init():
    open("swagger.json", "w").write('{"swagger": "2.0"}')
    open("models/new.txt", "w").write("written")
def run(body):
    return [os.getcwd(), open("models/weights.txt").read(), features.__file__, sorted(os.listdir("models"))]
"""


def made(app: Path) -> Path:
    (app / "models" / "empty").mkdir(parents=True)
    (app / "models" / "weights.txt").write_text("weights")
    (app / "elsewhere").symlink_to(app / "models")
    return app


def test_folders_are_real_and_files_are_links(tmp_path: Path) -> None:
    app = made(tmp_path / "app")
    mirrored = mirror(app, tmp_path / "work")
    assert mirrored.name == "app"
    assert (mirrored / "models").is_dir()
    assert not (mirrored / "models").is_symlink()
    assert (mirrored / "models" / "empty").is_dir()
    assert (mirrored / "models" / "weights.txt").readlink() == app / "models" / "weights.txt"
    assert (mirrored / "elsewhere").readlink() == app / "elsewhere"


def test_a_container_that_starts_again_begins_anew(tmp_path: Path) -> None:
    app = made(tmp_path / "app")
    mirrored = mirror(app, tmp_path / "work")
    (mirrored / "left.txt").write_text("of the one before")
    (mirrored / "models" / "weights.txt").unlink()
    mirrored = mirror(app, tmp_path / "work")
    assert not (mirrored / "left.txt").exists()
    assert (mirrored / "models" / "weights.txt").read_text() == "weights"


async def test_a_driver_works_in_the_mirror_and_leaves_the_app_as_it_is(start: Start, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    replica = await start(DRIVER, files={"features.py": "", "models/weights.txt": "weights"}, working_directory=work).ready()
    here = work / replica.folder.name
    found = [str(here), "weights", str(here / "features.py"), ["new.txt", "weights.txt"]]
    assert (await replica.score({})).json() == found
    assert (await replica.client.get("/swagger.json")).json() == {"swagger": "2.0"}
    assert {path.name for path in replica.folder.iterdir()} == {"features.py", "models", "score.py"}
    assert not (replica.folder / "models" / "new.txt").exists()
