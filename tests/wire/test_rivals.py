"""Many clients want the same upload at once, on one process and over two (faults 13, 14 and 16)."""

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from tests.wire.drafts import new_user
from tests.wire.speakers import PROTOCOLS, Speaker, ask

RIVALS = 50
DATA = random.Random(13).randbytes(1 << 19)
DONE = (200, 201, 204)


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def arena(request: pytest.FixtureRequest, make_module_server: Callable[..., Any]) -> Any:
    """A server that everybody storms."""
    return make_module_server(CARRYALL_WORKERS=request.param)


@dataclass
class Speakers:
    """Clients of one user, by each protocol."""

    server: Any
    who: dict[str, str]
    tus: Speaker = field(init=False)
    draft: Speaker = field(init=False)

    def __post_init__(self) -> None:
        self.tus, self.draft = (Speaker(protocol, self.server.port, self.who) for protocol in PROTOCOLS)

    def of(self, mix: str, number: int) -> Speaker:
        """Give the n-th rival of a mix."""
        return {"tus": self.tus, "draft": self.draft}.get(mix) or (self.tus, self.draft)[number % 2]

    def get(self, path: str) -> Any:
        """Read something."""
        return ask(self.server.port, "GET", path, self.who)


@pytest.fixture
def speakers(arena: Any) -> Speakers:
    """The clients of a user of whom nobody else knows."""
    return Speakers(arena, arena.bearer(arena.jwt(f"rival-{secrets.token_hex(4)}")))


