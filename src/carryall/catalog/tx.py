"""One transaction's view of the catalog, by aggregate."""

from functools import cached_property

from sqlalchemy import Connection

from carryall.catalog.accounts import PlanRows, TokenRows, UserRows
from carryall.catalog.copies import CopyRows
from carryall.catalog.errands import ErrandRows
from carryall.catalog.files import FileRows
from carryall.catalog.hits import HitRows
from carryall.catalog.leases import LeaseRows
from carryall.catalog.links import GrantRows, LinkRows
from carryall.catalog.uploads import UploadRows
from carryall.catalog.usages import UsageRows
from carryall.catalog.work import EventRows, JobRows


class SqlTx:
    """Implements `ports.catalog.Tx` over one connection inside one transaction, whatever the database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def uploads(self) -> UploadRows:
        """Bytes on their way in."""
        return UploadRows(self._connection)

    @cached_property
    def files(self) -> FileRows:
        """Bytes that arrived."""
        return FileRows(self._connection)

    @cached_property
    def copies(self) -> CopyRows:
        """Copies, across files."""
        return CopyRows(self._connection)

    @cached_property
    def links(self) -> LinkRows:
        """Permissions to read by link."""
        return LinkRows(self._connection)

    @cached_property
    def grants(self) -> GrantRows:
        """Downloads taken from limited links."""
        return GrantRows(self._connection)

    @cached_property
    def errands(self) -> ErrandRows:
        """Requests that may be repeated."""
        return ErrandRows(self._connection)

    @cached_property
    def users(self) -> UserRows:
        """Those who have tokens."""
        return UserRows(self._connection)

    @cached_property
    def tokens(self) -> TokenRows:
        """Stored credentials."""
        return TokenRows(self._connection)

    @cached_property
    def plans(self) -> PlanRows:
        """Plans that administrators made."""
        return PlanRows(self._connection)

    @cached_property
    def usages(self) -> UsageRows:
        """What each owner holds."""
        return UsageRows(self._connection)

    @cached_property
    def leases(self) -> LeaseRows:
        """Who writes to which upload now."""
        return LeaseRows(self._connection)

    @cached_property
    def jobs(self) -> JobRows:
        """What is still to do."""
        return JobRows(self._connection)

    @cached_property
    def hits(self) -> HitRows:
        """Who asked when."""
        return HitRows(self._connection)

    @cached_property
    def events(self) -> EventRows:
        """What happened."""
        return EventRows(self._connection)
