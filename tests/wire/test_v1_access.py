"""Whose things are whose: other people's are missing, scopes hold, and a token for one file knows that one."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

# A thing of somebody's, by each of its addresses; {…} is filled in with what the owner has, or with what nobody has.
ADDRESSES = [
    ("GET", "/v1/files/{file}", None),
    ("PATCH", "/v1/files/{file}", {"name": "taken"}),
    ("PATCH", "/v1/files/{file}", {"expires_at": None}),
    ("DELETE", "/v1/files/{file}", None),
    ("GET", "/v1/files/{file}/content", None),
    ("HEAD", "/v1/files/{file}/content", None),
    ("GET", "/v1/files/{file}/links", None),
    ("POST", "/v1/files/{file}/links", {}),
    ("DELETE", "/v1/files/{file}/links/{link}", None),
    ("GET", "/v1/by-name/{path}", None),
    ("HEAD", "/v1/by-name/{path}", None),
    ("DELETE", "/v1/by-name/{path}", None),
    ("GET", "/v1/uploads/{upload}", None),
    ("DELETE", "/v1/tokens/{token}", None),
]


@dataclass
class Owner:
    """Somebody with a file, a link, a name, an upload and a token."""

    client: httpx2.Client
    things: dict[str, str]


NOBODYS = dict.fromkeys(("file", "link", "path", "upload", "token"), "A" * 22)


def user_token(server: Any, **wish: Any) -> str:
    """Make a user by the API; give a token of theirs."""
    name = f"access-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        made = admin.post(f"/v1/users/{name}/tokens", json=wish)
    assert made.status_code == 201, made.text
    token: str = made.json()["token"]
    return token


def with_things(client: httpx2.Client, *, has_tokens: bool) -> Owner:
    """Let somebody have one of everything."""
    path = f"private-{secrets.token_hex(4)}"
    file = client.put(f"/v1/by-name/{path}", content=b"private").json()["id"]
    link = client.post(f"/v1/files/{file}/links", json={}).json()["id"]
    token = client.post("/v1/tokens", json={}).json()["id"] if has_tokens else NOBODYS["token"]
    session = client.post("/upload/init", json={"main_service_file_id": 5, "original_file_name": "open"})
    upload = session.json()["data"]["upload_session_id"] if session.status_code == 200 else NOBODYS["upload"]
    return Owner(client, {"file": file, "link": link, "path": path, "upload": upload, "token": token})


@pytest.fixture
def owners(server: Any) -> Iterator[dict[str, Owner]]:
    """Two users, the service, and two of another service's users, each with one of everything."""
    credentials = {
        "user": server.bearer(user_token(server)),
        "other user": server.bearer(user_token(server)),
        "service": server.service,
        "jwt": server.bearer(server.jwt(f"a-{secrets.token_hex(4)}")),
        "other jwt": server.bearer(server.jwt(f"b-{secrets.token_hex(4)}")),
    }
    clients = {name: server.client(headers=headers) for name, headers in credentials.items()}
    yield {name: with_things(client, has_tokens="user" in name) for name, client in clients.items()}
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(("method", "path", "body"), ADDRESSES)
def test_other_peoples_things_are_missing(owners: dict[str, Owner], method: str, path: str, body: Any) -> None:
    """Everybody gets for everybody else's thing, word for word, what they get for a thing that isn't there."""
    for name, asker in owners.items():
        unknown = asker.client.request(method, path.format(**NOBODYS), json=body)
        assert unknown.status_code == 404
        for other, owner in owners.items():
            if other != name:
                answer = asker.client.request(method, path.format(**owner.things), json=body)
                assert (answer.status_code, answer.content) == (404, unknown.content), (name, other)
    for owner in owners.values():
        assert owner.client.get(f"/v1/by-name/{owner.things['path']}").content == b"private"
        assert owner.client.get(f"/v1/files/{owner.things['file']}").json()["name"] == owner.things["path"]
        assert len(owner.client.get(f"/v1/files/{owner.things['file']}/links").json()["links"]) == 1
        if owner.things["upload"] != NOBODYS["upload"]:
            assert owner.client.get(f"/v1/uploads/{owner.things['upload']}").json()["state"] == "open"


