"""How the clients of these tests speak with a server that may go at any moment, and what they were told by it."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

_PIECE = 48 << 10
_BACK_WITHIN_S = 180
_PATIENCE = 300  # answers that ask to try again, until the client gives up: half a minute
_AGAIN = {408, 409, 423, 429, 502, 503}


class Lost(Exception):
    """The answer didn't come: nobody knows what became of the request."""


class Surprise(AssertionError):
    """An answer that no fault explains."""


@dataclass
class Kept:
    """A file that was acknowledged: where it is read, and what it has to be."""

    door: str
    read_at: str
    digest: str
    size: int
    file_id: str | None = None
    owner: int = 0


@dataclass
class Told:
    """What all clients together were told, over all lives of the server."""

    kept: dict[str, Kept] = field(default_factory=dict)  # by digest: no two files have the same bytes
    sent: dict[str, str] = field(default_factory=dict)  # digest of what was sent -> door
    unsure: set[str] = field(default_factory=set)  # digests: their deletion or replacement may have happened
    gone: set[str] = field(default_factory=set)  # digests: their deletion or replacement was acknowledged
    twice: set[str] = field(default_factory=set)  # digests that a client had to send as a second file
    resumed: int = 0
    size: int = 0  # of all that was acknowledged
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sends(self, door: str, data: bytes) -> str:
        """Note what is about to be sent; give its digest."""
        digest = hashlib.sha256(data).hexdigest()
        with self.lock:
            self.sent[digest] = door
        return digest

    def keeps(self, kept: Kept) -> None:
        """Note a file that was acknowledged."""
        with self.lock:
            self.kept[kept.digest] = kept
            self.size += kept.size

    def loses(self, digest: str, *, is_sure: bool) -> None:
        """Note that a file may be gone, or is."""
        with self.lock:
            (self.gone if is_sure else self.unsure).add(digest)

    def resumes(self) -> None:
        """Count one upload that went on after its connection broke."""
        with self.lock:
            self.resumed += 1


@dataclass
class Wire:
    """One client's way to the server."""

    http: httpx2.Client
    told: Told
    dice: random.Random
    requests: int = 0  # in how many a file is sent, where that is free; 0: the dice say
    put_off: int = 0  # answers that asked to try again, one after the other
    under_name: str | None = None  # digest of what its one name has

    def ask(self, method: str, path: str, *, also: tuple[int, ...] = (), **given: Any) -> httpx2.Response:
        """Send a request; give its answer when it is a success, or one of these statuses.

        Raises Lost when no answer came, or one that asks to try again; Surprise for any other refusal.
        """
        try:
            answer = self.http.request(method, path, **given)
        except httpx2.TransportError as broken:
            raise Lost from broken
        if answer.is_success or answer.status_code in also:
            self.put_off = 0
            return answer
        if answer.status_code in _AGAIN and self.put_off < _PATIENCE:
            self.put_off += 1
            time.sleep(0.05 + self.dice.random() / 10)  # as it asked; no test waits for what this brings about
            raise Lost(f"{answer.status_code} {answer.text[:200]}")
        raise Surprise(f"{method} {path} was answered {answer.status_code}: {answer.text[:500]}")

    def until_answered(self, method: str, path: str, **given: Any) -> httpx2.Response:
        """Ask until there is an answer: for what may be asked twice."""
        while True:
            try:
                return self.ask(method, path, **given)
            except Lost:
                self.wait()

    def wait(self) -> None:
        """Wait until the server answers again."""
        deadline = time.monotonic() + _BACK_WITHIN_S
        while time.monotonic() < deadline:
            try:
                if self.http.get("/ready", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.2)
        raise Surprise("the server did not come back")

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Give a body bit by bit, as a network does."""
        pause_s = self.dice.choice((0, 0, 0.002, 0.01))
        for at in range(0, len(data), _PIECE):
            if pause_s:
                time.sleep(pause_s)  # this is how a slow client sends
            yield data[at : at + _PIECE]

    def body(self, data: bytes) -> dict[str, Any]:
        """Give a body with its length."""
        return {"content": self.pieces(data), "headers": {"Content-Length": str(len(data))}}
