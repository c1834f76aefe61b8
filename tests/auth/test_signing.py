"""A signature of ours is good for one purpose, one subject and one end, and for nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from carryall.auth.signing import Signer
from carryall.model.errors import Malformed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
END = NOW + timedelta(minutes=5)
SIGNER = Signer("a long random text")


def is_good(
    signature: str,
    purpose: str = "link",
    subject: str = "file-1",
    *,
    end: datetime | None = END,
    now: datetime = NOW,
    signer: Signer = SIGNER,
) -> bool:
    return signer.verify(purpose, subject, expires_at=end, signature=signature, now=now)


def test_signature_verifies() -> None:
    """What was signed verifies, with and without an end."""
    assert is_good(SIGNER.sign("link", "file-1", expires_at=END))
    assert is_good(SIGNER.sign("link", "file-1", expires_at=None), end=None)


def test_signature_is_short_enough_for_urls() -> None:
    """43 URL-safe characters carry 256 bits."""
    signature = SIGNER.sign("link", "ü/\n?", expires_at=END)
    assert len(signature) == 43
    assert set(signature) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_signature_ends() -> None:
    """It is good until its end, not at its end."""
    signature = SIGNER.sign("link", "file-1", expires_at=END)
    assert is_good(signature, now=END - timedelta(seconds=1))
    assert not is_good(signature, now=END)


def test_signature_is_for_one_thing() -> None:
    """Another purpose, subject, end or key makes it worthless."""
    signature = SIGNER.sign("link", "file-1", expires_at=END)
    assert not is_good(signature, purpose="image")
    assert not is_good(signature, subject="file-2")
    assert not is_good(signature, end=END + timedelta(seconds=1))
    assert not is_good(signature, end=None)
    assert not is_good(signature, signer=Signer("another text"))


def test_parts_cannot_be_shifted() -> None:
    """What is signed has one reading: no part of it can be moved into its neighbour."""
    stamp = int(END.timestamp())
    assert not is_good(SIGNER.sign("link", f"{stamp}\nfile-1", expires_at=None))
    assert not is_good(SIGNER.sign("linkf", "ile-1", expires_at=END))


@pytest.mark.parametrize("place", range(43))
def test_every_character_counts(place: int) -> None:
    """A single changed character spoils it, the last one too."""
    signature = SIGNER.sign("link", "file-1", expires_at=END)
    other = "A" if signature[place] != "A" else "B"
    assert not is_good(signature[:place] + other + signature[place + 1 :])


@pytest.mark.parametrize("wrong", ["", "=", "ä", "\ud800", "\0", "x" * 10_000])
def test_nonsense_is_just_wrong(wrong: str) -> None:
    """Whatever stands in the URL is a wrong signature, never an error."""
    genuine = SIGNER.sign("link", "file-1", expires_at=END)
    assert not any(map(is_good, (wrong, genuine + wrong[:1] + "=", genuine[:-1] + wrong[:1])))


def test_empty_secret_is_refused() -> None:
    """A server without a secret can't sign."""
    with pytest.raises(Malformed, match="empty"):
        Signer("")
