"""Chunk sessions under attack: forged tokens, hostile forms, limits, and a quota that is shared (docs/threats.md)."""

import base64
import hashlib
import hmac
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey

KIB, MIB = 1 << 10, 1 << 20
BOUNDARY = "frontier"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
ROUTES = [
    ("POST", "/upload/init"),
    ("POST", "/upload/chunk"),
    ("POST", "/upload/complete"),
    ("DELETE", "/upload/file"),
    ("GET", "/upload/files"),
    ("GET", "/upload/download/7"),
    ("HEAD", "/upload/download/7"),
]


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx2.Client]]:
    """Connect to a server as a user that nobody else is."""
    clients: list[httpx2.Client] = []

    def as_user(server: Any, **claims: Any) -> httpx2.Client:
        token = server.jwt(f"u{secrets.token_hex(6)}", **claims)
        clients.append(server.client(headers=server.bearer(token)))
        return clients[-1]

    yield as_user
    for client in clients:
        client.close()


@pytest.fixture
def user(server: Any, connect: Callable[..., httpx2.Client]) -> httpx2.Client:
    return connect(server)


def init(user: httpx2.Client, file_id: int = 7) -> str:
    answer = user.post("/upload/init", json={"main_service_file_id": file_id, "original_file_name": "a.bin"})
    return str(answer.json()["data"]["upload_session_id"])


def complete(user: httpx2.Client, session: str, total: int, file_id: int = 7) -> httpx2.Response:
    wish = {"upload_session_id": session, "total_chunks": total, "main_service_file_id": file_id}
    return user.post("/upload/complete", json=wish)


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def chunk(data: bytes, filename: str = "blob", name: str = "chunk") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def form(session: str, index: Any, data: bytes) -> bytes:
    return field("upload_session_id", session) + field("chunk_index", str(index)) + chunk(data) + END


def send(user: httpx2.Client, body: Any) -> httpx2.Response:
    return user.post("/upload/chunk", content=body, headers=FORM)


def refused(answer: httpx2.Response, *statuses: int) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code in statuses, answer.text
    assert ("error", body["detail"], str) == (body["status"], body["message"], type(body["detail"]))
    return body


