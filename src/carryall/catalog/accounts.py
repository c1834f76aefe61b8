"""Rows of users, tokens and plans."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from carryall.catalog.tables import plans, tokens, users
from carryall.model.account import Token, User
from carryall.model.principal import Plan, Scope
from carryall.model.target import Target

_BY_DIGEST = select(tokens).where(tokens.c.digest == bindparam("digest"))


class UserRows:
    """Implements `ports.catalog_accounts.Users`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, user: User) -> None:
        """Write a new user."""
        self._connection.execute(insert(users), asdict(user))

    def get(self, name: str) -> User | None:
        """Give a user."""
        row = self._connection.execute(select(users).where(users.c.name == name)).mappings().first()
        return User(**row) if row else None

    def save(self, user: User) -> None:
        """Write what can change."""
        changed = {"plan": user.plan, "is_disabled": user.is_disabled}
        self._connection.execute(update(users).where(users.c.name == user.name).values(changed))

    def all(self) -> Sequence[User]:
        """Give every user by name."""
        return [User(**row) for row in self._connection.execute(select(users).order_by(users.c.name)).mappings()]

    def remove(self, name: str) -> None:
        """Remove a user and their tokens."""
        self._connection.execute(delete(tokens).where(tokens.c.user == name))
        self._connection.execute(delete(users).where(users.c.name == name))


class TokenRows:
    """Implements `ports.catalog_accounts.Tokens`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: Token) -> None:
        """Write a new token."""
        self._connection.execute(insert(tokens), {**asdict(token), "scopes": ",".join(sorted(token.scopes))})

    def by_digest(self, digest: str) -> Token | None:
        """Give the token with this digest."""
        return _token(self._connection.execute(_BY_DIGEST, {"digest": digest}).mappings().first())

    def get(self, token_id: str) -> Token | None:
        """Give a token by its id."""
        return _token(self._connection.execute(select(tokens).where(tokens.c.id == token_id)).mappings().first())

    def of_user(self, user: str | None) -> Sequence[Token]:
        """Give a user's tokens, newest first."""
        statement = select(tokens).where(tokens.c.user == user).order_by(tokens.c.created_at.desc(), tokens.c.id)
        return [token for row in self._connection.execute(statement).mappings() if (token := _token(row))]

    def revoke(self, token_id: str, now: datetime) -> None:
        """Make a token invalid."""
        self._revoke(tokens.c.id == token_id, now)

    def revoke_primary(self, user: str, now: datetime) -> int:
        """Make the user's primary token invalid."""
        return self._revoke((tokens.c.user == user) & tokens.c.is_primary, now)

    def _revoke(self, which: Any, now: datetime) -> int:
        statement = update(tokens).where(which, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
        return self._connection.execute(statement).rowcount


class PlanRows:
    """Implements `ports.catalog_accounts.Plans`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, plan: Plan) -> None:
        """Write a plan, new or again."""
        self.remove(plan.name)
        self._connection.execute(insert(plans), {"name": plan.name, "limits": _limits(plan)})

    def get(self, name: str) -> Plan | None:
        """Give a plan."""
        row = self._connection.execute(select(plans).where(plans.c.name == name)).first()
        return _plan(row.name, row.limits) if row else None

    def all(self) -> Sequence[Plan]:
        """Give every plan by name."""
        return [_plan(row.name, row.limits) for row in self._connection.execute(select(plans).order_by(plans.c.name))]

    def remove(self, name: str) -> None:
        """Remove a plan."""
        self._connection.execute(delete(plans).where(plans.c.name == name))


def _token(row: RowMapping | None) -> Token | None:
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row["scopes"].split(",") if scope)
    return Token(**{**row, "scopes": scopes})


def _limits(plan: Plan) -> dict[str, Any]:
    values = asdict(plan)
    del values["name"]
    values["retention"] = plan.retention // timedelta(seconds=1) if plan.retention else None
    for name in ("extensions", "stores"):
        values[name] = sorted(getattr(plan, name)) if getattr(plan, name) is not None else None
    values["target"] = str(plan.target) if plan.target else None
    return values


def _plan(name: str, limits: dict[str, Any]) -> Plan:
    retention, target = limits["retention"], limits.get("target")
    sets = {n: frozenset(limits[n]) for n in ("extensions", "stores") if limits.get(n) is not None}
    return Plan(
        **{
            **limits,
            **sets,
            "name": name,
            "retention": timedelta(seconds=retention) if retention else None,
            "target": Target.parse(target) if target else None,
        }
    )
