"""MEGA's cryptography against known values, worked out by its other clients' code."""

import asyncio
import json
import threading
import time
from collections.abc import Callable

import pytest

from carryall.stores.mega import hashcash
from carryall.stores.mega.crypto import (
    FileKey,
    PassingMac,
    b64decode,
    b64encode,
    chunk_mac,
    chunks,
    counter,
    ecb_encrypt,
    file_mac,
    opened,
    post_checksum,
    sealed,
)
from carryall.stores.mega.keys import keys_v1, keys_v2, one_time_code
from carryall.stores.mega.pauses import Pace
from carryall.stores.mega.upload import pieces

KEY = FileKey(key=bytes(range(16)), nonce=bytes.fromhex("1011121314151617"))
TOKEN = "wFqIT_wY3tYKcrm5zqwaUoWym3ZCz32cCsrJOgYBgihtpaWUhGyWJ--EY-zfwI-i"


def plain(size: int) -> bytes:
    """Give the bytes that the known values are of."""
    period = bytes((7 * at + 3) % 256 for at in range(256))
    return (period * (size // 256 + 1))[:size]


@pytest.mark.parametrize(
    ("size", "mac", "head", "tail"),
    [
        (0, "0000000000000000", "", ""),
        (1, "a303920e279d87cd", "8e", "8e"),
        (16, "923522023c45632b", "8eecc9d8c27de1ace404739ab7ab4f19", "b7ab4f19"),
        (17, "2d6bd1fd18e26167", "8eecc9d8c27de1ace404739ab7ab4f19", "ab4f19ec"),
        (100, "f6ea156041bbd59b", "8eecc9d8c27de1ace404739ab7ab4f19", "9dc90129"),
        (131072, "3729e82fbe654b57", "8eecc9d8c27de1ace404739ab7ab4f19", "639b6f2a"),
        (131073, "ec7d2d8311a6f90f", "8eecc9d8c27de1ace404739ab7ab4f19", "9b6f2a62"),
        (393216, "421d31cc3aee84aa", "8eecc9d8c27de1ace404739ab7ab4f19", "6013ec6b"),
        (400000, "e16c8155605a210e", "8eecc9d8c27de1ace404739ab7ab4f19", "52220014"),
    ],
)
def test_content_and_mac(size: int, mac: str, head: str, tail: str) -> None:
    """Ciphertext and MAC are MEGA's own, also where a file ends just at the end of a chunk."""
    content = plain(size)
    cipher = counter(KEY, 0).update(content)

    assert mac == file_mac(KEY, b"".join(chunk_mac(KEY, content[at:to]) for at, to in chunks(size))).hex()
    assert (head, tail) == (cipher[:16].hex(), cipher[-4:].hex())


def test_a_stream_may_begin_anywhere() -> None:
    """The counter of an offset is the offset's own."""
    assert "62" == counter(KEY, 131072).update(plain(131073)[131072:]).hex()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 131_072, 131_073, 400_000, 393_216])
@pytest.mark.parametrize("cut", [1, 1000, 131_072, 1 << 20])
def test_the_mac_of_a_stream(size: int, cut: int) -> None:
    """However a file is cut on its way, its MAC is the same; a byte that differs is seen."""
    content = plain(size)
    mac = file_mac(KEY, b"".join(chunk_mac(KEY, content[at:to]) for at, to in chunks(size)))
    for given, expected in ((content, True), (content[:-1] + bytes([content[-1] ^ 1]), False)):
        passing = PassingMac(FileKey(KEY.key, KEY.nonce, mac), size)
        step = max(cut, size // 5000)
        for at in range(0, size, step):
            passing.add(given[at : at + step])
        assert expected == passing.is_right()


def test_the_mac_that_megajs_makes() -> None:
    """Where a file ends with a chunk, it counts an empty one behind: such files are right, too."""
    passing = PassingMac(FileKey(KEY.key, KEY.nonce, bytes.fromhex("538c72cf2f844822")), 131_072)
    passing.add(plain(131_072))

    assert passing.is_right()


def test_chunks_grow_to_a_mebibyte() -> None:
    """The boundaries are the canonical ones; an empty file has none."""
    kib = 1024
    lengths = [128, 256, 384, 512, 640, 768, 896, 1024, 512]

    assert lengths == [(stop - start) // kib for start, stop in chunks(5 << 20)]
    assert [0, 128 * kib, 384 * kib, 768 * kib] == [start for start, _ in chunks(5 << 20)][:4]
    assert [] == list(chunks(0))


def test_keys_are_packed() -> None:
    """A node's key holds key, nonce and MAC; MEGA keeps it encrypted with the master key."""
    key = FileKey(KEY.key, KEY.nonce, bytes.fromhex("f6ea156041bbd59b"))

    assert "EBAQEBAQEBD-4x9rTbbblBAREhMUFRYX9uoVYEG71Zs" == b64encode(key.packed())
    assert key == FileKey.unpacked(key.packed())
    stored = ecb_encrypt(bytes(range(0xA0, 0xB0)), key.packed())
    assert "9uJcfFDNuhzvKzt79ZOqGkD7wmmd-9vhsvL-2z21tr8" == b64encode(stored)


def test_attributes_are_sealed() -> None:
    """Names are encrypted as MEGA does it, and come back; another key doesn't open them."""
    assert "YrRWTOsV7TZ0ApBZWn12UlHlrsWuwRQn8KxzmiDjS4E" == sealed({"n": "test.txt"}, KEY.key)
    assert {"n": "Grüße 🎈.txt"} == opened(sealed({"n": "Grüße 🎈.txt"}, KEY.key), KEY.key)
    with pytest.raises(ValueError, match="not this node's key"):
        opened(sealed({"n": "test.txt"}, KEY.key), bytes(16))


def test_keys_are_not_shown() -> None:
    """Whoever prints a key sees none."""
    assert "nonce" not in repr(KEY)
    assert "key=" not in repr(KEY)


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, 24, 12_287, 12_288, 12_289, 30_000, 131_072])
def test_the_checksum_of_a_post(size: int) -> None:
    """It is the exclusive or of every twelfth byte."""
    content = plain(size)
    slow = bytearray(12)
    for at, byte in enumerate(content):
        slow[at % 12] ^= byte

    assert bytes(slow) == post_checksum(content)


