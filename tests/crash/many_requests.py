"""Clients that send a file in several requests and go on after a break: tus, its parts, the IETF draft, chunks."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
from tests.crash.one_request import another, form
from tests.crash.wire import Kept, Lost, Surprise, Wire

_TUS = {"Tus-Resumable": "1.0.0"}
_STREAM = "application/offset+octet-stream"


@dataclass
class Standing:
    """Where an upload stands, as its client knows: what was acknowledged, and what the server says now."""

    path: str
    acknowledged: int = 0

    def moved(self, offset: int, most: int) -> int:
        """Take what the server says. It never takes back what it acknowledged (I3), nor makes bytes up."""
        assert self.acknowledged <= offset <= most, f"{self.path}: {self.acknowledged}, then {offset} of {most}"
        self.acknowledged = offset
        return offset


def by_tus(wire: Wire, data: bytes) -> Kept:
    """Create, send, and after each break ask for the offset and go on."""
    digest = wire.told.sends("tus", data)
    standing = Standing(_created(wire, {"Upload-Length": str(len(data))}))
    _send_tus(wire, standing, data)
    return _became(wire, "tus", standing.path, digest, data)


def by_tus_at_once(wire: Wire, data: bytes) -> Kept:
    """Send the first bytes with the creation. Whose answer is lost, its address is lost, and so is the upload."""
    while True:
        digest = wire.told.sends("tus_at_once", data)
        first = data[: _some(wire, len(data))]
        headers = {**_TUS, "Upload-Length": str(len(data)), "Content-Type": _STREAM, "Content-Length": str(len(first))}
        try:
            made = wire.ask("POST", "/files", content=wire.pieces(first), headers=headers)
            break
        except Lost:
            data = another(wire, data)
    standing = Standing(urlsplit(made.headers["location"]).path)
    standing.moved(int(made.headers["upload-offset"]), len(first))
    _send_tus(wire, standing, data)
    return _became(wire, "tus_at_once", standing.path, digest, data)


def by_tus_parts(wire: Wire, data: bytes) -> Kept:
    """Send three parts, then join them; a final whose answer was lost is asked for again."""
    digest = wire.told.sends("tus_parts", data)
    third = -(-len(data) // 3)
    paths = []
    for at in range(0, max(1, len(data)), max(1, third)):
        piece = data[at : at + third]
        standing = Standing(_created(wire, {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"}))
        _send_tus(wire, standing, piece)
        paths.append(standing.path)
    while True:
        try:
            named = {**_TUS, "Upload-Concat": "final;" + " ".join(paths)}
            made = wire.ask("POST", "/files", headers=named, also=(400,))
        except Lost:
            with wire.told.lock:
                wire.told.twice.add(digest)  # parts may be joined twice; whether they are is the client's doing
            wire.wait()
            continue
        break
    if made.status_code == 400:  # the parts are gone: they became the file whose answer was lost
        return _found(wire, "tus_parts", digest, data)
    return _became(wire, "tus_parts", urlsplit(made.headers["location"]).path, digest, data)


def _created(wire: Wire, headers: dict[str, str]) -> str:
    made = wire.until_answered("POST", "/files", headers={**_TUS, **headers})
    return str(urlsplit(made.headers["location"]).path)


def _some(wire: Wire, length: int) -> int:
    """Choose how many bytes a request brings."""
    if wire.requests:
        return -(-length // wire.requests)
    return min(length, wire.dice.choice((length, length // 2 + 1, length // 3 + 1)))


def _send_tus(wire: Wire, standing: Standing, data: bytes) -> None:
    offset = standing.acknowledged
    while offset < len(data):
        piece = data[offset : offset + _some(wire, len(data))]
        headers = {**_TUS, "Content-Type": _STREAM, "Upload-Offset": str(offset), "Content-Length": str(len(piece))}
        try:
            answer = wire.ask("PATCH", standing.path, content=wire.pieces(piece), headers=headers)
            offset = standing.moved(int(answer.headers["upload-offset"]), offset + len(piece))
        except Lost:
            wire.wait()
            wire.told.resumes()
            told = wire.until_answered("HEAD", standing.path, headers=_TUS)
            offset = standing.moved(int(told.headers["upload-offset"]), min(len(data), offset + len(piece)))


def by_draft(wire: Wire, data: bytes) -> Kept:
    """Begin with some bytes and `Upload-Complete: ?0`, append, and end with `?1`; the end is asked again if need be."""
    digest = wire.told.sends("draft", data)
    first = data[: len(data) // 3]
    begin = {"Upload-Complete": "?0", "Content-Length": str(len(first))}
    while True:
        try:
            made = wire.ask("POST", "/v1/files?name=crash.bin", content=wire.pieces(first), headers=begin)
            break
        except Lost:
            wire.wait()
    standing = Standing(urlsplit(made.headers["location"]).path)
    offset, is_over = standing.moved(int(made.headers["upload-offset"]), len(first)), False
    while not is_over:
        piece = data[offset : offset + _some(wire, len(data))]
        end = offset + len(piece) == len(data)
        try:
            answer = _append(wire, standing.path, piece, offset, end=end)
            offset, is_over = offset + len(piece), end
        except Lost:
            wire.wait()
            wire.told.resumes()
            told = wire.until_answered("HEAD", standing.path, headers={"Upload-Complete": "?0"})
            offset = standing.moved(int(told.headers["upload-offset"]), offset + len(piece))
            continue
        standing.moved(offset, offset)
    assert (digest, len(data)) == (answer.json()["sha256"], answer.json()["size"])
    return Kept("draft", f"/v1/files/{answer.json()['id']}/content", digest, len(data), answer.json()["id"])


def _append(wire: Wire, path: str, piece: bytes, offset: int, *, end: bool) -> httpx2.Response:
    headers = {
        "Content-Type": "application/partial-upload",
        "Upload-Offset": str(offset),
        "Upload-Complete": "?1" if end else "?0",
        "Content-Length": str(len(piece)),
    }
    return wire.ask("PATCH", path, content=wire.pieces(piece), headers=headers)


def by_chunks(wire: Wire, data: bytes) -> Kept:
    """Send chunks in their order."""
    return _by_chunks(wire, "chunks", data, lambda _: None)


def by_shuffled_chunks(wire: Wire, data: bytes) -> Kept:
    """Send chunks in any order, some of them before the form says whose they are."""
    return _by_chunks(wire, "chunks_shuffled", data, wire.dice.shuffle)


def _by_chunks(wire: Wire, door: str, data: bytes, order: Callable[[list[int]], None]) -> Kept:
    digest = wire.told.sends(door, data)
    size = max(1, -(-len(data) // 4))
    pieces = [data[at : at + size] for at in range(0, max(1, len(data)), size)]
    number = wire.dice.getrandbits(52)
    begin = {"main_service_file_id": number, "original_file_name": "crash.mp3"}
    session = wire.until_answered("POST", "/upload/init", json=begin).json()["data"]["upload_session_id"]
    indexes = list(range(len(pieces)))
    order(indexes)
    for index in indexes:
        headers, body = _chunk_form(session, index, pieces[index], is_last=wire.dice.random() < 0.5)
        while True:
            try:
                wire.ask("POST", "/upload/chunk", content=wire.pieces(body), headers=headers)
                break
            except Lost:
                wire.wait()
                wire.told.resumes()
    end = {"upload_session_id": session, "total_chunks": len(pieces), "main_service_file_id": number}
    answer = wire.until_answered("POST", "/upload/complete", json=end).json()["data"]
    assert (digest, len(data)) == (answer["sha256"], answer["size"])
    return Kept(door, f"/upload/download/{number}", digest, len(data), answer["file_id"])


def _chunk_form(session: str, index: int, piece: bytes, *, is_last: bool) -> tuple[dict[str, str], bytes]:
    """Write a chunk's form; its fields stand before the chunk or behind it."""
    headers, body = form("chunk", ("blob", piece))
    edge = headers["Content-Type"].partition("boundary=")[2].encode()
    fields = b"".join(
        b"--" + edge + f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (("upload_session_id", session), ("chunk_index", index))
    )
    closing = b"--" + edge + b"--\r\n"
    whole = body.removesuffix(closing) + fields + closing if is_last else fields + body
    return {**headers, "Content-Length": str(len(whole))}, whole


def _became(wire: Wire, door: str, path: str, digest: str, data: bytes) -> Kept:
    """Give the file that an upload became."""
    upload_id = path.rpartition("/")[2]
    told = wire.until_answered("GET", f"/v1/uploads/{upload_id}?output=json").json()
    assert told["state"] == "sealed", told
    return Kept(door, path, digest, len(data), told["file_id"])


def _found(wire: Wire, door: str, digest: str, data: bytes) -> Kept:
    """Find a file by its bytes."""
    cursor = ""
    while True:
        page = wire.until_answered("GET", f"/v1/files?limit=1000{cursor}").json()
        for file in page["files"]:
            if file["sha256"] == digest:
                return Kept(door, f"/v1/files/{file['id']}/content", digest, len(data), file["id"])
        if page["next_cursor"] is None:
            raise Surprise(f"the parts of {digest} are gone, and the file isn't there")
        cursor = f"&cursor={page['next_cursor']}"