def first_answer(server: Any, head: str, body: bytes = b"") -> bytes:
    """Send a request's head and a part of its body; give the first thing that the server says."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection.recv(65536)


# --- who asks (threats 7, 9; P1, H2, H10, H11) ---------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_tokens_of_the_main_service_count(server: Any, method: str, path: str) -> None:
    """Nothing, the administrator's token, the service's and rubbish are a 401 here, whatever is asked for."""
    wrong = [{}, server.admin, server.service, server.bearer("a.b.c"), {"Authorization": "Basic YTpi"}]
    with server.client() as client:
        for headers in wrong:
            answer = client.request(method, path, headers=headers)
            assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
            if method != "HEAD":
                refused(answer, 401)


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forgeries(server: Any) -> Iterator[tuple[str, str]]:
    """Give tokens that must not pass, each with the reason why."""
    now = int(time.time())
    good = server.jwt("alice")
    header, payload, signature = good.split(".")
    for name in ("none", "None", "NONE", "nOnE", "", None):
        yield f"alg {name!r}", f"{segment({'alg': name})}.{payload}."
        yield f"alg {name!r}, signed", f"{segment({'alg': name})}.{payload}.{signature}"
    for label, key in (("PEM", server.public_pem), ("stripped PEM", server.public_pem.strip())):
        signed = f"{segment({'alg': 'HS256'})}.{payload}"
        mark = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
        yield f"HS256 with the {label}", f"{signed}.{segment(mark)}"
    ours = RSAKey.import_key(server.private_pem)
    claims = base64.urlsafe_b64decode(payload + "==")
    for extra in (
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"jwk": ours.as_dict(private=False)},
    ):
        signed = f"{segment({'alg': 'RS256', **extra})}.{payload}"
        mark = ours.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        yield f"header {next(iter(extra))}", f"{signed}.{segment(mark)}"
    yield "RS512", jws.serialize_compact({"alg": "RS512"}, claims, ours, algorithms=["RS512"])
    yield "somebody's key", jws.serialize_compact({"alg": "RS256"}, claims, RSAKey.generate_key(2048))
    yield "a secret", jws.serialize_compact({"alg": "HS256"}, claims, OctKey.generate_key(256))
    yield "no signature", f"{header}.{payload}."
    yield "cut signature", good[:-8]
    yield "zero signature", f"{header}.{payload}.{segment(bytes(256))}"
    yield "another's claims", f"{header}.{segment({**json.loads(claims), 'sub': 'bob'})}.{signature}"
    for name in ("sub", "iss", "aud", "exp"):
        yield f"no {name}", server.jwt("alice", **{name: None}) if name != "sub" else server.jwt(None)
    yield "expired", server.jwt("alice", exp=now - 120)
    yield "not yet", server.jwt("alice", nbf=now + 120)
    yield "other issuer", server.jwt("alice", iss="other")
    yield "other audience", server.jwt("alice", aud=["other"])
    for subject in ("", "a/b", "../x", "a b", "x" * 129, 7):
        yield f"subject {subject!r:.20}", server.jwt(subject)
    for claim in (True, 1.5, "x", "-1", None, [7], ""):
        yield f"file_id {claim!r}", _with_claim(server, claims, claim)


def _with_claim(server: Any, claims: bytes, value: Any) -> str:
    payload = json.dumps({**json.loads(claims), "file_id": value})
    return jws.serialize_compact({"alg": "RS256"}, payload, RSAKey.import_key(server.private_pem))


def test_forged_tokens_are_refused(server: Any) -> None:
    """Only RS256 by the configured key counts, with issuer, audience, expiry and subject as they have to be."""
    with server.client() as client:
        passed = [
            reason
            for reason, token in forgeries(server)
            if client.get("/upload/files", headers={"Authorization": f"Bearer {token}"}).status_code != 401
        ]
        assert [] == passed
        assert 200 == client.get("/upload/files", headers=server.bearer(server.jwt("alice"))).status_code


@pytest.mark.parametrize("expect", ["Expect: 100-continue\n", ""], ids=["asks", "sends"])
def test_a_strangers_chunk_is_not_read(server: Any, expect: str) -> None:
    """200 MB without a token get their 401 at once; no `100 Continue` invites them."""
    head = (
        f"POST /upload/chunk HTTP/1.1\nHost: x\n{expect}Content-Type: {FORM['Content-Type']}\n"
        f"Content-Length: {200 * MIB}"
    )
    assert first_answer(server, head, b"" if expect else b"x" * 1000).startswith(b"HTTP/1.1 401 ")


def test_tokens_are_not_logged(server: Any, user: httpx2.Client) -> None:
    """The log knows the request and not the token (H12 printed it)."""
    user.get("/upload/files", headers={"X-Request-Id": "chunks-log-test"})
    deadline = time.monotonic() + 10
    while "chunks-log-test" not in (log := server.log()) and time.monotonic() < deadline:
        time.sleep(0.01)  # the line is written after the answer
    assert "chunks-log-test" in log
    assert user.headers["authorization"].split(".")[1] not in log


def test_no_origin_is_sent_credentials(user: httpx2.Client) -> None:
    """Any page may call with a token that it has; none is let in by what the browser keeps (H12)."""
    for path in ("/upload/files", "/upload/download/1"):
        answer = user.get(path, headers={"Origin": "https://evil.example"})
        assert "*" == answer.headers["access-control-allow-origin"]
        assert "access-control-allow-credentials" not in answer.headers


# --- forms (threat 17, H9) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["-1", "+1", "1.0", "1e1", "", " 1", "\uff11", "x", "10000", "9" * 30, "0x1", "NaN"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_a_wrong_index_stores_nothing(user: httpx2.Client, index: str, *, is_late: bool) -> None:
    """chunk_index is a decimal number below the most chunks that a session may have."""
    session = init(user)
    fields = field("upload_session_id", session) + field("chunk_index", index)
    refused(send(user, chunk(b"x") + fields + END if is_late else fields + chunk(b"x") + END), 422, 400)
    assert [0] == refused(complete(user, session, 1), 409)["missing"]


@pytest.mark.parametrize("without", ["upload_session_id", "chunk_index", "chunk"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_missing_fields_are_named(user: httpx2.Client, without: str, *, is_late: bool) -> None:
    """What a form lacks is said by name, as a sentence and as a list."""
    fields = {"upload_session_id": init(user), "chunk_index": "0", "chunk": "x"}
    del fields[without]
    made = [chunk(b"x") if name == "chunk" else field(name, value) for name, value in fields.items()]
    body = refused(send(user, b"".join(made[::-1] if is_late else made) + END), 422)
    assert without in body["detail"]
    assert [f"body.{without}"] == [error["field"] for error in body["errors"]]


def test_odd_forms_store_nothing(user: httpx2.Client) -> None:
    """What is no form with one chunk is refused, and the session is as it was."""
    session = init(user)
    where = field("upload_session_id", session) + field("chunk_index", "0")
    odd = {
        "session twice": where + field("upload_session_id", session) + chunk(b"x") + END,
        "index twice": field("chunk_index", "1") + where + chunk(b"x") + END,
        "not a file": where + field("chunk", "x") + END,
        "nothing chosen": where + chunk(b"", filename="") + END,
        "another part": where + chunk(b"x", name="file") + END,
        "session twice, late": where + chunk(b"x") + field("upload_session_id", session) + END,
        "two chunks": where + chunk(b"x") + chunk(b"y") + END,
        "two chunks, late": chunk(b"x") + chunk(b"y") + where + END,
        "nothing": END,
        "no end": where + chunk(b"x")[:-2],
        "no end after a field": where + chunk(b"x") + field("note", "x"),
        "something behind": where + chunk(b"x") + END + b"more",
        "large field": where + field("note", "x" * (65 * KIB)) + chunk(b"x") + END,
        "too many fields": where + field("note", "x") * 1000 + chunk(b"x") + END,
    }
    for reason, body in odd.items():
        answer = send(user, body)
        assert 400 <= answer.status_code < 500, reason
        refused(answer, answer.status_code)
    refused(user.post("/upload/chunk", json={"upload_session_id": session}), 400, 415, 422)
    refused(user.post("/upload/chunk"), 400, 415, 422)
    assert [0] == refused(complete(user, session, 1), 409)["missing"]


def test_a_wrong_session_is_refused_before_its_bytes(server: Any, user: httpx2.Client) -> None:
    """Where the session's field comes first, nobody has to send a chunk to hear that there is no such session."""
    index, session = field("chunk_index", "0"), field("upload_session_id", "nope")
    for begun in (index + session, session):
        head = (
            f"POST /upload/chunk HTTP/1.1\nHost: x\nAuthorization: {user.headers['authorization']}\n"
            f"Content-Type: {FORM['Content-Type']}\nContent-Length: {200 * MIB}"
        )
        assert first_answer(server, head, begun + chunk(b"")).startswith(b"HTTP/1.1 404 ")


