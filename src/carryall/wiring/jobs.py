"""Settings -> what is done behind: which verb runs each kind of job, and which runners there are."""

from functools import partial

from carryall.config import Settings
from carryall.operations.announce import Announce
from carryall.operations.cache import TRIM
from carryall.operations.erase import Erase
from carryall.operations.expire import Expire
from carryall.operations.placing import DELIVER
from carryall.operations.queue import Queue
from carryall.operations.scrub import SCRUB
from carryall.wiring.copies import Copies
from carryall.wiring.plugs import Plugs
from carryall.work.runner import Runner, Verbs


def make_verbs(plugs: Plugs, announce: Announce, expire: Expire, copies: Copies) -> Verbs:
    """Give the verb of each kind of job."""
    erase = Erase(plugs.world)
    return {
        "announce": lambda job: announce.tell(job.payload["event"]),
        "erase": lambda job: erase.copy(job.payload["store"], job.payload["key"]),
        "expire": lambda _: expire.run(),
        "sweep": lambda _: expire.sweep(),
        DELIVER: copies.deliver.copy,
        TRIM: lambda _: copies.cache.trim(),
        SCRUB: lambda _: copies.scrub.turn(),
    }


def make_runners(settings: Settings, plugs: Plugs, queue: Queue, verbs: Verbs) -> tuple[Runner, ...]:
    """Give a runner for the deliveries to each store, and one for all that is quick."""
    make = partial(Runner, queue, verbs, plugs.bell, plugs.telemetry)
    deliveries = [f"{DELIVER}:{store}" for store in plugs.world.stores]
    of_stores = (make(lanes=settings.deliveries_at_once, kind=kind) for kind in deliveries)
    return (make(lanes=settings.job_concurrency, but=deliveries), *of_stores)
