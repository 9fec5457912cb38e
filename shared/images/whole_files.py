"""Files that others read while they are written."""

from pathlib import Path
from uuid import uuid4


def write_whole(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.parent / f".{uuid4().hex}"
    partial.write_bytes(content)
    partial.replace(file)
