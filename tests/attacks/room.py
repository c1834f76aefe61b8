"""Requests that carry a file of an exact size through each door, and how to send many of them at once."""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.attacks.resumable import DraftClient, TusClient

LIMIT = 64 << 10  # bytes in a file
TOTAL = 256 << 10  # bytes in all
IMAGE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
TEN_TERABYTES = 10_000_000_000_000
USERS_ONE_SHOT = ["blobs-form", "blobs-batch", "v1-form", "v1-raw", "v1-chunked", "by-name", "by-name-chunked"]
RESUMABLE = ["tus", "tus-deferred", "tus-chunked", "draft", "draft-by-name", "draft-chunked"]
USERS_DOORS = [*USERS_ONE_SHOT, *RESUMABLE]
DOORS = [*USERS_DOORS, "relay-form", "relay-raw", "relay-chunked", "gallery", "chunk", "form-chunked"]
ONE_SHOT = [door for door in DOORS if door not in ("chunk", *RESUMABLE)]


@dataclass(frozen=True)
class Request:
    """A request that carries a file; `is_chunked` bodies come without their length."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    is_chunked: bool = False

    def head(self, target: Any, *, length: int | None = None) -> bytes:
        """Write the head; with another length than the body's, when one is given."""
        said = {"Content-Length": str(len(self.body) if length is None else length)}
        if self.is_chunked and length is None:
            said = {"Transfer-Encoding": "chunked"}
        return bytes(target.head(self.method, self.path, {**self.headers, **said}))

    def coded(self) -> bytes:
        """Write the body as it goes over the wire."""
        if not self.is_chunked:
            return self.body
        pieces = [self.body[at : at + 9000] for at in range(0, len(self.body), 9000)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def limits() -> dict[str, str]:
    """Give the settings by which everybody has the same little room."""
    return {
        f"CARRYALL_{who}_{what}": str(size / (1 << 20))
        for who in ("USER", "SERVICE", "JWT", "GALLERY")
        for what, size in (("MAX_FILE_MB", LIMIT), ("TOTAL_MB", TOTAL))
    }


def filled(size: int, door: str) -> bytes:
    """Give bytes of this size that the door takes."""
    start = IMAGE if door == "gallery" else b""
    return start + secrets.token_bytes(size - len(start))


def request(target: Any, doors: Any, door: str, data: bytes, *, number: int = 1) -> Request:
    """Write the request that sends a file through a door."""
    user, service = doors.user.who, target.service
    raw = {"Content-Type": "application/octet-stream"}
    name = secrets.token_hex(6)
    simple = {
        "relay-raw": ("POST", f"/upload?fileName={name}", service),
        "relay-chunked": ("POST", f"/upload?fileName={name}", service),
        "v1-raw": ("POST", f"/v1/files?filename={name}", user),
        "v1-chunked": ("POST", f"/v1/files?filename={name}", user),
        "by-name": ("PUT", f"/v1/by-name/{name}", user),
        "by-name-chunked": ("PUT", f"/v1/by-name/{name}", user),
    }
    if door in simple:
        method, path, who = simple[door]
        return Request(method, path, {**who, **raw}, data, door.endswith("chunked"))
    if door in RESUMABLE:
        return resumable_request(target, user, door, data, name)
    forms = {
        "relay-form": ("/upload", "file", service),
        "form-chunked": ("/upload", "file", service),
        "blobs-form": ("/upload", "file", user),
        "blobs-batch": ("/upload_batch", "files", user),
        "v1-form": ("/v1/files", "file", user),
        "gallery": ("/api/upload", "files", {}),
    }
    if door in forms:
        path, field, who = forms[door]
        headers, body = target.form((f'name="{field}"; filename="{name}.png"', data))
        return Request("POST", path, {**who, **headers}, body, door == "form-chunked")
    session = doors.begin(number, name).json()["data"]["upload_session_id"]
    headers, body = target.form(
        ('name="upload_session_id"', session.encode()),
        ('name="chunk_index"', b"0"),
        ('name="chunk"; filename="a"', data),
    )
    return Request("POST", "/upload/chunk", {**doors.subject.who, **headers}, body)


def resumable_request(target: Any, user: Mapping[str, str], door: str, data: bytes, name: str) -> Request:
    """Write the request that brings a resumable upload's bytes, all at once; but for tus' first it is begun before."""
    tus, draft = TusClient(target, user), DraftClient(target, user)
    length = {"Upload-Length": str(len(data))}
    if door == "tus":
        return Request("POST", "/files/", {**tus.headers(0), **length}, data)
    if door.startswith("tus"):
        return Request("PATCH", tus.begin(), {**tus.headers(0), **length}, data, door.endswith("chunked"))
    path = draft.begin("PUT", f"/v1/by-name/{name}") if door == "draft-by-name" else draft.begin()
    return Request("PATCH", path, draft.headers(0, end=True), data, door.endswith("chunked"))


def send(target: Any, one: Request) -> Any:
    """Send a request whole."""
    return target.exchange(one.head(target) + one.coded(), method=one.method)


def took(answer: Any) -> bool:
    """Tell whether an upload was taken."""
    return answer.status in (200, 201, 204)


def verdict(answer: Any) -> int:
    """Give an upload's status; a batch of one says it inside."""
    return int(answer.json()[0]["status_code"]) if answer.status == 207 else int(answer.status)


def usage(target: Any, who: Mapping[str, str]) -> dict[str, int]:
    """Give what somebody holds."""
    return dict(target.ask("GET", "/v1/me", who).json()["usage"])


def eventually(check: Callable[[], bool], within_s: float) -> bool:
    """Ask again and again until it is so, or the time is over."""
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.02)
    return True


def owner(target: Any, doors: Any, door: str) -> Mapping[str, str]:
    """Give the headers of whoever pays for what goes through a door."""
    if door in USERS_DOORS:
        return dict(doors.user.who)
    return dict(doors.subject.who) if door == "chunk" else dict(target.service)


def at_once(target: Any, requests: list[Request]) -> list[Any]:
    """Send requests so that all are half way at the same time."""
    together = threading.Barrier(len(requests))

    def one(request: Request) -> Any:
        body = request.coded()
        with target.connect(wait_s=30) as peer:
            with contextlib.suppress(ConnectionError):
                peer.sendall(request.head(target) + body[:500])
            together.wait(30)
            with contextlib.suppress(ConnectionError):
                peer.sendall(body[500:])
            return target.finish(peer, request.method)

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))
