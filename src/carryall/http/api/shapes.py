"""The native API's nouns as JSON: how each looks on the wire."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from carryall.http.appends import advised
from carryall.http.call import Call
from carryall.model.file import Copy, CopyState, File
from carryall.model.upload import Upload
from carryall.operations.files import Shared

_HERE = "http://127.0.0.1:8000"
FILE: dict[str, Any] = {
    "id": "4fGhR2mP8sQ1tVx7Lb3Nc9",
    "short_id": "Xy7abc23",
    "name": "holiday.jpg",
    "size": 250000,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "media_type": "image/jpeg",
    "path": "2026/holiday.jpg",
    "main_service_file_id": None,
    "owner": "user:alice",
    "door": "v1",
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": None,
    "last_read_at": None,
    "downloads": 0,
    "url": f"{_HERE}/v1/files/4fGhR2mP8sQ1tVx7Lb3Nc9/content",
    "short_url": f"{_HERE}/s/Xy7abc23",
    "target": "local,s3",
    "is_delivered": False,
    "copies": [
        {
            "store": "local",
            "state": "stored",
            "link": None,
            "sent_bytes": None,
            "attempts": 0,
            "error": None,
            "code": None,
            "next_try_at": None,
            "stored_at": "2026-01-31T12:00:00Z",
            "is_cache": False,
        },
        {
            "store": "s3",
            "state": "failed",
            "link": None,
            "sent_bytes": None,
            "attempts": 2,
            "error": "The store asks to come back later.",
            "code": "store_busy",
            "next_try_at": "2026-01-31T12:00:21Z",
            "stored_at": None,
            "is_cache": False,
        },
    ],
}
DELIVERY: dict[str, Any] = {
    "file_id": FILE["id"],
    "name": FILE["name"],
    "size": FILE["size"],
    "owner": FILE["owner"],
    "created_at": FILE["created_at"],
    **FILE["copies"][1],
}
EVENT: dict[str, Any] = {
    "id": 42,
    "type": "copy.stored",
    "subject": FILE["id"],
    "owner": "user:alice",
    "created_at": "2026-01-31T12:00:05.123456+00:00",
    "data": {
        "file_id": FILE["id"],
        "main_service_file_id": None,
        "name": FILE["name"],
        "size": FILE["size"],
        "store": "s3",
        "attempts": 1,
        "link": None,
        "is_delivered": True,
    },
}
LINK: dict[str, Any] = {
    "id": "9dK0aW5zEo3TgYuPq6Xm2h",
    "url": f"{_HERE}/d/9dK0aW5zEo3TgYuPq6Xm2h?expires=1801483200&signature=…",
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": "2027-02-01T12:00:00Z",
    "max_downloads": 5,
    "taken": 0,
    "has_password": True,
}


def example(value: dict[str, Any]) -> ConfigDict:
    """Give a shape's configuration: the example that OpenAPI shows."""
    return ConfigDict(json_schema_extra={"example": value})


class CopyShape(BaseModel):
    """A file's bytes in one store, or on their way there.

    `state` is `queued`, `delivering`, `stored`, `failed` (tried again at `next_try_at`; given up where that is null) or
    `gone`. `sent_bytes` is null but while delivering. `error` is for people, `code` for programs. `is_cache` is true of
    a local copy that the target doesn't ask for.
    """

    store: str
    state: CopyState
    link: str | None
    sent_bytes: int | None
    attempts: int
    error: str | None
    code: str | None
    next_try_at: datetime | None
    stored_at: datetime | None
    is_cache: bool


def copy_shape(copy: Copy) -> CopyShape:
    """Give a copy as JSON. Where it lies in its store is nobody's business."""
    return CopyShape(**_copy_fields(copy))


def _copy_fields(copy: Copy) -> dict[str, Any]:
    return {
        "store": copy.store,
        "state": copy.state,
        "link": copy.link,
        "sent_bytes": copy.sent_bytes if copy.state is CopyState.DELIVERING else None,
        "attempts": copy.attempts,
        "error": copy.error,
        "code": copy.error_code,
        "next_try_at": copy.next_try_at,
        "stored_at": copy.stored_at,
        "is_cache": copy.is_cache,
    }


