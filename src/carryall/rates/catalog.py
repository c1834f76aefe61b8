"""Rates of all processes together, in the catalog."""

import math

from carryall.ports.catalog import Catalog, Tx


class CatalogRates:
    """Implements `ports.rates.Rates` with an exact moving window by the catalog's own clock.

    The catalog may be one whose commits don't wait for the disk: after a power loss everybody begins anew.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def hit(self, key: str, per_minute: int) -> int | None:
        """Count one hit."""

        def work(tx: Tx) -> float | None:
            full_s = tx.hits.seconds_full(key, per_minute)
            if full_s is None:
                tx.hits.add(key)
            return full_s

        return _whole(await self._catalog.write(work))

    async def wait(self, key: str, per_minute: int) -> int | None:
        """Tell whether a hit would be within the limit."""
        return _whole(await self._catalog.read(lambda tx: tx.hits.seconds_full(key, per_minute)))

    async def forget(self) -> None:
        """Remove the rows that count no more."""
        await self._catalog.write(lambda tx: tx.hits.forget())


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, math.ceil(seconds))
