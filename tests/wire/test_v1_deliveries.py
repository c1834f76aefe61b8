"""GET /v1/deliveries, and one more try: who sees what, page by page, and what an answer says when nothing is to do."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest


@pytest.fixture(scope="module")
def nowhere() -> Iterator[int]:
    """A port that is taken and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, nowhere: int) -> Any:
    """A server with a store that works and one that can't be reached."""
    return make_module_server(
        CARRYALL_STORE_B_KIND="local",
        CARRYALL_STORE_B_ROOT=str(tmp_path_factory.mktemp("b")),
        CARRYALL_STORE_AWAY_KIND="s3",
        CARRYALL_STORE_AWAY_BUCKET="files",
        CARRYALL_STORE_AWAY_ENDPOINT_URL=f"http://127.0.0.1:{nowhere}",
        CARRYALL_STORE_AWAY_ACCESS_KEY="key-for-tests",
        CARRYALL_STORE_AWAY_SECRET_KEY="secret-for-tests",
    )


@pytest.fixture
def alice(server: Any) -> Iterator[httpx2.Client]:
    with server.client(headers=server.new_user()[1]) as client:
        yield client


def upload(client: httpx2.Client, target: str) -> str:
    """Upload a file; give its id."""
    answer = client.post("/v1/files", params={"name": "a.txt", "service": target}, content=b"hello")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def deliveries(client: httpx2.Client, **params: str) -> list[dict[str, Any]]:
    """List deliveries."""
    answer = client.get("/v1/deliveries", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["deliveries"]
    return found


def wait(is_so: Callable[[], Any], *, seconds: float = 40) -> Any:
    """Wait until something is so; give it."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_what_isnt_done_is_listed(alice: httpx2.Client) -> None:
    """A delivery that failed says why and when it is tried again; what is done stands under its own state."""
    file_id = upload(alice, "local,away")
    (failed,) = wait(lambda: deliveries(alice, state="failed"))
    done = deliveries(alice, state="stored")

    assert (file_id, "a.txt", 5, "away", "store_unreachable") == tuple(
        failed[name] for name in ("file_id", "name", "size", "store", "code")
    )
    assert failed["attempts"] >= 1
    assert failed["error"]
    assert failed["next_try_at"] > failed["created_at"]
    assert [failed["file_id"]] == [one["file_id"] for one in deliveries(alice)]
    assert [("local", "stored")] == [(one["store"], one["state"]) for one in done]
    assert [] == deliveries(alice, store="b")
    assert "secret-for-tests" not in str(failed)


def test_one_sees_ones_own(server: Any, alice: httpx2.Client) -> None:
    """Others' deliveries are the administrator's to see, of one owner or of all; a token for one file sees its own."""
    ids = [upload(alice, "local,b") for _ in range(2)]
    wait(lambda: len(deliveries(alice, state="stored", store="b")) == 2)
    owner = alice.get("/v1/me").json()["id"]
    token = alice.post("/v1/tokens", json={"file_id": ids[0], "scopes": ["read"]}).json()["token"]
    with (
        server.client(headers=server.new_user()[1]) as bob,
        server.client(headers=server.admin) as admin,
        server.client(headers=server.bearer(token)) as scoped,
    ):
        his = deliveries(bob, state="stored")
        hers = deliveries(admin, state="stored", store="b", owner=owner)
        everybodys = deliveries(admin, state="stored", store="b")
        one = deliveries(scoped, state="stored", store="b")
        refused = bob.get("/v1/deliveries", params={"owner": owner})

    assert [] == his
    assert ids[::-1] == [delivery["file_id"] for delivery in hers]
    assert set(ids) <= {delivery["file_id"] for delivery in everybodys}
    assert [ids[0]] == [delivery["file_id"] for delivery in one]
    assert (403, "admin_only") == (refused.status_code, refused.json()["code"])


def test_pages_follow_each_other(alice: httpx2.Client) -> None:
    """Two stores' copies of five files come once each, the newest files' first; a cursor is good for its list alone."""
    ids = [upload(alice, "local,b") for _ in range(5)]
    wait(lambda: len(deliveries(alice, state="stored")) == 10)
    found, cursor = [], ""
    while True:
        page = alice.get(
            "/v1/deliveries", params={"state": "stored", "limit": 3} | ({"cursor": cursor} if cursor else {})
        )
        found += [(one["file_id"], one["store"]) for one in page.json()["deliveries"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    other = alice.get("/v1/files", params={"limit": 1}).json()["next_cursor"]
    refused = alice.get("/v1/deliveries", params={"cursor": other})

    assert [(file_id, store) for file_id in ids[::-1] for store in ("b", "local")] == found
    assert (400, "cursor_invalid") == (refused.status_code, refused.json()["code"])


def test_one_more_try(alice: httpx2.Client) -> None:
    """A failed delivery is tried at once: 202 with the copy as it is, and one more attempt soon after."""
    file_id = upload(alice, "local,away")
    (before,) = wait(lambda: deliveries(alice, state="failed"))
    answer = alice.post(f"/v1/files/{file_id}/copies/away/retry")
    wait(lambda: any(one["attempts"] != before["attempts"] or one["next_try_at"] != before["next_try_at"]
                     for one in deliveries(alice, state="failed")))  # fmt: skip

    assert 202 == answer.status_code
    assert ("away", None) == (answer.json()["store"], answer.json()["next_try_at"])
    assert answer.json()["state"] in {"queued", "delivering"}


def test_nothing_to_try(server: Any, alice: httpx2.Client) -> None:
    """What is stored, what isn't meant for a store, and what isn't theirs, is said to be so; reading isn't enough."""
    file_id = upload(alice, "local")
    token = alice.post("/v1/tokens", json={"scopes": ["read"]}).json()["token"]
    with server.client(headers=server.new_user()[1]) as bob, server.client(headers=server.bearer(token)) as reader:
        answers = [
            alice.post(f"/v1/files/{file_id}/copies/local/retry"),
            alice.post(f"/v1/files/{file_id}/copies/b/retry"),
            bob.post(f"/v1/files/{file_id}/copies/local/retry"),
            reader.post(f"/v1/files/{file_id}/copies/local/retry"),
        ]

    assert [(409, "copy_stored"), (404, "copy_not_found"), (404, "file_not_found"), (403, "scope_missing")] == [
        (answer.status_code, answer.json()["code"]) for answer in answers
    ]
