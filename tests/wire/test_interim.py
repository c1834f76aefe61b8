"""104 Upload Resumption Supported: who hears of an upload's address before its end, and goes on there (I-CR1, I-V…)."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import EMPTY, PARTIAL, append, flag, is_complete, new_user, until_offset, usage
from tests.wire.raw import Raw

KNOWN = [3, 4, 5, 6, 7, 8, 9, 10]
DATA = secrets.token_bytes(100_000)


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


def creation(user: httpx2.Client, version: int | None, *, complete: bool = True, **headers: str) -> dict[str, str]:
    """Give a creation's headers, with room for DATA."""
    told = {"Authorization": user.headers["authorization"], "Content-Length": str(len(DATA))}
    return told | flag(version, complete=complete) | {name.replace("_", "-"): text for name, text in headers.items()}


@pytest.mark.parametrize("expects", [True, False])
@pytest.mark.parametrize("version", KNOWN)
def test_I_CR1_the_address_comes_before_the_bytes(
    server: Any, user: httpx2.Client, version: int, *, expects: bool
) -> None:
    """Each version hears the address before a byte is read, the version with it (I-V3), and 100 where it waits."""
    expect = {"Expect": "100-continue"} if expects else {}
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files?name=a.bin", creation(user, version, **expect))
        early = raw.head()
        told = user.head(early.headers["location"])
        if expects:
            assert 100 == raw.head().status  # I-CR11

        assert (104, "Upload Resumption Supported") == (early.status, early.reason)
        assert str(version) == early.headers["upload-draft-interop-version"]
        assert (204, "0") == (told.status_code, told.headers["upload-offset"])
        limits = {key for pair in early.headers.get("upload-limit", "").split(", ") if (key := pair.split("=")[0])}
        assert limits == (set() if version < 6 else {"max-size", "expires" if version == 6 else "max-age"})


@pytest.mark.parametrize("path", ["/v1/files?name=a.bin", "/v1/by-name/a.bin", "/v1/uploads", "/files"])
@pytest.mark.parametrize("version", KNOWN)
def test_I_CR2_an_announced_upload_is_answered_as_ever(
    server: Any, user: httpx2.Client, version: int, path: str
) -> None:
    """The whole in one request is the target's answer, whether or not a 104 came before; the connection goes on."""
    method = "PUT" if "by-name" in path else "POST"
    with Raw(server.port) as raw:
        raw.ask(method, path, creation(user, version), DATA)
        answer = raw.answer()
        raw.ask("GET", "/ready", {})
        again = raw.answer()

    assert (201, "?0" if version == 3 else "?1") == (
        answer.status,
        answer.headers["upload-incomplete" if version == 3 else "upload-complete"],
    )
    assert [urlsplit(answer.announced[0]["location"]).path] != [urlsplit(answer.headers["location"]).path]
    assert 1 == len(answer.announced)
    assert hashlib.sha256(DATA).hexdigest().encode() in answer.body
    assert (200, 0) == (again.status, usage(user)["open_uploads"])


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_I_CR7_an_announced_upload_that_breaks_off_goes_on(
    server: Any, user: httpx2.Client, how: str, *, complete: bool
) -> None:
    """What came before the cut is kept to the byte, at the address that the 104 told, and is never the end."""
    sent = secrets.randbelow(len(DATA) - 1) + 1
    raw = Raw(server.port)
    raw.ask("POST", "/v1/files", creation(user, 8, complete=complete), DATA[:sent])
    at = urlsplit(raw.head().headers["location"]).path
    if how == "half-close":
        raw.socket.shutdown(1)
        assert 400 == raw.answer().status
        raw.close()
    elif how == "reset":
        sent -= raw.unacknowledged()
        raw.reset()
    else:
        raw.close()

    told = until_offset(user, at, sent)
    last = append(user, at, DATA[sent:], offset=sent, end=True)

    assert (str(sent), False) == (told.headers["upload-offset"], is_complete(told))
    assert (201, hashlib.sha256(DATA).hexdigest()) == (last.status_code, last.json()["sha256"])


def test_I_CR6_the_answer_repeats_the_address(server: Any, user: httpx2.Client) -> None:
    """The address of a first part is the same in the 104 and in the answer."""
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8, complete=False), DATA)
        answer = raw.answer()

    assert (201, [answer.headers["location"]]) == (answer.status, [one["location"] for one in answer.announced])


def test_a_refusal_is_never_announced(server: Any, user: httpx2.Client) -> None:
    """Who may not upload, or too much, hears that and nothing before it; an upload of nothing isn't announced."""
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8, Authorization="Bearer wrong", Expect="100-continue"))
        denied = raw.answer()
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8, Content_Length=str(10**15 - 1), Expect="100-continue"))
        large = raw.answer()
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8, Content_Length="0"))
        empty = raw.answer()

    assert [(401, []), (413, []), (201, [])] == [(one.status, one.interim) for one in (denied, large, empty)]
    assert 0 == usage(user)["open_uploads"]


