"""HTTP requests that leave the house."""

from collections.abc import Mapping
from typing import Protocol


class Outbound(Protocol):
    """Asks other servers, and only those that may be asked.

    Addresses that the operator set are trusted: a URL's host on its port, a host named by itself on all of them.
    Every other host must resolve to public addresses: private, loopback, link-local, reserved and multicast ones get
    no connection, in whatever spelling they come, and what was checked is what is connected to. Each request ends
    within 10 s.

    Raises, from every method:
        Refused: `address_refused`: this URL may not be asked. Asking again gives the same answer.
        Unavailable: `outbound_failed`: no usable answer came. Asking again may help.
    """

    async def get(self, url: str, *, limit_bytes: int) -> bytes:
        """Give the body of a 200. Follows at most three redirects, and checks every hop like the first.

        A body of more than `limit_bytes`, and any status but 200, is `outbound_failed`.
        """
        ...

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> int:
        """Send `body` and give the answer's status, whatever it is. Redirects are not followed: they are the answer."""
        ...