def test_a_cut_chunk_counts_for_nothing(server: Any, user: httpx2.Client) -> None:
    """A connection that breaks off stores nothing, and what a chunk held before stays as it was."""
    session = init(user)
    whole = form(session, 0, b"x" * 200 * KIB)
    head = (
        f"POST /upload/chunk HTTP/1.1\nHost: x\nAuthorization: {user.headers['authorization']}\n"
        f"Content-Type: {FORM['Content-Type']}\nContent-Length: {len(whole)}"
    )

    def cut(at: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + whole[:at])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # until the server is done with it
                pass

    for at in (10, len(whole) // 2, len(whole) - len(END) - 3, len(whole) - 5):
        cut(at)
    assert [0] == refused(complete(user, session, 1), 409)["missing"]
    assert 200 == send(user, form(session, 0, b"kept")).status_code
    cut(len(whole) // 2)
    assert 4 == complete(user, session, 1).json()["data"]["size"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{",
        '{"main_service_file_id": NaN, "original_file_name": "a"}',
        '{"main_service_file_id": 1e400, "original_file_name": "a"}',
        '{"main_service_file_id": 1, "main_service_file_id": 2, "original_file_name": "a"}',
        '{"main_service_file_id": 1, "original_file_name": "\\ud800"}',
        '{"main_service_file_id": 1, "original_file_name": ["a"]}',
        '{"main_service_file_id": ' + "9" * 5000 + ', "original_file_name": "a"}',
        "[" * 20000 + "]" * 20000,
        '{"a": "' + "x" * 5 * MIB + '"}',
        "\ufeff{}",
    ],
    ids=range(14),
)
def test_hostile_json_is_refused(user: httpx2.Client, body: str) -> None:
    """JSON that not everybody reads alike, or that is far too much, is a 4xx on every route (threat 28)."""
    for method, path in (("POST", "/upload/init"), ("POST", "/upload/complete"), ("DELETE", "/upload/file")):
        answer = user.request(method, path, content=body.encode(), headers={"Content-Type": "application/json"})
        refused(answer, *range(400, 500))


# --- how much (threats 14, 15; H9) ---------------------------------------------------------------------------------


def test_a_chunk_has_a_largest_size(make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]) -> None:
    """A chunk of exactly the limit is taken, one byte more is a 413: announced, streamed, and before its fields."""
    server = make_server(CARRYALL_MAX_CHUNK_MB="1", CARRYALL_MAX_CHUNKS="3")
    user = connect(server)
    session = init(user)
    assert 200 == send(user, form(session, 0, b"x" * MIB)).status_code
    too_large = form(session, 1, b"x" * (MIB + 1))
    late = chunk(b"x" * (MIB + 1)) + field("upload_session_id", session) + field("chunk_index", "1") + END
    for body in (too_large, iter([too_large]), late):
        assert "chunk_too_large" == refused(send(user, body), 413)["code"]
    refused(send(user, form(session, 3, b"x")), 422)
    refused(complete(user, session, 4), 422, 400)
    head = (
        f"POST /upload/chunk HTTP/1.1\nHost: x\nAuthorization: {user.headers['authorization']}\n"
        f"Content-Type: {FORM['Content-Type']}\nExpect: 100-continue\nContent-Length: 10000000000000"
    )
    assert first_answer(server, head).startswith(b"HTTP/1.1 413 ")
    assert [1, 2] == refused(complete(user, session, 3), 409)["missing"]
    assert 200 == complete(user, session, 1).status_code


def test_a_file_has_a_largest_size(make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]) -> None:
    """All chunks together make the file's size; a replaced chunk counts once."""
    user = connect(make_server(CARRYALL_JWT_MAX_FILE_MB="1"))
    session = init(user)
    for index in (0, 1, 1, 0):
        assert 200 == send(user, form(session, index, b"x" * 512 * KIB)).status_code
    refused(send(user, form(session, 2, b"x")), 413)
    late = chunk(b"x") + field("upload_session_id", session) + field("chunk_index", "2") + END
    refused(send(user, late), 413)
    refused(send(user, form(session, 1, b"x" * (512 * KIB + 1))), 413)
    assert MIB == complete(user, session, 2).json()["data"]["size"]


