"""Secrets are random, kept as digests, and compared without telling how much was right (threat 8)."""

import hashlib
import statistics
import time

import pytest

from carryall.auth.secrets import check_password, digest_token, hash_password, new_token, same


def test_tokens_carry_256_bits() -> None:
    """A token is "cya_" and 43 random characters, another one each time."""
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {(token[:4], len(token)) for token in tokens} == {("cya_", 47)}


def test_digest_is_sha256() -> None:
    """What is kept is the sha-256, hexadecimal."""
    assert digest_token("cya_x") == hashlib.sha256(b"cya_x").hexdigest()


@pytest.mark.parametrize(
    ("given", "kept", "expected"),
    [("a", "a", True), ("a", "b", False), ("a", "", False), ("", "", True), ("ä", "ä", True), ("ä", "a\u0308", False)],
)
def test_same(given: str, kept: str, expected: bool) -> None:  # noqa: FBT001  # a table of cases
    """Equal texts, and only those, are the same."""
    assert same(given, kept) is expected


def test_lone_surrogates_are_wrong_secrets() -> None:
    """Text that no encoding takes is compared like any other."""
    assert not same("\ud800", "x")
    assert same("\ud800", "\ud800")
    assert len(digest_token("\udfff")) == 64


def test_comparing_takes_as_long_wherever_the_difference_is() -> None:
    """A wrong first and a wrong last character differ by less than 5 µs (Welch's bound over 2 x 800 tries)."""
    kept = new_token()
    wrongs = ("#" + kept[1:], kept[:-1] + "#")
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(800):
        for wrong, taken in zip(wrongs, times, strict=True):
            begin = time.perf_counter()
            same(wrong, kept)
            taken.append(time.perf_counter() - begin)
    assert abs(statistics.median(times[0]) - statistics.median(times[1])) < 5e-6


def test_password_is_checked() -> None:
    """The right password agrees with its hash; others, of any likeness, don't."""
    stored = hash_password("pässword")
    assert check_password("pässword", stored)
    assert not any(check_password(wrong, stored) for wrong in ("password", "Pässword", "pässword ", "", "\0"))


def test_password_hashes_are_salted_and_hide_the_password() -> None:
    """The same password is kept differently each time, and nowhere in clear."""
    one, two = hash_password("secret"), hash_password("secret")
    assert one != two
    assert "secret" not in one


@pytest.mark.parametrize("stored", ["", "scrypt$$", "scrypt$AAAA$!", "scrypt$é$AAAA", "plain$AAAA$AAAA", "a$b$c$d"])
def test_broken_hash_matches_nothing(stored: str) -> None:
    """A hash that can't be read opens nothing."""
    assert not check_password("secret", stored)
    assert not check_password("", stored)


def test_other_schemes_match_nothing() -> None:
    """A hash is only read by the scheme that it names."""
    assert not check_password("secret", hash_password("secret").replace("scrypt", "plain"))
