"""Who another service says is asking: tokens that it signed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says.

    Attributes:
        subject: 1 to 128 characters of `A-Z a-z 0-9 . _ @ -`: safe as a name, still not safe as a path ("..").
        file_id: the one `main_service_file_id` that it is for, in decimal without leading zeros; None for any file.
        expires_at: when the token ends.
    """

    subject: str
    file_id: str | None
    expires_at: datetime


class TokenVerifier(Protocol):
    """Reads signed tokens, and believes only those that are genuine, meant for us, and valid now."""

    async def verify(self, token: str) -> Claims:
        """Give what the token says.

        The text of every error is the same for every kind of forgery and never repeats any part of the token.

        Raises:
            Unauthenticated: `token_expired` for a genuine token whose time is over, `token_invalid` for all else.
            Unavailable: the keys to check it with can't be had now.
        """
        ...
