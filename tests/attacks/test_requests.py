"""Requests that ask too much: thousands of ranges, other origins, floods from forged addresses (threats 22 to 24)."""

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

DATA = bytes(range(256)) * 400
DOORS = ["relay-form", "blobs-form", "gallery", "chunks", "v1-raw", "by-name"]
MANY = 12_000
FORWARDING = [
    "X-Forwarded-For",
    "X-Real-IP",
    "Forwarded",
    "CF-Connecting-IP",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Originating-IP",
    "Fastly-Client-IP",
]


def stored(doors: Any, door: str, data: bytes = DATA) -> Any:
    """Store a file that every door takes."""
    start = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" if door == "gallery" else b""
    sent = doors[door](start + data[len(start) :], "a.png" if door == "gallery" else "a.bin")
    assert sent.is_stored, sent.answer.text
    return sent


# --- ranges (22) ----------------------------------------------------------------------------------------------------

FLOODS = {
    "single bytes": ",".join(f"{2 * n}-{2 * n}" for n in range(MANY)),
    "the whole again and again": ",".join(["0-"] * MANY),
    "overlapping": ",".join(f"{n}-{n + 50_000}" for n in range(MANY)),
    "backwards": ",".join(f"{n}-{n + 1}" for n in range(MANY, 0, -1)),
    "the end again and again": ",".join(f"-{n + 1}" for n in range(MANY)),
    "commas": "0-0" + "," * 60_000 + "5-5",
    "spaces": "0-0," + " " * 60_000 + "5-5",
    "digits": "0-" + "9" * 60_000,
    "zeros": "0" * 30_000 + "1-" + "0" * 30_000 + "5",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_range_floods_cost_little(target: Any, doors: Any, flood: str) -> None:
    """22: 12,000 ranges hold nobody up, and never bring more bytes than the file has, or a part of each."""
    for door in DOORS:
        sent = stored(doors, door)
        with target.staying_awake():
            answer = target.ask("GET", sent.path, {**sent.who, "Range": "bytes=" + FLOODS[flood]})
        assert answer.status in (200, 206, 400, 416, 431), door
        assert len(answer.body) <= 2 * len(DATA)


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-9", (5, 10)),
        ("bytes=102399-", (102399, 102400)),
        ("bytes=-7", (102393, 102400)),
        ("bytes=0-99999999999", (0, 102400)),
        ("bytes=-999999999", (0, 102400)),
        ("BYTES=1-2", (1, 3)),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_one_range(target: Any, doors: Any, door: str, asked: str, span: tuple[int, int]) -> None:
    """22: one range is these bytes and no others, and says so (RFC 9110 §14)."""
    (start, end), sent = span, stored(doors, door)
    whole = target.ask("GET", sent.path, sent.who).body
    answer = target.ask("GET", sent.path, {**sent.who, "Range": asked})

    assert (206, whole[start:end]) == (answer.status, answer.body)
    assert f"bytes {start}-{end - 1}/{len(DATA)}" == answer.one("Content-Range")
    assert str(end - start) == answer.one("Content-Length")


@pytest.mark.parametrize("asked", ["bytes=102400-", "bytes=200000-300000", "bytes=-0"])
def test_ranges_past_the_end(target: Any, doors: Any, asked: str) -> None:
    """22: a range that holds nothing is 416 and says how large the file is."""
    sent = stored(doors, "v1-raw")
    answer = target.ask("GET", sent.path, {**sent.who, "Range": asked})

    assert (416, f"bytes */{len(DATA)}") == (answer.status, answer.one("Content-Range"))


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-5",
        "bytes=a-b",
        "bytes=1",
        "bytes=",
        "bytes",
        "lines=1-2",
        "bytes=--1",
        "bytes=-1-2",
        "bytes=٣-٤",
        "bytes=0x0-0x5",
        "bytes=1_0-2_0",
        "bytes=+1-+2",
        "bytes=1.0-2",
        "bytes=0-0;x",
        "\x00",
    ],
)
def test_ranges_that_are_none(target: Any, doors: Any, asked: str) -> None:
    """22: what isn't a range is as if it weren't there, or refused; never a wrong part."""
    sent = stored(doors, "v1-raw")
    answer = target.ask("GET", sent.path, {**sent.who, "Range": asked})

    assert answer.status in (200, 400, 416)
    assert answer.status != 200 or DATA == answer.body


def test_several_ranges(target: Any, doors: Any) -> None:
    """22: a few ranges come as multipart/byteranges; each part says which bytes it is, and is these."""
    sent = stored(doors, "v1-raw")
    answer = target.ask("GET", sent.path, {**sent.who, "Range": "bytes=0-4, 1000-1009, -3"})
    boundary = re.search(r"multipart/byteranges; boundary=(.+)", answer.one("Content-Type"))

    assert 206 == answer.status
    assert boundary
    found = re.findall(rb"content-range: bytes (\d+)-(\d+)/102400\r\n\r\n", answer.body, re.IGNORECASE)
    assert [(0, 4), (1000, 1009), (102397, 102399)] == [(int(one), int(other)) for one, other in found]
    for start, end in found:
        piece = DATA[int(start) : int(end) + 1]
        assert (
            b"bytes %s-%s/102400\r\n\r\n%s\r\n--%s" % (start, end, piece, boundary[1].strip('"').encode())
            in answer.body
        )


