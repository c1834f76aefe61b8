"""A process may end before or after any of its steps: what it acknowledged is there, and nothing is left for ever.

Every call to a plug that changes something is a step. Each story is told once for every step at which its process can
end; then the next process opens the same folder (threats.md, faults 1 and 7; invariants I1 to I6).
"""

import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import House, declared, house_on, sha256, user

from carryall.model.errors import BodyTruncated, CarryallError, Missing
from carryall.model.principal import Principal
from carryall.model.upload import Mode, State
from carryall.operations.streams import Checkpoints
from carryall.testing.fakes import ManualClock, ScriptedBody, pattern

ALICE = user(total_bytes=200_000)
OFTEN = Checkpoints(every_bytes=4096, every=timedelta(hours=1), least_bytes=1)
CONTENT = pattern(16_384)  # 16 KiB
EFFECTS = {"write", "land", "put", "sync", "digests", "join", "staged", "move", "discard", "discard_all", "erase"}
ANSWERS = {"write", "sync", "put", "erase"}


class Killed(BaseException):
    """The process ended."""


@dataclass
class Life:
    """Counts steps, and ends at one of them; afterwards nothing of this process has any effect."""

    ends_at: int
    steps: int = 0

    def step(self) -> None:
        """Live on, or not."""
        self.steps += 1
        if self.steps >= self.ends_at:
            raise Killed

    def after(self) -> None:
        """A process that ends after a call ends before the next one."""

    def wrap(self, plug: Any) -> Any:
        """Make every call that has an effect a step."""
        return Mortal(plug, self)


