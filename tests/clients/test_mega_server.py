"""The MEGA of our tests is as strict as the real one, and stricter: what a client does wrong, it says."""

import itertools
import os
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.servers.mega import cipher
from tests.servers.mega.launch import FakeMega

KEY, NONCE = bytes(range(16)), bytes(range(16, 24))
EMAIL, PASSWORD = "strict@example.com", "password"


class Raw:
    """A client that does as it is told, and forges as easily as it does right."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self._ids = itertools.count(secrets.randbelow(1 << 31))
        self._sid: dict[str, str] = {}
        self.master = b""

    def ask(self, command: str, *, id: int | None = None, **values: Any) -> Any:
        """Send one command; give its answer."""
        query = {"id": str(id or next(self._ids)), **self._sid}
        answer = self._client.post("/cs", params=query, json=[{"a": command, **values}]).json()
        return answer[0] if isinstance(answer, list) else answer

    def stranger(self, email: str) -> "Raw":
        """Give a client that is logged in as somebody else."""
        other = Raw(self._client)
        other.login(email)
        return other

    def login(self, email: str = EMAIL) -> None:
        """Log in to an account of version 2."""
        salt = cipher.decode(self.ask("us0", user=email)["s"])
        key, uh = cipher.password_key(2, PASSWORD, salt, email)
        told = self.ask("us", user=email, uh=uh)
        self.master = cipher.ecb(key, cipher.decode(told["k"]), back=True)
        blob, numbers = cipher.ecb(self.master, cipher.decode(told["privk"]), back=True), []
        for _ in range(4):
            length = (int.from_bytes(blob[:2], "big") + 7) // 8
            numbers.append(int.from_bytes(blob[2 : 2 + length], "big"))
            blob = blob[2 + length :]
        p, q, d, _ = numbers
        opened = pow(int.from_bytes(cipher.decode(told["csid"])[2:], "big"), d, p * q)
        sid = opened.to_bytes((opened.bit_length() + 7) // 8, "big")[:43]
        assert told["u"].encode() == sid[16:27]
        self._sid = {"sid": cipher.encode(sid)}

    def root(self) -> str:
        """Give the handle of the root."""
        return str(next(node["h"] for node in self.ask("f", c=1)["f"] if node["t"] == 2))

    def post(self, url: str, offset: int, piece: bytes, crc: str | None = None) -> bytes:
        """Send one piece of ciphertext; give the answer's body."""
        return self._client.post(f"{url}/{offset}", content=piece, params={} if crc is None else {"d": crc}).content

    def get(self, url: str) -> httpx2.Response:
        """Download."""
        return self._client.get(url)

    def token(self, content: bytes) -> str:
        """Upload a small file; give its token."""
        url = self.ask("u", s=len(content), v=2)["p"]
        token = self.post(url, 0, cipher.counted(KEY, NONCE, content, 0))
        assert 36 == len(token)
        return cipher.encode(token)

    def node(self, token: str, content: bytes, **changes: bytes) -> dict[str, Any]:
        """Give what `p` says of a file; `meta` or `plain` may be something else than what is right."""
        mac = cipher.Mac(KEY, NONCE)
        for at, length in cipher.chunks(len(content)):
            mac.add(content[at : at + length])
        tail = NONCE + changes.get("meta", mac.meta())
        plain = changes.get("plain", b'MEGA{"n":"a.txt"}')
        attributes = cipher.encode(cipher.cbc(KEY, plain + bytes(-len(plain) % 16)))
        stored = cipher.encode(cipher.ecb(self.master, cipher.xor(KEY, tail) + tail))
        return {"h": token, "t": 0, "a": attributes, "k": stored}


@pytest.fixture(scope="module")
def server(mega: FakeMega) -> FakeMega:
    """The server, with two accounts."""
    for email in (EMAIL, "other@example.com"):
        mega.account(email, PASSWORD)
    return mega


@pytest.fixture
def raw(server: FakeMega) -> Iterator[Raw]:
    """A client that is logged in; nothing was blamed yet."""
    server.clear()
    with httpx2.Client(base_url=server.url, timeout=20) as client:
        made = Raw(client)
        made.login()
        yield made
    server.clear()


def kinds(server: FakeMega) -> list[str]:
    """Give what the server blames clients for."""
    return [one["kind"] for one in server.violations]