def test_lists_are_ones_own(owners: dict[str, Owner]) -> None:
    """A list holds one's own files, also where a filter would fit others'."""
    for name, owner in owners.items():
        if name != "service":  # other tests' files are the service's, too
            assert [owner.things["file"]] == [file["id"] for file in owner.client.get("/v1/files").json()["files"]]
        ids = {file["id"] for file in owner.client.get("/v1/files?name=private&limit=1000").json()["files"]}
        assert ids.isdisjoint(other.things["file"] for known, other in owners.items() if known != name)


def test_the_administrator_sees_all(server: Any, owners: dict[str, Owner]) -> None:
    """Any file can be described, read and deleted by the administrator."""
    with server.client(headers=server.admin) as admin:
        for owner in owners.values():
            file = owner.things["file"]
            assert admin.get(f"/v1/files/{file}/content").content == b"private"
            assert admin.delete(f"/v1/files/{file}").status_code == 204
            assert owner.client.get(f"/v1/files/{file}").status_code == 404


SCOPED = {
    "read": [
        ("GET", "/v1/files"), ("GET", "/v1/files/{file}"), ("GET", "/v1/files/{file}/content"),
        ("GET", "/v1/by-name/{path}"), ("GET", "/v1/files/{file}/links"), ("GET", "/v1/tokens"),
    ],
    "write": [
        ("POST", "/v1/files"), ("PUT", "/v1/by-name/new"), ("PATCH", "/v1/files/{file}"),
        ("POST", "/v1/files/{file}/links"), ("DELETE", "/v1/files/{file}/links/{link}"), ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/{token}"),
    ],
    "delete": [("DELETE", "/v1/by-name/{path}"), ("DELETE", "/v1/files/{file}")],
}  # fmt: skip


@pytest.mark.parametrize("scope", SCOPED)
def test_scopes_hold(server: Any, scope: str) -> None:
    """A token without a scope is told 403 scope_missing wherever that is needed, and nothing is changed."""
    with server.client(headers=server.bearer(user_token(server))) as full:
        owner = with_things(full, has_tokens=True)
        others = sorted({"read", "write", "delete"} - {scope})
        token = full.post("/v1/tokens", json={"scopes": others}).json()["token"]
        before = full.get("/v1/files").json()
        with server.client(headers=server.bearer(token)) as lesser:
            assert lesser.get("/v1/me").json()["scopes"] == others
            for method, path in SCOPED[scope]:
                answer = lesser.request(method, path.format(**owner.things), json={})
                assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
        assert full.get("/v1/files").json() == before


def test_a_token_for_one_file_knows_that_one(server: Any) -> None:
    """It lists, describes, reads and shares its file; others of the same owner are missing; it creates nothing."""
    with server.client(headers=server.bearer(user_token(server))) as full:
        mine, other = (with_things(full, has_tokens=False) for _ in range(2))
        token = full.post("/v1/tokens", json={"file_id": mine.things["file"]}).json()["token"]
        with server.client(headers=server.bearer(token)) as holder:
            assert [mine.things["file"]] == [file["id"] for file in holder.get("/v1/files").json()["files"]]
            assert holder.get(f"/v1/by-name/{mine.things['path']}").content == b"private"
            for method, path, body in ADDRESSES:
                if "token" not in path:
                    answer = holder.request(method, path.format(**other.things), json=body)
                    assert answer.status_code == 404, path
            creations = [
                holder.post("/v1/files", content=b"x"),
                holder.post("/v1/files", files={"file": ("a", b"x")}),
                holder.put("/v1/by-name/new", content=b"x"),
                holder.put(f"/v1/by-name/{other.things['path']}", content=b"x"),
                holder.put(f"/v1/by-name/{mine.things['path']}", content=b"x"),
            ]
            assert {(403, "scope_missing")} == {(one.status_code, one.json()["code"]) for one in creations}
        assert full.get(f"/v1/by-name/{other.things['path']}").content == b"private"