@pytest.mark.parametrize("door", DOORS)
def test_conditions_and_heads(target: Any, doors: Any, door: str) -> None:
    """22: If-Range, If-None-Match, If-Match and HEAD do what RFC 9110 §13 says, on every download."""
    sent = stored(doors, door)
    head = target.ask("HEAD", sent.path, {**sent.who, "Range": "bytes=0-4"})
    tag = head.one("ETag")
    part = {**sent.who, "Range": "bytes=0-4"}

    assert (200, b"", str(len(DATA))) == (head.status, head.body, head.one("Content-Length"))
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', tag)
    assert 206 == target.ask("GET", sent.path, {**part, "If-Range": tag}).status
    for other in ('"other"', f"W/{tag}", "Thu, 01 Jan 1970 00:00:00 GMT", "x", tag.strip('"')):
        assert 200 == target.ask("GET", sent.path, {**part, "If-Range": other}).status, other
    for same in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        assert 304 == target.ask("GET", sent.path, {**sent.who, "If-None-Match": same}).status, same
    assert 412 == target.ask("GET", sent.path, {**sent.who, "If-Match": '"other"'}).status
    assert 200 == target.ask("GET", sent.path, {**sent.who, "If-Match": tag}).status


# --- other origins (23) ---------------------------------------------------------------------------------------------

