"""Relay waits for the store that was asked for: 200 with a link, 202 past the bound, 502 where the store fails."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.wire.clouds import Cloud, cloud_in, copy_in
from tests.wire.drafts import append, begin

KEYS = {"status", "message", "filename", "service", "link", "file_id", "file_url", "size", "sha256"}
WAITING_KEYS = KEYS - {"link"} | {"status_url"}
DOORS = ["form", "raw", "resumable"]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An S3 server."""
    with cloud_in(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], cloud: Cloud) -> Any:
    """A server that delivers there, and waits long enough for it."""
    return make_module_server(**cloud.settings(CARRYALL_RELAY_WAIT="25"))


@pytest.fixture(scope="module")
def hasty(make_module_server: Callable[..., Any], cloud: Cloud) -> Any:
    """A server that hardly waits."""
    return make_module_server(**cloud.settings(CARRYALL_RELAY_WAIT="0.3"))


@pytest.fixture
def client(server: Any) -> Iterator[httpx2.Client]:
    """The service."""
    with server.client(headers=server.service) as found:
        yield found


@pytest.fixture
def hasty_client(hasty: Any) -> Iterator[httpx2.Client]:
    """The service, at the other server."""
    with hasty.client(headers=hasty.service) as found:
        yield found


def send(client: Any, content: bytes, door: str = "form", query: str = "service=s3", **headers: str) -> httpx2.Response:
    """Send a file through one of relay's doors; give the answer."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if door == "form":
        sent = client.post(f"/upload?{query}", files={"file": ("level ü.dat", content)}, headers=given)
    elif door == "raw":
        sent = client.post(f"/upload?{query}&fileName=level+%C3%BC.dat", content=content, headers=given)
    else:
        at = begin(client, content[:1], f"/upload?{query}&fileName=level+%C3%BC.dat", **given)
        sent = append(client, at, content[1:], offset=1, end=True)
    assert isinstance(sent, httpx2.Response)
    return sent


def fresh() -> bytes:
    """Give bytes that no test has sent before."""
    return secrets.token_bytes(1000)


def held(client: httpx2.Client) -> tuple[int, int]:
    """Give how many files the service has, and how many bytes."""
    usage = client.get("/v1/me").json()["usage"]
    return usage["files"], usage["stored_bytes"]


def delivered(client: httpx2.Client, file_id: str) -> dict[str, Any]:
    """Wait until a file is where it was promised to be."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        file: dict[str, Any] = client.get(f"/v1/files/{file_id}").json()
        if file["is_delivered"]:
            return file
        time.sleep(0.05)
    raise AssertionError(f"not delivered: {file}")


@pytest.mark.parametrize(
    ("door", "query", "service"),
    [
        *((door, "service=s3", "s3") for door in DOORS),
        ("form", "service=S3&keep=true", "s3"),
        ("raw", "service=any:s3,local", "any:s3,local"),
        ("raw", "service=2:local,s3", "local,s3"),
    ],
)
def test_the_answer_has_a_link(client: httpx2.Client, cloud: Cloud, door: str, query: str, service: str) -> None:
    """As described, whichever way the bytes came: the store has them now, and the link gives them."""
    content = fresh()

    answer = send(client, content, door, query)

    told = answer.json()
    assert (200, KEYS) == (answer.status_code, set(told))
    assert ("success", "level ü.dat", service, 1000) == (
        told["status"],
        told["filename"],
        told["service"],
        told["size"],
    )
    assert content == httpx2.get(told["link"]).content == httpx2.get(told["file_url"]).content
    if "any" not in query:
        assert content == cloud.objects()[f"service%3Arelay/{told['file_id']}/level%20%C3%BC.dat"]


