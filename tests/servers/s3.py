"""An S3 server that tests start, kill and start again, and what they ask it by boto3."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ACCESS_KEY = "test:tester"
SECRET_KEY = "testing"
REGION = "us-east-1"
_PROGRAM = Path(__file__).parent / "swift_server.py"


class S3Server:
    """OpenStack Swift on a folder, with one bucket."""

    bucket = "files"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._boto3: Any = None
        self.start()
        self.boto3().create_bucket(Bucket=self.bucket)

    @property
    def url(self) -> str:
        """Where it is, the same each time it starts."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, _PROGRAM, self.folder, str(self.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("ready "), f"Swift did not start; its log is {self.folder / 'log'}"
        self.port = int(line.split()[1])

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def boto3(self) -> Any:
        """Give another client: boto3, with path style."""
        if self._boto3 is None:
            self._boto3 = self._new_boto3()
        return self._boto3

    def _new_boto3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}),
        )

    def open_uploads(self) -> list[str]:
        """Give the ids of multipart uploads that are neither completed nor given up."""
        return [
            upload["UploadId"] for upload in self.boto3().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        ]

    def all_keys(self) -> list[str]:
        """Give the keys of all objects."""
        return [found["Key"] for found in self.boto3().list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def empty(self) -> None:
        """Remove all objects and open uploads."""
        client = self.boto3()
        for key in self.all_keys():
            client.delete_object(Bucket=self.bucket, Key=key)
        for upload in client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