@pytest.mark.parametrize("version", [None, 2, 11, 99])
def test_I_V2_no_104_for_other_versions(server: Any, user: httpx2.Client, version: int | None) -> None:
    """A version that isn't named, or isn't known, gets no interim answer; its broken upload leaves nothing."""
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, version), DATA)
        answer = raw.answer()

    assert (201, []) == (answer.status, answer.interim)


THROUGH_A_PROXY = {
    "Forwarded": "for=192.0.2.1",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "files.example.org",
    "X-Real-IP": "192.0.2.1",
    "Via": "1.1 proxy",
    "Host": "files.example.org",
    "Connection": "close",
    "X-No-Interim": "1",
}


@pytest.mark.parametrize("name", THROUGH_A_PROXY)
def test_I_V5_auto_announces_nothing_through_a_proxy(server: Any, user: httpx2.Client, name: str) -> None:
    """One sign of a proxy, or a client that wants none, and no 104 is sent; what breaks off then leaves nothing."""
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8) | {name: THROUGH_A_PROXY[name]}, DATA)
        answer = raw.answer()
    with Raw(server.port) as cut:
        cut.ask("POST", "/v1/files", creation(user, 8) | {name: THROUGH_A_PROXY[name]}, DATA[:1000])

    assert (201, []) == (answer.status, answer.interim)
    _wait_for(lambda: usage(user)["open_uploads"] == 0)


def test_I_V2_no_104_on_http_1_0(server: Any, user: httpx2.Client) -> None:
    """HTTP/1.0 has no interim answers (RFC 9110 §15.2)."""
    with Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8), DATA, version="1.0")
        answer = raw.answer()

    assert (201, []) == (answer.status, answer.interim)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"CARRYALL_INTERIM_104": "off"}, 0),
        ({"CARRYALL_INTERIM_104": "on", "CARRYALL_TRUSTED_PROXIES": "127.0.0.1"}, 1),
        ({"CARRYALL_TRUSTED_PROXIES": "127.0.0.1"}, 0),
        ({"CARRYALL_BASE_URL": "https://files.example.org"}, 0),
    ],
)
def test_I_V5_the_operator_decides(make_server: Callable[..., Any], settings: dict[str, str], wanted: int) -> None:
    """`off` is never, `on` is through proxies too; by itself nobody behind a configured proxy or address hears it."""
    server = make_server(**settings)
    with new_user(server) as user, Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, 8), DATA)
        answer = raw.answer()
        assert (201, wanted) == (answer.status, len(answer.announced))


@pytest.mark.parametrize("version", KNOWN)
def test_I_A7_progress_is_told_and_grows(make_module_server: Callable[..., Any], version: int) -> None:
    """From version 5 on, 104s tell what became durable, never less than before, without an address (I-CR5)."""
    server = _often(make_module_server)
    with new_user(server) as user, Raw(server.port) as raw:
        raw.ask("POST", "/v1/files", creation(user, version, Content_Length=str(3 * len(DATA))))
        at = urlsplit(raw.head().headers["location"]).path
        told = []
        for _ in range(2):
            raw.send(DATA)
            if version >= 5:
                told.append(raw.head())
        raw.send(DATA)
        answer = raw.answer()
        told += answer.interim
        kind = {} if version in (3, 4, 5) else {"Content-Type": PARTIAL}
        again = user.patch(at, headers={**flag(version, complete=True), **kind, "Upload-Offset": str(3 * len(DATA))})

    offsets = [int(one.headers["upload-offset"]) for one in told]
    assert (201, version >= 5) == (answer.status, bool(offsets))
    assert sorted(set(offsets)) == offsets
    assert {str(version)} >= {one.headers["upload-draft-interop-version"] for one in told}
    assert not any("location" in one.headers for one in told)
    assert 201 == again.status_code  # I-A8


_SERVERS: list[Any] = []


def _often(make_module_server: Callable[..., Any]) -> Any:
    """Give a server that makes progress durable every 64 KiB."""
    if not _SERVERS:
        _SERVERS.append(make_module_server(CARRYALL_CHECKPOINT_MB="0.0625"))
    return _SERVERS[0]


def test_an_announced_upload_is_counted_until_it_expires(server: Any, user: httpx2.Client) -> None:
    """A client that doesn't come back leaves an upload that its owner sees and may give up."""
    raw = Raw(server.port)
    raw.ask("POST", "/v1/files", creation(user, 8), DATA[:10])
    at = raw.head().headers["location"]
    raw.reset()
    _wait_for(lambda: user.head(at).headers["upload-offset"] == "10")

    assert (1, len(DATA)) == (usage(user)["open_uploads"], usage(user)["reserved_bytes"])
    assert 204 == user.delete(at).status_code
    assert EMPTY == usage(user)


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
