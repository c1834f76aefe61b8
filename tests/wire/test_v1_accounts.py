"""Who asks, users, tokens and plans: the administrator's to make, their own to see, secrets shown once."""

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

ADMIN_ONLY = [
    ("GET", "/v1/users", None),
    ("POST", "/v1/users", {"name": "mallory"}),
    ("PATCH", "/v1/users/{name}", {"plan": None}),
    ("DELETE", "/v1/users/{name}", None),
    ("PUT", "/v1/plans/p", {}),
    ("DELETE", "/v1/plans/p", None),
]


def new_name() -> str:
    """Give a user's name that nobody has."""
    return f"account-{secrets.token_hex(6)}@example.org"


@pytest.fixture
def admin(server: Any) -> Iterator[httpx2.Client]:
    """The administrator."""
    with server.client(headers=server.admin) as client:
        yield client


@pytest.fixture
def name(admin: httpx2.Client) -> str:
    """The name of a user that was just made."""
    made = admin.post("/v1/users", json={"name": (new := new_name())})
    assert made.status_code == 201, made.text
    return new


@pytest.fixture
def user(server: Any, admin: httpx2.Client, name: str) -> Iterator[httpx2.Client]:
    """That user, with a token that may do everything."""
    with server.client(headers=server.bearer(new_token(admin, name)["token"])) as client:
        yield client


def new_token(asker: httpx2.Client, name: str | None = None, **wish: Any) -> dict[str, Any]:
    """Make a token; give it."""
    answer = asker.post(f"/v1/users/{name}/tokens" if name else "/v1/tokens", json=wish)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Give a refusal's status and code."""
    return answer.status_code, answer.json()["code"]


def test_me_says_who_asks(server: Any, user: httpx2.Client, name: str) -> None:
    """Every kind of credential is told its kind, scopes, plan and usage; none is 401."""
    mine = user.get("/v1/me").json()
    with server.client() as anybody:
        service = anybody.get("/v1/me", headers=server.service).json()
        scoped = anybody.get("/v1/me", headers=server.bearer(server.jwt("me", file_id=7))).json()
        nobody = anybody.get("/v1/me")

    assert (mine["id"], mine["name"], mine["kind"]) == (f"user:{name}", name, "user")
    assert mine["scopes"] == ["delete", "read", "write"]
    assert (mine["plan"]["name"], mine["plan"]["max_file_bytes"], mine["plan"]["retention_days"]) == (
        "user",
        10 << 20,
        90,
    )
    assert mine["usage"]["files"] == 0
    assert (service["kind"], scoped["kind"], scoped["main_service_file_id"]) == ("service", "jwt", "7")
    assert code(nobody) == (401, "token_missing")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"


def test_users_are_made_and_found(admin: httpx2.Client, user: httpx2.Client, name: str) -> None:
    """A user is listed, described to the administrator and to themselves, and made once."""
    again = admin.post("/v1/users", json={"name": name})

    assert name in {one["name"] for one in admin.get("/v1/users").json()["users"]}
    assert admin.get(f"/v1/users/{name}").json() == user.get(f"/v1/users/{name}").json()
    assert code(again) == (409, "user_exists")
    for wrong in ("", " padded", "a/b", "x" * 129, "line\nfeed"):
        assert admin.post("/v1/users", json={"name": wrong}).status_code in {400, 422}, wrong


def test_users_see_themselves_alone(admin: httpx2.Client, user: httpx2.Client) -> None:
    """Another user and one that was never made are missing in the same words."""
    other = new_name()
    admin.post("/v1/users", json={"name": other})
    answers = [user.get(f"/v1/users/{one}{rest}") for one in (other, "nobody") for rest in ("", "/tokens")]

    assert {(404, '{"detail":"No such user.","code":"user_not_found"}')} == {(a.status_code, a.text) for a in answers}


@pytest.mark.parametrize("request_", ADMIN_ONLY, ids=lambda one: f"{one[0]} {one[1]}")
def test_only_the_administrator_administers(
    server: Any, user: httpx2.Client, name: str, request_: tuple[str, str, Any]
) -> None:
    """Users, the service and other services' users are refused, about themselves too."""
    method, path, body = request_
    for headers in ({}, {**server.service, "Authorization": ""}, server.bearer(server.jwt("eve"))):
        answer = user.request(method, path.replace("{name}", name), json=body, headers=headers)
        assert code(answer) == (403, "admin_only")


def test_a_disabled_user_is_nobody(admin: httpx2.Client, user: httpx2.Client, name: str) -> None:
    """Their tokens stop and start again at once; what isn't named in a change stays."""
    admin.put("/v1/plans/disabled-test", json={})
    assert admin.patch(f"/v1/users/{name}", json={"plan": "disabled-test"}).status_code == 200
    disabled = admin.patch(f"/v1/users/{name}", json={"is_disabled": True}).json()
    refused = user.get("/v1/me")
    admin.patch(f"/v1/users/{name}", json={"is_disabled": False})

    assert (disabled["plan"], disabled["is_disabled"]) == ("disabled-test", True)
    assert code(refused) == (401, "token_invalid")
    assert user.get("/v1/me").json()["plan"]["name"] == "disabled-test"
    assert code(admin.patch(f"/v1/users/{name}", json={"plan": "no such"})) == (404, "plan_not_found")


