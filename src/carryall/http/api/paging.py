"""Pages of files: what may be asked for, and the cursor that leads to the next page."""

import base64
import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from carryall.http.api.moments import Moment
from carryall.http.api.room import EXTERNAL_ID
from carryall.model.errors import Malformed
from carryall.model.file import File
from carryall.ports.catalog_files import FileQuery, Sort
from carryall.ports.secrets import Secrets

_PURPOSE = "cursor"


class Listing(BaseModel):
    """The query parameters of a list of files."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, description="The `next_cursor` of the page before, with the same sort.")
    limit: int = Field(100, ge=1, le=1000, description="Files on a page.")
    sort: Sort = Field("-created", description="A minus sorts downwards.")
    name: str | None = Field(None, max_length=4096, description="Letters in the name, whatever their case.")
    type: str | None = Field(None, max_length=200, description="A media type, or a family such as `image/`.")
    created_after: Moment | None = Field(None, description="This time or later.")
    created_before: Moment | None = Field(None, description="Before this time.")
    main_service_file_id: str | None = Field(None, pattern=f"^(?:{EXTERNAL_ID})$")

    def query(self, secrets: Secrets) -> FileQuery:
        """Give the query; one file more than a page holds tells whether there is a next one.

        Raises:
            Malformed: `cursor_invalid`.
        """
        return FileQuery(
            name_contains=self.name,
            media_type=self.type.lower().removesuffix("*") if self.type else None,
            created_from=self.created_after,
            created_before=self.created_before,
            external_id=self.main_service_file_id,
            sort=self.sort,
            after=_after(secrets, self.cursor, self.sort) if self.cursor is not None else None,
            limit=self.limit + 1,
        )


def next_cursor(secrets: Secrets, query: FileQuery, page: Sequence[File]) -> str | None:
    """Give the cursor that leads on from a page; None where `query`, which asked for one more, found no more."""
    if len(page) < query.limit:
        return None
    return cursor_after(secrets, query.sort, query.following(page[-2]).after or ())


def cursor_after(secrets: Secrets, order: str, keys: Sequence[str | int]) -> str:
    """Give the cursor to what comes, in this order, after these keys."""
    payload = base64.urlsafe_b64encode(json.dumps([order, *keys], ensure_ascii=False).encode()).decode().rstrip("=")
    return f"{payload}.{secrets.sign(_PURPOSE, payload, None)}"


def read_cursor(secrets: Secrets, cursor: str, order: str) -> list[str | int]:
    """Read a cursor of ours; give its keys. It is signed, so whatever it says was said here. Raises Malformed."""
    payload, _, signature = cursor.partition(".")
    if secrets.verify(_PURPOSE, payload, None, signature):
        keys: list[str | int]
        said, *keys = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if said == order:
            return keys
    raise Malformed(
        "This cursor isn't one of ours, or was given with another sort. Begin again without one.",
        code="cursor_invalid",
    )


def _after(secrets: Secrets, cursor: str, sort: Sort) -> tuple[str | int, str]:
    value, file_id = read_cursor(secrets, cursor, sort)
    return value, str(file_id)
