"""Say what became true: an event and its jobs in the transaction, the telling after the commit."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from carryall.model.errors import Missing
from carryall.model.file import Copy, File
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
    """Writes events, and tells a subscriber of those that it wants.

    `complete` adds what only the face knows, URLs, to an event and the file that it is about, if that is still there.
    """

    def __init__(
        self,
        world: World,
        bell: Bell,
        *,
        subscriber: Subscriber | None,
        wants: Callable[[Event], bool],
        complete: Callable[[Event, File | None], Event],
    ) -> None:
        self._catalog = world.catalog
        self._clock = world.clock
        self._ids = world.ids
        self._bell = bell
        self._subscriber = subscriber
        self._wants = wants
        self._complete = complete

    def publish(self, tx: Tx, event: Event, *, is_held: bool = False) -> Event:
        """Write an event, and the job to tell of it, in the caller's transaction.

        Args:
            is_held: the subscriber is told later, by `release`.
        """
        written = tx.events.add(event)
        if not is_held:
            self._tell_of(tx, written)
        return written

    def release(self, tx: Tx, event_type: str, subject: str) -> None:
        """Queue the telling of an event that was held back, once."""
        event = tx.events.of(event_type, subject)
        if event is not None:
            self._tell_of(tx, event)

    def _tell_of(self, tx: Tx, event: Event) -> None:
        if self._subscriber is not None and self._wants(event):
            tx.jobs.ensure(replace(self._job(event), id=f"{KIND}:{event.id}"))

    def wake(self) -> None:
        """Let the runner look for jobs now. Called after the commit."""
        self._bell.ring()

    async def tell(self, event_id: int) -> None:
        """Tell the subscriber of an event: what the job does. An event that was forgotten is told no more."""
        event, file = await self._catalog.read(lambda tx: _event_and_file(tx, event_id))
        if event is not None and self._subscriber is not None:
            await self._subscriber.tell(self._complete(event, file))

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


def _event_and_file(tx: Tx, event_id: int) -> tuple[Event | None, File | None]:
    event = tx.events.get(event_id)
    return event, tx.files.get(event.subject) if event else None


def file_data(file: File) -> dict[str, str | int | None]:
    """Give what every event about a file tells of it (docs/events.md)."""
    return {
        "file_id": file.id,
        "main_service_file_id": _as_given(file.external_id),
        "name": file.name,
        "size": file.size,
    }


def copy_data(file: File, copy: Copy) -> dict[str, object]:
    """Give what an event tells of a copy."""
    return {**file_data(file), "store": copy.store, "attempts": copy.attempts}


def _as_given(external_id: str | None) -> int | str | None:
    """Give another service's id as that service writes it: a number where it is one (of at most 64 bits)."""
    if external_id is not None and external_id.isascii() and external_id.isdecimal() and len(external_id) <= 20:
        return int(external_id)
    return external_id
