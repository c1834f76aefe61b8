"""Users, their tokens and plans, and what they use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from carryall.model.account import Token, Usage, User
from carryall.model.errors import Conflict, Forbidden, Malformed, Missing
from carryall.model.principal import ALL_SCOPES, Plan, Principal, Scope
from carryall.model.work import Event
from carryall.operations.announce import Announce
from carryall.operations.files import Files
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.catalog_files import FileQuery

log = structlog.get_logger(__name__)

_NAME_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its secret, which is shown once and kept nowhere."""

    token: Token
    secret: str


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What a new token is asked to be."""

    label: str = ""
    scopes: frozenset[Scope] = ALL_SCOPES
    file_id: str | None = None
    expires_at: datetime | None = None


class Accounts:
    """Makes and changes users, tokens and plans."""

    def __init__(
        self,
        world: World,
        announce: Announce,
        files: Files,
        *,
        allowed_users: frozenset[str],
        built_in_plans: Mapping[str, Plan],
    ) -> None:
        self._catalog = world.catalog
        self._secrets = world.secrets
        self._announce = announce
        self._files = files
        self._clock = world.clock
        self._ids = world.ids
        self._allowed_users = allowed_users
        self._built_in = built_in_plans

    def is_allowed(self, name: str) -> bool:
        """Tell whether the settings name this user (`ALLOWED_USERS`)."""
        return name in self._allowed_users

    async def usage(self, owner: str) -> Usage:
        """Give what an owner holds and has done."""
        return await self._catalog.read(lambda tx: tx.usages.get(owner))

    async def user(self, name: str) -> User | None:
        """Give a user, if there is one."""
        return await self._catalog.read(lambda tx: tx.users.get(name))

    async def users(self) -> list[User]:
        """Give every user by name."""
        return list(await self._catalog.read(lambda tx: tx.users.all()))

    async def add_user(self, name: str, *, plan: str | None = None) -> User:
        """Make a user. Raises Conflict when the name is taken, Malformed for one that can't be a name."""
        _check_user_name(name)

        def work(tx: Tx) -> User:
            if tx.users.get(name) is not None:
                raise Conflict(f"There is a user {name} already.", code="user_exists")
            self._check_plan(tx, plan)
            user = User(name=name, created_at=self._clock.now(), plan=plan)
            tx.users.add(user)
            return user

        return await self._catalog.write(work)

    async def change_user(self, name: str, *, plan: str | None, is_disabled: bool) -> User:
        """Set a user's plan (None: the default one) and whether their tokens work."""

        def work(tx: Tx) -> User:
            user = replace(_known(tx, name), plan=plan, is_disabled=is_disabled)
            self._check_plan(tx, plan)
            tx.users.save(user)
            return user

        return await self._catalog.write(work)

    async def remove_user(self, name: str) -> int:
        """Remove a user, their tokens and their files; give how many files went."""

        def work(tx: Tx) -> None:
            _known(tx, name)
            tx.users.remove(name)

        await self._catalog.write(work)
        return await self._files.delete_found(FileQuery(owner=f"user:{name}", limit=200), why="deleted")

    async def primary_token(self, name: str) -> NewToken:
        """Give a user a new token and revoke the one before at once; make the user if they are allowed and new.

        Raises Forbidden for a name that is neither known nor in ALLOWED_USERS.
        """
        _check_user_name(name)
        made = await self._catalog.write(lambda tx: self._primary_token(tx, name))
        log.info("token.changed", user=name, token=made.token.id)
        return made

    async def first_token(self, name: str) -> NewToken | None:
        """Give a user who never had a primary token their first one, as `primary_token` does; None for others."""
        _check_user_name(name)

        def work(tx: Tx) -> NewToken | None:
            had_one = any(token.is_primary for token in tx.tokens.of_user(name))
            return None if had_one else self._primary_token(tx, name)

        made = await self._catalog.write(work)
        if made is not None:
            log.info("token.changed", user=name, token=made.token.id)
        return made

    async def change_token(self, principal: Principal, name: str) -> NewToken:
        """Replace a user's primary token, asked by that token's holder or by the administrator.

        Raises Missing for somebody else's, and Forbidden for a lesser token of the same user: it would gain by this.
        """
        if principal.is_admin:
            return await self.primary_token(name)

        def work(tx: Tx) -> NewToken:
            token = tx.tokens.get(principal.token_id or "")
            if token is None or token.user != name:
                raise Missing("No such user.", code="user_not_found")
            if not token.is_primary or token.revoked_at is not None:
                raise Forbidden(
                    "Only the present main token, or the administrator's, may change it.", code="scope_missing"
                )
            return self._primary_token(tx, name)

        made = await self._catalog.write(work)
        log.info("token.changed", user=name, token=made.token.id)
        return made

    def _primary_token(self, tx: Tx, name: str) -> NewToken:
        if tx.users.get(name) is None:
            if not self.is_allowed(name):
                raise Forbidden("User not allowed", code="user_not_allowed")
            tx.users.add(User(name=name, created_at=self._clock.now()))
        tx.tokens.revoke_primary(name, self._clock.now())
        return self._add_token(tx, name, TokenWish(label="primary"), is_primary=True)

    async def add_token(self, principal: Principal, user: str | None, wish: TokenWish) -> NewToken:
        """Make a token: for anybody by the administrator, for oneself with at most what one's own token may.

        Args:
            user: None for the administrator's own.
        """
        self._check_token_wish(principal, user, wish)

        def work(tx: Tx) -> NewToken:
            if user is not None:
                _known(tx, user)
            maker = tx.tokens.get(principal.token_id) if principal.token_id else None
            if maker is not None and not _ends_within(wish.expires_at, maker.expires_at):
                raise Forbidden("A token can't outlive the one that makes it.", code="scope_missing")
            return self._add_token(tx, user, wish, is_primary=False)

        made = await self._catalog.write(work)
        log.info("token.changed", user=user, token=made.token.id)
        return made

    def _check_token_wish(self, principal: Principal, user: str | None, wish: TokenWish) -> None:
        principal.require(Scope.WRITE)
        _check_self(principal, user)
        if not _covers(principal, wish.scopes, wish.file_id):
            raise Forbidden("A token can't be given more than you may do yourself.", code="scope_missing")
        if wish.expires_at is not None and wish.expires_at <= self._clock.now():
            raise Malformed("The token's end lies in the past.", code="expiry_past")

    def _add_token(self, tx: Tx, user: str | None, wish: TokenWish, *, is_primary: bool) -> NewToken:
        secret, now = self._secrets.new_token(), self._clock.now()
        token = Token(
            id=self._ids.long(),
            digest=self._secrets.digest(secret),
            user=user,
            label=wish.label,
            created_at=now,
            scopes=wish.scopes,
            file_id=wish.file_id,
            expires_at=wish.expires_at,
            is_primary=is_primary,
        )
        tx.tokens.add(token)
        owner = f"user:{user}" if user else "admin"
        data = {"token_id": token.id, "change": "made"}
        self._announce.publish(tx, Event("token.changed", token.id, owner, now, data))
        return NewToken(token, secret)

    async def tokens(self, principal: Principal, user: str | None) -> list[Token]:
        """Give a user's tokens, newest first. Their secrets are not known. Raises Missing for nobody's."""
        principal.require(Scope.READ)
        _check_self(principal, user)

        def work(tx: Tx) -> Sequence[Token]:
            if user is not None:
                _known(tx, user)
            return tx.tokens.of_user(user)

        found = await self._catalog.read(work)
        return [token for token in found if principal.is_admin or principal.file_id in {None, token.file_id}]

    async def revoke_token(self, principal: Principal, token_id: str) -> None:
        """Make a token invalid at once. Raises Missing for somebody else's, Forbidden for one that may do more."""
        principal.require(Scope.WRITE)

        def work(tx: Tx) -> None:
            token = tx.tokens.get(token_id)
            if token is None or not (principal.is_admin or (token.user and principal.id == f"user:{token.user}")):
                raise Missing("No such token.", code="token_not_found")
            if not _covers(principal, token.scopes, token.file_id):
                raise Forbidden("This token may do more than yours; use one that may as much.", code="scope_missing")
            now = self._clock.now()
            tx.tokens.revoke(token_id, now)
            owner = f"user:{token.user}" if token.user else "admin"
            data = {"token_id": token_id, "change": "revoked"}
            self._announce.publish(tx, Event("token.changed", token_id, owner, now, data))

        await self._catalog.write(work)
        log.info("token.changed", token=token_id)

    async def plans(self) -> list[Plan]:
        """Give the plans: the built-in ones that the settings make, then the administrator's by name."""
        made = await self._catalog.read(lambda tx: tx.plans.all())
        return [*self._built_in.values(), *made]

    async def put_plan(self, plan: Plan) -> Plan:
        """Make or change a plan. Raises Conflict for the name of a built-in one."""
        self._check_not_built_in(plan.name)
        await self._catalog.write(lambda tx: tx.plans.put(plan))
        return plan

    async def remove_plan(self, name: str) -> None:
        """Remove a plan. Raises Missing, or Conflict while users have it."""
        self._check_not_built_in(name)

        def work(tx: Tx) -> None:
            if tx.plans.get(name) is None:
                raise Missing(f"There is no plan {name}.", code="plan_not_found")
            having = [user.name for user in tx.users.all() if user.plan == name]
            if having:
                raise Conflict(
                    f"{len(having)} users have the plan {name}; give them another one first.", code="plan_in_use"
                )
            tx.plans.remove(name)

        await self._catalog.write(work)

    def _check_not_built_in(self, name: str) -> None:
        if name in self._built_in:
            raise Conflict(f"The plan {name} comes from the settings; change it there.", code="plan_built_in")

    def _check_plan(self, tx: Tx, name: str | None) -> None:
        if name is not None and tx.plans.get(name) is None:
            raise Missing(f"There is no plan {name}.", code="plan_not_found")


def _check_self(principal: Principal, user: str | None) -> None:
    if not principal.is_admin and (user is None or principal.id != f"user:{user}"):
        raise Missing("No such user.", code="user_not_found")


def _covers(principal: Principal, scopes: frozenset[Scope], file_id: str | None) -> bool:
    """Tell whether somebody may do all that a token may: only such tokens are theirs to make and to revoke."""
    return principal.is_admin or (scopes <= principal.scopes and principal.file_id in {None, file_id})


def _ends_within(end: datetime | None, bound: datetime | None) -> bool:
    return bound is None or (end is not None and end <= bound)


def _known(tx: Tx, name: str) -> User:
    user = tx.users.get(name)
    if user is None:
        raise Missing(f"There is no user {name}.", code="user_not_found")
    return user


def _check_user_name(name: str) -> None:
    """Names are data, also e-mail addresses; only what can't be shown or told apart is refused."""
    if not name or len(name) > _NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise Malformed(f"A user's name has 1 to {_NAME_CHARACTERS} visible characters.", code="user_name_invalid")