class DeliveryShape(CopyShape):
    """The delivery of a file to a store."""

    model_config = example(DELIVERY)

    file_id: str
    name: str
    size: int
    owner: str
    created_at: datetime


def delivery_shape(file: File, copy: Copy) -> DeliveryShape:
    """Give a delivery as JSON."""
    return DeliveryShape(
        file_id=file.id,
        name=file.name,
        size=file.size,
        owner=file.owner,
        created_at=file.created_at,
        **_copy_fields(copy),
    )


class FileShape(BaseModel):
    """A file. `url` gives its bytes to its owner, `short_url` to whoever has it; sizes are bytes.

    `target` says which stores get it; `is_delivered` is true when as many have it as that asks for.
    """

    model_config = example(FILE)

    id: str
    short_id: str
    name: str
    size: int
    sha256: str
    media_type: str
    path: str | None
    main_service_file_id: str | None
    owner: str
    door: str
    created_at: datetime
    expires_at: datetime | None
    last_read_at: datetime | None
    downloads: int
    url: str
    short_url: str
    target: str
    is_delivered: bool
    copies: list[CopyShape]


def file_shape(call: Call, file: File) -> FileShape:
    """Give a file as JSON."""
    return FileShape(
        id=file.id,
        short_id=file.short_id,
        name=file.name,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        path=file.path,
        main_service_file_id=file.external_id,
        owner=file.owner,
        door=file.door,
        created_at=file.created_at,
        expires_at=file.expires_at,
        last_read_at=file.last_read_at,
        downloads=file.downloads,
        url=call.url("v1", "files", file.id, "content"),
        short_url=call.url("s", file.short_id),
        target=str(file.target),
        is_delivered=file.is_delivered,
        copies=[copy_shape(copy) for copy in file.copies],
    )


UPLOAD: dict[str, Any] = {
    "id": "7hJkL2mN4pQ6rS8tU0vW1x",
    "state": "open",
    "name": "photo.jpg",
    "size": 250000,
    "received_bytes": 100000,
    "max_append_bytes": 94371840,
    "file_id": None,
    "file_url": None,
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": "2026-02-05T12:00:00Z",
}


class UploadShape(BaseModel):
    """An upload on its way: `open`, `sealed` (then it is the file `file_id`), `aborted` or `expired`.

    `max_append_bytes` is what one request should bring at most; null: as much as there is.
    """

    model_config = example(UPLOAD)

    id: str
    state: str
    name: str
    size: int | None
    received_bytes: int
    max_append_bytes: int | None
    file_id: str | None
    file_url: str | None
    created_at: datetime
    expires_at: datetime


def upload_shape(call: Call, upload: Upload) -> UploadShape:
    """Give an upload as JSON."""
    return UploadShape(
        id=upload.id,
        state=upload.state,
        name=upload.declared.name,
        size=upload.size,
        received_bytes=upload.held_bytes,
        max_append_bytes=advised(call),
        file_id=upload.file_id,
        file_url=call.url("v1", "files", upload.file_id) if upload.file_id else None,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
    )


class LinkShape(BaseModel):
    """A link to one file. `taken` counts the downloads of a link that has `max_downloads`."""

    model_config = example(LINK)

    id: str
    url: str
    created_at: datetime
    expires_at: datetime | None
    max_downloads: int | None
    taken: int
    has_password: bool


def link_shape(call: Call, shared: Shared) -> LinkShape:
    """Give a link as JSON, with its whole URL."""
    link = shared.link
    url = call.url("d", link.id)
    if link.expires_at is not None:
        url += f"?expires={int(link.expires_at.timestamp())}&signature={shared.signature}"
    return LinkShape(
        id=link.id,
        url=url,
        created_at=link.created_at,
        expires_at=link.expires_at,
        max_downloads=link.max_downloads,
        taken=link.taken,
        has_password=link.password_hash is not None,
    )
