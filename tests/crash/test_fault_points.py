"""kill -9 at each named point of each protocol: what was acknowledged is there, and nothing is there twice (I1 to I7).

The points are passed by the wrappers in `mortal.py`; the process that passes one is a real server, and the signal is 9.
"""

import random
import secrets
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.crash import inside, many_requests, one_request
from tests.crash.victim import ADMIN, MortalVictim, bearer
from tests.crash.wire import Kept, Told, Wire

Sender = Callable[[Wire, bytes], Kept]

WRITING = [("written", 1), ("synced", 1), ("before_row", 1), ("after_row", 1), ("stored", 1), ("sealed", 1)]
ERASING = [("erasing", 1), ("erased", 1)]
TELLING = [("telling", 1), ("told", 1)]
ONE_REQUEST: list[Sender] = [one_request.by_form, one_request.by_put, one_request.by_name, one_request.by_gallery]
MANY_REQUESTS: list[Sender] = [
    many_requests.by_tus,
    many_requests.by_tus_at_once,
    many_requests.by_tus_parts,
    many_requests.by_draft,
    many_requests.by_chunks,
    many_requests.by_shuffled_chunks,
]
SECOND = [("written", 2), ("synced", 2), ("before_row", 2), ("after_row", 2)]  # of an upload's second request
JOINING = [
    *((many_requests.by_tus_parts, point) for point in (("linked", 1), ("linked", 3), ("joining", 1))),
    *((sender, ("joining", 1)) for sender in (many_requests.by_chunks, many_requests.by_shuffled_chunks)),
    (many_requests.by_shuffled_chunks, ("moved", 1)),
]
SENDING = [
    *((sender, point) for sender in [*ONE_REQUEST, *MANY_REQUESTS] for point in WRITING),
    *((sender, point) for sender in [one_request.by_gallery, *MANY_REQUESTS] for point in SECOND),
    *JOINING,
    # Only of files of the main service's users somebody is told.
    *((sender, point) for sender in [*ONE_REQUEST[1:3], *MANY_REQUESTS] for point in TELLING),
]


def _id(value: Any) -> str:
    return value.__name__ if callable(value) else "-".join(map(str, value))


class Receiver(ThreadingHTTPServer):
    """The main service's end of the webhook: it notes which events it was told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Taker(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                heard.append(self.headers["Carryall-Delivery"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Taker)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[MortalVictim]:
    """One folder, over all these lives; at the end, time passes, and everything is in order."""
    settings = {"CARRYALL_WEBHOOK_URL": receiver.url, "CARRYALL_CHECKPOINT_MB": "0.05"}
    server = MortalVictim(tmp_path_factory.mktemp("points"), settings=settings)
    server.start()
    yield server
    server.stop()
    _check_at_the_end(server, receiver)


@pytest.fixture
def wire(victim: MortalVictim, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A client of whom nobody else knows, with bytes that nobody else sends."""
    dice = random.Random(zlib.crc32(request.node.name.encode()))
    with httpx2.Client(base_url=victim.url, timeout=20, headers=bearer(f"u{secrets.token_hex(6)}")) as client:
        yield Wire(client, Told(), dice, requests=3)


def killed_during(victim: MortalVictim, point: tuple[str, int], work: Callable[[], Kept]) -> Kept:
    """Let a client work until the server ends at the point; start it again, and let the client go on to its end."""
    victim.arm(*point)
    with ThreadPoolExecutor(1) as pool:
        client: Future[Kept] = pool.submit(work)
        try:
            status = victim.end()
        except AssertionError:
            if client.done():
                client.result()  # what went wrong there says more
            raise
        finally:
            victim.disarm()
        assert status == -signal.SIGKILL
        victim.start()
        return client.result(timeout=60)


def check(victim: MortalVictim, wire: Wire, kept: Kept) -> None:
    """See what was promised: the bytes, one file, one event, exact counters, and nothing left after one sweep."""
    got = wire.http.get(kept.read_at)
    assert (200, kept.size) == (got.status_code, len(got.content))
    assert kept.digest == one_request.digest_of(got.content)
    view = inside.sweep(victim.environment)
    assert [] == view.findings
    assert [] == view.one_shots
    for digest in wire.told.sent:
        events = view.digests[digest]
        assert events <= (2 if digest in wire.told.twice else 1), wire.told.sent[digest]
        assert (digest in view.files.values()) <= (events > 0)
    assert view.digests[kept.digest] >= 1
    assert {1} == set(view.stored.values())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("sender", "point"), SENDING, ids=_id)
def test_killed_while_a_file_comes(victim: MortalVictim, wire: Wire, sender: Sender, point: tuple[str, int]) -> None:
    """The server ends at the point; the client goes on, or begins anew, and has its one file in the end."""
    data = wire.dice.randbytes(150_001)
    if sender is one_request.by_name:
        wire.told.keeps(sender(wire, data))

    kept = killed_during(victim, point, lambda: sender(wire, wire.dice.randbytes(150_001)))

    check(victim, wire, kept)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ERASING, ids=_id)
@pytest.mark.parametrize("sender", [*ONE_REQUEST, *MANY_REQUESTS], ids=_id)
def test_killed_while_a_file_goes(victim: MortalVictim, wire: Wire, sender: Sender, point: tuple[str, int]) -> None:
    """Deleted is deleted: the row went first, and the bytes go with the next sweep, if not before."""
    first = sender(wire, wire.dice.randbytes(60_001))
    stays = one_request.by_put(wire, wire.dice.randbytes(50_000))

    def goes() -> Kept:
        if sender is one_request.by_name:  # the bytes that had the name go
            sender(wire, wire.dice.randbytes(60_002))
        else:
            wire.until_answered("DELETE", f"/v1/files/{_id_of(wire, first)}", headers=ADMIN, also=(404,))
        return stays

    check(victim, wire, killed_during(victim, point, goes))
    assert wire.http.get(first.read_at).status_code in (404, 410)


def _id_of(wire: Wire, kept: Kept) -> str:
    if kept.file_id is not None:
        return kept.file_id
    images = wire.until_answered("GET", "/api/uploads?limit=100", headers=ADMIN).json()["data"]
    return str(next(image["id"] for image in images if image["file_path"] == kept.read_at))


def _check_at_the_end(victim: MortalVictim, receiver: Receiver) -> None:
    """Six days later: what nobody continued has expired, each event was told, and only files' bytes are left."""
    view = inside.later(victim.environment, timedelta(days=6))
    assert [] == view.findings
    roots = {name: Path(victim.environment["CARRYALL_DATA_DIR"], name) for name in ("files", "staging")}
    on_disk = {name: [path for path in root.rglob("*") if path.is_file()] for name, root in roots.items()}
    assert (len(view.files), 0) == (len(on_disk["files"]), len(on_disk["staging"]))
    assert inside.told(victim.environment) <= set(receiver.heard)
