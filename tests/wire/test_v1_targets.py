"""Where a request wants its files to go, through every door; who may ask for what; what a plan says of it."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)
BOTH = "local,b"


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with two stores, of which requests may name either."""
    root = tmp_path_factory.mktemp("b")
    return make_module_server(CARRYALL_STORE_B_KIND="local", CARRYALL_STORE_B_ROOT=str(root))


@pytest.fixture
def admin(server: Any) -> Any:
    with server.client(headers=server.admin) as client:
        yield client


def files_of(server: Any, **filters: str) -> list[dict[str, Any]]:
    """List everybody's files, the newest first."""
    answer = httpx2.get(f"{server.url}/v1/files", params=filters, headers=server.admin, timeout=30)
    found: list[dict[str, Any]] = answer.json()["files"]
    return found


def form(client: httpx2.Client, path: str, field: str, name: str, **more: Any) -> httpx2.Response:
    """Send a form with one file."""
    return client.post(path, files={field: (name, PNG)}, **more)


def _tus(client: httpx2.Client, name: str, target: str | None, **more: Any) -> httpx2.Response:
    pairs = {"filename": name, **({"target": target} if target else {})}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    fields = {"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Metadata": metadata}
    fields |= {"Content-Type": "application/offset+octet-stream", **more.pop("headers", {})}
    return client.post("/files/", content=b"data", headers=fields, **more)


def _chunks(client: httpx2.Client, name: str, **more: Any) -> httpx2.Response:
    number = secrets.randbelow(10**9)
    begin = {"main_service_file_id": number, "original_file_name": name}
    began = client.post("/upload/init", json=begin, **more)
    if not began.is_success:
        return began
    session = began.json()["data"]["upload_session_id"]
    client.post(
        "/upload/chunk", data={"upload_session_id": session, "chunk_index": "0"}, files={"chunk": ("chunk", PNG)}
    )
    wish = {"upload_session_id": session, "total_chunks": 1, "main_service_file_id": number}
    return client.post("/upload/complete", json=wish)


DOORS: dict[str, tuple[str, Callable[..., httpx2.Response]]] = {
    "v1 form": ("user", lambda c, n, **m: form(c, "/v1/files", "file", n, **m)),
    "v1 raw": (
        "user",
        lambda c, n, **m: c.post("/v1/files", content=b"data", **{**m, "params": {"name": n, **m.get("params", {})}}),
    ),
    "by name": ("user", lambda c, n, **m: c.put(f"/v1/by-name/{n}", content=b"data", **m)),
    "draft": (
        "user",
        lambda c, n, **m: c.post(
            "/v1/uploads",
            content=b"data",
            params={"name": n, **m.get("params", {})},
            headers={
                "Upload-Complete": "?1",
                "Upload-Draft-Interop-Version": "8",
                "Content-Disposition": f'attachment; filename="{n}"',
                **m.get("headers", {}),
            },
        ),
    ),
    "tus": ("user", lambda c, n, **m: _tus(c, n, None, **m)),
    "relay": ("service", lambda c, n, **m: form(c, "/upload", "file", n, **m)),
    "blobs": ("user", lambda c, n, **m: form(c, "/upload", "file", n, **m)),
    "batch": ("user", lambda c, n, **m: form(c, "/upload_batch", "files", n, **m)),
    "gallery": ("user", lambda c, n, **m: form(c, "/api/upload", "files", n, **m)),
    "chunks": ("jwt", _chunks),
}


def client_for(server: Any, who: str) -> httpx2.Client:
    """Give a client of a kind of principal."""
    headers = {
        "user": lambda: server.new_user()[1],
        "service": lambda: server.service,
        "jwt": lambda: server.bearer(server.jwt(f"t{secrets.token_hex(4)}")),
    }[who]()
    client: httpx2.Client = server.client(headers=headers)
    return client


@pytest.mark.parametrize("door", DOORS)
def test_a_request_says_where_its_file_goes(server: Any, door: str) -> None:
    """By `?service=` and by the header, everywhere; stores that aren't there and targets that are none are refused."""
    who, send = DOORS[door]
    names = [f"{secrets.token_hex(4)}.png" for _ in range(4)]
    with client_for(server, who) as client:
        by_query = send(client, names[0], params={"service": BOTH})
        by_header = send(client, names[1], headers={"Carryall-Target": "any:b,local"})
        unknown = send(client, names[2], params={"service": "nowhere"})
        malformed = send(client, names[3], headers={"Carryall-Target": "5:local,b"})
    targets = {file["name"]: file["target"] for file in files_of(server, limit="50")}

    assert (BOTH, "any:b,local") == (targets.get(names[0]), targets.get(names[1])), (by_query.text, by_header.text)
    assert (400, "service_unsupported") == (unknown.status_code, unknown.json()["code"])
    assert {"local", "b"} == set(unknown.json()["supported_services"])
    assert (400, "target_malformed") == (malformed.status_code, malformed.json()["code"])
    assert not {names[2], names[3]} & targets.keys()


