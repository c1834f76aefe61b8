"""Random schedules of clients over all protocols against a dict: what was acknowledged is there, byte for byte."""

import hashlib
import os
import random
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.model_clients import AS_JSON, SIZES, TUS, Client, Modelled, TusTongue, by_steps, cut, push

CLIENTS = 8
FORM = {"Content-Type": "multipart/form-data; boundary=model-edge"}


def by_body(client: Client) -> None:
    """Send one body, perhaps cut: then there is nothing of it. Under a name, it takes the place of what was there."""
    data = client.dice.randbytes(client.dice.choice(SIZES))
    method, path = client.dice.choice((("POST", "/v1/files?name=model.bin"), ("PUT", "/v1/by-name/model.bin")))
    if data and client.dice.random() < 0.3:
        client.cut(method, path, data, client.dice.randrange(len(data)))
        return
    made = client.ask(method, path, 200, 201, content=data)
    if method == "PUT":
        client.replaces(made.json()["id"])
    client.has(made.json()["id"], data)


def by_form(client: Client) -> None:
    """Send files in one form, perhaps cut: all or none."""
    contents = [client.dice.randbytes(client.dice.choice(SIZES)) for _ in range(client.dice.randrange(1, 4))]
    body = form(*((f'name="file"; filename="{number}.bin"', data) for number, data in enumerate(contents)))
    if client.dice.random() < 0.3:
        client.cut("POST", "/v1/files", body, client.dice.randrange(len(body)), **FORM)
        return
    made = client.ask("POST", "/v1/files", 201, content=body, headers=FORM).json()["files"]
    for file, data in zip(made, contents, strict=True):
        client.has(file["id"], data)


def form(*parts: tuple[str, bytes]) -> bytes:
    """Write a form: what its parts say of themselves, and what they hold."""
    written = [
        f"--model-edge\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode() + data + b"\r\n"
        for said, data in parts
    ]
    return b"".join([*written, b"--model-edge--\r\n"])


def by_chunks(client: Client) -> None:
    """Send chunks in any order, cut some, send some twice, end too early; then it is a file."""
    dice, number = client.dice, client.dice.getrandbits(52)
    chunks = [dice.randbytes(dice.choice(SIZES)) for _ in range(dice.randrange(1, 5))]
    begin = {"main_service_file_id": number, "original_file_name": "model.mp3"}
    session = client.ask("POST", "/upload/init", 200, json=begin).json()["data"]["upload_session_id"]
    end = {"upload_session_id": session, "total_chunks": len(chunks), "main_service_file_id": number}
    for index in dice.sample(range(len(chunks)), len(chunks)):
        for data in (dice.randbytes(500), chunks[index]) if dice.random() < 0.3 else (chunks[index],):
            body = chunk_form(client, session, index, data)
            if dice.random() < 0.2:
                client.cut("POST", "/upload/chunk", body, dice.randrange(len(body)), **FORM)
            while client.ask("POST", "/upload/chunk", 200, 409, content=body, headers=FORM).status_code == 409:
                pass  # the one that was cut came late, and sent this one away
        if dice.random() < 0.1:
            client.ask("POST", "/upload/complete", 409, json={**end, "total_chunks": len(chunks) + 1})
    for _ in range(dice.randrange(1, 3)):
        done = client.ask("POST", "/upload/complete", 200, json=end).json()["data"]
    client.has(done["file_id"], b"".join(chunks))


def chunk_form(client: Client, session: str, index: int, data: bytes) -> bytes:
    """Write a chunk's form, its parts in any order."""
    parts = [
        ('name="upload_session_id"', session.encode()),
        ('name="chunk_index"', str(index).encode()),
        ('name="chunk"; filename="blob"', data),
    ]
    return form(*client.dice.sample(parts, len(parts)))


