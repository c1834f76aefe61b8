"""Doors of uploads that come in several requests: tus at each of its addresses, and the IETF draft at its targets."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

STREAM = "application/offset+octet-stream"
PARTIAL = "application/partial-upload"
TUS = {"Tus-Resumable": "1.0.0"}
TUS_ADDRESSES = ("/files/", "/v1/uploads/", "/upload_tus/")


def told(name: str | None = None, media_type: str | bytes = "", **more: str) -> dict[str, str]:
    """Write Upload-Metadata: every value in base64, so that any name reaches the server."""
    pairs: dict[str, str | bytes] = {**({"filename": name} if name is not None else {}), **more}
    if media_type:
        pairs["filetype"] = media_type
    return {"Upload-Metadata": ",".join(f"{key} {_base64(value)}" for key, value in pairs.items())} if pairs else {}


def _base64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


class TusClient:
    """Says to a server of the attacks what a tus client says, for somebody; nothing is checked here."""

    def __init__(self, target: Any, who: Mapping[str, str], address: str = "/files/") -> None:
        self.target = target
        self.who = {**who, **TUS}
        self.address = address

    def create(self, size: int | None = None, data: bytes | None = None, **headers: str) -> Any:
        """Begin an upload, with its first bytes where there are any; None for the size leaves it open."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if not given.get("Upload-Concat", "").startswith("final"):
            given |= {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        if data is not None:
            given["Content-Type"] = STREAM
        return self.target.ask("POST", self.address, {**self.who, **given}, data if data is not None else b"")

    def begin(self, size: int | None = None, **headers: str) -> str:
        """Begin an upload; give its path."""
        answer = self.create(size, **headers)
        assert answer.status == 201, answer.text
        return str(urlsplit(answer.one("Location")).path)

    def headers(self, offset: int, **headers: str) -> dict[str, str]:
        """Give the headers of a PATCH."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return {**self.who, "Content-Type": STREAM, "Upload-Offset": str(offset), **given}

    def patch(self, path: str, offset: int, data: bytes, **headers: str) -> Any:
        """Send bytes."""
        return self.target.ask("PATCH", path, self.headers(offset, **headers), data)

    def head(self, path: str) -> Any:
        """Ask where an upload stands."""
        return self.target.ask("HEAD", path, self.who)

    def delete(self, path: str) -> Any:
        """Give an upload up."""
        return self.target.ask("DELETE", path, self.who)


class DraftClient:
    """The same for a client of the IETF draft's newest version."""

    def __init__(self, target: Any, who: Mapping[str, str]) -> None:
        self.target = target
        self.who = who

    def create(self, method: str, path: str, data: bytes = b"", **headers: str) -> Any:
        """Begin an upload at a target, with its first bytes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.target.ask(method, path, {**self.who, "Upload-Complete": "?0", **given}, data)

    def begin(self, method: str = "POST", path: str = "/v1/files", data: bytes = b"", **headers: str) -> str:
        """Begin an upload; give its path."""
        answer = self.create(method, path, data, **headers)
        assert answer.status == 201, answer.text
        return str(urlsplit(answer.one("Location")).path)

    def headers(self, offset: int, *, end: bool = False) -> dict[str, str]:
        """Give the headers of an append."""
        return {
            **self.who,
            "Content-Type": PARTIAL,
            "Upload-Offset": str(offset),
            "Upload-Complete": "?1" if end else "?0",
        }

    def append(self, path: str, offset: int, data: bytes, *, end: bool = False) -> Any:
        """Send bytes."""
        return self.target.ask("PATCH", path, self.headers(offset, end=end), data)


class ResumableDoors:
    """Doors that cut a file in two, and give what became of it as the native API tells it.

    Whoever mixes it in has `target`, `user` and `_native`.
    """

    RESUMABLE = ("tus", "tus-whole", "tus-deferred", "tus-joined", "draft", "draft-by-name")
    target: Any
    user: Any
    _native: Any

    def tus(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        client = TusClient(self.target, who or self.user.who)
        return self._patched(client, client.create(len(data), **_metadata(name, media_type)), data)

    def tus_whole(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        client = TusClient(self.target, who or self.user.who, "/v1/uploads/")
        answer = client.create(len(data), data, **_metadata(name, media_type))
        return self._arrived(client, answer, urlsplit(answer.one("Location")).path)

    def tus_deferred(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        client = TusClient(self.target, who or self.user.who, "/upload_tus/")
        return self._patched(client, client.create(**_metadata(name, media_type)), data, is_deferred=True)

    def tus_joined(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        client = TusClient(self.target, who or self.user.who)
        half = len(data) // 2
        parts = []
        for piece in (data[:half], data[half:]):
            answer = client.create(len(piece), piece, Upload_Concat="partial")
            if answer.status != 201:
                return self._native(answer, client.who)
            parts.append(urlsplit(answer.one("Location")).path)
        answer = client.create(Upload_Concat="final;" + " ".join(parts), **_metadata(name, media_type))
        return self._arrived(client, answer, urlsplit(answer.one("Location")).path)

    def _patched(self, client: TusClient, begun: Any, data: bytes, *, is_deferred: bool = False) -> Any:
        if begun.status != 201:
            return self._native(begun, client.who)
        path, half = urlsplit(begun.one("Location")).path, len(data) // 2
        told_now = {"Upload_Length": str(len(data))} if is_deferred else {}
        answer = client.patch(path, 0, data[:half])
        if answer.status == 204:
            answer = client.patch(path, half, data[half:], **told_now)
        return self._arrived(client, answer, path)

    def _arrived(self, client: TusClient, answer: Any, path: str) -> Any:
        """Give a finished upload's file as a Sent; anything else with the answer that refused it."""
        if answer.status not in (201, 204):
            return self._native(answer, client.who)
        who = {name: value for name, value in client.who.items() if name not in TUS}
        upload = self.target.ask("GET", f"/v1/uploads/{path.rpartition('/')[2]}?output=json", who).json()
        return self._native(self.target.ask("GET", f"/v1/files/{upload['file_id']}", who), who)

    def draft(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        return self._begun(("POST", f"/v1/files?filename={quote(name, safe='')}"), data, who, media_type)

    def draft_by_name(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Any:
        sent = self._begun(("PUT", f"/v1/by-name/{quote(name, safe='')}"), data, who, media_type)
        return type(sent)(sent.answer, sent.url, sent.who, sent.answer.json()["path"], sent.id) if sent.url else sent

    def _begun(self, place: tuple[str, str], data: bytes, who: Any, media_type: str) -> Any:
        client, half = DraftClient(self.target, who or self.user.who), len(data) // 2
        said = {"Content_Type": media_type} if media_type else {}
        answer = client.create(*place, data[:half], **said)
        if answer.status != 201:
            return self._native(answer, client.who)
        path = urlsplit(answer.one("Location")).path
        return self._native(client.append(path, half, data[half:], end=True), client.who)


def _metadata(name: str, media_type: str) -> dict[str, str]:
    return {"Upload_Metadata": told(name, media_type)["Upload-Metadata"]}
