"""POST /v1/files/{id}/copies/{store}/link: a copy becomes public at its provider when its owner asks for it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from tests.servers.mega.launch import FakeMega

EMAIL, PASSWORD = "box@example.com", "open sesame"


@pytest.fixture(scope="module")
def mega(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMega]:
    """An account at MEGA."""
    with FakeMega(tmp_path_factory.mktemp("mega")) as running:
        running.account(EMAIL, PASSWORD)
        yield running


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], mega: FakeMega) -> Any:
    """A server with that account."""
    return make_module_server(MEGA_EMAIL=EMAIL, MEGA_PASSWORD=PASSWORD, MEGA_API_URL=mega.url)


@pytest.fixture
def alice(server: Any) -> Iterator[httpx2.Client]:
    with server.client(headers=server.new_user()[1]) as client:
        yield client


def stored(client: httpx2.Client, target: str) -> str:
    """Upload a file, wait until it is where it is to be, and give its URL."""
    file = client.post("/v1/files", params={"name": "a.txt", "service": target}, content=b"hello").json()
    deadline = time.monotonic() + 30
    while not client.get(f"/v1/files/{file['id']}").json()["is_delivered"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return f"/v1/files/{file['id']}"


def test_a_link_is_made_when_it_is_asked_for(alice: httpx2.Client, mega: FakeMega) -> None:
    """No file becomes public by being delivered; asked for, the link is the same each time, and stays on the copy."""
    url = stored(alice, "mega")
    before = alice.get(url).json()["copies"][0]["link"]
    exported = mega.count("l")

    links = [alice.post(f"{url}/copies/mega/link").json()["link"] for _ in range(2)]

    assert (before, exported) == (None, 0)
    assert links[0] == links[1] == alice.get(url).json()["copies"][0]["link"]
    assert links[0].startswith("https://mega.nz/file/")
    assert [] == mega.violations


def test_what_has_no_link(alice: httpx2.Client, server: Any) -> None:
    """A store without public links, a store that the file isn't for, and somebody else's file are told apart."""
    here, there = stored(alice, "local"), stored(alice, "mega")

    answers = [alice.post(f"{here}/copies/{store}/link") for store in ("local", "mega")]
    with server.client(headers=server.new_user()[1]) as bob:
        answers.append(bob.post(f"{there}/copies/mega/link"))

    told = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert [(409, "store_has_no_links"), (404, "copy_not_found"), (404, "file_not_found")] == told
