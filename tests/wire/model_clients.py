"""What the clients of the model test do to one upload, step by step, and what they may be told."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = "application/offset+octet-stream"
AS_JSON = {"Accept": "application/json"}
PARTIAL = "application/partial-upload"
SIZES = (0, 1, 1000, 20_000, 100_000, 200_000)
_PIECE = 16 << 10


class Cut(Exception):
    """The client goes away in the middle of its body."""


@dataclass
class Modelled:
    """What the model knows of an upload: its bytes, and between which offsets the server has to be.

    Attributes:
        low: acknowledged; the server never goes back behind it.
        high: the most that can have come.
        is_told: whether the server knows the size.
        is_haunted: a request whose client left may still be on its way through the server: it may bring its bytes
            even after a HEAD, or send a newer request away.
        story: what was done, for whoever looks for the reason of a failure.
    """

    data: bytes
    path: str
    is_told: bool
    low: int = 0
    high: int = 0
    is_haunted: bool = False
    story: list[str] = field(default_factory=list)

    def told(self, offset: int) -> int:
        """Take an offset that the server told, by which both go on."""
        self.story.append(f"told {offset}")
        assert self.low <= offset <= self.high, (
            f"{self.path}: {offset}, and not {self.low} to {self.high}: {self.story}"
        )
        self.low = offset
        self.high = self.high if self.is_haunted else offset
        return offset


@dataclass
class Client:
    """One client with its owner, its dice, and the files that it has to have: sha-256 by id of the file."""

    http: httpx2.Client
    dice: random.Random
    files: dict[str, bytes] = field(default_factory=dict)
    named: str | None = None

    def ask(self, method: str, path: str, *statuses: int, **given: Any) -> httpx2.Response:
        """Send a request that has to be answered in one of these ways."""
        answer = self.http.request(method, path, **given)
        assert answer.status_code in statuses, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer

    def cut(self, method: str, path: str, data: bytes, after: int, **headers: str) -> None:
        """Announce a body and leave after so many of its bytes."""
        try:
            told = {**headers, "Content-Length": str(len(data))}
            self.http.request(method, path, content=_until(data, after), headers=told)
        except (Cut, httpx2.TransportError):
            return
        # An answer before the body was over is a refusal: of a length, an offset, a state.

    def replaces(self, file_id: str) -> None:
        """Forget the file that had the client's one name."""
        if self.named is not None:
            self.files.pop(self.named, None)
        self.named = file_id

    def has(self, file_id: str, data: bytes) -> None:
        """Read a file that was just acknowledged, and keep it in the model."""
        assert data == self.ask("GET", f"/v1/files/{file_id}/content", 200).content
        self.files[file_id] = data


def _until(data: bytes, after: int) -> Iterator[bytes]:
    for at in range(0, after, _PIECE):
        yield data[at : min(after, at + _PIECE)]
    raise Cut


class TusTongue:
    """Speaks tus."""

    def __repr__(self) -> str:
        return "tus"

    def head(self, client: Client, path: str) -> int:
        """Ask where an upload stands; the one who writes to it is sent away."""
        return int(client.ask("HEAD", path, 200, headers=TUS).headers["upload-offset"])

    def headers(self, upload: Modelled, offset: int, *, end: bool) -> dict[str, str]:
        """Write the head of an append; the size is told at the end, when it wasn't before."""
        size = {"Upload-Length": str(len(upload.data))} if end and not upload.is_told else {}
        return {**TUS, "Content-Type": STREAM, "Upload-Offset": str(offset), **size}


class DraftTongue:
    """Speaks one version of the IETF draft."""

    def __init__(self, version: int) -> None:
        self._version = {"Upload-Draft-Interop-Version": str(version)}

    def __repr__(self) -> str:
        return f"draft {self._version['Upload-Draft-Interop-Version']}"

    def head(self, client: Client, path: str) -> int:
        """Ask where an upload stands."""
        headers = {**self._version, "Upload-Complete": "?0"}
        return int(client.ask("HEAD", path, 204, headers=headers).headers["upload-offset"])

    def headers(self, upload: Modelled, offset: int, *, end: bool) -> dict[str, str]:
        """Write the head of an append, in the words of versions 6 and later."""
        flag = {"Upload-Complete": "?1" if end else "?0"}
        return {**self._version, **flag, "Content-Type": PARTIAL, "Upload-Offset": str(offset)}


Tongue = TusTongue | DraftTongue
TONGUES: tuple[Tongue, ...] = (TusTongue(), DraftTongue(6), DraftTongue(8))