@pytest.mark.parametrize("text", ["-_8", "+/8=", "-_8="])
def test_base64_comes_in_two_alphabets(text: str) -> None:
    """Both are understood, padded or not; what is neither is told."""
    assert b"\xfb\xff" == b64decode(text)
    with pytest.raises(ValueError, match="not base64"):
        b64decode(text + "ü")


@pytest.mark.parametrize(
    ("password", "key", "user_hash"),
    [
        ("password", "640339725e6ebd13a25f0052129f7cb1", "hcVR9BZsYoY"),
        ("a much longer password than 16", "8b0f6b2f51f7bbf9fce2d9e5292e8e4b", "YTnHjEpGitI"),
    ],
)
def test_keys_of_old_accounts(password: str, key: str, user_hash: str) -> None:
    """A v1 account's keys are its password's, and its e-mail's."""
    keys = keys_v1("user@example.com", password)

    assert (key, user_hash) == (keys.password_key.hex(), keys.user_hash)


def test_keys_of_new_accounts() -> None:
    """A v2 account's keys are its password's and its salt's."""
    keys = keys_v2("password", bytes(range(16)))

    assert "fbde14d338cc6f821057f3f4a78ac20b" == keys.password_key.hex()
    assert "xwGxHjepOzeQw1EOAZRz8w" == keys.user_hash


@pytest.mark.parametrize(
    ("at", "code"), [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_one_time_codes(at: int, code: str) -> None:
    """Codes are RFC 6238's (its appendix B), however people write the secret down."""
    assert code == one_time_code("gezd gnbv gy3t qojq GEZD-GNBV-GY3T-QOJQ", at)


@pytest.mark.parametrize(("easiness", "limit"), [(0, 0x8), (100, 0x12400), (180, 0xD20000), (192, 0x1000000)])
def test_how_hard_a_challenge_is(easiness: int, limit: int) -> None:
    """The easiness is a small floating-point number."""
    assert limit == hashcash.threshold(easiness)


async def test_a_challenge_is_answered() -> None:
    """The known answer is one, and an easy challenge's answer is found and right."""
    assert hashcash.is_solution(b64decode(TOKEN), b64decode("AAABJw"), hashcash.threshold(192))

    version, token, prefix = (await hashcash.solve(f"1:255:1700000000:{TOKEN}")).split(":")

    assert ("1", TOKEN, 6) == (version, token, len(prefix))
    assert hashcash.is_solution(b64decode(TOKEN), b64decode(prefix), hashcash.threshold(255))


@pytest.mark.parametrize("challenge", [f"2:192:1:{TOKEN}", f"1:999:1:{TOKEN}", "1:192:1:abcd"])
async def test_an_unknown_challenge_is_told(challenge: str) -> None:
    """Nobody searches for an answer to what isn't understood."""
    with pytest.raises(ValueError, match="unknown challenge"):
        await hashcash.solve(challenge)


async def test_a_search_ends_when_nobody_waits() -> None:
    """Cancelled, no thread goes on hashing."""
    solving = asyncio.ensure_future(hashcash.solve(f"1:0:1700000000:{TOKEN}"))
    await asyncio.to_thread(wait_until, lambda: searching() > 0)

    solving.cancel()
    await asyncio.wait([solving])

    assert solving.cancelled()
    await asyncio.to_thread(wait_until, lambda: searching() == 0)


def searching() -> int:
    """Count the threads that look for an answer."""
    return sum(thread.name.startswith("mega-hashcash") for thread in threading.enumerate())


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again, for ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_other_clients_attributes_are_read() -> None:
    """Attributes that we don't know are no trouble."""
    assert {"n": "a", "lbl": 3, "c": "x"} == opened(sealed(json.loads('{"n":"a","lbl":3,"c":"x"}'), KEY.key), KEY.key)


@pytest.mark.parametrize("size", [0, 1, 131_072, 4 << 20, (4 << 20) + 1, 50_000_000])
def test_pieces_are_whole_chunks(size: int) -> None:
    """What goes in one POST is some chunks in a row, at most 4 MiB; together they are the file."""
    cut = list(pieces(size))

    assert list(chunks(size)) == [chunk for piece in cut for chunk in piece.chunks]
    assert list(range(len(cut))) == [piece.number for piece in cut]
    assert all(piece.stop - piece.start <= 4 << 20 for piece in cut)
    assert (0, size) == (cut[0].start, cut[-1].stop)


async def test_asking_has_a_pace() -> None:
    """Some may go at once, the rest in turn."""
    pace = Pace(burst=2, per_s=50)
    began = time.monotonic()

    for _ in range(5):
        await pace.take()

    assert 0.05 < time.monotonic() - began < 5
