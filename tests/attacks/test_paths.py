"""Targets spelled to lead astray: out of the folder, or round the guard (threats 2, 9 and 10)."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

UPS = [
    "../",
    "%2e%2e/",
    "..%2f",
    "%2e%2e%2f",
    "%2E%2E%2F",
    "%252e%252e%252f",
    "..%252f",
    "..\\",
    "..%5c",
    "%2e%2e%5c",
    "....//",
    "..;/",
    "..%00/",
    "%c0%ae%c0%ae/",
    "..%c0%af",
    "%uff0e%uff0e/",
    ".%2e/",
    "..%ef%bc%8f",
]
BASES = [
    "/",
    "/s/",
    "/d/",
    "/uploads/",
    "/upload/download/",
    "/v1/by-name/",
    "/v1/files/",
    "/v1/uploads/",
    "/files/",
    "/upload_tus/",
    "/v1/users/",
    "/api/uploads/",
    "/user/",
    "/docs/",
    "/redoc/",
    "/static/",
    "/static-offline-docs/",
    "/health/",
]
GOALS = ["etc/passwd", "proc/self/environ"]
SECRETS = re.compile(rb"root:x:0:0|\x00PATH=|^PATH=|SQLite format 3|attacked-(admin|service)-token|BEGIN [A-Z ]*KEY")
# Who is not asked for a token: what the described systems leave open, and links that are credentials themselves.
PUBLIC = {
    *("GET /", "GET /health", "GET /ready", "GET /ping", "GET /status", "GET /api/health", "POST /api/upload"),
    *("GET /s/{short_id}", "HEAD /s/{short_id}", "GET /d/{link_id}", "HEAD /d/{link_id}"),
    *("GET /uploads/{name}", "HEAD /uploads/{name}"),
}
EVERYWHERE = "0.0.0.0"  # noqa: S104  # where a server may listen and nobody can call
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "BREW"]


# What protocols want to see before they look at anything else.
SPOKEN = [("Tus-Resumable", "1.0.0"), ("Content-Type", "application/offset+octet-stream")]


def operations(target: Any) -> list[str]:
    """Give every documented operation as "METHOD /path/{parameter}"; OPTIONS tells what a server can, to anybody."""
    documented = target.document["paths"].items()
    return [f"{way.upper()} {path}" for path, ways in documented for way in ways if way != "options"]


def filled(path: str) -> str:
    """Put something that could be an id in a path's places."""
    return re.sub(r"\{[^}]+\}", "1", path)


def knock(target: Any, operation: str, headers: Any = (), query: str = "") -> Any:
    """Ask for an operation with these headers, as a client that knows its protocol would."""
    method, path = operation.split()
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    return target.ask(method, filled(path) + query, [*SPOKEN, *headers], body)


