"""What is known of an owner: the user, their tokens, and what they use."""

from dataclasses import dataclass, field
from datetime import datetime

from carryall.model.principal import ALL_SCOPES, Scope


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with tokens. `plan` names the plan; None stands for the default plan of users."""

    name: str
    created_at: datetime
    plan: str | None = None
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A stored credential. The secret itself is never kept, only `digest` (sha-256, hexadecimal).

    Attributes:
        user: whose it is; None for the administrator's own.
        is_primary: the token of `/user/{id}` and `carryall users token`; changing it revokes the one before.
    """

    id: str
    digest: str
    user: str | None
    label: str
    created_at: datetime
    scopes: frozenset[Scope] = field(default=ALL_SCOPES)
    file_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    is_primary: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner holds and has done. Sizes in bytes; totals only ever grow."""

    owner: str
    stored_bytes: int = 0
    reserved_bytes: int = 0
    files: int = 0
    open_uploads: int = 0
    uploads: int = 0
    uploaded_bytes: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    last_upload_at: datetime | None = None
    last_download_at: datetime | None = None
