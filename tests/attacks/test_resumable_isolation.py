"""Other people's resumable uploads: missing for everybody else, and no address is a right (threats 11 and 12)."""

import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.attacks.resumable import PARTIAL, STREAM, TUS, TUS_ADDRESSES, DraftClient, TusClient

DATA = secrets.token_bytes(40_000)
HALF = len(DATA) // 2
_STREAM = {**TUS, "Content-Type": STREAM}
_APPEND = {"Content-Type": PARTIAL, "Upload-Complete": "?1"}

# What can be asked of an upload, by either protocol and by none: method, headers, body.
ASKED: list[tuple[str, dict[str, str], bytes | None]] = [
    ("HEAD", TUS, None),
    ("HEAD", {}, None),
    ("HEAD", {"Upload-Draft-Interop-Version": "6"}, None),
    ("GET", {}, None),
    ("GET", TUS, None),
    ("PATCH", {**_STREAM, "Upload-Offset": str(HALF)}, b"evil"),
    ("PATCH", {**_STREAM, "Upload-Offset": "0"}, b"evil"),
    ("PATCH", {**_STREAM, "Upload-Offset": str(HALF), "Upload-Length": "99999"}, b""),
    ("PATCH", {**_APPEND, "Upload-Offset": str(HALF)}, b"evil"),
    ("PATCH", {**_APPEND, "Upload-Offset": "0", "Upload-Draft-Interop-Version": "6"}, b"evil"),
    ("POST", {**_STREAM, "X-HTTP-Method-Override": "PATCH", "Upload-Offset": str(HALF)}, b"evil"),
    ("POST", {**TUS, "X-HTTP-Method-Override": "DELETE"}, b""),
    ("POST", {**TUS, "X-HTTP-Method-Override": "HEAD"}, b""),
    ("DELETE", TUS, None),
    ("DELETE", {}, None),
    ("DELETE", {"Upload-Draft-Interop-Version": "6"}, None),
]
_OF_THE_MOMENT = {"date", "x-request-id", "retry-after"}


def ask(target: Any, who: Mapping[str, str], one: tuple[str, dict[str, str], bytes | None], path: str) -> Any:
    """Make one of these requests."""
    method, headers, body = one
    return target.ask(method, path, {**who, **headers}, body)


