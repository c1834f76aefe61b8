"""The native API's nouns as JSON: how each looks on the wire."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from carryall.http.appends import advised
from carryall.http.call import Call
from carryall.model.account import Token, Usage, User
from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Plan, Principal, Scope
from carryall.model.upload import Upload
from carryall.operations.files import Shared

_HERE = "http://127.0.0.1:8000"
_DAY = timedelta(days=1)
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
TOKEN: dict[str, Any] = {
    "id": "2kLmN8pQ4rS6tU0vW1xY3z",
    "user": "alice",
    "label": "backup script",
    "scopes": ["read", "write"],
    "file_id": None,
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "is_primary": False,
}
PLAN: dict[str, Any] = {
    "name": "large",
    "max_file_bytes": 1073741824,
    "total_bytes": 107374182400,
    "max_open_uploads": 1000,
    "requests_per_minute": 600,
    "retention_days": None,
    "extensions": ["jpg", "png"],
    "target": "local",
    "stores": ["local"],
}
USAGE: dict[str, Any] = {
    "stored_bytes": 250000,
    "reserved_bytes": 0,
    "files": 1,
    "open_uploads": 0,
    "uploads": 1,
    "uploaded_bytes": 250000,
    "downloads": 0,
    "downloaded_bytes": 0,
    "last_upload_at": "2026-01-31T12:00:00Z",
    "last_download_at": None,
}
USER: dict[str, Any] = {
    "name": "alice",
    "plan": None,
    "is_disabled": False,
    "created_at": "2026-01-31T12:00:00Z",
    "usage": USAGE,
}


def _example(value: dict[str, Any]) -> ConfigDict:
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

    model_config = _example(DELIVERY)

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

    model_config = _example(FILE)

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

    model_config = _example(UPLOAD)

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

    model_config = _example(LINK)

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


class TokenShape(BaseModel):
    """A token, without its secret, which nobody knows any more. `user` is null for the administrator's own."""

    model_config = _example(TOKEN)

    id: str
    user: str | None
    label: str
    scopes: list[Scope]
    file_id: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    is_primary: bool


class NewTokenShape(TokenShape):
    """A token that was just made, with its secret: shown this once."""

    model_config = _example({**TOKEN, "token": "cya_…"})

    token: str


def token_fields(token: Token) -> dict[str, Any]:
    """Give what a token's JSON says, secret apart."""
    return {name: getattr(token, name) for name in TokenShape.model_fields if name != "scopes"} | {
        "scopes": sorted(token.scopes)
    }


class PlanShape(BaseModel):
    """A plan's limits; null means unlimited. `retention_days` counts from the last download.

    `target` is where files go when a request doesn't say; `stores` are those that a request may name.
    """

    model_config = _example(PLAN)

    name: str
    max_file_bytes: int | None
    total_bytes: int | None
    max_open_uploads: int | None
    requests_per_minute: int | None
    retention_days: float | None
    extensions: list[str] | None
    target: str | None
    stores: list[str] | None


def plan_shape(plan: Plan) -> PlanShape:
    """Give a plan as JSON."""
    return PlanShape(
        name=plan.name,
        max_file_bytes=plan.max_file_bytes,
        total_bytes=plan.total_bytes,
        max_open_uploads=plan.max_open_uploads,
        requests_per_minute=plan.requests_per_minute,
        retention_days=plan.retention / _DAY if plan.retention else None,
        extensions=sorted(plan.extensions) if plan.extensions is not None else None,
        target=str(plan.target) if plan.target is not None else None,
        stores=sorted(plan.stores) if plan.stores is not None else None,
    )


class UsageShape(BaseModel):
    """What an owner holds (stored, reserved, files, open uploads) and has ever done. Sizes in bytes."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": USAGE})

    stored_bytes: int
    reserved_bytes: int
    files: int
    open_uploads: int
    uploads: int
    uploaded_bytes: int
    downloads: int
    downloaded_bytes: int
    last_upload_at: datetime | None
    last_download_at: datetime | None


class UserShape(BaseModel):
    """A user. `plan` is null where they have the default plan of users."""

    model_config = _example(USER)

    name: str
    plan: str | None
    is_disabled: bool
    created_at: datetime
    usage: UsageShape


def user_shape(user: User, usage: Usage) -> UserShape:
    """Give a user as JSON."""
    return UserShape(
        name=user.name,
        plan=user.plan,
        is_disabled=user.is_disabled,
        created_at=user.created_at,
        usage=UsageShape.model_validate(usage),
    )


class MeShape(BaseModel):
    """Who asks: what their credential may be used for, what their plan allows, what they use."""

    id: str
    name: str
    kind: str
    scopes: list[Scope]
    file_id: str | None
    main_service_file_id: str | None
    plan: PlanShape
    usage: UsageShape


def me_shape(caller: Principal, usage: Usage) -> MeShape:
    """Give who asks as JSON."""
    return MeShape(
        id=caller.id,
        name=caller.name,
        kind=caller.kind,
        scopes=sorted(caller.scopes),
        file_id=caller.file_id,
        main_service_file_id=caller.external_file_id,
        plan=plan_shape(caller.plan),
        usage=UsageShape.model_validate(usage),
    )
