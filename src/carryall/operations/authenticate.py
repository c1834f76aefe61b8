"""Say who asks, from what they present. One function for every door; the door says which kinds it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from carryall.model.account import Token, User
from carryall.model.errors import Forbidden, Unauthenticated
from carryall.model.principal import ALL_SCOPES, Kind, Plan, Principal, Scope
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.verify import TokenVerifier


class Realm(Enum):
    """Which credentials a door takes. On the four surfaces the path decides, and nothing falls through (decision 5)."""

    RELAY = "relay"
    BLOBS = "blobs"
    CHUNKS = "chunks"
    GALLERY = "gallery"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request carries: the value of X-Auth-Token or X-API-Key, and the Bearer token."""

    service_token: str | None = None
    bearer: str | None = None


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """The two tokens that the operator sets, or that were generated at the first start."""

    service_token: str
    admin_token: str


@dataclass(frozen=True, slots=True)
class BuiltInPlans:
    """The plans that the settings make, by who gets them."""

    user: Plan
    service: Plan
    jwt: Plan
    anonymous: Plan
    admin: Plan

    def named(self) -> Mapping[str, Plan]:
        """Give them by name."""
        return {plan.name: plan for plan in (self.user, self.service, self.jwt, self.anonymous, self.admin)}


class Authenticate:
    """Turns credentials into principals."""

    def __init__(
        self,
        world: World,
        known: KnownSecrets,
        plans: BuiltInPlans,
        *,
        verifier: TokenVerifier | None,
        is_gallery_open: bool,
        needs_file_claim: bool,
    ) -> None:
        self._catalog = world.catalog
        self._secrets = world.secrets
        self._clock = world.clock
        self._known = known
        self._plans = plans
        self._verifier = verifier
        self._is_gallery_open = is_gallery_open
        self._needs_file_claim = needs_file_claim
        self.admin = Principal("admin", "admin", Kind.ADMIN, plans.admin, frozenset({*ALL_SCOPES, Scope.ADMIN}))
        self.anonymous = Principal("anonymous", "anonymous", Kind.ANONYMOUS, plans.anonymous)
        self._service = Principal("service:relay", "relay", Kind.SERVICE, plans.service)

    async def principal(self, presented: Presented, realm: Realm) -> Principal:
        """Say who asks. Raises Unauthenticated, or Forbidden for a wrong service token (as relay's clients expect)."""
        if realm is Realm.RELAY:
            return self._by_service_token(presented.service_token)
        if realm is Realm.BLOBS:
            return await self._by_opaque(presented.bearer)
        if realm is Realm.CHUNKS:
            return await self._by_jwt(presented.bearer)
        if realm is Realm.GALLERY:
            return await self._for_gallery(presented)
        return await self._by_any(presented)

    async def _for_gallery(self, presented: Presented) -> Principal:
        if presented == Presented() and self._is_gallery_open:
            return self.anonymous
        if presented.service_token is not None:
            return self._by_service_token(presented.service_token)
        return await self._by_opaque(presented.bearer)

    async def _by_any(self, presented: Presented) -> Principal:
        """Tell the kinds apart by shape, before anything is verified."""
        if presented.service_token is not None:
            return self._by_service_token(presented.service_token)
        if presented.bearer is not None and presented.bearer.count(".") == 2:
            return await self._by_jwt(presented.bearer)
        return await self._by_opaque(presented.bearer)

    def _by_service_token(self, token: str | None) -> Principal:
        if not token:
            raise Unauthenticated("Missing authentication token", code="token_missing")
        if not self._secrets.same(token, self._known.service_token):
            raise Forbidden("Invalid authentication token", code="token_invalid")
        return self._service

    async def _by_opaque(self, token: str | None) -> Principal:
        if not token:
            raise Unauthenticated("Not authenticated", code="token_missing")
        if self._secrets.same(token, self._known.admin_token):
            return self.admin
        digest = self._secrets.digest(token)
        found = await self._catalog.read(lambda tx: self._stored(tx, digest))
        if found is None:
            raise Unauthenticated("Invalid Token", code="token_invalid")
        return self._of_token(*found)

    def _stored(self, tx: Tx, digest: str) -> tuple[Token, User | None, Plan | None] | None:
        token = tx.tokens.by_digest(digest)
        now = self._clock.now()
        if token is None or token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
            return None
        if token.user is None:
            return token, None, None
        user = tx.users.get(token.user)
        if user is None or user.is_disabled:
            return None
        return token, user, tx.plans.get(user.plan) if user.plan else None

    def _of_token(self, token: Token, user: User | None, plan: Plan | None) -> Principal:
        if user is None:
            return Principal(
                "admin", "admin", Kind.ADMIN, self._plans.admin, token.scopes, file_id=token.file_id, token_id=token.id
            )
        return Principal(
            f"user:{user.name}",
            user.name,
            Kind.USER,
            plan or self._plans.user,
            token.scopes,
            file_id=token.file_id,
            token_id=token.id,
        )

    async def _by_jwt(self, token: str | None) -> Principal:
        if not token:
            raise Unauthenticated("Not authenticated", code="token_missing")
        if self._verifier is None:
            raise Unauthenticated("Invalid token.", code="token_invalid")
        claims = await self._verifier.verify(token)
        if claims.file_id is None and self._needs_file_claim:
            raise Forbidden("This server takes only tokens that name a file_id.", code="scope_missing")
        return Principal(
            f"jwt:{claims.subject}",
            claims.subject,
            Kind.JWT,
            self._plans.jwt,
            external_file_id=claims.file_id,
        )