def test_nothing_is_kept_here(client: httpx2.Client, server: Any) -> None:
    """Where no local store was asked for, the local copy goes as soon as the store has the file (until_delivered)."""
    told = send(client, fresh()).json()

    deadline = time.monotonic() + 10
    while any(path.is_file() and path.stat().st_size == 1000 for path in (server.data_dir / "files").rglob("*")):
        stores = [copy["store"] for copy in client.get(f"/v1/files/{told['file_id']}").json()["copies"]]
        if stores == ["s3"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 200 == httpx2.get(told["link"]).status_code


def test_who_asks_is_seen_first(client: httpx2.Client, server: Any) -> None:
    """The token goes before the service, and the service before the bytes."""
    for headers, status in (({}, 401), ({"X-Auth-Token": "wrong"}, 403)):
        assert status == httpx2.post(f"{server.url}/upload?service=dropbox", content=b"x", headers=headers).status_code
    answer = send(client, b"x", query="service=dropbox")
    assert (400, "Unsupported service: dropbox. Supported services: local, s3") == (
        answer.status_code,
        answer.json()["detail"],
    )
    assert "field_invalid" == send(client, b"x", query="service=s3&keep=perhaps").json()["code"]


@pytest.mark.parametrize("door", ["form", "resumable"])
def test_a_provider_that_is_down(client: httpx2.Client, cloud: Cloud, door: str) -> None:
    """502 with a code; the file is kept and tried again; the same request once more tries at once, as one file."""
    content, before = fresh(), held(client)
    with cloud.away():
        answer = send(client, content, door)

        told = answer.json()
        assert (502, "store_unreachable", "s3") == (answer.status_code, told["code"], told["store"])
        assert 1 <= int(answer.headers["retry-after"]) <= 13
        assert (before[0] + 1, before[1] + 1000) == held(client)
        file = client.get(told["status_url"]).json()
        assert (told["file_id"], False) == (file["id"], file["is_delivered"])
        copy = copy_in(client, file["id"])
        assert ("failed", 1, "store_unreachable") == (copy["state"], copy["attempts"], copy["code"])
        assert copy["next_try_at"] is not None
        assert content == client.get(f"/v1/files/{file['id']}/content").content

    again = send(client, content, door)
    assert (200, file["id"]) == (again.status_code, again.json()["file_id"]), again.text
    assert (before[0] + 1, before[1] + 1000) == held(client)
    assert content == httpx2.get(again.json()["link"]).content


def test_who_wants_it_now_or_never(client: httpx2.Client, cloud: Cloud) -> None:
    """With keep=false a failure leaves nothing: neither here nor there, nor in the account."""
    before, objects = held(client), cloud.objects()
    content, key = fresh(), f'"{secrets.token_hex(8)}"'
    with cloud.away():
        answer = send(client, content, query="service=s3&keep=false", Idempotency_Key=key)

        told = answer.json()
        assert (502, "store_unreachable") == (answer.status_code, told["code"])
        assert not {"file_id", "status_url", "next_try_at"} & set(told)
        assert told["detail"].endswith("The file was not kept.")
        assert before == held(client)

    assert objects == cloud.objects()
    again = send(client, content, query="service=s3&keep=false", Idempotency_Key=key)
    assert (200, content) == (again.status_code, httpx2.get(again.json()["link"]).content)


@pytest.mark.parametrize("door", DOORS)
def test_a_provider_that_is_slow(hasty_client: httpx2.Client, cloud: Cloud, door: str) -> None:
    """Past the bound it is 202: the file is safe, the delivery goes on, and the status URL tells how far it is."""
    content, key = fresh(), f'"{secrets.token_hex(8)}"'
    with cloud.standing_still():
        answer = send(hasty_client, content, door, Idempotency_Key=key)

        told = answer.json()
        assert (202, WAITING_KEYS) == (answer.status_code, set(told))
        assert told["status_url"] == answer.headers["location"]
        assert int(answer.headers["retry-after"]) >= 1
        assert "delivering" == copy_in(hasty_client, told["file_id"])["state"]
        if door != "resumable":
            repeat = send(hasty_client, content, door, Idempotency_Key=key)
            assert (202, told["file_id"]) == (repeat.status_code, repeat.json()["file_id"])
            assert "idempotent-replayed" not in repeat.headers

    assert told["file_id"] == delivered(hasty_client, told["file_id"])["id"]
    last = send(hasty_client, content, door, **({"Idempotency_Key": key} if door != "resumable" else {}))
    assert (200, told["file_id"]) == (last.status_code, last.json()["file_id"])
    assert content == httpx2.get(last.json()["link"]).content
    assert 200 == hasty_client.get(told["status_url"]).status_code


@pytest.mark.parametrize(("code", "status"), [("store_timeout", 504), ("store_full", 507), ("store_credentials", 502)])
def test_failures_have_statuses(client: httpx2.Client, server: Any, cloud: Cloud, code: str, status: int) -> None:
    """Whoever tried, this process or another one: who waits is told at once what failed, and when it is tried again."""
    content, later = fresh(), int((time.time() + 100) * 1_000_000)
    digest = hashlib.sha256(content).hexdigest()
    failed = (
        "UPDATE copies SET state = 'failed', error = 'No luck.', error_code = $1, next_try_at = $2 WHERE store = 's3' "
        "AND state = 'delivering' AND file_id IN (SELECT id FROM files WHERE sha256 = $3)"
    )
    with cloud.standing_still(), ThreadPoolExecutor(1) as threads:
        asked = threads.submit(send, client, content)
        deadline = time.monotonic() + 20
        while not server.change_catalog(failed, code, later, digest):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        answer = asked.result()

    told = answer.json()
    assert (status, code, "s3") == (answer.status_code, told["code"], told["store"])
    assert "The file could not be brought to s3: No luck. The file is kept, and tried again." == told["detail"]
    assert 90 <= int(answer.headers["retry-after"]) <= 100


def test_clients_that_repeat_themselves(hasty_client: httpx2.Client, cloud: Cloud, hasty: Any) -> None:
    """At once or one after the other: one file, counted once, its bytes here once and there once."""
    content, before, objects = fresh(), held(hasty_client), len(cloud.objects())

    def once(_: int) -> str:
        with hasty.client(headers=hasty.service) as own:
            answer = send(own, content)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["file_id"])

    with cloud.standing_still(), ThreadPoolExecutor(4) as threads:
        (file_id,) = set(threads.map(once, range(4)))
        assert (before[0] + 1, before[1] + 1000) == held(hasty_client)
        here = [path.read_bytes() for path in (hasty.data_dir / "files").rglob("*") if path.is_file()]
        assert 1 == here.count(content)

    delivered(hasty_client, file_id)
    assert objects + 1 == len(cloud.objects())


def test_other_requests_are_other_files(client: httpx2.Client) -> None:
    """Another name, other bytes or another service: nothing is joined that isn't the same."""
    content = fresh()
    answers = [
        send(client, content),
        client.post("/upload?service=s3", files={"file": ("other.dat", content)}),
        client.post("/upload?service=local", files={"file": ("level ü.dat", content)}),
        send(client, content[:-1] + b"x"),
    ]

    assert 4 == len({answer.json()["file_id"] for answer in answers})
    assert answers[0].json()["file_id"] == send(client, content).json()["file_id"]
