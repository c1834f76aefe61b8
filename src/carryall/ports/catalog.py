"""The memory of everything: transactions over the catalog's aggregates.

A verb hands `read` or `write` a plain function. The catalog runs it in one transaction, on a thread or connection of
its own, and gives its result. The function must be short, touch nothing but `tx`, and be safe to run twice.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from carryall.ports.catalog_accounts import Grants, Links, Plans, Tokens, Usages, Users
from carryall.ports.catalog_copies import Copies
from carryall.ports.catalog_errands import Errands
from carryall.ports.catalog_files import Files, Uploads
from carryall.ports.catalog_leases import LeaseRecords
from carryall.ports.catalog_work import Events, Hits, Jobs

T = TypeVar("T")


class Tx(Protocol):
    """One transaction, by aggregate."""

    @property
    def uploads(self) -> Uploads:
        """Bytes on their way in."""
        ...

    @property
    def files(self) -> Files:
        """Bytes that arrived, and their copies."""
        ...

    @property
    def copies(self) -> Copies:
        """Copies, across files."""
        ...

    @property
    def links(self) -> Links:
        """Permissions to read by link."""
        ...

    @property
    def grants(self) -> Grants:
        """Downloads taken from limited links."""
        ...

    @property
    def errands(self) -> Errands:
        """Requests that may be repeated, by their owner and key."""
        ...

    @property
    def users(self) -> Users:
        """Those who have tokens."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Stored credentials, by digest."""
        ...

    @property
    def plans(self) -> Plans:
        """Plans that administrators made."""
        ...

    @property
    def usages(self) -> Usages:
        """What each owner holds, reserves and has done."""
        ...

    @property
    def leases(self) -> LeaseRecords:
        """Who writes to which upload now, where several processes do."""
        ...

    @property
    def jobs(self) -> Jobs:
        """What is still to do."""
        ...

    @property
    def hits(self) -> Hits:
        """Who asked when."""
        ...

    @property
    def events(self) -> Events:
        """What happened."""
        ...


class Catalog(Protocol):
    """Runs functions in transactions."""

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a snapshot of what is committed. Writing in it is an error."""
        ...

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` and commit; when this returns, what it wrote survives kill -9 and power loss.

        When `work` raises, nothing of it is kept and the error comes back as it is. Raises Unavailable or NoRoom when
        the catalog itself fails. Cancelling the caller doesn't undo a transaction that has begun.
        """
        ...