def test_chunks_at_once_never_pass_the_files_limit(
    make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]
) -> None:
    """Two chunks that fit alone and not together: whichever comes second is refused, although both were admitted."""
    user = connect(make_server(CARRYALL_JWT_MAX_FILE_MB="1"))
    session, both_are_under_way = init(user), Barrier(2)

    def slowly(index: int) -> Iterator[bytes]:
        body = form(session, index, b"x" * 700 * KIB)
        yield body[: 300 * KIB]
        both_are_under_way.wait(timeout=20)
        yield body[300 * KIB :]

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda index: send(user, slowly(index)), (0, 1)))
    assert [200, 413] == sorted(answer.status_code for answer in answers)
    missing = refused(complete(user, session, 2), 409)["missing"]
    assert 200 == send(user, form(session, missing[0], b"x" * 324 * KIB)).status_code
    assert MIB == complete(user, session, 2).json()["data"]["size"]


def test_refused_chunks_take_no_room(make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]) -> None:
    """What is refused at a form's end, or breaks off, gives its room back at once."""
    user = connect(make_server(CARRYALL_JWT_TOTAL_MB="1", CARRYALL_MAX_OPEN_UPLOADS="2"))
    session = init(user)
    where = field("upload_session_id", session) + field("chunk_index", "0")
    large = chunk(b"x" * 900 * KIB)
    incomplete = (large + where, large + field("chunk_index", "0") + END, where + large[:-99])
    for body in (*incomplete, where + large + large + END):
        for _ in range(2):
            assert send(user, body).status_code in (400, 413, 422)
    refused(send(user, large + field("upload_session_id", "nope") + field("chunk_index", "0") + END), 404)
    assert 200 == send(user, large + where + END).status_code
    assert 200 == send(user, form(session, 1, b"x" * 124 * KIB)).status_code
    assert MIB == complete(user, session, 2).json()["data"]["size"]


