"""Is the server alive, and can it take uploads?"""

from collections.abc import Mapping
from dataclasses import dataclass

from carryall.model.errors import CarryallError
from carryall.operations.world import World


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was looked at, each "ok" or the reason why not, and the free room for uploads in bytes."""

    checks: Mapping[str, str]
    free_bytes: int

    @property
    def is_ready(self) -> bool:
        """True when everything is ok."""
        return all(answer == "ok" for answer in self.checks.values())


class Health:
    """Looks at the catalog, the staging room and the stores."""

    def __init__(self, world: World, *, least_free: int) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._stores = world.stores
        self._least_free = least_free

    @property
    def services(self) -> list[str]:
        """The stores' names, as relay's `supported_services`."""
        return list(self._stores)

    async def readiness(self) -> Readiness:
        """Look at everything; never raises for what it finds."""
        checks = {"catalog": "ok", "staging": "ok", **{f"store:{name}": "ok" for name in self._stores}}
        free = 0
        try:
            await self._catalog.read(lambda tx: tx.jobs.next_due())
        except CarryallError as error:
            checks["catalog"] = error.message
        try:
            free = await self._staging.ready()
            if free < self._least_free:
                checks["staging"] = f"Only {free} bytes are free."
        except CarryallError as error:
            checks["staging"] = error.message
        for name, store in self._stores.items():
            try:
                await store.ready()
            except CarryallError as error:
                checks[f"store:{name}"] = error.message
        return Readiness(checks, free)

    async def queue(self) -> Mapping[tuple[str, str], int]:
        """Count jobs by (kind, state), for metrics."""
        return await self._catalog.read(lambda tx: tx.jobs.counts())
