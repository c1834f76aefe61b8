"""What the verbs need from the world, in one value: `wiring` makes it, every verb takes from it what it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

from carryall.ports.catalog import Catalog
from carryall.ports.clock import Clock
from carryall.ports.ids import Ids
from carryall.ports.leases import Leases
from carryall.ports.rates import Rates
from carryall.ports.secrets import Secrets
from carryall.ports.staging import Staging
from carryall.ports.store import Store
from carryall.ports.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class World:
    """One plug for each contract; stores by their names in the settings."""

    catalog: Catalog
    staging: Staging
    stores: Mapping[str, Store]
    leases: Leases
    rates: Rates
    secrets: Secrets
    telemetry: Telemetry
    clock: Clock
    ids: Ids
