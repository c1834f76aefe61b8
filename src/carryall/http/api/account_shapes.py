"""The native API's accounts as JSON: tokens, plans, users, and what they use."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from carryall.http.api.shapes import example
from carryall.model.account import Token, Usage, User
from carryall.model.principal import Plan, Principal, Scope

_DAY = timedelta(days=1)
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


class TokenShape(BaseModel):
    """A token, without its secret, which nobody knows any more. `user` is null for the administrator's own."""

    model_config = example(TOKEN)

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

    model_config = example({**TOKEN, "token": "cya_…"})

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

    model_config = example(PLAN)

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

    model_config = example(USER)

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
