"""Settings -> the verbs that see to copies."""

from dataclasses import dataclass
from datetime import timedelta

from carryall.config import Settings
from carryall.operations.announce import Announce
from carryall.operations.cache import Cache
from carryall.operations.deliver import Deliver
from carryall.operations.evacuate import Evacuate
from carryall.operations.heal import Heal
from carryall.operations.reading import Reader
from carryall.operations.scrub import Scrub
from carryall.operations.world import World


@dataclass(frozen=True, slots=True)
class Copies:
    """What brings copies to their places, and keeps them there."""

    cache: Cache
    deliver: Deliver
    reader: Reader
    scrub: Scrub
    evacuate: Evacuate


def make_copies(settings: Settings, world: World, announce: Announce) -> Copies:
    """Wire them."""
    limits = {"until_delivered": 0, "always": None, "cache": settings.cache_bytes}
    heal, cache = Heal(world, announce), Cache(world, announce, limit_bytes=limits[settings.keep_local])
    deliver, every = Deliver(world, announce, heal, cache), timedelta(days=settings.scrub_days)
    return Copies(
        cache=cache,
        deliver=deliver,
        reader=Reader(world, heal, cache),
        scrub=Scrub(world, heal, every=every, bytes_per_s=settings.scrub_bytes_per_s),
        evacuate=Evacuate(world, deliver, cache),
    )
