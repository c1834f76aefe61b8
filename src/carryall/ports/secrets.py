"""Secrets: making them, keeping only what can't be turned back, and signing."""

from datetime import datetime
from typing import Protocol


class Secrets(Protocol):
    """Everything that needs a secret or makes one."""

    def new_token(self) -> str:
        """Make a token of 256 random bits, for a header."""
        ...

    def digest(self, token: str) -> str:
        """Give a token's sha-256, hexadecimal: what the catalog keeps."""
        ...

    def same(self, given: str, known: str) -> bool:
        """Compare in a time that tells nothing of either (threat 8)."""
        ...

    async def hash_password(self, password: str) -> str:
        """Give a slow, salted hash, off the event loop."""
        ...

    async def check_password(self, password: str, hashed: str) -> bool:
        """Tell whether the password made this hash, off the event loop."""
        ...

    def sign(self, purpose: str, subject: str, expires_at: datetime | None) -> str:
        """Give a URL-safe signature over a purpose, a subject and an end."""
        ...

    def verify(self, purpose: str, subject: str, expires_at: datetime | None, signature: str) -> bool:
        """Tell whether this signature was made here for just that; the caller compares `expires_at` with the clock."""
        ...
