"""Times and ends as clients write them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, model_validator

_CENTURY_S = 100 * 365 * 24 * 3600


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("This time lies outside of the calendar.") from error


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""A time in ISO 8601; one without an offset is UTC."""


class Ending(BaseModel):
    """What may come to an end: by a time, or after so many seconds, but not both."""

    model_config = ConfigDict(extra="forbid")

    expires_in: Annotated[StrictInt, Field(ge=1, le=_CENTURY_S)] | None = Field(None, description="Seconds from now.")
    expires_at: Moment | None = None

    @model_validator(mode="after")
    def _one_end(self) -> "Ending":
        if self.expires_in is not None and self.expires_at is not None:
            raise ValueError("Give expires_in or expires_at, not both.")
        return self

    def end(self, now: datetime) -> datetime | None:
        """Give the end; None for what stays."""
        return now + timedelta(seconds=self.expires_in) if self.expires_in is not None else self.expires_at
