"""`python -m local.upload FILE…`: put files into the storage of a running stack, and print a signed URL of each."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from local.azurite.server import ACCOUNT, KEY
from local.home import Home

CONTAINER = "uploads"
_GOOD_FOR = timedelta(days=30)


class Uploads:
    """Blobs with shared-access signatures: where clients keep what they register."""

    def __init__(self, connection_string: str, endpoint: str) -> None:
        self._connection_string = connection_string
        self._endpoint = endpoint

    async def put(self, name: str, content: bytes) -> str:
        """Upload under a folder of its own; a URL that reads it for 30 days."""
        path = f"{uuid4().hex}/{name}"
        async with BlobServiceClient.from_connection_string(self._connection_string) as service:
            container = service.get_container_client(CONTAINER)
            if not await container.exists():
                await container.create_container()
            await container.upload_blob(path, content)
        signature = generate_blob_sas(
            ACCOUNT,
            CONTAINER,
            path,
            account_key=KEY,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + _GOOD_FOR,
        )
        return f"{self._endpoint}/{CONTAINER}/{path}?{signature}"


async def _upload(files: list[Path], described: dict[str, str]) -> None:
    uploads = Uploads(described["blobConnectionString"], described["blobEndpoint"])
    for file in files:
        print(await uploads.put(file.name, await asyncio.to_thread(file.read_bytes)))


def main() -> int:
    """0 when all were uploaded, 1 when no stack is running or a file is not there."""
    home = Home(Path(os.environ.get("SLIPWAY_HOME") or Path(__file__).parent.parent / ".slipway"))
    files = [Path(name) for name in sys.argv[1:]]
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files or not home.description.exists():
        print(f"not a file: {', '.join(missing)}" if missing else "name files, with `make up` running", file=sys.stderr)
        return 1
    asyncio.run(_upload(files, json.loads(home.description.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
