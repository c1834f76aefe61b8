"""What the server has: accounts, sessions, nodes, and the bytes of files in a folder."""

import asyncio
import secrets
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cipher
from cryptography.hazmat.primitives.asymmetric import rsa

FILE, FOLDER, ROOT, INBOX, RUBBISH = range(5)
_ANSWERS_KEPT = 500


class Refused(Exception):
    """A command failed, with MEGA's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Node:
    """A file, a folder or a root. `content` is the ciphertext's file."""

    h: str
    p: str
    t: int
    u: str
    a: str = ""
    k: bytes = b""
    s: int = 0
    ts: int = 0
    content: Path | None = None
    link: str | None = None
    is_taken_down: bool = False

    def told(self) -> dict[str, Any]:
        """Give it as `f` and `p` do."""
        told: dict[str, Any] = {"h": self.h, "p": self.p, "u": self.u, "t": self.t, "a": self.a, "ts": self.ts}
        told["k"] = f"{self.u}:{cipher.encode(self.k)}" if self.k else ""
        return told | ({"s": self.s} if self.t == FILE else {})


@dataclass
class Account:
    """Somebody's account, with what the real server doesn't know: the password's key and the master key."""

    email: str
    version: int
    salt: bytes
    key: bytes
    uh: str
    rsa: rsa.RSAPrivateNumbers
    mfa: str | None = None
    quota_bytes: int = 20 << 30
    handle: str = field(default_factory=lambda: cipher.encode(secrets.token_bytes(8)))
    master: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    nodes: dict[str, Node] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    contents: dict[bytes, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in (ROOT, INBOX, RUBBISH):
            self.add(Node(h=new_handle(), p="", t=kind, u=self.handle, ts=int(time.time())))

    def add(self, node: Node) -> None:
        """Keep a node."""
        self.nodes[node.h] = node

    def used_bytes(self) -> int:
        """Sum the files up, those in the rubbish bin too."""
        return sum(node.s for node in self.nodes.values())

    def root(self, kind: int = ROOT) -> Node:
        """Give one of the three roots."""
        return next(node for node in self.nodes.values() if node.t == kind)

    def below(self, handle: str) -> list[Node]:
        """Give a node and everything in it."""
        found = [self.nodes[handle]]
        for node in found:
            found.extend(child for child in self.nodes.values() if child.p == node.h)
        return found

    def tell(self, event: dict[str, Any]) -> None:
        """Let those who wait for changes know."""
        self.events.append(event)
        self.news.set()
        self.news = asyncio.Event()


@dataclass
class Upload:
    """A file on its way: the pieces that came, and the token that stands for it in the end."""

    id: str
    account: Account
    size: int
    has_raw_token: bool
    path: Path
    token: bytes
    is_expired: bool = False

    def __post_init__(self) -> None:
        self.starts = {at for at, _ in cipher.chunks(self.size)} or {0}
        self.missing = set(self.starts)

    def final(self) -> bytes:
        """Give the token as the last piece's answer has it."""
        return self.token if self.has_raw_token else cipher.encode(self.token).encode()


@dataclass
class Session:
    """Somebody who logged in."""

    sid: str
    account: Account
    going: int = 0

    def __enter__(self) -> None:
        self.going += 1

    def __exit__(self, *_: object) -> None:
        self.going -= 1


class World:
    """Everything there is, with what the control API tells of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, Session] = {}
        self.uploads: dict[str, Upload] = {}
        self.tokens: dict[str, Upload] = {}
        self.downloads: dict[str, Node] = {}
        self.links: dict[str, Node] = {}
        self.answers: OrderedDict[tuple[str, str], tuple[bytes, asyncio.Task[Any]]] = OrderedDict()
        self.challenges: dict[str, tuple[int, str | None, bytes]] = {}
        self.counters: Counter[str] = Counter()
        self.violations: list[dict[str, Any]] = []
        self.requests: deque[dict[str, Any]] = deque(maxlen=1000)

    def blame(self, kind: str, detail: Any = None, account: Account | None = None) -> None:
        """Write down what a client did wrong, although the real server mightn't see it."""
        self.violations.append({"kind": kind, "detail": detail, "email": account.email if account else None})

    def remember(self, key: tuple[str, str], body: bytes, answer: asyncio.Task[Any]) -> None:
        """Keep an answer for the same request once more."""
        self.answers[key] = (body, answer)
        while len(self.answers) > _ANSWERS_KEPT:
            self.answers.popitem(last=False)

    def find_link(self, handle: str) -> Node:
        """Give what a public link points at. Raises Refused."""
        node = self.links.get(handle)
        if node is None:
            raise Refused(-9)
        return node

    def forget(self, account: Account, node: Node) -> None:
        """Remove a node and everything in it, with the bytes and the links."""
        for gone in account.below(node.h):
            del account.nodes[gone.h]
            if gone.link:
                self.links.pop(gone.link, None)
            if gone.content and not any(other.content == gone.content for other in self.all_nodes()):
                gone.content.unlink(missing_ok=True)

    def all_nodes(self) -> list[Node]:
        """Give every account's nodes."""
        return [node for account in self.accounts.values() for node in account.nodes.values()]


def new_handle() -> str:
    """Make the eight characters that name a node or a link."""
    return cipher.encode(secrets.token_bytes(6))


def make_account(email: str, password: str, *, version: int, mfa: str | None, quota_bytes: int) -> Account:
    """Sign somebody up. Takes a fifth of a second."""
    salt = secrets.token_bytes(16)
    key, uh = cipher.password_key(version, password, salt, email)
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    return Account(email, version, salt, key, uh, numbers, mfa=mfa, quota_bytes=quota_bytes)
