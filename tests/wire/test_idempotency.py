"""`Idempotency-Key` on every address that makes something: what is repeated is made once, and answered alike."""

import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import append, begin, new_user
from tests.wire.makers import DOORS, REPLAYED, STREAM, TUS, client_for, lively, made


@pytest.fixture
def user(client_of: Callable[[str], httpx2.Client]) -> httpx2.Client:
    """A user of whom nobody else knows."""
    return client_of("user")


@pytest.mark.parametrize("name", DOORS)
def test_K_1_a_repeat_makes_nothing_and_gets_the_first_answer(
    client_of: Callable[[str], httpx2.Client], name: str
) -> None:
    """Twice with one key: one file (or upload), and the same status, headers and body, marked as told again."""
    door = DOORS[name]
    client, key = client_of(door.who), secrets.token_hex(16)
    before = made(client)

    first, again = door.ask(client, key), door.ask(client, key)
    after = made(client)

    assert door.status == first.status_code, first.text
    assert lively(first) == lively(again)
    assert [None, "true"] == [one.headers.get(REPLAYED) for one in (first, again)]
    assert (door.files, int(not door.files)) == (after[0] - before[0], after[1] - before[1])


@pytest.mark.timeout(240)  # every door, three times
def test_K_8_what_was_made_without_an_answer_is_answered_for(make_server: Any) -> None:
    """Killed when the files were there and their answers weren't kept: repeats find them, and answer as the first."""
    server = make_server(FILE_SIZE_LIMIT_MB="1")
    clients = {name: client_for(server, door.who) for name, door in DOORS.items()}
    firsts = {name: door.ask(clients[name], name) for name, door in DOORS.items()}
    server.stop(signal.SIGKILL)
    assert len(DOORS) == server.change_catalog("UPDATE errands SET answer = NULL")
    server.start_again()

    for name, door in DOORS.items():
        first, second, third = firsts[name], *(door.ask(clients[name], name) for _ in range(2))
        assert door.status == first.status_code == second.status_code, (name, second.text)
        assert lively(second) == lively(third), name
        assert first.headers.get("location") == second.headers.get("location"), name
        if first.content and isinstance(first.json(), dict):
            for part in ("file_id", "id", "file_url", "sha256", "data"):
                assert first.json().get(part) == second.json().get(part), name
        if door.who != "service":
            assert (door.files, int(not door.files)) == made(clients[name]), name
    assert (2, 1) == made(clients["relay-raw"])
    for client in clients.values():
        client.close()


def test_K_1_a_link_is_made_once(user: httpx2.Client) -> None:
    """Links, too, which would be two ways in otherwise; what is asked for is part of the request."""
    links = f"/v1/files/{user.post('/v1/files', content=b'abc').json()['id']}/links"
    headers = {"Idempotency-Key": '"one link"'}
    first, again = (user.post(links, json={"max_downloads": 3}, headers=headers) for _ in range(2))
    other = user.post(links, json={"max_downloads": 4}, headers=headers)

    assert lively(first) == lively(again)
    assert (422, "idempotency_key_reused") == (other.status_code, other.json()["code"])
    assert 1 == len(user.get(links).json()["links"])


def test_K_1_the_name_of_a_file_is_free_for_the_repeat_alone(user: httpx2.Client) -> None:
    """A PUT that may only create is repeated with success; without the key its second time is 412."""
    door = DOORS["by-name"]
    answers = [door.ask(user, "mine"), door.ask(user, "mine"), door.ask(user)]

    assert [201, 201, 412] == [answer.status_code for answer in answers]


