"""The catalog's memory of users, tokens, plans, usage and links."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from carryall.model.account import Token, Usage, User
from carryall.model.file import Link
from carryall.model.principal import Plan


class Users(Protocol):
    """Those who have tokens, by name."""

    def add(self, user: User) -> None:
        """Write a new user."""
        ...

    def get(self, name: str) -> User | None:
        """Give a user."""
        ...

    def save(self, user: User) -> None:
        """Write the plan and whether the user is disabled."""
        ...

    def all(self) -> Sequence[User]:
        """Give every user by name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a user and their tokens; their files are the caller's affair."""
        ...


class Tokens(Protocol):
    """Stored credentials. Secrets are never here, only their sha-256."""

    def add(self, token: Token) -> None:
        """Write a new token."""
        ...

    def by_digest(self, digest: str) -> Token | None:
        """Give the token with this digest, revoked or not."""
        ...

    def get(self, token_id: str) -> Token | None:
        """Give a token by its id."""
        ...

    def of_user(self, user: str | None) -> Sequence[Token]:
        """Give a user's tokens (None: the administrator's own), newest first."""
        ...

    def revoke(self, token_id: str, now: datetime) -> None:
        """Make a token invalid from now on."""
        ...

    def revoke_primary(self, user: str, now: datetime) -> int:
        """Make the user's primary token invalid; give how many were valid."""
        ...


class Plans(Protocol):
    """Plans that administrators made. The built-in ones come from the settings."""

    def put(self, plan: Plan) -> None:
        """Write a plan, new or again."""
        ...

    def get(self, name: str) -> Plan | None:
        """Give a plan."""
        ...

    def all(self) -> Sequence[Plan]:
        """Give every plan by name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a plan."""
        ...


class Usages(Protocol):
    """What each owner holds, reserves and has done. Every change is one statement, so no update is lost."""

    def get(self, owner: str) -> Usage:
        """Give an owner's usage; zeros for one who has done nothing."""
        ...

    def reserve(self, owner: str, size: int, *, total_bytes: int | None) -> bool:
        """Take room if it is there; False when stored + reserved + size would pass the total. Sizes in bytes."""
        ...

    def release(self, owner: str, size: int) -> None:
        """Give reserved room back."""
        ...

    def upload_opened(self, owner: str, *, at_most: int | None) -> bool:
        """Count an open upload; False when the owner has `at_most` already."""
        ...

    def upload_closed(self, owner: str) -> None:
        """Count an open upload less."""
        ...

    def file_added(self, owner: str, size: int, now: datetime) -> None:
        """Count a stored file of so many bytes."""
        ...

    def file_removed(self, owner: str, size: int) -> None:
        """Count a stored file less."""
        ...

    def count_download(self, owner: str, size: int, now: datetime) -> None:
        """Count a download of one of the owner's files."""
        ...

    def recount(self) -> Sequence[tuple[Usage, Usage]]:
        """Compare the counters with the rows that they count: (as counted, as it should be) for each that is off."""
        ...

    def correct(self, usage: Usage) -> None:
        """Write stored bytes, reserved bytes, files and open uploads as they should be."""
        ...


class Links(Protocol):
    """Permissions to read one file."""

    def add(self, link: Link) -> None:
        """Write a new link."""
        ...

    def get(self, link_id: str) -> Link | None:
        """Give a link."""
        ...

    def of_file(self, file_id: str) -> Sequence[Link]:
        """Give a file's links, newest first."""
        ...

    def take(self, link_id: str) -> bool:
        """Take one download; False when none is left. Atomic."""
        ...

    def remove(self, link_id: str) -> None:
        """Revoke a link."""
        ...


class Grants(Protocol):
    """Which client took a download of which limited link, so that its next ranges belong to the same download."""

    def taken_since(self, link_id: str, client: str, since: datetime) -> bool:
        """Tell whether this client took a download since then."""
        ...

    def add(self, link_id: str, client: str, now: datetime) -> None:
        """Write that this client took a download now."""
        ...

    def forget(self, before: datetime) -> None:
        """Remove what is older."""
        ...