def test_a_removed_user_leaves_nothing(admin: httpx2.Client, user: httpx2.Client, name: str) -> None:
    """Their tokens and files go; whoever has the same name later finds nothing of them."""
    file = user.post("/v1/files", content=b"mine").json()
    assert admin.delete(f"/v1/users/{name}").status_code == 204

    assert code(user.get("/v1/me")) == (401, "token_invalid")
    assert admin.get(f"/v1/files/{file['id']}").status_code == 404
    assert admin.get(file["short_url"]).status_code == 404
    assert code(admin.delete(f"/v1/users/{name}")) == (404, "user_not_found")
    again = admin.post("/v1/users", json={"name": name}).json()
    assert (again["usage"]["files"], again["usage"]["stored_bytes"]) == (0, 0)


def test_a_tokens_secret_is_shown_once(user: httpx2.Client, server: Any) -> None:
    """The answer that makes it has it; lists, files of the server and its log don't."""
    made = new_token(user, label="backup", scopes=["read"])
    listed = user.get("/v1/tokens")

    assert made["token"] not in listed.text
    assert made["label"] in {one["label"] for one in listed.json()["tokens"]}
    assert set(made) - {"token"} == set(listed.json()["tokens"][0])
    assert made["token"] not in server.log()
    kept = b"".join(path.read_bytes() for path in server.data_dir.glob("catalog.db*"))
    assert made["token"].encode() not in kept


def test_a_revoked_token_stops_at_once(user: httpx2.Client, server: Any) -> None:
    """204, then 401 for whoever shows it; the others go on; it stays in the list, as revoked."""
    made = new_token(user)
    with server.client(headers=server.bearer(made["token"])) as holder:
        assert holder.get("/v1/me").status_code == 200
        assert user.delete(f"/v1/tokens/{made['id']}").status_code == 204
        assert code(holder.get("/v1/me")) == (401, "token_invalid")

    revoked = next(one for one in user.get("/v1/tokens").json()["tokens"] if one["id"] == made["id"])
    assert revoked["revoked_at"] is not None
    assert code(user.delete("/v1/tokens/nothing")) == (404, "token_not_found")


