"""`python -m local.upload FILE…`: put files into the storage of a running stack, and print a signed URL of each."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from local.azurite.server import ACCOUNT
from local.errors import StackError, told
from local.home import Home
from local.proxies import call_loopback_directly

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
            key = str(service.credential.account_key)
        signature = generate_blob_sas(
            ACCOUNT,
            CONTAINER,
            path,
            account_key=key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + _GOOD_FOR,
        )
        return f"{self._endpoint}/{CONTAINER}/{path}?{signature}"


async def _upload(files: list[Path], described: dict[str, str]) -> None:
    uploads = Uploads(described["blobConnectionString"], described["blobEndpoint"])
    for file in files:
        print(await uploads.put(file.name, await asyncio.to_thread(file.read_bytes)))


def main() -> int:
    """0 when all were uploaded, 1 when no stack is running or a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m local.upload", description="Put files into the storage of `make up`.")
    parser.add_argument("file", nargs="+", type=Path, help="what to upload; a signed URL of each is printed")
    given = parser.parse_args()
    call_loopback_directly()
    missing = [str(file) for file in given.file if not file.is_file()]
    try:
        if missing:
            raise StackError(f"not a file: {', '.join(missing)}")
        asyncio.run(_upload(given.file, Home.chosen().running()))
    except (StackError, OSError, AzureError) as error:
        print(told(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
