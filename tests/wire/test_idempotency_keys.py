"""What an `Idempotency-Key` is, whose it is, and which request it names."""

import base64
import secrets
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from tests.wire.makers import DOORS, made


@pytest.fixture
def user(client_of: Callable[[str], httpx2.Client]) -> httpx2.Client:
    """A user of whom nobody else knows."""
    return client_of("user")


@pytest.mark.parametrize(
    ("key", "status"),
    [("8e03978e-40d5", 201), ('"8e03978e-40d5"', 201), (r'"a \"quoted\" \\ key"; v=1', 201), ("x" * 255, 201)]
    + [(key, 400) for key in ("", '""', '"open', "two words", '"a" "b"', "kéy".encode().decode("latin-1"), "x" * 256)],
)
def test_K_2_a_key_is_one_string(user: httpx2.Client, key: str, status: int) -> None:
    """A structured string, or the bare value; anything else is refused, and nothing is made."""
    answer = user.post("/v1/files", content=b"abc", headers=[("Idempotency-Key", key.encode("latin-1"))])

    assert status == answer.status_code, answer.text
    assert (int(status == 201), 0) == made(user)
    if status == 400:
        assert "idempotency_key_invalid" == answer.json()["code"]


def test_K_2_a_key_stands_once(user: httpx2.Client) -> None:
    """Two lines are two keys, and which of them counts isn't ours to choose; quoted and bare are one."""
    two = user.post("/v1/files", content=b"abc", headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    same = [user.post("/v1/files", content=b"abc", headers={"Idempotency-Key": key}) for key in ("a", '"a"')]

    assert (400, "idempotency_key_invalid") == (two.status_code, two.json()["code"])
    assert same[0].json() == same[1].json()


@pytest.mark.parametrize(
    "changed",
    [
        {"content": b"abcd"},
        {"path": "/v1/files?name=b.bin"},
        {"path": "/v1/by-name/a.bin", "method": "PUT"},
        {"headers": {"Content-Type": "text/plain"}},
        {"headers": {"Content-Disposition": 'attachment; filename="b"'}},
        {"headers": {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}},
        {"headers": {"Upload-Complete": "?0"}},
    ],
)
def test_K_3_another_request_is_refused(user: httpx2.Client, changed: dict[str, Any]) -> None:
    """The same key with another address, size, name, type or digest is 422, before its body."""
    sent = {"method": "POST", "path": "/v1/files?name=a.bin", "content": b"abc", "headers": {}} | changed
    first = user.post("/v1/files?name=a.bin", content=b"abc", headers={"Idempotency-Key": "key"})
    answer = user.request(
        sent["method"], sent["path"], content=sent["content"], headers={**sent["headers"], "Idempotency-Key": "key"}
    )

    assert 201 == first.status_code
    assert (422, "idempotency_key_reused") == (answer.status_code, answer.json()["code"])
    assert (1, 0) == made(user)


def test_K_3_a_forms_boundary_is_no_part_of_it(user: httpx2.Client) -> None:
    """Browsers draw a boundary of another length each time; the form is the same."""
    for boundary in ("short", "a-much-longer-boundary"):
        body = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--{boundary}--'
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": "key"}
        answer = user.post("/v1/files", content=body.encode(), headers=kind)
        assert 201 == answer.status_code, answer.text

    assert (1, 0) == made(user)


def test_K_6_a_key_is_its_owners(client_of: Callable[[str], httpx2.Client]) -> None:
    """Another's answer is nobody's to hear: the same key of somebody else is another key."""
    answers = [DOORS["raw"].ask(client_of(who), "the-same-for-all") for who in ("user", "user", "subject")]

    assert [201] * 3 == [answer.status_code for answer in answers]
    assert 3 == len({answer.json()["id"] for answer in answers})


def test_K_6_a_token_for_one_file_hears_of_no_other(server: Any) -> None:
    """The same subject with a token for another file doesn't get the answer that was for the first."""
    name = f"u{secrets.token_hex(6)}"
    body = {"main_service_file_id": 1, "original_file_name": "a.mp3"}
    with server.client() as client:
        answers = [
            client.post(
                "/v1/files", content=b"abc", headers={**server.bearer(token), "Idempotency-Key": "key"}
            ).status_code
            for token in (server.jwt(name, file_id=1), server.jwt(name, file_id=2))
        ]
        wrong = client.post(
            "/upload/init", json=body, headers={**server.bearer(server.jwt(name, file_id=2)), "Idempotency-Key": "k"}
        )

    assert [201, 422] == answers
    assert 403 == wrong.status_code


def test_K_6_visitors_have_keys_of_their_own(make_server: Any) -> None:
    """All visitors are one principal; their addresses tell them apart."""
    server, door = make_server(CARRYALL_TRUSTED_PROXIES="127.0.0.1"), DOORS["gallery"]
    with server.client() as visitor:
        answers = [
            door.ask(visitor, headers={"Idempotency-Key": "1", "X-Forwarded-For": address}).json()["data"]
            for address in ("198.51.100.7", "198.51.100.7", "203.0.113.9")
        ]

    assert answers[0] == answers[1] != answers[2]