def test_a_token_ends(user: httpx2.Client, server: Any) -> None:
    """After its end a token is invalid."""
    made = new_token(user, expires_in=2)
    with server.client(headers=server.bearer(made["token"])) as holder:
        assert holder.get("/v1/me").status_code == 200
        deadline = time.monotonic() + 15
        while (answer := holder.get("/v1/me")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    assert code(answer) == (401, "token_invalid")


def test_a_token_makes_nothing_above_itself(user: httpx2.Client, server: Any) -> None:
    """No wider scope, no later end, no other file; and it revokes none that may do more."""
    file, other = (user.post("/v1/files", content=b"x").json()["id"] for _ in range(2))
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    lesser = new_token(user, scopes=["read", "write"], expires_at=end)
    filed = new_token(user, file_id=file)
    reader = new_token(user, scopes=["read"])
    refused: list[httpx2.Response] = []
    for token, wishes in {
        lesser["token"]: [{"scopes": ["delete"], "expires_at": end}, {"scopes": ["read"]}, {"expires_at": later}],
        filed["token"]: [{}, {"scopes": ["read"]}],
        reader["token"]: [{"scopes": ["read"]}],
    }.items():
        with server.client(headers=server.bearer(token)) as holder:
            refused += [holder.post("/v1/tokens", json=wish) for wish in wishes]
    with server.client(headers=server.bearer(filed["token"])) as holder:
        listed = holder.get("/v1/tokens").json()["tokens"]
        refused += [holder.delete(f"/v1/tokens/{lesser['id']}")]
        assert holder.post("/v1/tokens", json={"file_id": other}).status_code == 404
        assert new_token(holder, file_id=file, scopes=["read"])["file_id"] == file
    with server.client(headers=server.bearer(lesser["token"])) as holder:
        mains = [one["id"] for one in holder.get("/v1/tokens").json()["tokens"] if len(one["scopes"]) == 3]
        refused += [holder.delete(f"/v1/tokens/{one}") for one in mains]
        assert new_token(holder, expires_at=end)["scopes"] == ["read", "write"]
        assert holder.delete(f"/v1/tokens/{reader['id']}").status_code == 204

    assert {(403, "scope_missing")} == {code(answer) for answer in refused}
    assert [filed["id"]] == [one["id"] for one in listed]
    assert code(user.post("/v1/tokens", json={"scopes": ["admin"]})) == (403, "scope_missing")


def test_the_administrators_tokens(admin: httpx2.Client, server: Any, name: str) -> None:
    """Made by the administrator for themselves and for users; one with the scope admin administers."""
    own = new_token(admin, scopes=["admin"], label="second")
    theirs = new_token(admin, user=name, scopes=["write"])

    assert (own["user"], theirs["user"]) == (None, name)
    with server.client(headers=server.bearer(own["token"])) as second:
        assert second.get("/v1/users").status_code == 200
    assert [theirs["id"]] == [one["id"] for one in admin.get("/v1/tokens", params={"user": name}).json()["tokens"]]
    assert admin.delete(f"/v1/tokens/{own['id']}").status_code == 204
    assert code(admin.post("/v1/tokens", json={"user": "nobody"})) == (404, "user_not_found")


def test_who_has_no_account_has_no_tokens(server: Any) -> None:
    """The service and other services' users can't make tokens here."""
    for headers in (server.service, server.bearer(server.jwt("eve"))):
        with server.client(headers=headers) as client:
            assert code(client.get("/v1/tokens")) == code(client.post("/v1/tokens", json={})) == (404, "user_not_found")


@pytest.mark.parametrize(
    "wish",
    [
        {"scopes": []}, {"scopes": ["fly"]}, {"label": "x" * 201}, {"secret": "x"}, {"expires_in": -1},
        {"expires_in": 1, "expires_at": "2999-01-01"}, {"file_id": 5},
    ],
)  # fmt: skip
def test_wishes_that_cant_be(user: httpx2.Client, wish: dict[str, Any]) -> None:
    """422 names the field."""
    assert code(user.post("/v1/tokens", json=wish)) == (422, "fields_invalid")


def test_a_plan_limits_its_users(admin: httpx2.Client, user: httpx2.Client, name: str) -> None:
    """Size, room, kinds of names and rate hold from the next request on; changed, they hold as changed."""
    limits = {"max_file_bytes": 100, "total_bytes": 250, "extensions": [".TXT", "md"], "retention_days": 5}
    made = admin.put(f"/v1/plans/plan-{name[8:12]}", json=limits)
    plan = made.json()["name"]
    assert admin.patch(f"/v1/users/{name}", json={"plan": plan}).status_code == 200

    def create(size: int, file: str = "a.txt") -> tuple[int, str]:
        answer = user.post("/v1/files", params={"filename": file}, content=bytes(size))
        return answer.status_code, answer.json().get("code", "")

    assert (made.json()["extensions"], made.json()["max_open_uploads"]) == (["md", "txt"], 1000)
    assert [create(101), create(100, "a.exe"), create(100), create(100, "B.MD"), create(100)] == [
        (413, "too_large"), (415, "type_refused"), (201, ""), (201, ""), (413, "quota_exceeded"),
    ]  # fmt: skip
    file = user.get("/v1/files").json()["files"][0]
    assert code(user.patch(f"/v1/files/{file['id']}", json={"name": "a.exe"})) == (415, "type_refused")
    kept = datetime.fromisoformat(file["expires_at"]) - datetime.fromisoformat(file["created_at"])
    assert kept == timedelta(days=5)
    admin.put(f"/v1/plans/{plan}", json={"requests_per_minute": 2})
    answers = [user.get("/v1/me") for _ in range(20)]
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "rate_limited")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert user.get("/v1/plans").status_code == 429


def test_plans_are_listed_and_removed(admin: httpx2.Client, user: httpx2.Client, name: str) -> None:
    """Users see their own; one that is in use, or comes from the settings, can't be removed."""
    plan = f"removed-{secrets.token_hex(4)}"
    admin.put(f"/v1/plans/{plan}", json={})
    admin.patch(f"/v1/users/{name}", json={"plan": plan})

    assert [plan] == [one["name"] for one in user.get("/v1/plans").json()["plans"]]
    assert {plan, "user", "service"} <= {one["name"] for one in admin.get("/v1/plans").json()["plans"]}
    assert code(admin.delete(f"/v1/plans/{plan}")) == (409, "plan_in_use")
    assert code(admin.delete("/v1/plans/user")) == code(admin.put("/v1/plans/user", json={})) == (409, "plan_built_in")
    admin.patch(f"/v1/users/{name}", json={"plan": None})
    assert admin.delete(f"/v1/plans/{plan}").status_code == 204
    assert code(admin.delete(f"/v1/plans/{plan}")) == (404, "plan_not_found")
    for wrong in (
        {"total_bytes": -1},
        {"total_bytes": 2**61},
        {"extensions": ["a b"]},
        {"max": 1},
        {"retention_days": 0},
    ):
        assert code(admin.put("/v1/plans/wrong", json=wrong)) == (422, "fields_invalid"), wrong
