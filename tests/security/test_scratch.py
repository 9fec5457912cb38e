"""The folder that builds work in is the app's own: nobody else can have made it, or can look or write into it."""

import os
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from shared.building import made_builder, made_registries
from shared.clock import SystemClock
from shared.images.packages.scratch import ensure_private
from shared.settings.environment import SettingError
from shared.settings.images import read_image_settings
from shared.storage.blobs import BlobAccount


def test_it_is_made_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        ensure_private(tmp_path / "new" / "scratch")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "scratch").stat().st_mode & 0o777 == 0o700
    ensure_private(tmp_path / "new" / "scratch")


def _open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)


def _of_another_user(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def _a_link(folder: Path) -> None:
    own = folder.with_name("own")
    own.mkdir(mode=0o700)
    folder.symlink_to(own)


def test_a_file_is_no_folder_to_work_in(tmp_path):
    (tmp_path / "scratch").touch(mode=0o600)
    with pytest.raises(SettingError, match="SLIPWAY_SCRATCH accepts"):
        read_image_settings({"SLIPWAY_IMAGES": str(tmp_path), "SLIPWAY_SCRATCH": str(tmp_path / "scratch")})


@pytest.mark.parametrize("made", [_open_to_others, _of_another_user, _a_link])
async def test_the_app_does_not_start_in_one_that_somebody_else_made_or_can_use(tmp_path, made):
    folder = tmp_path / "scratch"
    made(folder)
    settings = read_image_settings({"SLIPWAY_IMAGES": str(tmp_path), "SLIPWAY_SCRATCH": str(folder)})
    async with AsyncExitStack() as opened:
        registries = made_registries(settings, opened)
        blobs = cast("BlobAccount", None)
        with pytest.raises(SettingError, match=f"SLIPWAY_SCRATCH accepts .* {folder}"):
            made_builder(settings, registries, blobs, SystemClock(), deadline=timedelta(hours=1), opened=opened)
