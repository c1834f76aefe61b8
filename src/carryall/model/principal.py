"""Who asks, what their plan allows, and the one rule on whose things are whose."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from carryall.model.errors import Forbidden
from carryall.model.target import Target


class Kind(StrEnum):
    """How a principal proved itself."""

    ADMIN = "admin"
    SERVICE = "service"
    USER = "user"
    JWT = "jwt"
    LINK = "link"
    ANONYMOUS = "anonymous"


class Scope(StrEnum):
    """What a credential may be used for. ADMIN includes the rest."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"


ALL_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.DELETE})


@dataclass(frozen=True, slots=True)
class Plan:
    """The limits that a principal brings to every door it uses. `None` means unlimited.

    Attributes:
        name: what administrators call it.
        max_file_bytes: size of one file, in bytes.
        total_bytes: room for everything that the owner keeps, in bytes.
        max_open_uploads: uploads that may be under way at once.
        requests_per_minute: counted per principal; per client address where the principal is anonymous.
        retention: files go this long after their last download (after their arrival if there was none).
        extensions: lower-case file name endings that are taken, without the dot.
        target: where files go when the request doesn't say; None: where the settings say.
        stores: the stores that a request may name; None: all of them.
    """

    name: str
    max_file_bytes: int | None = None
    total_bytes: int | None = None
    max_open_uploads: int | None = 1000
    requests_per_minute: int | None = None
    retention: timedelta | None = None
    extensions: frozenset[str] | None = None
    target: Target | None = None
    stores: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks.

    Attributes:
        id: the owner's key, prefixed by where the name comes from, so that two systems' names never meet:
            "user:alice", "jwt:alice", "service:relay", "admin", "anonymous".
        name: the bare name, for people.
        external_file_id: the one `main_service_file_id` that a scoped JWT is for.
        file_id: the one file that a scoped token is for.
        token_id: the stored token that was presented, if it was one.
    """

    id: str
    name: str
    kind: Kind
    plan: Plan
    scopes: frozenset[Scope] = field(default=ALL_SCOPES)
    external_file_id: str | None = None
    file_id: str | None = None
    token_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """True for the administrator, and for tokens with the admin scope."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the credential carries this scope."""
        if scope not in self.scopes and not self.is_admin:
            raise Forbidden(
                f"This credential may not {scope.value}. It has: {', '.join(sorted(self.scopes)) or 'nothing'}.",
                code="scope_missing",
                scope=scope.value,
            )

    def require_admin(self) -> None:
        """Raise Forbidden unless this is the administrator."""
        if not self.is_admin:
            raise Forbidden("Only the administrator may do this.", code="admin_only")

    def sees(self, owner: str, *, file_id: str | None = None, external_id: str | None = None) -> bool:
        """Tell whether a thing of this owner exists for this principal.

        A credential for one file sees that file alone. The administrator sees everything.
        """
        if self.is_admin:
            return True
        if owner != self.id:
            return False
        if self.file_id is not None and self.file_id != file_id:
            return False
        return self.external_file_id is None or self.external_file_id == external_id