@pytest.mark.parametrize(
    ("size", "meta"),
    [
        (0, "0000000000000000"),
        (1, "a303920e279d87cd"),
        (16, "923522023c45632b"),
        (17, "2d6bd1fd18e26167"),
        (100, "f6ea156041bbd59b"),
        (131_072, "3729e82fbe654b57"),
        (131_073, "ec7d2d8311a6f90f"),
        (393_216, "421d31cc3aee84aa"),
        (400_000, "e16c8155605a210e"),
    ],
)
def test_known_check_sums(size: int, meta: str) -> None:
    """Its check sums are MEGA's own, at a chunk's end too."""
    content = bytes((7 * at + 3) % 256 for at in range(size))
    mac = cipher.Mac(KEY, NONCE)
    for at, length in cipher.chunks(size):
        mac.add(content[at : at + length])

    assert meta == mac.meta().hex()


def test_known_keys() -> None:
    """Passwords become the known keys, digits and proofs are the known ones."""
    email = "user@example.com"
    v1 = cipher.password_key(1, "a much longer password than 16", b"", email)
    v2 = cipher.password_key(2, "password", bytes(range(16)), email)
    token = "wFqIT_wY3tYKcrm5zqwaUoWym3ZCz32cCsrJOgYBgihtpaWUhGyWJ--EY-zfwI-i"

    assert ("8b0f6b2f51f7bbf9fce2d9e5292e8e4b", "YTnHjEpGitI") == (v1[0].hex(), v1[1])
    assert ("fbde14d338cc6f821057f3f4a78ac20b", "xwGxHjepOzeQw1EOAZRz8w") == (v2[0].hex(), v2[1])
    assert "287082" == cipher.totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59)  # RFC 6238, appendix B
    assert cipher.hashcash_is_solved(token, "AAABJw", 192)
    assert not cipher.hashcash_is_solved(token, "AAABJw", 100)


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({}, []),
        ({"meta": bytes(8)}, ["mac"]),
        ({"plain": b'{"n":"a.txt"}'}, ["attributes"]),
        ({"plain": b'MEGA{"m":"a.txt"}'}, ["attributes"]),
    ],
)
def test_what_is_stored_is_looked_into(
    raw: Raw, server: FakeMega, changes: dict[str, bytes], blamed: list[str]
) -> None:
    """With the master key it sees a wrong check sum and attributes that nobody could read."""
    content = os.urandom(99)

    raw.ask("p", t=raw.root(), n=[raw.node(raw.token(content), content, **changes)])

    assert blamed == [kind for kind in kinds(server) if kind != "key used twice"]


def test_a_key_is_used_once(raw: Raw, server: FakeMega) -> None:
    """Two files with one key and one nonce could be read by who has both."""
    for content in (b"one", b"two"):
        raw.ask("p", t=raw.root(), n=[raw.node(raw.token(content), content)])

    assert "key used twice" in kinds(server)


@pytest.mark.parametrize(("offset", "length"), [(1, 131_071), (0, 131_071), (131_072, 131_072), (0, 400_001)])
def test_pieces_keep_to_chunks(raw: Raw, offset: int, length: int) -> None:
    """A piece begins and ends where chunks do; only the file's end is an end, too."""
    url = raw.ask("u", s=400_000)["p"]

    assert b"-7" == raw.post(url, offset, bytes(length))


def test_pieces_come_in_any_order(raw: Raw, server: FakeMega) -> None:
    """Whichever piece is the last one missing brings the token: as bytes, or as text where no `v` asked for them."""
    content = random.Random(1).randbytes(400_000)
    pieces = [(393_216, 400_000), (0, 131_072), (131_072, 393_216)]
    for version, length in ((2, 36), (0, 36)):
        url = raw.ask("u", s=400_000, v=version)["p"]
        answers = [
            raw.post(url, start, cipher.counted(KEY, NONCE, content[start:stop], start)) for start, stop in pieces
        ]
        assert [0, 0, length] == [len(answer) for answer in answers]
        token = cipher.encode(answers[2]) if version == 2 else answers[2].decode()
        (made,) = raw.ask("p", t=raw.root(), n=[raw.node(token, content)])["f"]
        assert content == server.bytes(made["h"])


