"""What a client of the IETF draft says and reads, for the tests of resumable uploads."""

import secrets
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx2

PARTIAL = "application/partial-upload"
TYPES = "https://iana.org/assignments/http-problem-types#"
VERSIONS = [3, 4, 5, 6, 7, 8, 9, 10, 11, None]
EMPTY = {"stored_bytes": 0, "reserved_bytes": 0, "files": 0, "open_uploads": 0}


def new_user(server: Any) -> httpx2.Client:
    """Make a user of whom nobody else knows; give a client with a token of theirs."""
    name = f"draft-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        token = admin.post(f"/v1/users/{name}/tokens", json={}).json()["token"]
    client: httpx2.Client = server.client(headers=server.bearer(token))
    return client


def flag(version: int | None, *, complete: bool) -> dict[str, str]:
    """Write the flag as a client of this version does, with its version."""
    if version == 3:
        return {"Upload-Draft-Interop-Version": "3", "Upload-Incomplete": "?0" if complete else "?1"}
    named = {} if version is None else {"Upload-Draft-Interop-Version": str(version)}
    return {**named, "Upload-Complete": "?1" if complete else "?0"}


def is_complete(answer: httpx2.Response) -> bool | None:
    """Read the flag of an answer, in whichever draft's words."""
    if "upload-incomplete" in answer.headers:
        return bool(answer.headers["upload-incomplete"] == "?0")
    given = answer.headers.get("upload-complete")
    return None if given is None else bool(given == "?1")


def limits(answer: httpx2.Response) -> dict[str, int]:
    """Read Upload-Limit."""
    pairs = [one.split("=") for one in answer.headers["upload-limit"].split(", ")]
    return {key: int(value) for key, value in pairs}


def begin(client: httpx2.Client, data: bytes = b"", path: str = "/v1/files", **headers: str) -> str:
    """Begin an upload in the newest words; give its path."""
    answer = client.post(path, content=data, headers={"Upload-Complete": "?0", **headers})
    assert answer.status_code == 201, answer.text
    return str(urlsplit(answer.headers["location"]).path)


def append(
    client: httpx2.Client, at: str, data: Any, *, offset: int, end: bool = False, **headers: str
) -> httpx2.Response:
    """Send one append in the newest words."""
    told = {"Content-Type": PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": "?1" if end else "?0"}
    return client.patch(at, content=data, headers={**told, **headers})


def usage(client: httpx2.Client) -> dict[str, int]:
    """Give what the client's owner holds."""
    found = client.get("/v1/me").json()["usage"]
    return {name: found[name] for name in EMPTY}


def open_append(client: httpx2.Client, at: str, *, offset: int, announced: int) -> socket.socket:
    """Begin an append that is to end the upload; give the connection when the server is about to read its bytes."""
    token = client.headers["authorization"]
    head = (
        f"PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: {PARTIAL}\r\n"
        f"Upload-Offset: {offset}\r\nUpload-Complete: ?1\r\nContent-Length: {announced}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
    connection.sendall(head.encode())
    assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
    return connection


def until_offset(client: httpx2.Client, at: str, offset: int) -> httpx2.Response:
    """Ask until an upload stands where it will; give that answer."""
    deadline = time.monotonic() + 15
    while True:
        told = client.head(at)
        if told.headers.get("upload-offset") == str(offset) or time.monotonic() > deadline:
            return told
        time.sleep(0.02)