def told(answer: Any, id: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Give what an answer tells, without the id that was asked for."""
    headers = [(name.lower(), value.replace(id, "ID")) for name, value in answer.headers]
    return answer.status, answer.text.replace(id, "ID"), [one for one in headers if one[0] not in _OF_THE_MOMENT]


def begun(target: Any, owner: Any, kind: str) -> str:
    """Begin an upload and send its first half; give its id."""
    if kind == "tus":
        client = TusClient(target, owner.who)
        path = client.begin(len(DATA))
        assert 204 == client.patch(path, 0, DATA[:HALF]).status
    elif kind == "part":
        answer = TusClient(target, owner.who).create(HALF, DATA[:HALF], Upload_Concat="partial")
        path = answer.one("Location")
    else:
        path = DraftClient(target, owner.who).begin(data=DATA[:HALF])
    return path.rpartition("/")[2]


def unheard_of(id: str) -> str:
    """Give an id that nobody has."""
    return secrets.token_hex(len(id))[: len(id)]


@pytest.fixture
def owner(target: Any) -> Any:
    """A user whose uploads are looked for by others."""
    return target.user()


@pytest.mark.parametrize("kind", ["tus", "draft", "part"])
@pytest.mark.parametrize("stranger", ["user", "subject", "service"])
def test_uploads_are_missing_for_others(target: Any, owner: Any, kind: str, stranger: str) -> None:
    """11: whatever somebody else asks of an upload, by any protocol at any address, it is as if it never was."""
    id = begun(target, owner, kind)
    others = {
        "user": lambda: target.user().who,
        "subject": lambda: target.subject(owner.name).who,
        "service": lambda: target.service,
    }
    who = others[stranger]()
    wrong = {}
    for address in TUS_ADDRESSES:
        for one in ASKED:
            never = unheard_of(id)
            got = told(ask(target, who, one, address + id), id)
            missing = told(ask(target, who, one, address + never), never)
            if got != missing or not 400 <= got[0] < 500:
                wrong[address, one[0], str(one[1])] = (got, missing)

    assert {} == wrong
    assert str(HALF) == TusClient(target, owner.who).head(f"/files/{id}").one("Upload-Offset")


@pytest.mark.parametrize("is_done", [False, True], ids=["open", "complete"])
def test_an_uploads_address_is_no_credential(target: Any, owner: Any, is_done: bool) -> None:  # noqa: FBT001
    """12: every request for an upload needs a token of its own: without one, or with a wrong one, it is 401."""
    id = begun(target, owner, "tus")
    if is_done:
        assert 204 == TusClient(target, owner.who).patch(f"/files/{id}", HALF, DATA[HALF:]).status
    wrong = {}
    for who in ({}, target.bearer("cya_" + secrets.token_urlsafe(32)), {"Cookie": f"token={owner.token}"}):
        for address in TUS_ADDRESSES:
            for one in ASKED:
                answer = ask(target, who, one, f"{address}{id}")
                if answer.status != 401 or not answer.one("WWW-Authenticate"):
                    wrong[address, one[0], str(one[1]), str(who)[:9]] = answer.status

    assert {} == wrong


def test_a_token_that_ends_ends_its_uploads_requests(target: Any, owner: Any) -> None:
    """12: not only the creation is authorised: a revoked token's next request is 401, another one goes on."""
    made = target.send_json("POST", "/v1/tokens", owner.who, {}).json()
    short = TusClient(target, target.bearer(made["token"]))
    draft = DraftClient(target, target.bearer(made["token"]))
    path, other = short.begin(len(DATA)), draft.begin(data=DATA[:HALF])
    assert 204 == short.patch(path, 0, DATA[:HALF]).status
    assert 204 == target.ask("DELETE", f"/v1/tokens/{made['id']}", owner.who).status

    asked = [short.patch(path, HALF, DATA[HALF:]), short.head(path), short.delete(path)]
    asked += [draft.append(other, HALF, DATA[HALF:], end=True)]
    assert [401] * 4 == [answer.status for answer in asked]
    assert 204 == TusClient(target, owner.who).patch(path, HALF, DATA[HALF:]).status


@pytest.mark.parametrize(("scopes", "wanted"), [(["read"], [403, 403, 403]), (["write"], [204, 200, 403])])
def test_a_narrow_token_stays_narrow(target: Any, owner: Any, scopes: list[str], wanted: list[int]) -> None:
    """11, 12: continuing and asking for the offset take `write`, giving up takes `delete`, at each request."""
    id = begun(target, owner, "tus")
    made = target.send_json("POST", "/v1/tokens", owner.who, {"scopes": scopes}).json()
    client = TusClient(target, target.bearer(made["token"]))
    asked = [client.patch(f"/files/{id}", HALF, b"x"), client.head(f"/files/{id}"), client.delete(f"/files/{id}")]

    assert wanted == [answer.status for answer in asked]


def test_a_token_for_one_number_takes_no_other(target: Any) -> None:
    """11: a JWT for one main_service_file_id neither begins, continues nor sees an upload for another one."""
    sub = target.subject().name
    whole, narrow = target.subject(sub), target.subject(sub, file_id=31)
    metadata = "filename YQ==,main_service_file_id MzI="  # 32
    path = TusClient(target, whole.who).begin(10, Upload_Metadata=metadata)
    client = TusClient(target, narrow.who)

    assert 403 == client.create(10, Upload_Metadata=metadata).status
    assert [404] * 3 == [client.head(path).status, client.patch(path, 0, b"x").status, client.delete(path).status]
    assert "0" == TusClient(target, whole.who).head(path).one("Upload-Offset")


@pytest.mark.parametrize("host", ["", "own"])
def test_others_parts_cannot_be_joined(target: Any, owner: Any, host: str) -> None:
    """11: a final upload of somebody else's part is refused as one of a part that never was, and moves nothing."""
    id, never = begun(target, owner, "part"), secrets.token_hex(11)
    base = target.url if host else ""
    client = TusClient(target, target.user().who)
    got, missing = (client.create(Upload_Concat=f"final;{base}/files/{one}") for one in (id, never))

    assert told(got, id) == told(missing, never)
    assert 400 == got.status
    assert 201 == TusClient(target, owner.who).create(Upload_Concat=f"final;/files/{id}").status


def test_a_stranger_disturbs_no_writer(target: Any, owner: Any) -> None:
    """11: a newcomer asks the holder to leave only if it may see the upload: strangers interrupt nobody's PATCH."""
    client = TusClient(target, owner.who)
    path = client.begin(len(DATA))
    head = target.head("PATCH", path, {**client.headers(0), "Content-Length": str(len(DATA))})
    thief = target.user()
    with target.connect() as writer:
        writer.sendall(head + DATA[:HALF])
        statuses = {ask(target, thief.who, one, path).status for one in ASKED}
        writer.sendall(DATA[HALF:])
        done = target.finish(writer)

    assert {404, 405} >= statuses, statuses
    assert (204, str(len(DATA))) == (done.status, done.one("Upload-Offset"))
    assert DATA == target.ask("GET", path, owner.who).body


def bits(ids: list[str]) -> float:
    """Give what an attacker has to guess of these ids: places that vary, times the alphabet that was seen."""
    places = sum(len(set(column)) > 1 for column in zip(*ids, strict=True))
    return places * math.log2(len(set("".join(ids))))


@pytest.mark.parametrize("address", TUS_ADDRESSES)
def test_upload_addresses_cannot_be_guessed(target: Any, owner: Any, address: str) -> None:
    """12: addresses of uploads have at least 96 random bits by either protocol; none tells of the one before."""
    tus, draft = TusClient(target, owner.who, address), DraftClient(target, owner.who)
    makers: list[Callable[[], str]] = [tus.begin, draft.begin, lambda: tus.begin(5, Upload_Concat="partial")]
    for make in makers:
        ids = [make().rpartition("/")[2] for _ in range(24)]
        assert 24 == len(set(ids))
        assert bits(ids) >= 96


def test_a_users_open_uploads_are_bounded(make_target: Callable[..., Any]) -> None:
    """14: past the plan's number of open uploads it is 429, for all protocols together; one less lets another in."""
    target = make_target(CARRYALL_MAX_OPEN_UPLOADS="6")
    user = target.user()
    tus, draft = TusClient(target, user.who), DraftClient(target, user.who)
    paths = [begin() for begin in (tus.begin, draft.begin) for _ in range(3)]
    refused = [
        tus.create(5),
        tus.create(5, Upload_Concat="partial"),
        draft.create("POST", "/v1/files"),
        draft.create("PUT", "/v1/by-name/a"),
    ]

    assert [429] * 4 == [answer.status for answer in refused]
    assert all(int(answer.one("Retry-After")) >= 1 for answer in refused)
    assert 201 == TusClient(target, target.user().who).create(5).status
    assert 204 == tus.delete(paths[0]).status
    assert 201 == draft.create("POST", "/v1/files").status
    assert 429 == tus.create(5).status
