"""Uploads by every door, and what their clients were told: nothing counts here that wasn't acknowledged."""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

_SIZES = (0, 1, 700, 5000, 60_000, 300_000)
_TUS = {"Tus-Resumable": "1.0.0"}
_STREAM = {**_TUS, "Content-Type": "application/offset+octet-stream"}
_PARTIAL = {"Content-Type": "application/partial-upload"}
_STORED = (200, 201)


@dataclass
class Going:
    """An upload that isn't finished: all of its bytes, and as far as was acknowledged."""

    path: str
    protocol: str
    data: bytes
    offset: int = 0


@dataclass
class Session:
    """A chunk session that isn't finished: its chunks, and which were acknowledged."""

    id: str
    file_id: int
    chunks: list[bytes]
    held: set[int] = field(default_factory=set)


@dataclass
class Told:
    """What all clients were told."""

    files: dict[str, bytes] = field(default_factory=dict)  # by the path that gives them
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)  # whose deletion wasn't answered
    going: dict[str, Going] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    refusals: list[httpx2.Response] = field(default_factory=list)

    def took(self, answer: httpx2.Response, *statuses: int) -> bool:
        """Tell whether an answer acknowledges; remember it where it doesn't."""
        if answer.status_code in statuses:
            return True
        self.refusals.append(answer)
        return False

    def adds(self, other: "Told") -> None:
        """Take over what others were told, of uploads that are over."""
        self.files |= other.files
        self.deleted |= other.deleted
        self.unsure |= other.unsure


def _data(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice(_SIZES))


def form(client: httpx2.Client, told: Told, dice: random.Random) -> None:
    """Send relay's form."""
    data = _data(dice)
    answer = client.post("/upload", files={"file": ("form.bin", data)})
    if told.took(answer, 200):
        told.files[urlsplit(answer.json()["link"]).path] = data


def put(client: httpx2.Client, told: Told, dice: random.Random) -> None:
    """Send a PUT; sometimes replace it by another one, or delete it."""
    path, data = f"/v1/by-name/{secrets.token_hex(8)}", _data(dice)
    if not told.took(client.put(path, content=data), 201):
        return
    told.files[path] = data
    if dice.random() < 0.3:
        told.unsure.add(path)
        if told.took(client.delete(path), 204):
            told.deleted.add(path)


def tus(client: httpx2.Client, told: Told, dice: random.Random) -> None:
    """Send a tus upload in several requests."""
    data = _data(dice)
    answer = client.post("/v1/uploads/", headers={**_TUS, "Upload-Length": str(len(data))})
    if not told.took(answer, 201):
        return
    path = urlsplit(answer.headers["location"]).path
    if not data:
        told.files[path.replace("/v1/uploads/", "/files/")] = data
        return
    told.going[path] = Going(path, "tus", data)
    go_on(client, told, told.going[path], dice)


def ietf(client: httpx2.Client, told: Told, dice: random.Random) -> None:
    """Send a resumable upload as the IETF draft has it."""
    data = _data(dice)
    first = dice.randint(0, len(data))
    answer = client.post("/v1/files", content=data[:first], headers={"Upload-Complete": "?0"})
    if told.took(answer, 201):
        path = urlsplit(answer.headers["location"]).path
        told.going[path] = Going(path, "ietf", data, first)
        go_on(client, told, told.going[path], dice)


def go_on(client: httpx2.Client, told: Told, upload: Going, dice: random.Random) -> None:
    """Send the rest of an upload in pieces, as far as the server takes it."""
    is_over = False
    while not is_over:
        end = min(len(upload.data), upload.offset + dice.randint(1, 100_000))
        is_over = end == len(upload.data)
        at = {"Upload-Offset": str(upload.offset)}
        headers = {**_STREAM, **at}
        if upload.protocol == "ietf":
            headers = {**_PARTIAL, **at, "Upload-Complete": "?1" if is_over else "?0"}
        answer = client.patch(upload.path, content=upload.data[upload.offset : end], headers=headers)
        if not told.took(answer, 200, 201, 204):
            return
        upload.offset = end
    del told.going[upload.path]
    told.files[upload.path.replace("/v1/uploads/", "/files/")] = upload.data


