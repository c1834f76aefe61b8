"""What time it is."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The one source of wall-clock time. Nothing else asks the machine."""

    def now(self) -> datetime:
        """Give the present time, aware, in UTC."""
        ...
