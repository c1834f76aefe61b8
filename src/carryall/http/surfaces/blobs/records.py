"""What blobs tells of files and users, in the described system's words. Times are ISO 8601 with their offset."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from carryall.model.account import Usage, User
from carryall.model.file import File

FILE_EXAMPLE: dict[str, Any] = {
    "file_id": "Xy7abc23",
    "file_name": "holiday.jpg",
    "file_size": 9961472,
    "user_id": "alice",
    "download_times": 3,
    "upload_at": "2026-01-31T12:00:00.000000+00:00",
    "last_download_at": None,
}
USER_EXAMPLE: dict[str, Any] = {
    "user": "alice",
    "token": "[hidden...]",
    "total_size": 9961472,
    "total_upload_times": 1,
    "total_upload_byte": 9961472,
    "total_download_times": 3,
    "total_download_byte": 29884416,
    "created_at": "2026-01-31T11:00:00.000000+00:00",
    "last_upload_at": "2026-01-31T12:00:00.000000+00:00",
    "last_download_at": None,
}
HIDDEN = "[hidden...]"


class FileRecord(BaseModel):
    """One file. `file_id` is its short id; `file_size` is in bytes."""

    model_config = ConfigDict(json_schema_extra={"example": FILE_EXAMPLE})

    file_id: str
    file_name: str
    file_size: int
    user_id: str
    download_times: int
    upload_at: str
    last_download_at: str | None


class UserRecord(BaseModel):
    """One user. Sizes are in bytes; `total_size` is what is kept now, the other totals only ever grow."""

    model_config = ConfigDict(json_schema_extra={"example": USER_EXAMPLE})

    user: str
    token: str
    total_size: int
    total_upload_times: int
    total_upload_byte: int
    total_download_times: int
    total_download_byte: int
    created_at: str
    last_upload_at: str | None
    last_download_at: str | None


def file_record(file: File) -> FileRecord:
    """Give a file's record. An owner who is no user of blobs keeps the prefix that says where the name comes from."""
    return FileRecord(
        file_id=file.short_id,
        file_name=file.name,
        file_size=file.size,
        user_id=file.owner.removeprefix("user:"),
        download_times=file.downloads,
        upload_at=file.created_at.isoformat(),
        last_download_at=_iso(file.last_read_at),
    )


def user_record(user: User, usage: Usage, token: str) -> UserRecord:
    """Give a user's record; `token` is what is shown of it."""
    return UserRecord(
        user=user.name,
        token=token,
        total_size=usage.stored_bytes,
        total_upload_times=usage.uploads,
        total_upload_byte=usage.uploaded_bytes,
        total_download_times=usage.downloads,
        total_download_byte=usage.downloaded_bytes,
        created_at=user.created_at.isoformat(),
        last_upload_at=_iso(usage.last_upload_at),
        last_download_at=_iso(usage.last_download_at),
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