@pytest.mark.parametrize("base", BASES)
def test_nothing_is_read_outside(target: Any, base: str) -> None:
    """2: every spelling of "up" under every base, with and without a token, reads no file of the machine."""
    inside = ["catalog.db", "secrets/admin_token", "data/catalog.db", "server.log"]
    goals = [up * 8 + goal for up in UPS for goal in GOALS] + [
        up * many + goal for up in UPS[:8] for many in (1, 3) for goal in inside
    ]
    goals += ["/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "\\etc\\passwd", "//etc/passwd"]
    wrong = {}
    for goal in goals:
        for who in ({}, target.admin):
            answer = target.ask("GET", base + goal, who)
            if not 300 <= answer.status < 500 or SECRETS.search(answer.body):
                wrong[base + goal] = answer.status

    assert {} == wrong


def test_nothing_of_the_data_folder_is_served(target: Any, doors: Any) -> None:
    """2: the real paths of what is kept, as they are on the disk, lead nowhere."""
    doors["v1-raw"](b"kept", "kept.bin")
    paths = [*list(target.kept())[:5], "catalog.db", "catalog.db-wal", "secrets/service_token", "secrets/", "staging/"]
    bases = [*BASES, f"{target.data_dir}/", f"/uploads/{target.data_dir}/"]

    found = [
        base + path for base in bases for path in paths if target.ask("GET", base + path, target.admin).status < 300
    ]

    assert [] == found


def test_the_operators_folder_keeps_its_own(make_target: Callable[..., Any], tmp_path: Path) -> None:
    """2: a folder that the operator serves gives what is in it, and nothing beside or above it, also by no link."""
    web = tmp_path / "web"
    (web / "in").mkdir(parents=True)
    (web / "in" / "page.txt").write_text("inside")
    (tmp_path / "webmate").mkdir()
    (tmp_path / "webmate" / "x").write_text("attacked-admin-token")
    target = make_target(CARRYALL_WEB_DIR=str(web))
    (web / "out").symlink_to("/etc")  # at the start they would have been refused
    (web / "one").symlink_to("/etc/passwd")
    goals = (
        [up * 8 + "etc/passwd" for up in UPS] + [up + "webmate/x" for up in UPS] + ["out/passwd", "one", "/etc/passwd"]
    )
    answers = {goal: target.ask("GET", "/static/" + goal) for goal in goals}

    assert b"inside" == target.ask("GET", "/static/in/page.txt").body
    assert {} == {goal: got.status for goal, got in answers.items() if got.status not in (400, 404, 405)}
    assert not any(SECRETS.search(got.body) for got in answers.values())


def test_every_route_asks_who(target: Any) -> None:
    """9: each documented operation but the public ones answers 401 with a challenge to whoever brings nothing."""
    documented = operations(target)
    answers = {operation: knock(target, operation) for operation in documented if operation not in PUBLIC}

    assert {} == {
        one: got.status for one, got in answers.items() if not (got.status == 401 and got.one("WWW-Authenticate"))
    }
    assert set(documented) >= PUBLIC
    assert len(documented) > 50


CREDENTIALS = {  # that open nothing on any protected route
    "empty bearer": [("Authorization", "Bearer ")],
    "no scheme": [("Authorization", "{admin}")],
    "wrong bearer": [("Authorization", "Bearer wrong-wrong-wrong")],
    "cut token": [("Authorization", "Bearer {admin_cut}")],
    "basic": [("Authorization", "Basic YWRtaW46YWRtaW4=")],
    "digest": [("Authorization", 'Digest username="admin"')],
    "cookie": [("Cookie", "token={admin}; Authorization=Bearer {admin}; session={admin}; access_token={admin}")],
    "proxy header": [
        ("Proxy-Authorization", "Bearer {admin}"),
        ("X-Forwarded-User", "admin"),
        ("X-Remote-User", "admin"),
    ],
    "admin as service": [("X-Auth-Token", "{admin}")],
    "wrong service": [("X-Auth-Token", "wrong"), ("X-API-Key", "wrong")],
    "two of them": [("Authorization", "Bearer wrong"), ("Authorization", "Bearer also-wrong")],
    "hash for token": [("Authorization", "Bearer 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8")],
    "wildcards": [("Authorization", "Bearer %"), ("X-Auth-Token", "*")],
    "sql": [("Authorization", "Bearer ' OR '1'='1"), ("X-Auth-Token", "' OR 1=1--")],
    "not ASCII": [("Authorization", b"Bearer \xff\xfe\xe9"), ("X-Auth-Token", b"\xff")],
    "very long": [("Authorization", "Bearer " + "a" * 7000)],
}


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_no_other_credential_opens(target: Any, kind: str) -> None:
    """9: a token in another place, of another kind, cut or made up is refused on every protected route."""
    known = {"admin": target.admin_token, "admin_cut": target.admin_token[:-1]}
    headers = [
        (name, value if isinstance(value, bytes) else re.sub(r"\{(\w+)\}", lambda m: known[m[1]], value))
        for name, value in CREDENTIALS[kind]
    ]
    protected = [operation for operation in operations(target) if operation not in PUBLIC]
    statuses = {operation: knock(target, operation, headers).status for operation in protected}

    assert {} == {one: status for one, status in statuses.items() if status not in (400, 401, 403, 431)}


def test_tokens_in_the_query_open_nothing(target: Any) -> None:
    """9: a token in a target isn't looked at: it would stand in every log on its way."""
    names = ["token", "access_token", "auth", "api_key", "X-Auth-Token", "authorization", "key", "jwt", "bearer"]
    query = "&".join(f"{name}={token}" for name in names for token in (target.admin_token, target.sign()))
    protected = [operation for operation in operations(target) if operation not in PUBLIC]
    statuses = {operation: knock(target, operation, query="?" + query).status for operation in protected}

    assert {} == {one: status for one, status in statuses.items() if status not in (401, 403)}


def test_each_path_takes_its_own_kind_of_token(target: Any) -> None:
    """9: on the described surfaces the path decides which credential counts, and no other is tried instead."""
    user, subject = target.user(), target.subject()
    refused = {
        ("GET", "/list"): [subject.who, target.service, target.bearer(target.service_token)],
        ("GET", "/auth"): [subject.who, target.service, target.bearer(target.service_token)],
        ("GET", "/upload/files"): [user.who, target.service, target.admin, target.bearer(target.service_token)],
        ("GET", "/upload/download/1"): [user.who, target.service, target.admin],
        ("POST", "/upload"): [subject.who, target.bearer(target.service_token), {"X-Auth-Token": user.token}],
        ("GET", "/v1/users"): [user.who, subject.who, target.service],
        ("GET", "/metrics"): [user.who, subject.who, target.service],
    }
    wrong = [
        (method, path, who)
        for (method, path), kinds in refused.items()
        for who in kinds
        if target.ask(method, path, who, b"" if method == "POST" else None).status not in (401, 403)
    ]

    assert [] == wrong


def test_other_methods_open_nothing(target: Any) -> None:
    """9, 23: a method that a path doesn't have answers 4xx and never what another method would give."""
    wrong = {}
    for path in target.document["paths"]:
        known = {method.upper() for method in target.document["paths"][path]} | {"HEAD", "OPTIONS"}
        for method in METHODS:
            if method not in known:
                answer = target.ask(method, filled(path), {})
                if not 400 <= answer.status < 500 and answer.status != 501:
                    wrong[f"{method} {path}"] = answer.status

    assert {} == wrong


# --- confusion ------------------------------------------------------------------------------------------------------

SPELLINGS = [
    *("//list", "///list", "/./list", "/.//list", "/x/../list", "/health/../list", "/s/../list", "/%2e/list"),
    *(
        "/list;",
        "/list;a=b",
        "/list%3b",
        "/list/",
        "/list//",
        "/list%2f",
        "/list/.",
        "/list%20",
        "/list%09",
        "/list%00",
    ),
    *("/%6cist", "/%6Cist", "/lis%74", "/LIST", "/List", "\\list", "/\\list", "/list\\", "/list.json", "/list..;/"),
    *(
        "/health%2f..%2flist",
        "/health/..%2flist",
        "/health;/../list",
        "/%2flist",
        "/%252flist",
        "/list?x#y",
        "/list%3fx",
    ),
    *(
        "http://127.0.0.1/list",
        "http://evil.example/list",
        "http://evil.example:80/list",
        "https:list",
        "@127.0.0.1/list",
    ),
    *(
        "*",
        "list",
        "?list",
        "/public/../list",
        "/uploads/..;/list",
        "/ping/../v1/files",
        "//evil.example/list",
        "/list/list",
    ),
]


def test_no_spelling_gets_round_the_guard(target: Any) -> None:
    """10: without a token no spelling of a protected path gives what is behind it, whatever it is routed to."""
    answers = {spelling: target.ask("GET", spelling) for spelling in SPELLINGS}
    allowed = {400, 401, 403, 404, 405}

    assert {} == {
        spelling: got.status for spelling, got in answers.items() if got.status not in allowed and spelling != "?list"
    }


@pytest.mark.parametrize(
    "host",
    [
        "evil/health?",
        "evil/ping#",
        "127.0.0.1/s/x",
        "a@127.0.0.1",
        "evil/../health?x=",
        "[::1",
        "evil:99999999",
        "a b",
        "evil\\health",
        "%2fhealth",
        "x/health?y",
    ],
)
def test_a_poisoned_host_opens_nothing(target: Any, host: str) -> None:
    """10: what Host says doesn't change which route is guarded (CVE-2026-48710)."""
    for path in ("/list", "/v1/files", "/upload/files", "/metrics"):
        assert target.ask("GET", path, host=host).status in (400, 401), path


@pytest.mark.parametrize(
    "host", ["evil.example/x?", "a@b", "evil.example/<script>", 'evil"onload=x', "a\tb", "evil.example#", EVERYWHERE]
)
def test_a_poisoned_host_is_not_handed_on(target: Any, doors: Any, host: str) -> None:
    """10: a Host that is no host name is refused, or at least never comes back inside a URL."""
    headers, body = target.form(('name="file"; filename="a.txt"', b"x"))
    answer = target.ask("POST", "/upload", {**doors.user.who, **headers}, body, host=host)

    assert answer.status in (200, 400)
    assert host not in answer.text


def test_absolute_targets_name_no_other_authority(target: Any, doors: Any) -> None:
    """10: an authority inside the target doesn't move the links of an answer elsewhere (CVE-2026-54282)."""
    headers, body = target.form(('name="file"; filename="a.txt"', b"x"))
    for spelling in ("@evil.example/upload", "//evil.example/upload", "/upload@evil.example", "/\\evil.example/upload"):
        answer = target.ask("POST", spelling, {**doors.user.who, **headers}, body)
        assert 400 <= answer.status < 500, spelling
        assert not answer.one("Location")


@pytest.mark.parametrize(
    "path", ["/list/", "/upload/", "/v1/files/", "/health/", "/delete_all//", "//evil.example/%2f.."]
)
def test_nobody_is_sent_elsewhere(target: Any, path: str) -> None:
    """10: a slash too many is never answered by a redirect, which would carry tokens along."""
    answer = target.ask("GET", path, target.admin)

    assert not 300 <= answer.status < 400
    assert not answer.one("Location")


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_no_method_is_overridden(target: Any, doors: Any, header: str) -> None:
    """23: a header or a field doesn't turn a GET into what changes something."""
    sent = doors["v1-raw"](b"stays")
    target.ask("GET", f"/v1/files/{sent.id}", {**sent.who, header: "DELETE"})
    target.ask("GET", f"/v1/files/{sent.id}?_method=DELETE", sent.who)
    target.ask("POST", f"/v1/files/{sent.id}", {**sent.who, header: "DELETE"}, b"")

    assert b"stays" == target.ask("GET", sent.path, sent.who).body


@pytest.mark.parametrize(
    "header", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-URI"]
)
def test_no_path_is_overridden(target: Any, header: str) -> None:
    """10: a header doesn't lead to another route than the target's."""
    assert "ok" == target.ask("GET", "/health", {header: "/list"}).json()["status"]
    assert 401 == target.ask("GET", "/list", {header: "/health"}).status
