"""GET /v1/events: what happened, to whom it belongs, in order, each once, whatever breaks in between."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.wire.sse import Source

Follow = Callable[..., Source]


@pytest.fixture
def follow(server: Any) -> Iterator[Follow]:
    """Follow events of the shared server, or of another."""
    sources: list[Source] = []

    def begin(headers: dict[str, str], *, at: Any = None, **params: str) -> Source:
        sources.append(Source((at or server).url, headers, **params))
        return sources[-1]

    yield begin
    for source in sources:
        source.close()


def upload(server: Any, headers: dict[str, str], **params: str) -> str:
    """Upload a file; give its id."""
    params = {"name": "a.txt", **params}
    answer = httpx2.post(f"{server.url}/v1/files", params=params, content=b"hello", headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def delete(server: Any, headers: dict[str, str], file_id: str) -> None:
    """Delete a file."""
    assert httpx2.delete(f"{server.url}/v1/files/{file_id}", headers=headers, timeout=30).status_code == 204


def test_events_come_as_they_happen(server: Any, follow: Follow) -> None:
    """A file's events come to its owner in order, as docs/events.md shows them, and to nobody else."""
    (_, alice), (_, bob) = server.new_user(), server.new_user()
    hers, his = follow(alice), follow(bob)
    file_id = upload(server, alice)
    delete(server, alice, file_id)
    stored, deleted = hers.wait_for(2)
    last = upload(server, bob)
    his.wait_for(1)

    assert ["file.stored", "file.deleted"] == [stored.type, deleted.type]
    assert [file_id, file_id] == hers.subjects
    assert [last] == his.subjects
    assert int(stored.id) < int(deleted.id)
    assert [(str(event.data["id"]), event.data["type"]) for event in hers.events] == [
        (event.id, event.type) for event in hers.events
    ]
    assert {"id", "type", "subject", "owner", "created_at", "data"} == stored.data.keys()
    assert {"name": "a.txt", "size": 5, "file_id": file_id}.items() <= stored.data["data"].items()
    assert "deleted" == deleted.data["data"]["why"]
    assert ("text/event-stream", "no-store", "no") == tuple(
        hers.headers[name] for name in ("content-type", "cache-control", "x-accel-buffering")
    )


@pytest.mark.parametrize("by", ["header", "query"])
def test_a_client_goes_on_where_it_left_off(server: Any, follow: Follow, by: str) -> None:
    """What happened while a client was away comes when it is back, also where it had had no event yet."""
    _, alice = server.new_user()
    first = follow(alice)
    first.close()
    ids = [upload(server, alice) for _ in range(3)]

    def back(last_id: str | None) -> Source:
        again = {"Last-Event-ID": str(last_id)} if by == "header" else {}
        return follow(alice | again, **({} if by == "header" else {"after": str(last_id)}))

    second = back(first.last_id)
    second.wait_for(3)
    third = back(second.events[1].id)
    ids.append(upload(server, alice))
    third.wait_for(2)
    second.wait_for(4)

    assert ids == second.subjects
    assert ids[2:] == third.subjects


def test_an_id_from_the_future_is_now(server: Any, follow: Follow) -> None:
    """After a restored backup clients know ids that weren't given yet: they get what is new."""
    _, alice = server.new_user()
    upload(server, alice)
    source = follow(alice, after="999999999999999999")
    file_id = upload(server, alice)

    assert [file_id] == [event.data["subject"] for event in source.wait_for(1)]


def test_none_is_lost_and_none_comes_twice(make_server: Callable[..., Any], follow: Follow) -> None:
    """Many files at once, over two processes: who stays and who keeps coming back see the same events once."""
    server = make_server(CARRYALL_WORKERS="2")
    steady = [follow(server.service, at=server) for _ in range(4)]
    is_done = threading.Event()

    def come_back() -> list[str]:
        seen: list[str] = []
        last_id = steady[0].last_id
        while True:
            is_last = is_done.is_set()
            source = Source(server.url, {**server.service, "Last-Event-ID": str(last_id)})
            deadline = time.monotonic() + (2.5 if is_last else 0.15)
            while time.monotonic() < deadline:
                time.sleep(0.02)
            source.close()
            seen += [event.id for event in source.events]
            last_id = source.events[-1].id if source.events else last_id
            if is_last:
                return seen

    with ThreadPoolExecutor(8) as pool:
        restless = [pool.submit(come_back) for _ in range(2)]
        made = list(pool.map(lambda _: upload(server, server.service), range(60)))
        for source in steady:
            source.wait_for(60)
        is_done.set()
        ids = [event.id for event in steady[0].events]
        broken = [one.result() for one in restless]

    assert sorted(ids, key=int) == ids
    assert sorted(made) == sorted(steady[0].subjects)
    assert [ids] * 3 == [[event.id for event in source.events] for source in steady[1:]]
    assert [ids] * 2 == broken