ORIGINS = [
    "https://evil.example",
    "null",
    "http://localhost",
    "https://good.example.evil.example",
    "https://goodxexample",
    "file://",
    "https://good.example:444",
    "http://good.example",
    "https://good.example/",
    "https://GOOD.example@evil.example",
    "*",
    "a b",
]
ROUTES = [
    ("GET", "/list"),
    ("POST", "/upload"),
    ("POST", "/api/upload"),
    ("GET", "/user/x"),
    ("DELETE", "/delete/x"),
    ("GET", "/v1/files"),
    ("PATCH", "/v1/files/x"),
    ("POST", "/upload/init"),
    ("GET", "/s/x"),
    ("GET", "/health"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_origin_gets_credentials(target: Any, origin: str) -> None:
    """23: whatever the origin, no answer and no preflight lets it send cookies or other credentials along."""
    for method, path in ROUTES:
        wish = {
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization",
        }
        answers = [
            target.ask("OPTIONS", path, wish),
            target.ask(method, path, {"Origin": origin}, b"" if method in ("POST", "PATCH") else None),
        ]
        for answer in answers:
            assert "true" != answer.one("Access-Control-Allow-Credentials").lower()
            assert answer.one("Access-Control-Allow-Origin") in ("", "*"), path
            assert not answer.all("Set-Cookie")


@pytest.fixture(scope="module")
def strict(make_target: Callable[..., Any]) -> Any:
    """A server that one origin may use, with low rates."""
    return make_target(
        ALLOWED_ORIGINS="https://good.example",
        REQUEST_TIMES_PER_MINTUE="20",
        CARRYALL_GALLERY_REQUESTS_PER_MINUTE="10",
        CARRYALL_TRUSTED_PROXIES="127.9.9.9",
    )


def test_only_the_listed_origin_is_let_in(strict: Any) -> None:
    """23: with a list of origins, exactly these are allowed, refusals included; like ones aren't."""
    for method, path in ROUTES[:5]:
        wish = {"Access-Control-Request-Method": method}
        for origin in ORIGINS:
            answers = [
                strict.ask("OPTIONS", path, {"Origin": origin, **wish}),
                strict.elsewhere().ask("GET", path, {"Origin": origin}),
            ]
            assert [""] * 2 == [answer.one("Access-Control-Allow-Origin") for answer in answers], origin
        good = strict.ask("OPTIONS", path, {"Origin": "https://good.example", **wish})
        assert "https://good.example" == good.one("Access-Control-Allow-Origin")
        assert "origin" in good.one("Vary").lower()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_methods_change_nothing(target: Any, doors: Any, method: str) -> None:
    """23: asking for what others do by POST or DELETE changes nothing; only the described change_token is a GET."""
    person = target.user()
    sent = doors["blobs-form"](b"stays", who=person.who)
    paths = [f"/delete/{sent.id}", "/delete_all?confirm=yes&function=all", "/delete_all/?confirm=yes&function=expired"]
    paths += [
        "/upload/file",
        "/upload/init",
        "/upload/complete",
        f"/v1/tokens?user={person.name}",
        "/upload",
        "/api/upload",
    ]
    paths += [f"/user/{person.name}?function=change_token"] if method != "GET" else []
    for path in paths:
        target.ask(method, path, person.who)
    target.ask("GET", f"/user/{person.name}?function=change_token")

    assert b"stays" == target.ask("GET", sent.path).body
    assert [sent.id] == [one["file_id"] for one in target.ask("GET", "/list", person.who).json()]


def test_no_cookies(target: Any) -> None:
    """23: the server sets no cookie anywhere, so there is none that a page could ride on."""
    paths = ["/", "/docs", "/redoc", "/health", "/list", "/v1/me", "/s/x", "/user/x", "/upload/files", "/openapi.json"]

    assert [] == [
        path for path in paths for who in ({}, target.admin) if target.ask("GET", path, who).all("Set-Cookie")
    ]


# --- rates (24) -----------------------------------------------------------------------------------------------------


def test_a_flood_is_stopped(strict: Any) -> None:
    """24, B7: past the rate it is 429 with a Retry-After to wait for, on every door and with every token."""
    person = strict.user()
    again = strict.send_json("POST", "/v1/tokens", person.who, {}).json()["token"]
    paths = ["/list", "/v1/me", "/auth", "/v1/files"]
    answers = [strict.ask("GET", paths[n % 4], person.who if n % 2 else strict.bearer(again)) for n in range(30)]
    limited = [answer for answer in answers if answer.status == 429]

    assert {200, 429} == {answer.status for answer in answers}
    assert 200 == answers[0].status
    assert 10 <= len(limited) <= 12
    assert all(1 <= int(answer.one("Retry-After")) <= 60 for answer in limited)
    assert isinstance(limited[0].json()["detail"], str)


@pytest.mark.parametrize("header", FORWARDING)
def test_a_forged_address_doesnt_help(strict: Any, header: str) -> None:
    """24: what a client says of its own address neither gives it a new allowance nor uses up another's."""
    attacker = strict.elsewhere()
    headers, body = strict.form(('name="files"; filename="a.png"', b"no image"))

    def knock(address: str) -> int:
        value = f"for={address}" if header == "Forwarded" else address
        return int(attacker.ask("POST", "/api/upload", {**headers, header: value}, body).status)

    statuses = [knock(f"10.0.{n}.{secrets.randbelow(250)}") for n in range(14)]

    assert 429 in statuses
    assert statuses[-1] == 429
    assert 415 == strict.elsewhere().ask("POST", "/api/upload", headers, body).status


def test_only_our_proxy_is_believed(strict: Any) -> None:
    """24: through a trusted proxy the address nearest to it counts; whatever stands left of that was made up."""
    proxy = replace(strict, source="127.9.9.9")
    headers, body = strict.form(('name="files"; filename="a.png"', b"no image"))

    def knock(said: str) -> int:
        return int(proxy.ask("POST", "/api/upload", {**headers, "X-Forwarded-For": said}, body).status)

    forged = [knock(f"10.1.{n}.1, 203.0.113.7") for n in range(14)]

    assert 429 == forged[-1]
    assert 415 == knock("203.0.113.8")
    assert 415 == knock("203.0.113.7, 203.0.113.9")
    assert {400, 415, 429} >= {
        knock(said)
        for said in ("", ",,,", "no address", "203.0.113.7" + ",1.1.1.1" * 4000, "\x1b[2J", "::1", "[::1]:80")
    }


def test_one_users_flood_is_their_own(strict: Any) -> None:
    """24: while one user waits, another one at the same address doesn't; nor does the service."""
    loud, quiet = strict.user(), strict.user()
    statuses = [strict.ask("GET", "/list", loud.who).status for _ in range(25)]

    assert 429 == statuses[-1]
    assert 200 == strict.ask("GET", "/list", quiet.who).status
    assert 200 == strict.ask("POST", "/upload?fileName=a", strict.service, b"x").status
    assert 200 == strict.ask("GET", "/v1/me", strict.subject().who).status


def test_a_refused_flood_sends_no_bodies(strict: Any) -> None:
    """24: who is past the rate is told before the body is read, and nothing of it is kept."""
    person = strict.user()
    while strict.ask("GET", "/list", person.who).status != 429:
        pass
    kept = strict.kept()
    with strict.connect(wait_s=5) as peer:
        peer.sendall(strict.head("POST", "/v1/files?filename=a", {**person.who, "Content-Length": "5000000"}))
        status = peer.recv(64).split()[1]

    assert b"429" == status
    assert kept == strict.kept()


def test_wrong_tokens_hold_nobody_up(target: Any) -> None:
    """8, 24: guessing at tokens tells nothing, and holds up nobody who has one."""
    guesser, person = target.elsewhere(), target.user()
    with target.staying_awake():
        statuses = {
            guesser.ask("GET", "/list", target.bearer(f"cya_{secrets.token_urlsafe(32)}")).status for _ in range(300)
        }

    assert {401, 429} >= statuses
    assert 200 == guesser.ask("GET", "/list", person.who).status
