"""Any order of requests on the real door gives what the same requests give on dictionaries of bytes."""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.operations.conftest import EXPIRY, House, declared, house_on, sha256, user

from carryall.model.errors import (
    BodyTruncated,
    CarryallError,
    Conflict,
    DigestMismatch,
    Incomplete,
    Missing,
    OffsetMismatch,
    QuotaExceeded,
    TooLarge,
    UploadClosed,
)
from carryall.model.upload import Mode
from carryall.operations.streams import Checkpoints
from carryall.testing.fakes import ManualClock, ScriptedBody

TOTAL, LARGEST = 100, 40
WHO = user(total_bytes=TOTAL, max_file_bytes=LARGEST)
BODIES = st.lists(st.binary(min_size=1, max_size=9), max_size=3)


class DoorAgainstBytes(RuleBasedStateMachine):
    """What is held, stored and reserved is what the model says; a restart, a sweep and a repeat change nothing."""

    uploads = Bundle("uploads")
    sealed = Bundle("sealed")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="carryall-"))
        shutil.copy(MIGRATED[0], self.folder / "catalog.db")
        self.clock = ManualClock()
        self.open: dict[str, dict[int, bytes]] = {}
        self.sizes: dict[str, int | None] = {}
        self.files: dict[str, bytes] = {}
        self.house = self.move_in()

    def move_in(self) -> House:
        self.stack = AsyncExitStack()
        often = Checkpoints(every_bytes=4, every=timedelta(hours=1), least_bytes=1)
        return self.run(self.stack.enter_async_context(house_on(self.folder, clock=self.clock, checkpoints=often)))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Take everything away."""
        self.run(self.stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    def taken(self) -> int:
        """Tell what the model's owner uses."""
        held = (self.sizes[key] or sum(map(len, parts.values())) for key, parts in self.open.items())
        return sum(held) + sum(map(len, self.files.values()))

    @rule(target=uploads, size=st.none() | st.integers(0, LARGEST + 5))
    def begin(self, size: int | None) -> Any:
        """Open an upload, if it fits."""
        try:
            upload = self.run(self.house.door.open(WHO, declared(size), is_resumable=True))
        except TooLarge:
            assert (size or 0) > LARGEST
            return multiple()
        except QuotaExceeded:
            assert self.taken() + (size or 0) > TOTAL
            return multiple()
        self.open[upload.id], self.sizes[upload.id] = {}, size
        return upload.id

    @rule(
        upload_id=uploads,
        index=st.integers(0, 2),
        chunks=BODIES,
        mode=st.sampled_from(Mode),
        shift=st.sampled_from([0, 0, 0, 1]),
        breaks=st.booleans(),
        digest=st.sampled_from(["none", "right", "wrong"]),
    )
    def send(
        self, upload_id: str, index: int, chunks: list[bytes], mode: Mode, *, shift: int, breaks: bool, digest: str
    ) -> None:
        """Send bytes: whole or broken off, verified or not, at a right or a wrong offset."""
        parts = self.open.get(upload_id)
        before = (parts or {}).get(index, b"") if mode is Mode.APPEND else b""
        body = b"".join(chunks)
        expect = {"none": None, "right": {"sha-256": sha256(body)}, "wrong": {"sha-256": "0" * 64}}[digest]
        steps = [*chunks, *([BodyTruncated("cut")] if breaks else [])]
        reason: CarryallError | None = None
        try:
            upload = self.run(
                self.house.door.receive(
                    WHO,
                    upload_id,
                    ScriptedBody(*steps),
                    offset=len(before) + shift,
                    segment=index,
                    mode=mode,
                    expect=expect,
                )
            )
            assert upload.length_of(index) == len(before + body)
        except CarryallError as error:
            reason = error
        if parts is None:
            assert isinstance(reason, UploadClosed | Missing)  # after a week a closed one is forgotten
            return
        if shift:
            assert isinstance(reason, OffsetMismatch | Conflict)
            return
        self.check_reason(upload_id, index, before, body, reason, breaks=breaks, digest=digest)
        if reason is None:
            parts[index] = before + body
        elif mode is Mode.APPEND and expect is None:
            held = self.run(self.house.upload(upload_id)).length_of(index)
            assert held >= len(before)
            if isinstance(reason, BodyTruncated):
                assert len(before + body) == held
            parts[index] = (before + body)[:held]

    def check_reason(
        self, upload_id: str, index: int, before: bytes, body: bytes, reason: Any, *, breaks: bool, digest: str
    ) -> None:
        others = sum(len(part) for other, part in self.open[upload_id].items() if other != index)
        size = self.sizes[upload_id]
        room = min(LARGEST, LARGEST if size is None else size) - others - len(before)
        if isinstance(reason, TooLarge):
            assert len(body) > room
        elif isinstance(reason, QuotaExceeded):
            assert size is None
            assert self.taken() + len(body) > TOTAL
        elif isinstance(reason, BodyTruncated):
            assert breaks
        elif isinstance(reason, DigestMismatch):
            assert digest == "wrong"
        else:
            assert reason is None
            assert len(body) <= room
            assert not breaks
            assert digest != "wrong"

    @rule(target=sealed, upload_id=uploads, count=st.none() | st.integers(0, 3))
    def complete(self, upload_id: str, count: int | None) -> Any:
        """Make a file, if everything is there."""
        parts = self.open.get(upload_id)
        try:
            file = self.run(self.house.door.complete(WHO, upload_id, segment_count=count))
        except UploadClosed:
            assert parts is None
            return multiple()
        except (Incomplete, Conflict):
            if parts is not None:
                size = self.sizes[upload_id]
                is_whole = size is None or sum(map(len, parts.values())) == size
                assert not is_whole or (count is not None and set(range(count)) != set(parts))
            return multiple()
        except Missing:
            assert parts is None
            return multiple()
        if parts is not None:
            del self.open[upload_id]
            self.files[file.id] = b"".join(parts[index] for index in sorted(parts))
        return file.id

    @rule(upload_id=uploads)
    def abort(self, upload_id: str) -> None:
        """Give an upload up, perhaps one that is closed."""
        try:
            self.run(self.house.door.abort(WHO, upload_id))
        except Missing:
            assert upload_id not in self.open
        self.open.pop(upload_id, None)

    @rule(file_id=consumes(sealed))
    def delete(self, file_id: str) -> None:
        """Delete a file, perhaps one that is gone."""
        try:
            self.run(self.house.files.delete(WHO, file_id))
            del self.files[file_id]
        except Missing:
            assert file_id not in self.files

    @rule()
    def restart(self) -> None:
        """End the process; the next one finds everything."""
        self.run(self.stack.aclose())
        self.house = self.move_in()
        assert 0 == self.run(self.house.expire.abort_one_shots())

    @rule()
    def tidy(self) -> None:
        """Run what time runs: nothing that counts goes."""
        self.run(self.house.expire.run())
        self.run(self.house.run_jobs("erase"))
        self.run(self.house.expire.sweep())
        self.run(self.house.is_tidy())

    @rule()
    def leave_alone(self) -> None:
        """Let a day pass in which nobody continues anything."""
        self.clock.advance(EXPIRY)
        self.run(self.house.expire.run())
        self.open.clear()

    @invariant()
    def agrees(self) -> None:
        """Rows, counters, bytes and the model agree, and the quota was never passed."""
        usage = self.run(self.house.usage(WHO.id))
        stored = sum(map(len, self.files.values()))
        assert (stored, len(self.files), len(self.open)) == (usage.stored_bytes, usage.files, usage.open_uploads)
        assert self.taken() == usage.stored_bytes + usage.reserved_bytes <= TOTAL
        for upload_id, parts in self.open.items():
            upload = self.run(self.house.upload(upload_id))
            assert {index: len(part) for index, part in parts.items() if part} == {
                index: segment.length for index, segment in upload.segments.items() if segment.length
            }
        for file in self.run(self.house.all_files()):
            assert self.files[file.id] == self.run(self.house.content(file))
        self.run(self.house.is_sound())


MIGRATED: list[Path] = []


def test_any_order(migrated: Path) -> None:
    """Thirty stories of up to 25 steps each."""
    MIGRATED[:] = [migrated]
    run_state_machine_as_test(
        DoorAgainstBytes,
        settings=settings(
            max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