class Mortal:
    """A plug, or a landing, whose process may end."""

    def __init__(self, inner: Any, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in EFFECTS:
            return attribute

        async def lived(*args: Any, **kwargs: Any) -> Any:
            self._life.step()
            result = await attribute(*args, **kwargs)
            if name in ANSWERS:
                self._life.after()
            return Mortal(result, self._life) if name == "land" else result

        return lived


@dataclass
class Known:
    """What the client was told before the process ended."""

    files: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    offsets: dict[str, int] = field(default_factory=dict)


async def one_shot(house: House, known: Known) -> None:
    """A PUT with a Content-Length."""
    file = await house.door.accept(ALICE, declared(len(CONTENT)), ScriptedBody(CONTENT[:9000], CONTENT[9000:]))
    known.files[file.id] = CONTENT


async def chunked_coding(house: House, known: Known) -> None:
    """A PUT of unknown length."""
    file = await house.door.accept(ALICE, declared(), ScriptedBody(CONTENT[:9000], CONTENT[9000:]))
    known.files[file.id] = CONTENT


async def resumable(house: House, known: Known) -> None:
    """Three requests, one of them cut, with checkpoints on the way."""
    upload = await house.door.open(ALICE, declared(), is_resumable=True)
    known.offsets[upload.id] = 0
    for start, stop, failure in ((0, 5000, []), (5000, 9500, [BodyTruncated("cut")]), (9500, len(CONTENT), [])):
        with suppress(BodyTruncated):
            await house.door.receive(ALICE, upload.id, ScriptedBody(CONTENT[start:stop], *failure), offset=start)
        known.offsets[upload.id] = stop
    file = await house.door.complete(ALICE, upload.id)
    known.files[file.id] = CONTENT


async def chunk_session(house: House, known: Known) -> None:
    """Chunks out of order, one of them twice, one before its id was known."""
    upload = await house.door.open(ALICE, declared(), is_resumable=True)
    for index, content in ((1, b"wrong"), (0, CONTENT[:7000]), (1, CONTENT[7000:9000])):
        await house.door.receive(ALICE, upload.id, ScriptedBody(content), segment=index, mode=Mode.REPLACE)
    scratch = await house.door.open(ALICE, declared())
    await house.door.receive(ALICE, scratch.id, ScriptedBody(CONTENT[9000:]), mode=Mode.REPLACE)
    await house.door.adopt(ALICE, scratch.id, upload.id, segment=2)
    file = await house.door.complete(ALICE, upload.id, segment_count=3)
    known.files[file.id] = CONTENT


async def replaced(house: House, known: Known) -> None:
    """A name gets new bytes, and the old ones are erased."""
    old = await house.door.accept(ALICE, declared(path="name"), ScriptedBody(b"old" * 1000))
    known.files[old.id] = b"old" * 1000
    new = await house.door.accept(ALICE, declared(path="name"), ScriptedBody(CONTENT))
    del known.files[old.id]
    known.deleted.add(old.id)
    known.files[new.id] = CONTENT
    await house.run_jobs("erase")


async def deleted(house: House, known: Known) -> None:
    """A file is deleted, and its bytes are erased."""
    file = await house.door.accept(ALICE, declared(), ScriptedBody(CONTENT))
    await house.files.delete(ALICE, file.id)
    known.deleted.add(file.id)
    await house.run_jobs("erase")


async def batch(house: House, known: Known) -> None:
    """Several files, all or none."""
    ids = []
    for content in (b"one", b"two"):
        upload = await house.door.open(ALICE, declared(len(content)))
        await house.door.receive(ALICE, upload.id, ScriptedBody(content))
        ids.append(upload.id)
    for file, content in zip(await house.door.complete_all(ALICE, ids), (b"one", b"two"), strict=True):
        known.files[file.id] = content


STORIES = [one_shot, chunked_coding, resumable, chunk_session, replaced, deleted, batch]


@pytest.mark.parametrize("story", STORIES)
async def test_the_next_process_finds_what_was_acknowledged(
    story: Callable[[House, Known], Awaitable[None]], folder: Path, tmp_path: Path
) -> None:
    """Whichever step was the last one."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        data = tmp_path / f"{step}"
        shutil.copytree(folder, data)
        known, clock = Known(), ManualClock()
        async with house_on(data, clock=clock, checkpoints=OFTEN, wrap=Life(step).wrap) as house:
            try:
                await story(house, known)
                is_over = True
            except Killed:
                pass
        async with house_on(data, clock=clock, checkpoints=OFTEN) as house:
            await check(house, known)
        shutil.rmtree(data)
    assert step > 10


async def check(house: House, known: Known) -> None:
    """See that the next process has everything that was acknowledged, and can go on, and tidy up."""
    await house.is_sound()
    await house.expire.abort_one_shots()
    await house.is_sound()
    for file_id, content in known.files.items():
        if await is_there(house, file_id):
            assert content == await house.content(await house.serve.by_id(ALICE, file_id))
        else:  # only by a replacement that was committed and not acknowledged
            assert CONTENT == await house.content(await house.serve.by_path(ALICE, "name"))
    for file_id in known.deleted:
        assert not await is_there(house, file_id)
    for file in await house.all_files():
        assert file.sha256 == sha256(await house.content(file))
    for upload_id, offset in known.offsets.items():
        await go_on(house, upload_id, offset)
    await tidy_up(house)


async def is_there(house: House, file_id: str) -> bool:
    """Tell whether a file can be read."""
    try:
        await house.serve.by_id(ALICE, file_id)
    except Missing:
        return False
    return True


async def go_on(house: House, upload_id: str, offset: int) -> None:
    """Resume an upload where it says that it ends, which is not before what was acknowledged."""
    upload = await house.door.look(ALICE, upload_id)
    if upload.state is State.OPEN:
        held = upload.held_bytes
        assert held >= offset
        await house.door.receive(ALICE, upload_id, ScriptedBody(CONTENT[held:]), offset=held)
    file = await house.door.complete(ALICE, upload_id)
    assert CONTENT == await house.content(file)


async def tidy_up(house: House) -> None:
    """Let jobs run and time pass: no bytes without a row are left, and no room without bytes."""
    house.clock.advance(timedelta(hours=25))
    await house.expire.run()
    await house.run_jobs("erase")
    await house.expire.sweep()
    await house.is_tidy()
    usage, files = await house.usage(), await house.all_files()
    assert (sum(file.size for file in files), len(files), 0, 0) == (
        usage.stored_bytes,
        usage.files,
        usage.reserved_bytes,
        usage.open_uploads,
    )
    for file in files:
        await house.files.delete(ALICE, file.id)
    await house.run_jobs("erase")
    assert ([], []) == (house.staged(), house.stored())


@pytest.mark.parametrize("story", STORIES)
async def test_one_plug_that_fails_costs_no_byte(
    story: Callable[[House, Known], Awaitable[None]], folder: Path, tmp_path: Path
) -> None:
    """The n-th call fails, and the process goes on: what was acknowledged is there, and room comes back (fault 7)."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        data = tmp_path / f"{step}"
        shutil.copytree(folder, data)
        known, fault = Known(), Fault(step)
        async with house_on(data, checkpoints=OFTEN, wrap=fault.wrap) as house:
            with suppress(CarryallError):
                await story(house, known)
            is_over = fault.steps < step
            fault.ends_at = 0  # from now on everything works
            await check(house, known)
        shutil.rmtree(data)
    assert step > 10


@dataclass
class Fault(Life):
    """One call that fails, before it has an effect or after."""

    def step(self) -> None:
        """Fail once."""
        self.steps += 1
        if self.steps == self.ends_at:
            raise CarryallError("The disk failed, once.", code="disk_failed")

    def after(self) -> None:
        """Fail although it had its effect: an answer that was lost."""
        self.step()


async def test_a_join_that_was_cut_is_no_damage(house: House, alice: Principal) -> None:
    """What a killed join of chunks left, empty as it may be, is nobody's part: the doctor finds nothing wrong."""
    upload = await house.door.open(alice, declared(), is_resumable=True)
    for index in range(3):
        await house.door.receive(alice, upload.id, ScriptedBody(b"chunk"), segment=index, mode=Mode.REPLACE)
    (first,) = (house.folder / "staging").glob(f"*/{upload.id}.0.0")
    first.with_name(f"{upload.id}.joined-0").touch()

    await house.is_sound()
    assert b"chunk" * 3 == await house.content(await house.door.complete(alice, upload.id))
