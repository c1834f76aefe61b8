"""Decide on a request before its first byte is read."""

from dataclasses import replace
from ipaddress import ip_network

from carryall.model.errors import Forbidden, Malformed, QuotaExceeded, RateLimited, TypeRefused
from carryall.model.principal import Kind, Principal
from carryall.model.upload import Declared
from carryall.operations import quota
from carryall.operations.names import holder
from carryall.operations.world import World
from carryall.ports.catalog import Tx

_NAME_CHARACTERS = 4096
MISSES_PER_MINUTE = 60
_MISSES = "requests for links that aren't there"


class Admission:
    """The rules that every door asks first."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._rates = world.rates
        self._telemetry = world.telemetry
        self._clock = world.clock

    async def request(self, principal: Principal, client: str) -> None:
        """Count a request. Raises RateLimited past the plan's rate; anonymous ones are counted by client address."""
        limit = principal.plan.requests_per_minute
        if limit is None:
            return
        key = f"anonymous:{neighbourhood(client)}" if principal.kind is Kind.ANONYMOUS else principal.id
        self._check(await self._rates.hit(f"request:{key}", limit), limit, "requests")

    async def guess(self, client: str) -> None:
        """Raise RateLimited for an address that missed too often: its next guess must not tell anything (threat 12)."""
        wait_s = await self._rates.wait(f"miss:{neighbourhood(client)}", MISSES_PER_MINUTE)
        self._check(wait_s, MISSES_PER_MINUTE, _MISSES)

    async def miss(self, client: str) -> None:
        """Count a guess at a short link that hit nothing. Raises RateLimited past the limit."""
        wait_s = await self._rates.hit(f"miss:{neighbourhood(client)}", MISSES_PER_MINUTE)
        self._check(wait_s, MISSES_PER_MINUTE, _MISSES)

    def _check(self, wait_s: int | None, limit: int, what: str) -> None:
        if wait_s is not None:
            raise RateLimited(
                f"Too many {what}: {limit} a minute are allowed. Try again in {wait_s} s.",
                retry_after_s=wait_s,
                limit=limit,
            )

    async def body(self, principal: Principal, *, size: int | None, overhead: int = 0, max_files: int = 1) -> None:
        """Refuse a body by its Content-Length alone, before the first byte.

        Args:
            size: bytes that the request brings, when it says so.
            overhead: bytes of them that may be form syntax and fields rather than the files'.
            max_files: how many files the rest may be, all or none of which are kept.
        """
        if size is None:
            return
        least = max(0, size - overhead)
        quota.check_size(principal.plan, least // max_files)  # one of them is at least this large
        try:
            await self._catalog.read(lambda tx: quota.check_room(tx, principal, least))
        except QuotaExceeded:
            self._telemetry.quota_refused(principal.kind)
            raise

    def declared(self, principal: Principal, declared: Declared) -> Declared:
        """Check what a client says about its file; fill in what its credential fixes.

        A token for one `main_service_file_id` creates only that (decision 22).
        """
        if len(declared.name) > _NAME_CHARACTERS:
            raise Malformed(f"The file name has more than {_NAME_CHARACTERS} characters.", code="name_too_long")
        if principal.file_id is not None:
            raise Forbidden("This token is for one file that is there already; it can't create.", code="scope_missing")
        quota.check_size(principal.plan, declared.size)
        if not declared.is_part:  # the name of what parts become is the final's
            check_extension(principal.plan.extensions, declared.name)
        check_extension(frozenset(declared.only_extensions) if declared.only_extensions else None, declared.name)
        if principal.external_file_id is None:
            return declared
        if declared.external_id is not None:
            check_file_claim(principal, declared.external_id)
        return replace(declared, external_id=principal.external_file_id)

    def check_names(self, tx: Tx, principal: Principal, declared: Declared) -> None:
        """Raise PreconditionFailed or Forbidden when the upload may not have the unique name that it asks for."""
        holder(tx, principal, declared, owner=principal.id, now=self._clock.now())


def neighbourhood(address: str) -> str:
    """Give what one client can change its address within: an IPv6 /64, or the address itself."""
    if ":" not in address:
        return address
    try:
        return str(ip_network(f"{address}/64", strict=False))
    except ValueError:
        return address


def check_file_claim(principal: Principal, external_id: str) -> None:
    """Raise Forbidden when a token for one `main_service_file_id` asks for another, whether that is there or not."""
    if principal.external_file_id not in (None, external_id):
        raise Forbidden(
            f"Access denied. JWT is for file {principal.external_file_id}, but you requested file {external_id}.",
            code="scope_missing",
        )


def check_extension(allowed: frozenset[str] | None, name: str) -> None:
    """Raise TypeRefused for a name whose ending isn't allowed."""
    if allowed is None:
        return
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or extension.lower() not in allowed:
        raise TypeRefused(
            f"Files of this type are not taken here. Allowed: {', '.join(sorted(allowed))}.",
            allowed=sorted(allowed),
        )
