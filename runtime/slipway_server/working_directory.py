"""A folder that the driver may write in, where the file system of its image is read-only."""

import shutil
from pathlib import Path


def mirror(app: Path, working: Path) -> Path:
    """The app's folder again, within `working`: real folders, and a symbolic link for each file. What was there before goes.

    The driver opens every file by the name it has in the app's folder, and writes beside it; what is in the image it can
    replace, but not write to.
    """
    mirrored = working / app.name
    shutil.rmtree(mirrored, ignore_errors=True)
    for folder, folders, files in app.walk():
        here = mirrored / folder.relative_to(app)
        here.mkdir(parents=True)
        for name in files + [name for name in folders if (folder / name).is_symlink()]:
            (here / name).symlink_to(folder / name)
    return mirrored
