"""Links to files: signed ends, limited downloads, passwords, revocation, and no guessing."""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest


@pytest.fixture
def owner(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    name = f"links-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        token = admin.post(f"/v1/users/{name}/tokens", json={}).json()["token"]
    with server.client(headers=server.bearer(token)) as client:
        yield client


@pytest.fixture
def path(owner: httpx2.Client) -> str:
    """The path of the links of a file whose bytes are `shared`."""
    return f"/v1/files/{owner.post('/v1/files?filename=a.txt', content=b'shared').json()['id']}/links"


@pytest.fixture
def anybody(server: Any, address: Callable[[], str]) -> Iterator[httpx2.Client]:
    """Somebody without a credential, at an address of their own."""
    with server.client(transport=httpx2.HTTPTransport(local_address=address())) as client:
        yield client


@pytest.fixture(scope="module")
def address() -> Callable[[], str]:
    """Give a loopback address that nobody asked for yet: misses and downloads are counted by address."""
    taken = iter(f"127.0.{high}.{low}" for high in range(1, 100) for low in range(1, 255))
    return lambda: next(taken)


def share(owner: httpx2.Client, path: str, **wish: Any) -> dict[str, Any]:
    """Make a link; give it."""
    answer = owner.post(path, json=wish)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_link_gives_the_file_to_anybody(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """Without an end the URL is the id alone, which is the secret: at least 128 bits; GET, HEAD and ranges work."""
    link = share(owner, path)

    assert urlsplit(link["url"]).path == f"/d/{link['id']}"
    assert urlsplit(link["url"]).query == ""
    assert len(link["id"]) >= 22
    assert (link["expires_at"], link["max_downloads"], link["taken"], link["has_password"]) == (None, None, 0, False)
    assert anybody.get(link["url"]).content == b"shared"
    assert anybody.head(link["url"]).headers["Content-Length"] == "6"
    assert anybody.get(link["url"], headers={"Range": "bytes=1-2"}).content == b"ha"


def test_a_links_end_cant_be_changed(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """The end is in the URL and signed: another end, none, another signature or another link's: 404."""
    link, other = share(owner, path, expires_in=3600), share(owner, path, expires_in=3600)
    query = {name: values[0] for name, values in parse_qs(urlsplit(link["url"]).query).items()}
    ends = datetime.fromisoformat(link["expires_at"])

    assert query["expires"] == str(int(ends.timestamp()))
    assert anybody.get(link["url"]).content == b"shared"
    for wrong in (
        {},
        {**query, "expires": str(int(query["expires"]) + 1)},
        {**query, "expires": f"0{query['expires']}"},
        {**query, "signature": query["signature"][:-2]},
        {"expires": query["expires"]},
        {"signature": query["signature"]},
    ):
        answer = anybody.get(f"/d/{link['id']}", params=wrong)
        assert (answer.status_code, answer.json()["code"]) == (404, "link_not_found"), wrong
    assert anybody.get(f"/d/{other['id']}", params=query).status_code == 404


def test_a_link_ends(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """After its end a link is as if it had never been."""
    link = share(owner, path, expires_in=2)
    assert anybody.get(link["url"]).status_code == 200
    deadline = time.monotonic() + 15
    while (answer := anybody.get(link["url"])).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert (answer.status_code, answer.json()["code"]) == (404, "link_not_found")


def test_downloads_are_limited_exactly(
    owner: httpx2.Client, path: str, server: Any, address: Callable[[], str]
) -> None:
    """Of 20 clients at once, exactly as many as the link allows get the file; the rest are told that it is used up."""
    link = share(owner, path, max_downloads=7)

    def get(client_address: str) -> tuple[int, str]:
        with server.client(transport=httpx2.HTTPTransport(local_address=client_address)) as client:
            answer = client.get(link["url"])
            return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["code"]

    with ThreadPoolExecutor(20) as pool:
        ended = sorted(pool.map(get, [address() for _ in range(20)]))

    assert ended == [(200, "shared")] * 7 + [(410, "link_used_up")] * 13
    assert [(one["taken"], one["max_downloads"]) for one in owner.get(path).json()["links"]] == [(7, 7)]


def test_a_download_may_come_in_parts(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """Further requests of one client belong to its download; HEAD, 304 and 416 take none."""
    link = share(owner, path, max_downloads=1)
    head = anybody.head(link["url"])
    assert anybody.get(link["url"], headers={"If-None-Match": head.headers["ETag"]}).status_code == 304
    assert anybody.get(link["url"], headers={"Range": "bytes=99-"}).status_code == 416
    assert owner.get(path).json()["links"][0]["taken"] == 0

    parts = [anybody.get(link["url"], headers={"Range": f"bytes={at}-{at + 1}"}).content for at in (0, 2, 4)]

    assert b"".join(parts) == b"shared"
    assert owner.get(path).json()["links"][0]["taken"] == 1


def test_a_password_is_asked_for(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """401 with a Basic challenge without it and with a wrong one; with it the file; never anything of it in answers."""
    link = share(owner, path, password="pässwörd:1", max_downloads=1)
    asked = anybody.get(link["url"])
    wrong = anybody.get(link["url"], auth=("", "guess"))

    assert (asked.status_code, asked.json()["code"]) == (401, "link_password_required")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "link_password_wrong")
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert link["has_password"] is True
    assert "pässwörd" not in owner.get(path).text + wrong.text
    assert owner.get(path).json()["links"][0]["taken"] == 0
    assert anybody.get(link["url"], auth=("anything", "pässwörd:1")).content == b"shared"


def test_a_revoked_link_is_gone_at_once(owner: httpx2.Client, path: str, anybody: httpx2.Client) -> None:
    """204, then 404 for whoever has it and for revoking it again; the others stay."""
    link, other = share(owner, path), share(owner, path)
    assert owner.delete(f"{path}/{link['id']}").status_code == 204

    assert anybody.get(link["url"]).status_code == 404
    assert anybody.get(other["url"]).status_code == 200
    assert [other["id"]] == [one["id"] for one in owner.get(path).json()["links"]]
    assert owner.delete(f"{path}/{link['id']}").status_code == 404


def test_guesses_are_limited_by_address(
    owner: httpx2.Client, path: str, server: Any, address: Callable[[], str]
) -> None:
    """After 60 misses in a minute an address is told to wait, even where it would hit; others are not."""
    link = share(owner, path, password="secret")
    guesser, other = (httpx2.HTTPTransport(local_address=address()) for _ in range(2))
    with server.client(transport=guesser) as client:
        misses = [client.get(f"/d/{secrets.token_hex(11)}").status_code for _ in range(55)]
        misses += [client.get(link["url"], auth=("", "guess")).status_code for _ in range(5)]
        late = client.get(link["url"], auth=("", "secret"))
    with server.client(transport=other) as client:
        assert client.get(link["url"], auth=("", "secret")).content == b"shared"

    assert misses == [404] * 55 + [401] * 5
    assert (late.status_code, late.json()["code"]) == (429, "rate_limited")
    assert int(late.headers["Retry-After"]) >= 1


def test_links_are_made_with_whole_wishes(owner: httpx2.Client, path: str) -> None:
    """Times may be given as an end or as seconds, not as both; numbers that can't be are named."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)

    assert share(owner, path, expires_at=tomorrow.isoformat())["expires_at"] == tomorrow.isoformat().replace(
        "+00:00", "Z"
    )
    for wrong in (
        {"expires_in": 0}, {"expires_in": 10**20}, {"expires_in": 1.5}, {"expires_in": True}, {"max_downloads": 0},
        {"max_downloads": "5"}, {"password": ""}, {"password": "x" * 1025}, {"uses": 5},
        {"expires_in": 60, "expires_at": tomorrow.isoformat()},
    ):  # fmt: skip
        answer = owner.post(path, json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "fields_invalid"), wrong
    past = owner.post(path, json={"expires_at": "2020-01-01"})
    assert (past.status_code, past.json()["code"]) == (400, "expiry_past")