def by_parts(client: Client) -> None:
    """Send parts of a tus upload, one of them cut, and join them before or after they are whole."""
    parts = [client.dice.randbytes(client.dice.choice(SIZES[1:])) for _ in range(client.dice.randrange(1, 4))]
    paths = [begun_part(client, len(part)) for part in parts]
    final = ""
    if client.dice.random() < 0.5:
        final = begun_part(client, None, *paths)
    for path, part in zip(paths, parts, strict=True):
        upload = Modelled(part, path, is_told=True)
        if client.dice.random() < 0.5:
            cut(client, upload, (TusTongue(),))
        push(client, upload, end=True, tongues=(TusTongue(),))
    final = final or begun_part(client, None, *paths)
    client.ask("HEAD", final, 200, headers=TUS)
    told = client.ask("GET", final, 200, headers=AS_JSON).json()
    client.has(told["file_id"], b"".join(parts))


def begun_part(client: Client, size: int | None, *parts: str) -> str:
    """Begin a part, or the upload that joins them."""
    said = {"Upload-Concat": "final;" + " ".join(parts)} if parts else {"Upload-Concat": "partial"}
    headers = {**TUS, **said, **({} if size is None else {"Upload-Length": str(size)})}
    return str(urlsplit(client.ask("POST", "/v1/uploads", 201, headers=headers).headers["location"]).path)


STORIES: tuple[Callable[[Client], None], ...] = (by_steps, by_steps, by_steps, by_body, by_form, by_chunks, by_parts)


def forget_some(client: Client) -> None:
    """Delete a file, now and then."""
    if client.files and client.dice.random() < 0.2:
        file_id = client.dice.choice(list(client.files))
        client.ask("DELETE", f"/v1/files/{file_id}", 204)
        del client.files[file_id]
        client.ask("GET", f"/v1/files/{file_id}/content", 404)


def play(client: Client, stories: int) -> int:
    """Tell so many stories; then compare all that the owner has with the model."""
    for _ in range(stories):
        client.dice.choice(STORIES)(client)
        forget_some(client)
    listed: dict[str, Any] = {}
    cursor = ""
    while cursor is not None:
        page = client.ask("GET", f"/v1/files?limit=500{cursor and '&cursor=' + cursor}", 200).json()
        listed |= {file["id"]: file for file in page["files"]}
        cursor = page["next_cursor"]
    assert {one: hashlib.sha256(data).hexdigest() for one, data in client.files.items()} == {
        one: file["sha256"] for one, file in listed.items()
    }
    for file_id, data in client.files.items():
        assert data == client.ask("GET", f"/v1/files/{file_id}/content", 200).content
    return stories


@pytest.fixture
def seed() -> int:
    """The seed of the schedules: CRASH_SEED, or a new one; pytest shows it when the test fails."""
    number = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={number}")
    return number


@pytest.fixture
def clients(make_server: Callable[..., Any], seed: int, workers: int) -> Iterator[list[Client]]:
    """Clients of a server with so many workers, each with an owner of its own."""
    server = make_server(
        CARRYALL_MAX_OPEN_UPLOADS="100000", **({"CARRYALL_WORKERS": str(workers)} if workers > 1 else {})
    )
    made = []
    for number in range(CLIENTS):
        token = server.jwt(f"model-{number}-{secrets.token_hex(6)}")
        made.append(Client(server.client(headers=server.bearer(token)), random.Random(seed + number)))
    yield made
    for client in made:
        client.http.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("workers", "stories"), [(1, 900), (2, 450)])
def test_random_schedules_agree_with_a_dict(clients: list[Client], stories: int) -> None:
    """Cut at any byte, astray, repeated, by rivals, by one protocol and another: no byte is lost, added or mixed."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = sum(pool.map(lambda client: play(client, stories // CLIENTS + 1), clients))

    assert told >= stories
    for client in clients:
        usage = until_settled(client.http)
        assert (sum(map(len, client.files.values())), len(client.files)) == (usage["stored_bytes"], usage["files"])
        assert (0, 0) == (usage["reserved_bytes"], usage["open_uploads"])


def until_settled(http: httpx2.Client) -> dict[str, int]:
    """Give what an owner holds, once the last cut body is noticed."""
    usage: dict[str, int] = {}
    for _ in range(1000):
        usage = http.get("/v1/me").json()["usage"]
        if not usage["open_uploads"]:
            break
    return usage