def test_sessions_at_once_never_pass_the_quota(
    make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]
) -> None:
    """Twelve sessions that send at once share room for four chunks; what was given back can be used at once."""
    user = connect(make_server(CARRYALL_JWT_TOTAL_MB="2"))
    sessions = [init(user, number) for number in range(12)]

    def fill(session: str) -> bool:
        answer = send(user, form(session, 0, b"x" * 512 * KIB))
        if answer.status_code != 200:
            assert "quota_exceeded" == refused(answer, 413)["code"]
        return answer.status_code == 200

    with ThreadPoolExecutor(12) as threads:
        stored = list(threads.map(fill, sessions))
    # While two are under way each holds a little more than its chunk, so the last one may have to come again.
    assert sum(stored) in (3, 4)
    stored = [is_in or fill(session) for is_in, session in zip(stored, sessions, strict=True)]
    assert 4 == sum(stored)
    for number, session in enumerate(sessions):
        if stored[number]:
            assert 200 == complete(user, session, 1, number).status_code
            assert 200 == user.request("DELETE", "/upload/file", json={"file_id": number}).status_code
    assert [True] * 4 == [fill(init(user)) for _ in range(4)]
    assert not fill(init(user))


def test_a_large_chunk_is_never_in_memory(
    make_server: Callable[..., Any], connect: Callable[..., httpx2.Client]
) -> None:
    """96 MiB in one chunk cost the server a few MiB, and others are answered meanwhile."""
    server = make_server()
    user = connect(server)
    session = init(user)
    assert 200 == send(user, form(session, 0, b"warm")).status_code
    before = server.rss_bytes()
    waits: list[float] = []

    def body() -> Iterator[bytes]:
        yield field("upload_session_id", session) + field("chunk_index", "0") + chunk(b"")[:-2]
        for step in range(96):
            yield bytes(MIB)
            if step % 24 == 0:
                asked = time.monotonic()
                assert 200 == httpx2.get(f"{server.url}/health").status_code
                waits.append(time.monotonic() - asked)
        yield b"\r\n" + END

    assert 200 == send(user, body()).status_code
    assert server.rss_bytes() - before < 40 * MIB
    assert max(waits) < 1
    assert 96 * MIB == complete(user, session, 1).json()["data"]["size"]
    assert server.rss_bytes() - before < 40 * MIB


def test_the_document_has_every_route(server: Any) -> None:
    """OpenAPI describes all routes of the surface, each with its sign-in, an example and its refusals."""
    paths = httpx2.get(f"{server.url}/openapi.json").json()["paths"]
    for method, path in ROUTES:
        operation = paths[path.replace("/7", "/{file_id}")][method.lower()]
        assert [{"jwt": []}] == operation["security"]
        assert {"200", "401", "403"} <= set(operation["responses"])
