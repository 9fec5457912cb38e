"""A folder of this machine to work in: the app's own, where nobody else can put or read anything."""

import os
import stat
from pathlib import Path

from shared.settings.environment import SettingError


def ensure_private(folder: Path) -> None:
    """Make the folder, or see that it is one that only this user can use. Raises SettingError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            message = f"SLIPWAY_SCRATCH accepts a folder of the app's own user, open to nobody else (0700); {folder} is none"
            raise SettingError([f"{message}. Name another one or remove it: all in it can be had again."]) from None