def test_a_jwt_for_one_file_creates_and_sees_that_one(server: Any) -> None:
    """The claim is filled in where a creation names no file, and everything else of the same subject is missing."""
    subject = f"scoped-{secrets.token_hex(4)}"
    with (
        server.client(headers=server.bearer(server.jwt(subject))) as full,
        server.client(headers=server.bearer(server.jwt(subject, file_id=7))) as seven,
    ):
        other = full.put("/v1/by-name/eight?main_service_file_id=8", content=b"8").json()
        made = seven.post("/v1/files", content=b"7").json()

        assert (other["main_service_file_id"], made["main_service_file_id"]) == ("8", "7")
        assert [made["id"]] == [file["id"] for file in seven.get("/v1/files").json()["files"]]
        assert len(full.get("/v1/files").json()["files"]) == 2
        assert [other["id"]] == [file["id"] for file in full.get("/v1/files?main_service_file_id=8").json()["files"]]
        assert seven.get(f"/v1/files/{other['id']}").status_code == 404
        assert seven.get("/v1/by-name/eight").status_code == seven.delete("/v1/by-name/eight").status_code == 404
        stolen = seven.put("/v1/by-name/eight", content=b"mine now")
        assert (stolen.status_code, stolen.json()["code"]) == (403, "scope_missing")
        assert full.get("/v1/by-name/eight").content == b"8"

        again = seven.post("/v1/files", content=b"new 7").json()  # the same file of theirs: the new one replaces it
        assert [again["id"]] == [file["id"] for file in seven.get("/v1/files").json()["files"]]
        both = seven.post("/v1/files", files=[("file", ("a", b"1")), ("file", ("b", b"2"))])
        assert (both.status_code, both.json()["code"]) == (413, "form_too_many_parts")
        assert seven.get(again["url"]).content == b"new 7"


def test_another_id_is_refused_before_any_look(server: Any) -> None:
    """A request that names another `main_service_file_id` than its token's is 403, whether that is there or not."""
    subject = f"named-{secrets.token_hex(4)}"
    with (
        server.client(headers=server.bearer(server.jwt(subject))) as full,
        server.client(headers=server.bearer(server.jwt(subject, file_id=7))) as seven,
    ):
        assert full.post("/v1/files?main_service_file_id=8", content=b"8").status_code == 201
        for number in (8, 9):
            query = f"?main_service_file_id={number}"
            answers = [
                seven.get(f"/v1/files{query}"),
                seven.post(f"/v1/files{query}", content=b"x"),
                seven.post(f"/v1/files{query}", files={"file": ("a", b"x")}),
                seven.put(f"/v1/by-name/any{query}", content=b"x"),
            ]
            assert {(403, "scope_missing")} == {(one.status_code, one.json()["code"]) for one in answers}
        assert seven.get("/v1/files?main_service_file_id=7").status_code == 200
        for wrong in ("x", "-1", "07", "1e3", "1٣"):
            assert full.post("/v1/files", params={"main_service_file_id": wrong}, content=b"x").status_code == 422
            assert full.get("/v1/files", params={"main_service_file_id": wrong}).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Authorization": "Bearer cya_nonsense"}, 401),
        ({"Authorization": "Bearer a.b.c"}, 401),
        ({"X-Auth-Token": "wrong"}, 403),
        ({"Cookie": "token=wire-tests-admin-token"}, 401),
    ],
)
def test_who_is_not_known_gets_nowhere(server: Any, headers: dict[str, str], status: int) -> None:
    """Every address of /v1 asks who is there first, and takes tokens from their headers alone."""
    with server.client(headers=headers) as stranger:
        for method, path, body in [
            *ADDRESSES, ("GET", "/v1/me", None), ("GET", "/v1/files", None), ("GET", "/v1/users", None),
            ("GET", "/v1/plans", None), ("POST", "/v1/files", None), ("PUT", "/v1/by-name/a", None),
        ]:  # fmt: skip
            url = path.format(**NOBODYS) + "?token=wire-tests-admin-token&access_token=wire-tests-admin-token"
            answer = stranger.request(method, url, json=body)
            assert answer.status_code == status, (method, path)
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