@pytest.mark.parametrize("size", [1, 12, 13, 131_072, 1 << 20])
def test_the_check_sum_of_a_piece(raw: Raw, size: int) -> None:
    """A piece whose bytes aren't what was announced is refused, and may be sent again."""
    piece, url = random.Random(size).randbytes(size), raw.ask("u", s=size, v=2)["p"]
    crc = bytearray(12)
    for at, byte in enumerate(piece):
        crc[at % 12] ^= byte

    answers = [raw.post(url, 0, sent, cipher.encode(crc)) for sent in (bytes([piece[0] ^ 1]) + piece[1:], piece)]

    # The bytes of 1 MiB are several chunks, sent in one piece.
    assert [b"-14", 36] == [answers[0], len(answers[1])]


def test_tokens_are_used_once(raw: Raw, server: FakeMega) -> None:
    """A token makes one node, whoever asks."""
    content = os.urandom(9)
    node, root = raw.node(raw.token(content), content), raw.root()

    answers = [raw.ask("p", t=root, n=[node]) for _ in range(2)]

    assert -9 == answers[1]
    assert "token" in kinds(server)


def test_a_repeated_request_is_done_once(raw: Raw, server: FakeMega) -> None:
    """Although nobody heard the answer, the same request with the same id gives it."""
    content = os.urandom(9)
    node, root, before = raw.node(raw.token(content), content), raw.root(), len(server.nodes(EMAIL))
    server.fault("cs", command="p", drop=True)

    with pytest.raises(httpx2.TransportError):
        raw.ask("p", id=777, t=root, n=[node])
    (made,) = raw.ask("p", id=777, t=root, n=[node])["f"]

    assert content == server.bytes(made["h"])
    assert (before + 1, []) == (len(server.nodes(EMAIL)), [kind for kind in kinds(server) if kind != "key used twice"])


def test_strangers(raw: Raw, server: FakeMega) -> None:
    """Nobody reaches other people's nodes, and an ended session nothing."""
    content = os.urandom(9)
    (made,) = raw.ask("p", t=raw.root(), n=[raw.node(raw.token(content), content)])["f"]
    other = raw.stranger("other@example.com")

    assert [-11] * 4 == [other.ask(command, n=made["h"]) for command in ("g", "d", "l", "a")]
    server.expire("sessions")
    assert [-15] * 2 == [raw.ask(command, n=made["h"]) for command in ("g", "d")]


def test_faults_pass(raw: Raw, server: FakeMega) -> None:
    """What shall go wrong goes wrong as often as it was said, then no more."""
    server.fault("cs", command="uq", answer=-3, times=2)
    server.fault("cs", command="ug", status=503, skip=1)

    assert [-3, -3, int] == [raw.ask("uq"), raw.ask("uq"), type(raw.ask("uq")["cstrg"])]
    assert EMAIL == raw.ask("ug")["email"]
    with pytest.raises(ValueError, match="Expecting value"):
        raw.ask("ug")
    assert EMAIL == raw.ask("ug")["email"]


def test_downloads(raw: Raw, server: FakeMega) -> None:
    """Ranges hold both their ends; an address expires; a byte is changed and a stream is cut on demand."""
    content = os.urandom(100_000)
    (made,) = raw.ask("p", t=raw.root(), n=[raw.node(raw.token(content), content)])["f"]
    url, stored = raw.ask("g", g=1, n=made["h"])["g"], cipher.counted(KEY, NONCE, content, 0)

    assert stored[7:101] == raw.get(f"{url}/7-100").content
    server.fault("dl", status=509, time_left_s=7)
    answer = raw.get(url)
    assert (509, "7") == (answer.status_code, answer.headers["X-MEGA-Time-Left"])
    server.fault("dl", flip=5)
    assert [5] == [at for at, byte in enumerate(raw.get(url).content) if byte != stored[at]]
    server.fault("dl", cut_after=1000)
    with pytest.raises(httpx2.TransportError):
        raw.get(url)
    server.expire("downloads")
    assert 403 == raw.get(url).status_code


def test_uploads_expire(raw: Raw, server: FakeMega) -> None:
    """An upload's address ends, and says so."""
    url = raw.ask("u", s=9)["p"]
    server.expire("uploads")

    assert b"-8" == raw.post(url, 0, bytes(9))


def test_it_goes_away_and_comes_back(raw: Raw, server: FakeMega) -> None:
    """For a while nobody listens; afterwards everything is as it was."""
    server.leave(0.2)

    with pytest.raises(httpx2.TransportError):
        raw.ask("ug")
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        try:
            assert EMAIL == raw.ask("ug")["email"]
            return
        except httpx2.TransportError:
            time.sleep(0.05)
    pytest.fail("it didn't come back")
