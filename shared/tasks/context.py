"""The context of a remote build: its files as an archive, the same bytes for the same files."""

import gzip
import io
import tarfile
from collections.abc import Mapping


def packed(files: Mapping[str, str]) -> bytes:
    """A tar.gz of those files, by name."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(written.getvalue(), mtime=0)