def test_tus_says_it_in_its_metadata(server: Any) -> None:
    """Upload-Metadata has `target` for clients that can set nothing else."""
    name = f"{secrets.token_hex(4)}.bin"
    with client_for(server, "user") as client:
        assert _tus(client, name, BOTH).status_code == 201
        refused = _tus(client, "x", "nowhere")

    assert [BOTH] == [file["target"] for file in files_of(server, name=name)]
    assert (400, "service_unsupported") == (refused.status_code, refused.json()["code"])


@pytest.mark.parametrize("by", ["query", "header"])
def test_the_socket_says_it_in_its_handshake(server: Any, by: str) -> None:
    """A page's WebSocket names the target in its address, other programs in a header, too."""
    _, headers = server.new_user()
    name = f"{secrets.token_hex(4)}.bin"
    url = server.url.replace("http", "ws") + "/upload_socket"
    more = {"additional_headers": {"Carryall-Target": BOTH}} if by == "header" else {}
    with connect(f"{url}?service={BOTH}" if by == "query" else url, **more) as socket:
        socket.send(headers["Authorization"].removeprefix("Bearer "))
        socket.recv()
        socket.send(name)
        socket.send(b"data")
        json.loads(socket.recv())

    assert [BOTH] == [file["target"] for file in files_of(server, name=name)]


def test_visitors_get_the_default_alone(server: Any) -> None:
    """Who has no token may name the default target's stores and no others."""
    with server.client() as visitor:
        ours = form(visitor, "/api/upload", "files", "a.png", params={"service": "local"})
        others = form(visitor, "/api/upload", "files", "a.png", params={"service": "b"})

    assert 200 == ours.status_code, ours.text
    assert (403, "store_forbidden") == (others.status_code, others.json()["code"])


def test_a_plan_says_where_files_go(server: Any, admin: httpx2.Client) -> None:
    """A plan's target is where its users' files go, its stores are those that they may name; both are listed."""
    plan = f"plan-{secrets.token_hex(4)}"
    made = admin.put(f"/v1/plans/{plan}", json={"target": "B", "stores": ["b"]})
    name, headers = server.new_user()
    assert admin.patch(f"/v1/users/{name}", json={"plan": plan}).status_code == 200
    with server.client(headers=headers) as client:
        plain = client.post("/v1/files?name=a", content=b"a")
        named = client.post("/v1/files?name=b&service=b", content=b"b")
        refused = client.post("/v1/files?name=c&service=local", content=b"c")
        own = client.get("/v1/me").json()["plan"]

    assert ("b", ["b"]) == (made.json()["target"], made.json()["stores"])
    assert {"target": "b", "stores": ["b"]}.items() <= own.items()
    assert ["b", "b"] == [plain.json()["target"], named.json()["target"]]
    assert ["b"] == [copy["store"] for copy in plain.json()["copies"]]
    assert (403, "store_forbidden", ["b"]) == (refused.status_code, *(refused.json()[n] for n in ("code", "stores")))


@pytest.mark.parametrize("limits", [{"target": "local,nowhere"}, {"stores": ["b", "nowhere"]}, {"target": "2:b"}])
def test_a_plan_names_known_stores(admin: httpx2.Client, limits: dict[str, Any]) -> None:
    """A plan with a store that isn't in the settings is refused, and isn't made."""
    answer = admin.put("/v1/plans/unknown-stores", json=limits)

    assert 400 == answer.status_code
    assert answer.json()["code"] in {"service_unsupported", "target_malformed"}
    assert "unknown-stores" not in [plan["name"] for plan in admin.get("/v1/plans").json()["plans"]]


def test_pages_may_send_the_header(server: Any) -> None:
    """A browser may send Carryall-Target and Last-Event-ID from another origin."""
    asked = {
        "Origin": "https://app.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "carryall-target, last-event-id, authorization",
    }
    with server.client() as browser:
        answer = browser.options("/v1/files", headers=asked)

    assert 200 == answer.status_code
    assert {"carryall-target", "last-event-id"} <= {
        name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")
    }


def test_files_tell_how_their_deliveries_stand(server: Any) -> None:
    """A file says where it is to be and, for each copy, how far that is; never where it lies there."""
    with client_for(server, "user") as client:
        file = client.post("/v1/files", params={"name": "a.txt", "service": BOTH}, content=b"hello").json()
        deadline = time.monotonic() + 20
        while not (told := client.get(f"/v1/files/{file['id']}").json())["is_delivered"]:
            assert time.monotonic() < deadline, told
            time.sleep(0.02)

    assert [("local", "stored"), ("b", "queued")] == [(copy["store"], copy["state"]) for copy in file["copies"]]
    assert not file["is_delivered"]
    delivered = next(copy for copy in told["copies"] if copy["store"] == "b")
    assert (1, None, None, None, False) == tuple(
        delivered[name] for name in ("attempts", "error", "code", "next_try_at", "is_cache")
    )
    assert delivered["stored_at"] >= told["created_at"]
    assert not {"key", "location", "tag"} & delivered.keys()
    root = Path(server.environment["CARRYALL_STORE_B_ROOT"])
    assert b"hello" in [path.read_bytes() for path in root.rglob("*") if path.is_file()]
