"""The machine's clock jumps by two days, ahead or back, under a running server (threat 30, fault 17)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.clock import MovedClock
from tests.wire.drafts import new_user
from tests.wire.speakers import Speaker, ask, eventually, status_of

NOW, DAYS = timedelta(), timedelta(days=2)
DATA = b"kept through every jump" * 1000
WINDOW_S = 60
RATE = 20


@dataclass
class House:
    """A server with a clock, and two who use it: a user of its own, and one of another service."""

    server: Any
    clock: MovedClock
    user: dict[str, str]
    subject: dict[str, str]

    def get(self, path: str, who: dict[str, str] | None = None) -> Any:
        """Read something."""
        return ask(self.server.port, "GET", path, self.user if who is None else who)

    def make(self, path: str, **body: Any) -> Any:
        """Make something of the user's; give what is told of it."""
        with httpx2.Client(base_url=self.server.url, headers=self.user, timeout=30) as client:
            made = client.post(path, **body)
        assert made.status_code == 201, made.text
        return made.json()

    def link(self, file_id: str, lasting: timedelta) -> str:
        """Make a signed link; give its path."""
        made = self.make(f"/v1/files/{file_id}/links", json={"expires_in": int(lasting.total_seconds())})
        parts = urlsplit(made["url"])
        return f"{parts.path}?{parts.query}"


def traveller(server: Any) -> dict[str, str]:
    """Make a user; give their headers."""
    with new_user(server) as client:
        return {"Authorization": client.headers["authorization"]}


@pytest.fixture(scope="module")
def running(
    make_module_server: Callable[..., Any], require_program: Callable[[str], str], tmp_path_factory: Any
) -> tuple[Any, MovedClock]:
    """A server on which nobody leaves an upload alone for more than a day, and its clock."""
    clock = MovedClock(require_program("faketime"), tmp_path_factory.mktemp("clock"))
    settings = {"CARRYALL_UPLOAD_EXPIRY_HOURS": "24", "REQUEST_TIMES_PER_MINTUE": str(RATE)}
    return make_module_server(**settings, **clock.environment), clock


@pytest.fixture
def house(running: tuple[Any, MovedClock]) -> Iterator[House]:
    """That server with users of this test's own, at the true time."""
    server, clock = running
    yield House(server, clock, traveller(server), server.bearer(server.jwt(f"u{time.monotonic_ns()}", exp=2**33)))
    clock.set(NOW)


@pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["ahead", "back"])
def test_no_finished_file_vanishes(house: House, jump: timedelta) -> None:
    """Files stay, with their links, while the jump lasts and after it; a link is over when the new time says so."""
    file_id = house.make("/v1/files?filename=a", content=DATA)["id"]
    lasting, short = house.link(file_id, timedelta(days=5)), house.link(file_id, timedelta(days=1))
    house.clock.set(jump)

    assert DATA == house.get(f"/v1/files/{file_id}/content").content == house.get(lasting, {}).content
    assert (404 if jump > NOW else 200) == house.get(short, {}).status_code
    newer = house.make("/v1/files?filename=a", content=DATA)["id"]
    house.clock.set(NOW)
    assert {DATA} == {house.get(f"/v1/files/{one}/content").content for one in (file_id, newer)}
    assert 200 == house.get(short, {}).status_code


@pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["ahead", "back"])
def test_nobody_is_locked_out_for_days(house: House, jump: timedelta) -> None:
    """Who has used up a minute's requests waits for a minute at most, whatever the clock does meanwhile."""
    other = traveller(house.server)
    for who, then in ((house.user, jump), (other, NOW)):
        assert [200] * RATE + [429] == [house.get("/list", who).status_code for _ in range(RATE + 1)]
        house.clock.set(then)
        now = house.get("/list", who)
        assert now.status_code == 200 or int(now.headers["retry-after"]) <= WINDOW_S


def test_tokens_are_judged_by_the_new_time(house: House) -> None:
    """A JWT ends, and begins to hold, when the clock says so now; a token without an end isn't touched."""
    now = int(time.time())
    bearer, jwt = house.server.bearer, house.server.jwt
    hour = bearer(jwt("a", exp=now + 3600))
    later = bearer(jwt("a", nbf=now + 2 * 86_400 - 600, exp=now + 3 * 86_400))
    expected = {NOW: (200, 401), DAYS: (401, 200), -DAYS: (200, 401)}
    for jump, statuses in expected.items():
        house.clock.set(jump)
        assert statuses == tuple(house.get("/v1/me", who).status_code for who in (hour, later)), jump
        assert 200 == house.get("/v1/me").status_code


@pytest.mark.parametrize("protocol", ["tus", "draft"])
def test_uploads_go_by_their_recorded_deadline(house: House, protocol: str) -> None:
    """Back in time an upload is still there; past its deadline it is gone with its room, and not before."""
    speaker = Speaker(protocol, house.server.port, house.subject)
    path, going = speaker.begin(len(DATA)), speaker.begin(len(DATA))
    assert speaker.send(path, 0, DATA[:1000], len(DATA)) == 204
    for jump in (-DAYS, timedelta(hours=23), NOW):
        house.clock.set(jump)
        assert 1000 == speaker.offset(path)
    assert speaker.send(path, 1000, DATA[1000:], len(DATA)) in (200, 201, 204)
    house.clock.set(DAYS)

    assert eventually(lambda: speaker.ask("HEAD", going).status_code in (404, 410), 20)
    assert eventually(lambda: house.get("/v1/me", house.subject).json()["usage"]["reserved_bytes"] == 0, 20)
    assert DATA == speaker.stored(path)


@pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["ahead", "back"])
def test_what_is_being_sent_is_not_disturbed(house: House, jump: timedelta) -> None:
    """An upload in the middle of its body when the clock jumps is neither expired nor swept, nor counted as slow."""
    speaker = Speaker("tus", house.server.port, house.subject)
    path, left = speaker.begin(len(DATA)), speaker.begin(10)
    with speaker.open(path, 0, len(DATA), len(DATA)) as peer:
        peer.sendall(DATA[:5000])
        staged = f"staging/*/{path.rpartition('/')[2]}.*"
        assert eventually(lambda: any(house.server.data_dir.glob(staged)), 10)
        house.clock.set(jump)
        house.clock.set(max(jump, NOW) + DAYS)
        assert eventually(lambda: speaker.ask("HEAD", left).status_code in (404, 410), 20)
        peer.sendall(DATA[5000:])
        assert 204 == status_of(peer)
    assert DATA == speaker.stored(path)


def test_the_cleaner_goes_on_after_a_jump_back(house: House) -> None:
    """What falls due by the corrected clock is looked after, although the last look was "in two days"."""
    speaker = Speaker("tus", house.server.port, house.subject)
    house.clock.set(3 * DAYS)
    early = speaker.begin(10)
    house.clock.set(4 * DAYS)
    assert eventually(lambda: speaker.ask("HEAD", early).status_code in (404, 410), 20)
    house.clock.set(NOW)
    path = speaker.begin(10)
    house.clock.set(DAYS)  # past its deadline, and before the time at which the cleaner ran last

    assert eventually(lambda: speaker.ask("HEAD", path).status_code in (404, 410), 20)