def test_a_token_for_one_file_sees_its_events(server: Any, follow: Follow) -> None:
    """A scoped token, and another service's token for one file, hear of that file and of nothing else."""
    _, alice = server.new_user()
    file_id, other = upload(server, alice), upload(server, alice)
    with server.client(headers=alice) as client:
        made = client.post("/v1/tokens", json={"file_id": file_id, "scopes": ["read"]}).json()
    scoped = follow(server.bearer(made["token"]), after="0")
    delete(server, alice, other)
    delete(server, alice, file_id)
    subject = f"s{secrets.token_hex(4)}"
    owner = server.bearer(server.jwt(subject))
    for_one = follow(server.bearer(server.jwt(subject, file_id=7)))
    upload(server, owner, main_service_file_id="8")
    seventh = upload(server, owner, main_service_file_id="7")
    delete(server, owner, seventh)

    assert [("file.stored", file_id), ("file.deleted", file_id)] == [
        (event.type, event.data["subject"]) for event in scoped.wait_for(2)
    ]
    assert [("file.stored", seventh), ("file.deleted", seventh)] == [
        (event.type, event.data["subject"]) for event in for_one.wait_for(2)
    ]


def test_the_administrator_may_follow_others(server: Any, follow: Follow) -> None:
    """`?owner=` and `?all=true` are the administrator's; without them everybody follows their own."""
    name, alice = server.new_user()
    own, hers, everybodys = (
        follow(server.admin),
        follow(server.admin, owner=f"user:{name}"),
        follow(server.admin, all="true"),
    )
    file_id, his = upload(server, alice), upload(server, server.admin)
    everybodys.wait(lambda: {file_id, his} <= set(everybodys.subjects), "both files")
    hers.wait_for(1)
    own.wait_for(1)
    statuses = [
        httpx2.get(f"{server.url}/v1/events", params=params, headers=alice, timeout=10).json()["code"]
        for params in ({"owner": "user:nobody"}, {"all": "true"})
    ]

    assert file_id in hers.subjects
    assert his not in hers.subjects
    assert his in own.subjects
    assert file_id not in own.subjects
    assert ["admin_only"] * 2 == statuses


def test_bad_requests_are_refused(server: Any) -> None:
    """Who isn't known, may not read, or sends no event's id, gets an ordinary refusal."""
    _, alice = server.new_user()
    with server.client(headers=alice) as client:
        token = client.post("/v1/tokens", json={"scopes": ["write"]}).json()["token"]
    asked = [
        ({}, {}),
        (server.bearer(token), {}),
        (alice | {"Last-Event-ID": "x"}, {}),
        (alice, {"after": "-1"}),
        (alice, {"all": "perhaps"}),
    ]
    answers = [httpx2.get(f"{server.url}/v1/events", headers=h, params=p, timeout=10) for h, p in asked]

    assert [401, 403, 422, 422, 422] == [answer.status_code for answer in answers]
    assert all(answer.json()["code"] for answer in answers)


def test_a_stream_ends_with_its_token(server: Any, follow: Follow) -> None:
    """A revoked token hears no more at once; one that runs out, within a minute; others hear that all is well."""
    _, alice = server.new_user()
    with server.client(headers=alice) as client:
        made = client.post("/v1/tokens", json={"scopes": ["read"]}).json()
        leeway_s = 30
        short = follow(server.bearer(server.jwt(exp=int(time.time()) - leeway_s + 2)))
        ending, staying = follow(server.bearer(made["token"])), follow(alice)
        client.delete(f"/v1/tokens/{made['id']}")
        ending.wait(lambda: ending.is_over, "the end")
        upload(server, alice)
    staying.wait(lambda: bool(staying.comments), "a sign of life", seconds=40)
    short.wait(lambda: short.is_over, "the end", seconds=40)

    assert (None, None) == (ending.failure, short.failure)
    assert [] == ending.events
    assert ["token.changed", "file.stored"] == [event.type for event in staying.events]
    assert "revoked" == staying.events[0].data["data"]["change"]


def test_streams_are_bounded(server: Any, follow: Follow) -> None:
    """Nobody holds more than 20 streams of a process; when one ends, another may begin."""
    _, alice = server.new_user()
    sources = [follow(alice) for _ in range(20)]
    refused = httpx2.get(f"{server.url}/v1/events", headers=alice, timeout=10)
    sources[0].close()
    deadline = time.monotonic() + 10
    while (again := follow(alice)).status == 429 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (429, "too_many_streams") == (refused.status_code, refused.json()["code"])
    assert int(refused.headers["retry-after"]) > 0
    assert again.status == 200


def test_streams_dont_hold_up_a_stop(make_server: Callable[..., Any], follow: Follow) -> None:
    """A server that is stopped ends its streams in order, long before its grace is over."""
    server = make_server(CARRYALL_SHUTDOWN_GRACE_S="30")
    sources = [follow(server.service, at=server) for _ in range(3)]
    began = time.monotonic()
    status = server.stop()
    took_s = time.monotonic() - began
    for source in sources:
        source.wait(lambda one=source: one.is_over, "the end")

    assert 0 == status
    assert took_s < 5
    assert [None] * 3 == [source.failure for source in sources]
    assert not any(word in server.log() for word in ("without completing", "Traceback", "crashed"))