def begun(client: Client, data: bytes) -> Modelled:
    """Begin an upload by either protocol, with or without its size, with or without its first bytes."""
    is_told, dice = client.dice.random() < 0.6, client.dice
    first = data[: dice.randrange(len(data) // 2 + 1)] if dice.random() < 0.4 else b""
    if dice.random() < 0.5:
        headers = {**TUS, **({"Upload-Length": str(len(data))} if is_told else {"Upload-Defer-Length": "1"})}
        headers |= {"Content-Type": STREAM} if first else {}
        made = client.ask("POST", "/v1/uploads", 201, content=first, headers=headers)
    else:
        headers = {"Upload-Complete": "?0", **({"Upload-Length": str(len(data))} if is_told else {})}
        made = client.ask("POST", "/v1/files?name=model.bin", 201, content=first, headers=headers)
    return Modelled(data, urlsplit(made.headers["location"]).path, is_told, len(first), len(first))


def append(client: Client, upload: Modelled) -> None:
    """Add a piece where the upload stands."""
    push(client, upload, end=False)


def push(client: Client, upload: Modelled, *, end: bool, tongues: Sequence[Tongue] = TONGUES) -> None:
    """Add a piece, or all that is left; where a request of before comes between, ask and send again."""
    for _ in range(50):
        tongue, piece, offset = _chosen(client, upload, tongues)
        piece = upload.data[offset:] if end else piece
        headers = tongue.headers(upload, offset, end=end)
        answer = client.ask("PATCH", upload.path, 200, 201, 204, 409, content=piece, headers=headers)
        upload.story.append(f"{tongue} {offset}+{len(piece)}: {answer.status_code}")
        if answer.is_success:
            upload.low = upload.high = offset + len(piece)
            upload.is_haunted = upload.is_haunted and not piece  # what still comes is at a wrong offset now
            return
        assert upload.is_haunted, f"{upload.path} at {offset}: {answer.text}"
        upload.high = max(upload.high, offset + len(piece))
    raise AssertionError(f"{upload.path} can't go on")


def cut(client: Client, upload: Modelled, tongues: Sequence[Tongue] = TONGUES) -> None:
    """Begin to add a piece and go away after any byte; the upload stands somewhere in it."""
    tongue, piece, offset = _chosen(client, upload, tongues)
    if piece:
        after = client.dice.randrange(len(piece))
        client.cut("PATCH", upload.path, piece, after, **tongue.headers(upload, offset, end=False))
        upload.story.append(f"{tongue} {offset}+{after} of {len(piece)} cut")
        upload.high, upload.is_haunted = max(upload.high, offset + after), True


def astray(client: Client, upload: Modelled) -> None:
    """Add a piece at a wrong offset: nothing changes, and the right one is told."""
    tongue, piece, offset = _chosen(client, upload)
    wrong = offset + client.dice.choice((-offset, 1, len(piece) + 1))
    if wrong == offset or wrong + len(piece) > len(upload.data):
        return
    headers = tongue.headers(upload, wrong, end=False)
    client.ask("PATCH", upload.path, 409, content=piece, headers=headers)
    upload.story.append(f"{tongue} {wrong}+{len(piece)} astray")
    upload.told(client.dice.choice(TONGUES).head(client, upload.path))


def rivals(client: Client, upload: Modelled) -> None:
    """Add two pieces over two connections at once; where both begin alike, one of them is kept, or a part of one."""
    calls = [_chosen(client, upload) for _ in range(2)]

    def send(call: tuple[Tongue, bytes, int]) -> httpx2.Response:
        tongue, piece, at = call
        headers = tongue.headers(upload, at, end=False)
        return client.ask("PATCH", upload.path, 200, 201, 204, 400, 409, 503, content=piece, headers=headers)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, calls))
    for (tongue, piece, at), answer in zip(calls, answers, strict=True):
        upload.high = max(upload.high, at + len(piece))
        upload.story.append(f"rival {tongue} {at}+{len(piece)}: {answer.status_code}")
        if answer.is_success:
            upload.low = max(upload.low, at + len(piece))


def look(client: Client, upload: Modelled) -> None:
    """Ask by one protocol and another."""
    for tongue in client.dice.sample(TONGUES, 2):
        upload.told(tongue.head(client, upload.path))


def _chosen(client: Client, upload: Modelled, tongues: Sequence[Tongue] = TONGUES) -> tuple[Tongue, bytes, int]:
    """Choose who speaks and how much; never all that is left, so that the upload stays open until it is ended."""
    tongue, offset = client.dice.choice(tongues), upload.low
    if upload.low != upload.high:
        offset = upload.told(client.dice.choice(tongues).head(client, upload.path))
    left = len(upload.data) - offset
    piece = upload.data[offset : offset + client.dice.randrange(left)] if left else b""
    return tongue, piece, offset


STEPS: tuple[Callable[[Client, Modelled], None], ...] = (append, append, cut, cut, astray, rivals, look)


def by_steps(client: Client) -> None:
    """Begin an upload, do anything to it, then end it by either protocol, or give it up."""
    upload = begun(client, client.dice.randbytes(client.dice.choice(SIZES)))
    for _ in range(client.dice.randrange(5)):
        if upload.low < len(upload.data):
            client.dice.choice(STEPS)(client, upload)
    if client.dice.random() < 0.1:
        client.ask("DELETE", upload.path, 204, headers=TUS)
        client.ask("HEAD", upload.path, 404, 410, headers=TUS)
    else:
        ended(client, upload)


def ended(client: Client, upload: Modelled) -> None:
    """Send what is left, from where the server says; then the file is there."""
    push(client, upload, end=True)
    told = client.ask("GET", upload.path, 200, headers=AS_JSON).json()
    assert ("sealed", len(upload.data)) == (told["state"], told["received_bytes"]), told
    client.has(told["file_id"], upload.data)