def chunks(client: httpx2.Client, told: Told, dice: random.Random) -> None:
    """Send a file in chunks, in any order."""
    file_id = dice.randrange(1, 1 << 40)
    answer = client.post("/upload/init", json={"main_service_file_id": file_id, "original_file_name": "a.bin"})
    if told.took(answer, 200):
        pieces = [dice.randbytes(dice.choice((1, 5000, 70_000))) for _ in range(dice.randint(1, 4))]
        session = Session(answer.json()["data"]["upload_session_id"], file_id, pieces)
        told.sessions[session.id] = session
        end_session(client, told, session, dice)


def end_session(client: httpx2.Client, told: Told, session: Session, dice: random.Random) -> None:
    """Send the chunks that are missing, and complete."""
    missing = [index for index in range(len(session.chunks)) if index not in session.held]
    dice.shuffle(missing)
    for index in missing:
        fields = {"upload_session_id": session.id, "chunk_index": str(index)}
        answer = client.post("/upload/chunk", data=fields, files={"chunk": ("blob", session.chunks[index])})
        if not told.took(answer, 200):
            return
        session.held.add(index)
    body = {
        "upload_session_id": session.id,
        "total_chunks": len(session.chunks),
        "main_service_file_id": session.file_id,
    }
    if told.took(client.post("/upload/complete", json=body), 200):
        del told.sessions[session.id]
        told.files[f"/upload/download/{session.file_id}"] = b"".join(session.chunks)


Door = Callable[[httpx2.Client, Told, random.Random], None]
DOORS: tuple[Door, ...] = (form, put, tus, ietf, chunks)


def is_honest(answer: httpx2.Response) -> bool:
    """Tell whether a refusal says that it is the server's fault, which one, and when to come back."""
    return answer.status_code in (503, 507) and "retry-after" in answer.headers and bool(answer.json()["code"])


def check_kept(client: httpx2.Client, told: Told) -> None:
    """See that every acknowledged byte is there; finish what was begun, from where the server says that it stands."""
    for path, data in told.files.items():
        answer = client.get(path)
        if path in told.deleted or (path in told.unsure and answer.status_code == 404):
            assert answer.status_code == 404, path
        else:
            assert (200, True) == (answer.status_code, answer.content == data), f"{path}: {answer.text[:200]}"
    dice = random.Random(len(told.files))
    for upload in list(told.going.values()):
        marker = _TUS if upload.protocol == "tus" else {}
        answer = client.head(upload.path, headers=marker)
        assert answer.is_success, upload
        stands_at = int(answer.headers["upload-offset"])
        assert upload.offset <= stands_at <= len(upload.data), f"{upload.path}: {upload.offset} > {stands_at}"
        _finish(client, told, upload, stands_at, dice)
    for session in list(told.sessions.values()):
        end_session(client, told, session, dice)
        assert session.id not in told.sessions, told.refusals[-1].text
        path = f"/upload/download/{session.file_id}"
        assert client.get(path).content == told.files[path]


def _finish(client: httpx2.Client, told: Told, upload: Going, stands_at: int, dice: random.Random) -> None:
    upload.offset = stands_at
    path = upload.path.replace("/v1/uploads/", "/files/")
    got = client.get(path) if stands_at == len(upload.data) else None
    if got is not None and got.status_code == 200 and got.content == upload.data:  # only its last answer was lost
        del told.going[upload.path]
        told.files[path] = upload.data
    else:
        go_on(client, told, upload, dice)
    assert upload.path not in told.going, told.refusals[-1].text
    assert client.get(path).content == upload.data
