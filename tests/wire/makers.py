"""Every address that makes something, for the tests of requests that are repeated."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from tests.wire.drafts import new_user, usage

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)
TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {"Content-Type": "application/offset+octet-stream"}
NAMED = {"Upload-Metadata": "filename " + base64.b64encode(b"a.bin").decode()}
REPLAYED = "idempotent-replayed"


@dataclass(frozen=True)
class Door:
    """One address that makes something, and a request to it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    who: str = "user"
    status: int = 201
    files: int = 1

    def ask(self, client: httpx2.Client, key: str | None = None, **changed: Any) -> httpx2.Response:
        """Send the request, with a key."""
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        return client.request(self.method, self.path, **{**self.body, "headers": headers, **changed})


def form(name: str = "file", *more: str) -> dict[str, Any]:
    """Give a form with a file in it, or several."""
    return {"files": [(name, (file, PNG)) for file in ("a.png", *more)]}


DOORS = {
    "raw": Door("POST", "/v1/files?name=a.bin", {}, {"content": b"abc"}),
    "form": Door("POST", "/v1/files", {}, form("file", "b.png"), files=2),
    "by-name": Door("PUT", "/v1/by-name/a.bin", {"If-None-Match": "*"}, {"content": b"abc"}),
    "tus": Door("POST", "/v1/uploads", {**TUS, "Upload-Length": "9", **NAMED}, {}, files=0),
    "tus-alias": Door("POST", "/files/", {**TUS, "Upload-Length": "9"}, {}, files=0),
    "tus-bytes": Door("POST", "/files", {**TUS, **STREAM, "Upload-Length": "3"}, {"content": b"abc"}),
    "tus-empty": Door("POST", "/files", {**TUS, "Upload-Length": "0"}, {}),
    "draft": Door("POST", "/v1/uploads", {"Upload-Complete": "?0"}, {"content": b"abc"}, files=0),
    "draft-whole": Door("POST", "/v1/files", {"Upload-Complete": "?1"}, {"content": b"abc"}),
    "draft-by-name": Door("PUT", "/v1/by-name/a.bin", {"Upload-Complete": "?0"}, {"content": b"abc"}, files=0),
    "relay-form": Door("POST", "/upload", {}, form(), who="service", status=200),
    "relay-raw": Door("POST", "/upload?fileName=a.bin", {}, {"content": b"abc"}, who="service", status=200),
    "relay-draft": Door(
        "POST", "/upload?fileName=a", {"Upload-Complete": "?0"}, {"content": b"a"}, who="service", files=0
    ),
    "blobs": Door("POST", "/upload", {}, form(), status=200),
    "blobs-draft": Door("POST", "/upload?fileName=a", {"Upload-Complete": "?0"}, {"content": b"abc"}, files=0),
    "batch": Door("POST", "/upload_batch", {}, form("files", "b.png"), status=200, files=2),
    "gallery": Door("POST", "/api/upload", {}, form("files", "b.png"), status=200, files=2),
    "chunks": Door(
        "POST",
        "/upload/init",
        {},
        {"json": {"main_service_file_id": 7, "original_file_name": "a.mp3"}},
        who="subject",
        status=200,
        files=0,
    ),
}


def client_for(server: Any, who: str) -> httpx2.Client:
    """Make a client for a kind of principal; a user or a subject that nobody else is."""
    if who == "user":
        return new_user(server)
    subject = server.bearer(server.jwt(f"u{secrets.token_hex(6)}"))
    client: httpx2.Client = server.client(headers=server.service if who == "service" else subject)
    return client


def lively(answer: httpx2.Response) -> tuple[Any, ...]:
    """Give what is the same in an answer that is told again."""
    own = ("date", "server", "x-request-id", REPLAYED, "content-length", "connection")
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, answer.content


def made(client: httpx2.Client) -> tuple[int, int]:
    """Give how many files and open uploads the client's owner has."""
    found = usage(client)
    return found["files"], found["open_uploads"]
