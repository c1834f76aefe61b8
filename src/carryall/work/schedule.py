"""What is done again and again: the periodic table."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that is queued again when it is done. It has one row, however many runners there are.

    Attributes:
        is_cut: it may take long, and nobody who stops the server waits for it: it goes on at the next start.
    """

    kind: str
    every: timedelta
    is_cut: bool = False

    @property
    def job_id(self) -> str:
        """The row's fixed id."""
        return f"periodic:{self.kind}"


PERIODIC = (
    Periodic("expire", timedelta(minutes=1)),
    Periodic("sweep", timedelta(hours=1)),
    Periodic("trim", timedelta(minutes=1)),
    Periodic("scrub", timedelta(hours=1), is_cut=True),
)
BY_ID = {periodic.job_id: periodic for periodic in PERIODIC}
