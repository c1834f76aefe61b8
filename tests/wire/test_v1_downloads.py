"""Downloads of the native API: ranges, conditions, digests, safe types; what every surface's downloads share."""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

DATA = bytes(range(256)) * 40
KEPT_APART = 600  # ranges that are far enough from each other not to become one


@pytest.fixture(scope="module")
def service(server: Any) -> Iterator[httpx2.Client]:
    """The service with its token, which has neither rate nor quota here."""
    with server.client(headers=server.service) as client:
        yield client


@pytest.fixture(scope="module")
def file(service: httpx2.Client) -> dict[str, Any]:
    """A file of 10,240 bytes."""
    created: dict[str, Any] = service.post("/v1/files", params={"filename": "data.bin"}, content=DATA).json()
    return created


def parts_of(answer: httpx2.Response) -> list[tuple[str, bytes]]:
    """Read a multipart/byteranges answer: each part's Content-Range and bytes."""
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    pieces = answer.content.split(b"\r\n--" + boundary)[1:-1]
    heads = [piece.partition(b"\r\n\r\n") for piece in pieces]
    return [(re.findall(rb"Content-Range: (.*)", head)[0].decode().strip(), body) for head, _, body in heads]


@pytest.mark.parametrize(
    ("asked", "told", "part"),
    [
        ("bytes=0-0", "bytes 0-0/10240", slice(0, 1)),
        ("bytes=100-199", "bytes 100-199/10240", slice(100, 200)),
        ("bytes=10000-", "bytes 10000-10239/10240", slice(10000, 10240)),
        ("bytes=-5", "bytes 10235-10239/10240", slice(10235, 10240)),
        ("bytes=0-99999999", "bytes 0-10239/10240", slice(0, 10240)),
    ],
)
def test_one_range(service: httpx2.Client, file: dict[str, Any], asked: str, told: str, part: slice) -> None:
    """206 with the bytes that were asked for, and never a coding."""
    answer = service.get(file["url"], headers={"Range": asked, "Accept-Encoding": "gzip"})

    assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (206, told, DATA[part])
    assert "Content-Encoding" not in answer.headers


def test_several_ranges(service: httpx2.Client, file: dict[str, Any]) -> None:
    """Several ranges come as multipart/byteranges of the length that was said."""
    answer = service.get(file["url"], headers={"Range": f"bytes=0-9,{KEPT_APART}-{KEPT_APART + 9},-3"})

    assert answer.status_code == 206
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert parts_of(answer) == [
        ("bytes 0-9/10240", DATA[:10]),
        (f"bytes {KEPT_APART}-{KEPT_APART + 9}/10240", DATA[KEPT_APART : KEPT_APART + 10]),
        ("bytes 10237-10239/10240", DATA[-3:]),
    ]


def test_no_such_range(service: httpx2.Client, file: dict[str, Any]) -> None:
    """416 says how long the file is."""
    answer = service.get(file["url"], headers={"Range": "bytes=10240-"})

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */10240")


def test_if_range(service: httpx2.Client, file: dict[str, Any]) -> None:
    """With the present tag a part, with any other word the whole."""
    etag = service.head(file["url"]).headers["ETag"]

    def status(value: str) -> int:
        return service.get(file["url"], headers={"Range": "bytes=0-9", "If-Range": value}).status_code

    assert [206, 200, 200, 200] == [
        status(etag),
        status('"other"'),
        status(f"W/{etag}"),
        status("Fri, 20 Nov 2099 00:00:00 GMT"),
    ]


def test_conditions(service: httpx2.Client, file: dict[str, Any]) -> None:
    """304 for what the client has, 412 for what isn't there any more; neither has a body."""
    head = service.head(file["url"]).headers
    cases = {
        ("If-None-Match", head["ETag"]): 304,
        ("If-None-Match", f'"x", W/{head["ETag"]}'): 304,
        ("If-None-Match", '"x"'): 200,
        ("If-Modified-Since", head["Last-Modified"]): 304,
        ("If-Match", '"x"'): 412,
        ("If-Match", head["ETag"]): 200,
        ("If-Unmodified-Since", "Fri, 20 Nov 2020 00:00:00 GMT"): 412,
    }
    for (name, value), status in cases.items():
        answer = service.get(file["url"], headers={name: value})
        assert (answer.status_code, len(answer.content)) == (status, len(DATA) if status == 200 else 0), name


def test_digests(service: httpx2.Client, file: dict[str, Any]) -> None:
    """Repr-Digest is of the whole file, also beside a part of it; who doesn't want one gets none."""
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    for headers in ({}, {"Range": "bytes=0-9"}):
        assert service.get(file["url"], headers=headers).headers["Repr-Digest"] == f"sha-256=:{digest}:"
    refused = service.get(file["url"], headers={"Want-Repr-Digest": "sha-256=0"})

    assert "Repr-Digest" not in refused.headers


@pytest.mark.parametrize(
    "data",
    [b"<html><script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>", b"%PDF-1.7\n"],
)
def test_what_could_run_is_an_attachment(service: httpx2.Client, data: bytes) -> None:
    """Whatever the client calls it, content that a browser could run comes as an attachment, sandboxed, unsniffed."""
    for declared in ("image/png", "text/html", "image/png, text/html"):
        made = service.post("/v1/files?filename=a.png", content=data, headers={"Content-Type": declared}).json()
        headers = service.get(made["url"]).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in headers["Content-Security-Policy"]


def test_a_flood_of_ranges_costs_nothing(service: httpx2.Client, file: dict[str, Any], server: Any) -> None:
    """A long list of ranges is answered as if there were none, and meanwhile others are answered."""
    few = ",".join(f"{n}-{n}" for n in range(0, 1000, 2))
    began = time.monotonic()
    answer = service.get(file["url"], headers={"Range": f"bytes={few}"})
    with server.client() as anybody:
        assert anybody.get("/health").status_code == 200

    assert (answer.status_code, answer.content) == (200, DATA)
    assert time.monotonic() - began < 5


def test_readers_dont_hold_each_other(service: httpx2.Client) -> None:
    """Many ranges of one file at once, each right."""
    data = secrets.token_bytes(4 << 20)
    url = service.post("/v1/files", content=data).json()["url"]

    def part(start: int) -> bool:
        got = service.get(url, headers={"Range": f"bytes={start}-{start + 99_999}"})
        return got.content == data[start : start + 100_000]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(part, range(0, 4_000_000, 100_000)))


def test_downloads_are_counted_once(service: httpx2.Client) -> None:
    """A GET with the first byte counts, once for a client in ten minutes; HEAD, 304 and later ranges don't."""
    made = service.post("/v1/files", content=b"0123456789").json()
    describe: Callable[[], int] = lambda: service.get(f"/v1/files/{made['id']}").json()["downloads"]  # noqa: E731
    service.head(made["url"])
    service.get(made["url"], headers={"Range": "bytes=5-9"})
    service.get(made["url"], headers={"If-None-Match": "*"})
    before = describe()
    for _ in range(3):
        service.get(made["url"])

    assert (before, describe()) == (0, 1)
