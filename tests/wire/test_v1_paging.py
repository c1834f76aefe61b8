"""Lists of the native API, page by page: nothing lost, nothing twice, whatever the order."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

NUMBER = 250
SORTS = ["created", "-created", "name", "-name", "size", "-size"]


@pytest.fixture(scope="module")
def owner(server: Any) -> Iterator[httpx2.Client]:
    """The owner of 250 files, many of which share a name or a size."""
    name = f"pages-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        token = admin.post(f"/v1/users/{name}/tokens", json={}).json()["token"]
    with server.client(headers=server.bearer(token)) as client:
        for start in range(0, NUMBER, 50):
            parts = [("file", (f"имя {n % 40}.txt", bytes(n % 7))) for n in range(start, start + 50)]
            assert client.post("/v1/files", files=parts).status_code == 201
        yield client


def page(client: httpx2.Client, **query: Any) -> dict[str, Any]:
    """Give one page."""
    answer = client.get("/v1/files", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def walk(client: httpx2.Client, **query: Any) -> list[dict[str, Any]]:
    """Give all files, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        part = page(client, **query, **({"cursor": cursor} if cursor else {}))
        found += part["files"]
        cursor = part["next_cursor"]
        if cursor is None:
            return found
        assert len(part["files"]) == query["limit"]


@pytest.mark.parametrize("sort", SORTS)
def test_every_file_comes_once(owner: httpx2.Client, sort: str) -> None:
    """All 250 files come, each once, in the order asked for, ties in one and the same order."""
    found = walk(owner, sort=sort, limit=33)
    key = {"created": "created_at"}.get(sort.lstrip("-"), sort.lstrip("-"))
    values = [(file[key], file["id"]) for file in found]

    assert len({file["id"] for file in found}) == len(found) == NUMBER
    assert values == sorted(values, reverse=sort.startswith("-"))


@pytest.mark.parametrize("limit", [1, 50, 249, 250, 251, 1000])
def test_the_last_page_says_so(owner: httpx2.Client, limit: int) -> None:
    """There is a next cursor exactly where there is a next file."""
    assert (page(owner, limit=limit)["next_cursor"] is None) == (limit >= NUMBER)


def test_filters_hold_over_pages(owner: httpx2.Client) -> None:
    """A filtered list is paged like any other."""
    found = walk(owner, sort="size", limit=10, name="ИМЯ 1")

    assert {file["name"] for file in found} == {f"имя {n}.txt" for n in (1, *range(10, 20))}
    assert len(found) == sum(str(n % 40).startswith("1") for n in range(NUMBER))


def test_changes_between_pages_disturb_nobody_else(owner: httpx2.Client) -> None:
    """A file that goes, and one that comes, while somebody pages: every other file still comes once."""
    first = page(owner, sort="name", limit=100)
    gone = first["files"][-1]
    assert owner.delete(f"/v1/files/{gone['id']}").status_code == 204  # the very one that the cursor was made of
    owner.post("/v1/files", params={"filename": "! first.txt"}, content=b"")
    rest, cursor = [], first["next_cursor"]
    while cursor:
        part = page(owner, sort="name", limit=100, cursor=cursor)
        rest += part["files"]
        cursor = part["next_cursor"]
    again = owner.post("/v1/files", params={"filename": gone["name"]}, content=bytes(gone["size"]))
    new = next(file for file in page(owner, name="! first", limit=1)["files"])
    owner.delete(f"/v1/files/{new['id']}")

    assert again.status_code == 201
    ids = [file["id"] for file in [*first["files"], *rest]]
    assert len(ids) == len(set(ids)) == NUMBER


@pytest.mark.parametrize("spoil", [0, 10, -1, -20])
def test_a_changed_cursor_is_refused(owner: httpx2.Client, spoil: int) -> None:
    """Whatever is changed of a cursor, its beginning, middle or end: 400."""
    cursor = page(owner, limit=5)["next_cursor"]
    letters = list(cursor)
    letters[spoil] = "A" if letters[spoil] != "A" else "B"
    answer = owner.get("/v1/files", params={"cursor": "".join(letters), "limit": 5})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


@pytest.mark.parametrize("cursor", ["", "x", ".", "WyJuYW1lIiwgMSwgMl0", "é.é", "A" * 5000])
def test_what_is_no_cursor_is_refused(owner: httpx2.Client, cursor: str) -> None:
    """Words that were never a cursor: 400."""
    answer = owner.get("/v1/files", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


def test_a_cursor_belongs_to_its_sort(owner: httpx2.Client) -> None:
    """The cursor of one order says nothing in another."""
    cursor = page(owner, sort="name", limit=5)["next_cursor"]
    answer = owner.get("/v1/files", params={"cursor": cursor, "sort": "size"})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"sort": "colour"}])
def test_wrong_parameters_are_refused(owner: httpx2.Client, query: dict[str, Any]) -> None:
    """Limits outside of 1 to 1000 and orders that aren't there: 422."""
    assert owner.get("/v1/files", params=query).status_code == 422
