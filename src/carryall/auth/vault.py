"""Everything that needs a secret or makes one, behind one contract."""

import asyncio
from datetime import datetime

from carryall.auth import secrets
from carryall.auth.signing import Signer
from carryall.ports.clock import Clock


class Vault:
    """Implements `ports.secrets.Secrets`."""

    def __init__(self, secret_key: str, clock: Clock) -> None:
        self._signer = Signer(secret_key)
        self._clock = clock

    def new_token(self) -> str:
        """Make a token."""
        return secrets.new_token()

    def digest(self, token: str) -> str:
        """Give a token's sha-256."""
        return secrets.digest_token(token)

    def same(self, given: str, known: str) -> bool:
        """Compare in a time that tells nothing."""
        return secrets.same(given, known)

    async def hash_password(self, password: str) -> str:
        """Give a slow, salted hash."""
        return await asyncio.to_thread(secrets.hash_password, password)

    async def check_password(self, password: str, hashed: str) -> bool:
        """Tell whether the password made this hash."""
        return await asyncio.to_thread(secrets.check_password, password, hashed)

    def sign(self, purpose: str, subject: str, expires_at: datetime | None) -> str:
        """Give a signature."""
        return self._signer.sign(purpose, subject, expires_at=expires_at)

    def verify(self, purpose: str, subject: str, expires_at: datetime | None, signature: str) -> bool:
        """Tell whether this signature was made here for just that, and isn't over."""
        return self._signer.verify(purpose, subject, expires_at=expires_at, signature=signature, now=self._clock.now())
