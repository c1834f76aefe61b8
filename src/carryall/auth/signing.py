"""Signatures of our own, for links that carry their permission."""

import base64
import hashlib
import hmac
from datetime import datetime

from carryall.auth.secrets import same
from carryall.model.errors import Malformed


class Signer:
    """Signs with a key of its own for every purpose, so that one purpose's signature is worth nothing for another."""

    def __init__(self, secret_key: str) -> None:
        """Take the server's secret key.

        Raises:
            Malformed: it is empty.
        """
        if not secret_key:
            raise Malformed("The secret key is empty; it has to be a long random text.")
        self._secret = secret_key.encode("utf-8")

    def sign(self, purpose: str, subject: str, *, expires_at: datetime | None) -> str:
        """Give the signature: 43 URL-safe characters (HMAC-SHA256, 256 bits).

        Args:
            purpose: what it permits ("link", "image").
            subject: what it is for, an id.
            expires_at: its end, counted in whole seconds; None for no end. Whoever checks has to be told the same.
        """
        key = hmac.digest(self._secret, b"carryall signature for " + purpose.encode("utf-8"), hashlib.sha256)
        # The end comes first and has no line feed in it, so no subject can pretend to be another end.
        end = "never" if expires_at is None else str(int(expires_at.timestamp()))
        mark = hmac.digest(key, f"{end}\n{subject}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(mark).decode("ascii").rstrip("=")

    def verify(self, purpose: str, subject: str, *, expires_at: datetime | None, signature: str, now: datetime) -> bool:
        """Tell whether the signature is ours for exactly this and not over, in the same time for every wrong one."""
        genuine = same(signature, self.sign(purpose, subject, expires_at=expires_at))
        return genuine and (expires_at is None or now < expires_at)