@contextmanager
def staying_awake(server: Any, limit_s: float = 1.0) -> Iterator[None]:
    """Ask /health all the while; afterwards no answer may have taken longer than the limit."""
    over, waits = threading.Event(), [0.0]

    def watch() -> None:
        with server.client() as client:
            while not over.wait(0.05):
                began = time.monotonic()
                healthy = client.get("/health").status_code == 200
                waits.append(time.monotonic() - began if healthy else float("inf"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert max(waits) <= limit_s, f"/health took {max(waits):.2f} s"


def the_file(speakers: Speakers, path: str) -> bytes:
    """Read the one file that there may be; there is no other."""
    upload = speakers.get(f"/v1/uploads/{path.rpartition('/')[2]}?output=json").json()
    listed = speakers.get("/v1/files").json()["files"]
    usage = speakers.get("/v1/me").json()["usage"]
    assert [upload["file_id"]] == [one["id"] for one in listed]
    assert (len(DATA), 0, 0) == (usage["stored_bytes"], usage["reserved_bytes"], usage["open_uploads"])
    return bytes(speakers.get(f"/v1/files/{upload['file_id']}/content").content)


@dataclass
class Storm:
    """What rivals were answered: statuses, and the stretches that were acknowledged."""

    statuses: set[int] = field(default_factory=set)
    stretches: list[tuple[int, int]] = field(default_factory=list)


def rival(speaker: Speaker, path: str, storm: Storm, seed: int) -> None:
    """Ask where the upload stands and send a piece from there, until it is complete."""
    dice = random.Random(seed)
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        told = speaker.ask("HEAD", path)
        storm.statuses.add(told.status_code)
        if told.status_code not in DONE:
            continue
        offset = int(told.headers["upload-offset"])
        if offset == len(DATA):
            return
        piece = DATA[offset : offset + dice.choice((1, 4096, 60_000, len(DATA)))]
        status = speaker.send(path, offset, piece, len(DATA))
        storm.statuses.add(status)
        if status in DONE:
            storm.stretches.append((offset, offset + len(piece)))
    raise AssertionError("the upload never ends")


@pytest.mark.parametrize("mix", ["tus", "draft", "mixed"])
def test_fifty_rivals_make_one_file(arena: Any, speakers: Speakers, mix: str) -> None:
    """Fifty clients continue one upload at once: one correct file, no stretch acknowledged twice, no 5xx."""
    path, storm = speakers.of(mix, 0).begin(len(DATA)), Storm()
    with staying_awake(arena), ThreadPoolExecutor(RIVALS) as pool:
        runs = [pool.submit(rival, speakers.of(mix, n), path, storm, n) for n in range(RIVALS)]
    for run in runs:
        run.result()
    stretches = sorted(storm.stretches)

    assert DATA == the_file(speakers, path)
    assert [] == [status for status in storm.statuses if status >= 500]
    assert all(one[1] <= other[0] for one, other in pairwise(stretches)), stretches


@pytest.mark.parametrize("mix", ["tus", "draft", "mixed"])
def test_one_offset_is_acknowledged_once(speakers: Speakers, mix: str) -> None:
    """Of twenty different bodies sent to the same offset at the same moment one gets it, whole or as far as it came."""
    size, count = 200_000, 20
    path = speakers.of(mix, 0).begin(len(DATA))
    bodies = [bytes([n]) * size for n in range(count)]
    together = threading.Barrier(count)

    def send(number: int) -> int:
        together.wait(20)
        return speakers.of(mix, number).send(path, 0, bodies[number], len(DATA))

    with ThreadPoolExecutor(count) as pool:
        statuses = list(pool.map(send, range(count)))
    offset = speakers.tus.offset(path)
    assert speakers.tus.send(path, offset, DATA[offset:], len(DATA)) in DONE
    content = the_file(speakers, path)
    winners = [number for number, status in enumerate(statuses) if status in DONE]

    assert len(winners) <= 1
    assert {204, 400, 409, 0} >= set(statuses), statuses
    assert 1 == len(set(content[:offset])) or offset == 0, "bytes of two clients are mixed"
    assert not winners or content[:offset] == bodies[winners[0]]
    assert DATA[offset:] == content[offset:]


@pytest.mark.parametrize("mix", ["tus", "draft", "mixed"])
def test_a_herd_with_the_same_bytes(arena: Any, speakers: Speakers, mix: str) -> None:
    """Sixty requests that all bring the whole upload, as clients that retry too fast: one file, and no 5xx."""
    path = speakers.of(mix, 0).begin(len(DATA))
    with staying_awake(arena), ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(lambda n: speakers.of(mix, n).send(path, 0, DATA, len(DATA)), range(60)))
    offset = speakers.of(mix, 0).offset(path)
    if offset < len(DATA):
        assert speakers.of(mix, 0).send(path, offset, DATA[offset:], len(DATA)) in DONE

    assert [] == [status for status in statuses if status >= 500], statuses
    assert DATA == the_file(speakers, path)


def test_a_storm_of_retries(arena: Any) -> None:
    """Twenty clients whose every request is sent three times at once: each ends with its own file, and no 5xx."""
    statuses: list[int] = []

    def client(number: int) -> None:
        mine = Speakers(arena, arena.bearer(arena.jwt(f"storm-{number}-{secrets.token_hex(3)}")))
        speaker = mine.of("mixed", number)
        path, offset = speaker.begin(len(DATA)), 0
        with ThreadPoolExecutor(3) as pool:
            while offset < len(DATA):
                piece = DATA[offset : offset + 200_000]
                tries = [pool.submit(speaker.send, path, offset, piece, len(DATA)) for _ in range(3)]
                statuses.extend(one.result() for one in tries)
                offset = speaker.offset(path)
        assert DATA == the_file(mine, path)

    with staying_awake(arena), ThreadPoolExecutor(20) as pool:
        list(pool.map(client, range(20)))
    assert [] == [status for status in statuses if status >= 500]


def test_one_end_however_often_it_is_asked(speakers: Speakers) -> None:
    """Twelve last requests at once, by both protocols: one file, and whoever is told "complete" finds it at once."""
    path = speakers.tus.begin(len(DATA))
    assert speakers.tus.send(path, 0, DATA[:-1], len(DATA)) == 204
    together = threading.Barrier(12)

    def end(number: int) -> tuple[int, int]:
        together.wait(20)
        status = speakers.of("mixed", number).send(path, len(DATA) - 1, DATA[-1:], len(DATA))
        return status, speakers.get(path).status_code if status in DONE else 0

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(end, range(12)))

    assert {200, 0} == {read for _, read in answers}, answers
    assert [] == [status for status, _ in answers if status >= 500]
    assert DATA == the_file(speakers, path)


def test_what_is_written_is_read_at_once(speakers: Speakers) -> None:
    """After each acknowledged piece every process tells the same offset, and after the end gives the same bytes."""
    path = speakers.tus.begin(len(DATA))
    for offset in range(0, len(DATA), 1 << 17):
        speaker = speakers.of("mixed", offset >> 17)
        assert speaker.send(path, offset, DATA[offset : offset + (1 << 17)], len(DATA)) in DONE
        assert {offset + (1 << 17)} == {speakers.of("mixed", n).offset(path) for n in range(6)}
    file_id = speakers.get(f"/v1/uploads/{path.rpartition('/')[2]}?output=json").json()["file_id"]

    assert {DATA} == {bytes(speakers.get(f"/v1/files/{file_id}/content").content) for _ in range(8)}


def test_the_rate_is_one(make_server: Callable[..., Any]) -> None:
    """A user's requests are counted together, whichever process takes them: of 60 at 30 a minute 30 are answered."""
    server = make_server(CARRYALL_WORKERS="2", REQUEST_TIMES_PER_MINTUE="30")
    with new_user(server) as client:
        who = {"Authorization": client.headers["authorization"]}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(server.port, "GET", "/v1/me", who), range(60)))

    assert [200] * 30 + [429] * 30 == sorted(answer.status_code for answer in answers)
