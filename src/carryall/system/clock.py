"""The machine's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Implements `ports.clock.Clock`."""

    def now(self) -> datetime:
        """Give the present time in UTC."""
        return datetime.now(UTC)
