"""A file's move from one store to another: what it begins with, and the one transaction that it ends with."""

from dataclasses import replace
from datetime import datetime, timedelta

from carryall.model.file import Copy, CopyState, File
from carryall.model.work import Job, JobState
from carryall.operations.erase import erasing_id, queue_erasing
from carryall.operations.placing import DELIVER, HOME, MAX_ATTEMPTS, fresh_key, job_id
from carryall.operations.queue import LEASE
from carryall.operations.world import World
from carryall.ports.catalog import Tx

GRACE = timedelta(minutes=10)
"""How long the bytes that a file left stay: whoever found the file there before is still reading, or about to."""


def switched(tx: Tx, file: File, source: str, to: str, *, now: datetime, keeps_cache: bool) -> File:
    """Let a file be at `to`, where it is stored, in place of `source`, whose bytes are erased after the grace.

    Args:
        keeps_cache: the built-in store keeps copies that the target doesn't ask for; one that moves away from there
            becomes such a copy.
    """
    left = file.copy_in(source)
    file = replace(file, target=file.target.moved(source, to))
    tx.files.aim(file.id, file.target)
    file = _with(tx, file, to, is_cache=to not in file.target.stores)
    if left is None:
        return file
    if source == HOME and keeps_cache and left.is_stored:
        return _with(tx, file, HOME, is_cache=True)
    tx.files.remove_copy(file.id, source)
    tx.jobs.remove(job_id(file.id, source))
    if left.location or left.attempts:
        erasing = erasing_id(source, left.location or left.key)
        tx.jobs.remove(erasing)
        if tx.jobs.get(erasing) is None:
            queue_erasing(tx, left, now=now + GRACE, job_id=erasing)
    return replace(file, copies=tuple(copy for copy in file.copies if copy.store != source))


def _with(tx: Tx, file: File, store: str, *, is_cache: bool) -> File:
    copy = file.copy_in(store)
    if copy is None or copy.is_cache is is_cache:
        return file
    tx.files.put_copy(file.id, replace(copy, is_cache=is_cache))
    return file.changed(replace(copy, is_cache=is_cache))


def begin_move(tx: Tx, world: World, file: File, source: str, to: str) -> Job | None:
    """Write that a file is on its way from one store to another; give the job by which this process brings it there.

    The job runs already, leased to this process: when that ends before it is done, a runner takes the job over and
    finishes the move. None where somebody else brings the file there now, or erases there what it left before.
    """
    now = world.clock.now()
    copy, before = file.copy_in(to), tx.jobs.get(job_id(file.id, to))
    key = copy.key if copy is not None else fresh_key(world.stores[to], file, world.ids)
    erasing = tx.jobs.get(erasing_id(to, key))
    if any(job is not None and _is_anothers(job, now) for job in (before, erasing)):
        return None
    if erasing is not None:
        tx.jobs.finish(erasing.id, now)
    if copy is None:
        # Until it is there, the target doesn't ask for it: nobody counts on it, and no event tells of it.
        copy = Copy(to, key, CopyState.QUEUED, is_cache=True)
        tx.files.put_copy(file.id, copy)
    job = Job(
        id=job_id(file.id, to),
        kind=f"{DELIVER}:{to}",
        payload={"file_id": file.id, "store": to, "from": source},
        run_at=now,
        created_at=now,
        state=JobState.RUNNING,
        attempts=1,
        max_attempts=1 if copy.is_cache else MAX_ATTEMPTS,
        leased_until=now + LEASE,
        node=world.leases.node,
    )
    if before is not None:
        tx.jobs.finish(job.id, now)  # else it could not be written anew
    tx.jobs.put(job)
    return job


def _is_anothers(job: Job, now: datetime) -> bool:
    """Tell whether a runner is at it now. A move that was interrupted is taken over at once."""
    is_running = job.state is JobState.RUNNING and job.leased_until is not None and job.leased_until > now
    return is_running and "from" not in job.payload
