"""An S3 server that stands still or goes away when a test says so, and the settings of a server that uses it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server


class Cloud(S3Server):
    """The S3 server of one test file."""

    def settings(self, **more: str) -> dict[str, str]:
        """Give the environment of a server with this store, as the described systems write it."""
        return {
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "S3_BUCKET_NAME": self.bucket,
            "S3_ENDPOINT_URL": self.url,
            "S3_REGION_NAME": REGION,
            **more,
        }

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Take connections and say nothing inside the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be not there inside the block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def objects(self) -> dict[str, bytes]:
        """Give what the bucket has, by key."""
        client, objects = self.boto3(), {}
        for one in client.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            with suppress(client.exceptions.NoSuchKey):  # gone since it was listed
                objects[one["Key"]] = client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read()
        return objects


@contextmanager
def cloud_in(folder: Path) -> Iterator[Cloud]:
    """Give a cloud that ends with the block."""
    made = Cloud(folder)
    try:
        yield made
    finally:
        made.kill()


def copy_in(client: Any, file_id: str, store: str = "s3") -> dict[str, Any]:
    """Give a copy as the API tells it."""
    copies = client.get(f"/v1/files/{file_id}").json()["copies"]
    (found,) = (copy for copy in copies if copy["store"] == store)
    return dict(found)