def head_of(client: httpx2.Client, size: int, key: str) -> bytes:
    """Give the head of a raw upload of so many bytes."""
    return (
        f"POST /v1/files?name=a.bin HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['authorization']}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    ).encode()


def connect(server: Any, client: httpx2.Client, size: int) -> socket.socket:
    """Begin a raw upload with the key "key"; give the connection when its bytes are waited for."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(head_of(client, size, "key"))
    assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
    return connection


def until_answered(work: Callable[[], httpx2.Response]) -> httpx2.Response:
    """Ask until it isn't in use any more, as a client that keeps to Retry-After would, only faster."""
    deadline = time.monotonic() + 20
    while True:
        answer = work()
        if answer.status_code != 409 or time.monotonic() > deadline:
            return answer
        assert answer.headers["retry-after"]
        time.sleep(0.02)


def test_K_4_a_repeat_waits_for_the_first(server: Any, user: httpx2.Client) -> None:
    """While the first request still sends, a repeat is 409 with Retry-After; then it gets that one's answer."""

    def again() -> httpx2.Response:
        return user.post("/v1/files?name=a.bin", content=b"abc", headers={"Idempotency-Key": "key"})

    with connect(server, user, 3) as first:
        first.sendall(b"ab")
        early = again()
        first.sendall(b"c")
        answer = HTTPResponse(first)
        answer.begin()
        told = answer.read()
        late = again()

    assert (409, "idempotency_key_in_use", "1") == (
        early.status_code,
        early.json()["code"],
        early.headers["retry-after"],
    )
    assert (201, late.content) == (answer.status, told)
    assert (1, 0) == made(user)


def test_K_1_a_lost_answer_is_given_again(server: Any, user: httpx2.Client) -> None:
    """The whole body was sent and the connection cut before the answer (fault 16): the repeat gets it, and one file."""
    with connect(server, user, 3) as first:
        first.sendall(b"abc")

    answer = until_answered(
        lambda: user.post("/v1/files?name=a.bin", content=b"abc", headers={"Idempotency-Key": "key"})
    )

    assert 201 == answer.status_code
    assert (1, 0) == made(user)
    assert b"abc" == user.get(f"/v1/files/{answer.json()['id']}/content").content


def test_K_5_a_body_that_broke_off_is_sent_again(server: Any, user: httpx2.Client) -> None:
    """What the first attempt brought is gone with it, and the repeat makes the file."""
    with connect(server, user, 3) as first:
        first.sendall(b"ab")

    answer = until_answered(
        lambda: user.post("/v1/files?name=a.bin", content=b"abc", headers={"Idempotency-Key": "key"})
    )

    assert (201, None) == (answer.status_code, answer.headers.get(REPLAYED))
    assert (1, 0) == made(user)


def test_K_5_what_was_refused_is_tried_again(user: httpx2.Client) -> None:
    """A refusal made nothing, and isn't kept: when its reason is gone, the same request succeeds."""
    user.put("/v1/by-name/a.bin", content=b"old")
    door = DOORS["by-name"]
    refused = door.ask(user, "key")
    user.delete("/v1/by-name/a.bin")

    assert [412, 201] == [refused.status_code, door.ask(user, "key").status_code]


def test_K_5_a_broken_tus_creation_is_found_by_its_key(server: Any, user: httpx2.Client) -> None:
    """Its client never heard where the upload is: the repeat tells, and how much came (T-W5)."""
    told = {**TUS, **STREAM, "Upload-Length": "9", "Idempotency-Key": "key"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**told, **dict(user.headers)}.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as first:
        first.sendall(f"POST /files HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 9\r\n\r\nabcd".encode())
        deadline = time.monotonic() + 15
        while made(user) != (0, 1) and time.monotonic() < deadline:
            time.sleep(0.02)

    answer = until_answered(lambda: user.post("/files", content=b"abcdefghi", headers=told))
    at = urlsplit(answer.headers["location"]).path
    offset = int(answer.headers["upload-offset"])
    ended = user.patch(at, content=b"abcdefghi"[offset:], headers={**TUS, **STREAM, "Upload-Offset": str(offset)})

    assert (201, 204) == (answer.status_code, ended.status_code)
    assert b"abcdefghi" == user.get(at).content
    assert (1, 0) == made(user)


def test_K_4_rivals_at_several_processes_make_one_file(make_server: Any) -> None:
    """The same where requests arrive at any of them."""
    server = make_server(CARRYALL_WORKERS="2")
    for name in ("raw", "tus"):
        with new_user(server) as user:
            race(server, user, name)


@pytest.mark.parametrize("name", ["raw", "form", "by-name", "tus", "blobs", "draft"])
def test_K_4_rivals_with_one_key_make_one_file(user: httpx2.Client, server: Any, name: str) -> None:
    """Twenty at once: one makes it, and whoever asks again gets its answer (fault 16)."""
    race(server, user, name)


def race(server: Any, user: httpx2.Client, name: str) -> None:
    """Let twenty clients send one request with one key at once; see that one thing was made."""
    door = DOORS[name]
    answers: list[httpx2.Response] = []

    def send() -> None:
        with server.client(headers=dict(user.headers)) as rival:
            answers.append(until_answered(lambda: door.ask(rival, "key")))

    rivals = [threading.Thread(target=send) for _ in range(20)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()

    assert [door.status] * 20 == [answer.status_code for answer in answers]
    assert 1 == len({(answer.headers.get("location"), answer.content) for answer in answers})
    assert (door.files, int(not door.files)) == made(user)


def test_K_7_answers_outlive_the_server(make_server: Any) -> None:
    """Killed and started again, it tells the same."""
    server = make_server()
    with new_user(server) as user:
        first = DOORS["raw"].ask(user, "key")
        server.stop(signal.SIGKILL)
        server.start_again()

        assert lively(first) == lively(DOORS["raw"].ask(user, "key"))
        assert (1, 0) == made(user)


def test_K_8_a_request_that_was_killed_is_taken_over(make_server: Any) -> None:
    """Killed in the middle of a body, the server holds the key for nobody; what came is given up, its room is free."""
    server = make_server()
    with new_user(server) as user:
        with connect(server, user, 3) as first:
            first.sendall(b"ab")
            server.stop(signal.SIGKILL)
        server.start_again()

        answer = until_answered(lambda: DOORS["raw"].ask(user, "key"))

        assert (201, None) == (answer.status_code, answer.headers.get(REPLAYED))
        assert (1, 0) == made(user)


def test_K_8_an_announced_upload_is_no_end(server: Any, user: httpx2.Client) -> None:
    """A whole file by the draft broke off behind its 104: the repeat hears where it goes on, and not that it ended."""
    told = {"Upload-Draft-Interop-Version": "6", "Upload-Complete": "?1", "Idempotency-Key": "key"}
    host = f"127.0.0.1:{server.port}"
    sent = {**told, "Authorization": user.headers["authorization"]}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as first:
        first.sendall(f"POST /v1/files HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: 6\r\n\r\nabc".encode())
        assert first.recv(4096).startswith(b"HTTP/1.1 104 ")

    again = until_answered(lambda: user.post("/v1/files", content=b"abcdef", headers=told))
    at, offset = urlsplit(again.headers["location"]).path, int(again.headers["upload-offset"])
    ended = append(user, at, b"abcdef"[offset:], offset=offset, end=True)

    assert (201, "?0") == (again.status_code, again.headers["upload-complete"])
    assert b"abcdef" == user.get(f"/v1/files/{ended.json()['id']}/content").content
    assert (1, 0) == made(user)


def test_K_9_the_end_of_an_upload_needs_no_key(user: httpx2.Client) -> None:
    """It is found by its address: the draft's repeated end, tus' repeated PATCH (I-A8, T-P8)."""
    at = begin(user, b"abc")
    told = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1", "Upload-Offset": "3"}

    answers = [user.patch(at, content=b"", headers=told) for _ in range(2)]

    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert (1, 0) == made(user)
