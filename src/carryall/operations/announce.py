"""Say what became true: an event and its jobs in the transaction, the telling after the commit."""

from collections.abc import Callable
from dataclasses import dataclass

from carryall.model.errors import Missing
from carryall.model.work import Event, Job
from carryall.operations.jobs import Bell
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.subscriber import Subscriber

KIND = "announce"
# Back-off doubles from 10 s to 1 h (work/runner.py): twenty tries reach over half a day.
_MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Telling:
    """A job to tell of an event, and the event; None where it was forgotten since."""

    job: Job
    event: Event | None


class Announce:
    """Writes events, and tells a subscriber of those that it wants; `complete` adds what only the face knows: URLs."""

    def __init__(
        self,
        world: World,
        bell: Bell,
        *,
        subscriber: Subscriber | None,
        wants: Callable[[Event], bool],
        complete: Callable[[Event], Event],
    ) -> None:
        self._catalog = world.catalog
        self._clock = world.clock
        self._ids = world.ids
        self._bell = bell
        self._subscriber = subscriber
        self._wants = wants
        self._complete = complete

    def publish(self, tx: Tx, event: Event) -> Event:
        """Write an event, and the job to tell of it, in the caller's transaction."""
        written = tx.events.add(event)
        if self._subscriber is not None and self._wants(written):
            tx.jobs.add(self._job(written))
        return written

    def wake(self) -> None:
        """Let the runner look for jobs now. Called after the commit."""
        self._bell.ring()

    async def tell(self, event_id: int) -> None:
        """Tell the subscriber of an event: what the job does. An event that was forgotten is told no more."""
        event = await self._catalog.read(lambda tx: tx.events.get(event_id))
        if event is not None and self._subscriber is not None:
            await self._subscriber.tell(self._complete(event))

    async def tellings(self, *, state: str | None = None, limit: int) -> list[Telling]:
        """Give what was told and is to be told, newest first."""

        def work(tx: Tx) -> list[Telling]:
            found = tx.jobs.find(kind=KIND, state=state, limit=limit)
            return [Telling(job, tx.events.get(job.payload["event"])) for job in found]

        return await self._catalog.read(work)

    async def recent(self, limit: int) -> list[Event]:
        """Give the events that came last, newest first, whether somebody is told of them or not."""
        return list(await self._catalog.read(lambda tx: tx.events.latest(limit)))

    async def replay(self, event_id: int) -> Job:
        """Queue the telling of an event once more. Raises Missing."""

        def work(tx: Tx) -> Job:
            event = tx.events.get(event_id)
            if event is None:
                raise Missing(f"There is no event {event_id}. `carryall webhooks ls` shows those there are.")
            job = self._job(event)
            tx.jobs.add(job)
            return job

        job = await self._catalog.write(work)
        self.wake()
        return job

    def _job(self, event: Event) -> Job:
        now = self._clock.now()
        return Job(
            id=self._ids.long(),
            kind=KIND,
            payload={"event": event.id, "type": event.type},
            run_at=now,
            created_at=now,
            max_attempts=_MAX_ATTEMPTS,
        )
