"""What is done again and again: the periodic table."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that is queued again when it is done. It has one row, however many runners there are."""

    kind: str
    every: timedelta

    @property
    def job_id(self) -> str:
        """The row's fixed id."""
        return f"periodic:{self.kind}"


PERIODIC = (
    Periodic("expire", timedelta(minutes=1)),
    Periodic("sweep", timedelta(hours=1)),
)
BY_ID = {periodic.job_id: periodic for periodic in PERIODIC}
