"""The gallery, as browsers meet it: images in one form, all or none, at addresses that can't be guessed."""

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
WEBP = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0"
GIF = b"GIF89a\x01\0\x01\0\x80\0\0"
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
PHP = b"<?php system($_GET['x']); ?>"
NAME = r"[A-Za-z0-9]{22}\.(png|jpg|jpeg|webp|gif)"
MIB = 1 << 20

Part = tuple[str, bytes]


def form(*files: Part, field: str = "files", boundary: str = "gallery-form-boundary") -> tuple[dict[str, str], bytes]:
    """Write a form byte for byte: file names stand in it as they are."""
    blocks = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'.encode()
        + b"Content-Type: text/html\r\n\r\n" + content + b"\r\n"
        for name, content in files
    ]  # fmt: skip
    closing = f"--{boundary}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join([*blocks, closing])


def send(client: httpx2.Client, *files: Part, field: str = "files", **headers: str) -> httpx2.Response:
    """Upload the files in one form."""
    described, body = form(*files, field=field)
    return client.post("/api/upload", content=body, headers={**described, **headers})


def image(size: int = 100) -> bytes:
    """Make bytes that begin like a PNG and are like no others."""
    return PNG + secrets.token_bytes(size)


def written(data_dir: Path) -> list[int]:
    """Give the size of every file below the folders that hold bytes."""
    rooms = (data_dir / "staging", data_dir / "files")
    return [path.stat().st_size for room in rooms for path in room.rglob("*") if path.is_file()]


@contextlib.contextmanager
def half_sent(server: Any, *, size: int, sent: bytes = b"", name: str = "slow.png") -> Iterator[socket.socket]:
    """Begin to upload `size` bytes, of which `sent` is on its way; the server has said that it takes them."""
    described, whole = form((name, bytes(size)))
    head = [
        *("POST /api/upload HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {len(whole)}"),
        *(f"Content-Type: {described['Content-Type']}", "Expect: 100-continue", "", ""),
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(whole[: whole.index(b"\r\n\r\n") + 4] + sent)
        yield connection


def until(holds: Callable[[], bool]) -> None:
    """Wait until something that the server does behind has happened."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def visitor(server: Any) -> Iterator[httpx2.Client]:
    """A browser without a token."""
    with server.client() as found:
        yield found


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """Somebody with a token, and nothing in the gallery yet."""
    with server.client(headers=server.new_user()[1]) as found:
        yield found


def test_upload_as_described(visitor: httpx2.Client, server: Any) -> None:
    """Several images in one form are answered in their order, each with a preview that gives its bytes back."""
    first, second = image(125), JPEG + secrets.token_bytes(250)
    answer = visitor.post("/api/upload", files=[("files", ("image1.png", first)), ("files", ("image2.jpg", second))])

    assert 200 == answer.status_code
    assert {"message", "data"} == answer.json().keys()
    assert "Successfully uploaded 2 files" == answer.json()["message"]
    expected = [("image1.png", first, "image/png"), ("image2.jpg", second, "image/jpeg")]
    for one, (name, content, kind) in zip(answer.json()["data"], expected, strict=True):
        assert {"stored_filename", "preview_url", "original_filename", "file_size", "content_type"} == one.keys()
        assert (name, len(content), kind) == (one["original_filename"], one["file_size"], one["content_type"])
        assert f"{server.url}/uploads/{one['stored_filename']}" == one["preview_url"]
        assert re.fullmatch(NAME, one["stored_filename"])
        assert content == visitor.get(one["preview_url"]).content


def test_preview_is_served_like_an_image(visitor: httpx2.Client) -> None:
    """A preview shows in the page, may be kept for an hour, knows HEAD, ranges and conditions, and is never sniffed."""
    content = image()
    url = send(visitor, ("a.png", content)).json()["data"][0]["preview_url"]
    whole, head = visitor.get(url), visitor.head(url)

    assert (200, "image/png", "nosniff") == (
        whole.status_code,
        whole.headers["Content-Type"],
        whole.headers["X-Content-Type-Options"],
    )
    assert 'inline; filename="a.png"' == whole.headers["Content-Disposition"]
    assert "public, max-age=3600" == whole.headers["Cache-Control"]
    assert (200, b"", str(len(content))) == (head.status_code, head.content, head.headers["Content-Length"])
    part = visitor.get(url, headers={"Range": "bytes=8-15"})
    assert (206, content[8:16]) == (part.status_code, part.content)
    assert 304 == visitor.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code
    assert 405 == visitor.delete(url).status_code


@pytest.mark.parametrize("path", ["x.png", "", "..%2f..%2fcatalog.db", "../catalog.db", "%2e%2e/%2e%2e/etc/passwd"])
def test_nothing_else_is_served(visitor: httpx2.Client, path: str) -> None:
    """Names that no image has are 404, as described; no path leads to anything else of the server's."""
    answer = visitor.get(f"/uploads/{path}")

    assert (404, "Not Found") == (answer.status_code, answer.json()["detail"])


def test_health(visitor: httpx2.Client) -> None:
    """GET /api/health is open to everybody."""
    assert (200, {"status": "ok"}) == ((answer := visitor.get("/api/health")).status_code, answer.json())


# --- C1, C3, C4, C5: names are data ----------------------------------------------------------------------------------

NASTY = [
    "../../x.png",
    "/tmp/carryall-gallery-c1.png",
    "..\\..\\x.png",
    "C:\\x.png",
    "/nowhere/at/all/x.png",
    "b b.JPG",
    "a#b?c&d=e%41.png",
    "ümlaut 日本.png",
    "<img src=x onerror=alert(1)>.png",
    "x" * 300 + ".png",
    "x." + "../" * 20 + "y.png",
    "CON.png",
    "x.png;.png",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_data(visitor: httpx2.Client, server: Any, name: str) -> None:
    """C1, C4, C5: any name comes back as sent, under a generated one; no file of that name lies anywhere.

    The preview's address is a valid URL without a character of the name, and gives the bytes.
    """
    content = JPEG if name.endswith("JPG") else image()
    answer = send(visitor, (name, content), Origin="https://app.example")

    assert (200, "*") == (answer.status_code, answer.headers["Access-Control-Allow-Origin"])
    one = answer.json()["data"][0]
    assert name == one["original_filename"]
    assert re.fullmatch(NAME, one["stored_filename"])
    assert re.fullmatch(r"[A-Za-z0-9:/.%_~-]+", one["preview_url"])
    shown = visitor.get(one["preview_url"])
    assert (200, content) == (shown.status_code, shown.content)
    assert not re.search(r"[/\\\x00\r\n]", shown.headers["Content-Disposition"])
    assert [] == [path for path in server.data_dir.parent.rglob("*") if path.suffix.lower() in {".png", ".jpg"}]
    assert not Path("/tmp/carryall-gallery-c1.png").exists()


def test_equal_names_never_meet(visitor: httpx2.Client) -> None:
    """C3: the same name, in one form and from two clients, gives as many images; none replaces another."""
    contents = [image() for _ in range(4)]
    answers = [
        *send(visitor, ("cat.png", contents[0]), ("cat.png", contents[1])).json()["data"],
        *send(visitor, ("cat.png", contents[2])).json()["data"],
        *send(visitor, ("cat.png", contents[3])).json()["data"],
    ]

    assert 4 == len({one["stored_filename"] for one in answers})
    assert contents == [visitor.get(one["preview_url"]).content for one in answers]


def test_preview_follows_the_host(visitor: httpx2.Client) -> None:
    """C4: without BASE_URL the address is the one that the client used; nobody's forwarding headers are believed."""
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = send(visitor, ("a.png", image()), Host="pics.example.org:8080", **forwarded)

    assert answer.json()["data"][0]["preview_url"].startswith("http://pics.example.org:8080/uploads/")
    assert 400 == send(visitor, ("a.png", image()), Host="evil/path").status_code


def test_preview_behind_a_proxy(make_server: Callable[..., Any]) -> None:
    """C4: behind a trusted proxy the address is the public one, at the path that UPLOAD_URL_PATH says."""
    everywhere = "0.0.0.0"  # noqa: S104  # as the described system's own example has it
    server = make_server(HOST=everywhere, CARRYALL_TRUSTED_PROXIES="127.0.0.1", UPLOAD_URL_PATH="/media/images")
    with server.client() as client:
        plain = send(client, ("a.png", image())).json()["data"][0]["preview_url"]
        public = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pics.example.org"}
        proxied = send(client, ("a.png", image()), **public).json()["data"][0]["preview_url"]

        assert re.fullmatch(rf"{server.url}/media/images/{NAME}", plain)
        assert re.fullmatch(rf"https://pics\.example\.org/media/images/{NAME}", proxied)
        assert 200 == client.get(urlsplit(proxied).path).status_code
        assert 404 == client.get(f"/uploads/{plain.rpartition('/')[2]}").status_code


# --- C2, C7: what is taken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a.gif", "a.html", "a.svg", "a.png.php", "a", "png", ".png", "a.", "a.png ", "a.pn\u0261", "a.png%00.html"],
)
def test_other_endings_are_415(visitor: httpx2.Client, name: str) -> None:
    """C2, C7: an ending that isn't allowed, or is the whole name, is 415, and the answer says what is allowed."""
    answer = send(visitor, (name, PNG), Origin="https://app.example")

    assert 415 == answer.status_code
    assert "Allowed: jpeg, jpg, png, webp." in answer.json()["detail"]
    assert "*" == answer.headers["Access-Control-Allow-Origin"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", HTML), ("a.png", PHP), ("a.png", b""), ("a.png", JPEG), ("a.jpg", PNG), ("a.webp", b"RIFF"),
     ("a.jpeg", b"GIF89a"), ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), ("a.png", b"\0" * 100)],
)  # fmt: skip
def test_content_has_to_agree(visitor: httpx2.Client, name: str, content: bytes) -> None:
    """C7: bytes that aren't what the ending says are 415, whatever type the client claims."""
    answer = visitor.post("/api/upload", files={"files": (name, content, "image/png")})

    assert (415, "content_disagrees") == (answer.status_code, answer.json()["code"])
    assert isinstance(answer.json()["detail"], str)


def test_the_type_is_what_the_bytes_say(visitor: httpx2.Client) -> None:
    """C7: content_type isn't the client's claim (text/html here), neither in the answer nor where it is served."""
    for name, content, kind in (
        ("a.png", PNG, "image/png"),
        ("a.JPEG", JPEG, "image/jpeg"),
        ("a.webp", WEBP, "image/webp"),
    ):
        one = send(visitor, (name, content)).json()["data"][0]
        shown = visitor.get(one["preview_url"])

        assert (kind, kind) == (one["content_type"], shown.headers["Content-Type"])
        assert "sandbox" in shown.headers["Content-Security-Policy"]


def test_no_files_are_406(visitor: httpx2.Client) -> None:
    """C2: a form without files, one in which nothing was chosen, another body and no body are all 406."""
    described, empty = form()
    answers = [
        visitor.post("/api/upload", content=empty, headers=described),
        visitor.post("/api/upload", files={"other": ("a.png", PNG)}),
        visitor.post("/api/upload", data={"files": "text"}, files={"other": b""}),
        send(visitor, ("", b"")),
        visitor.post("/api/upload", json={"files": []}),
        visitor.post("/api/upload"),
    ]

    assert [(406, "no_files")] * 6 == [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert all(isinstance(answer.json()["detail"], str) for answer in answers)


def test_all_or_nothing(make_server: Callable[..., Any]) -> None:
    """C2, C6: one bad file among good ones, a broken form, or a connection that ends: nothing is kept of any."""
    server = make_server(CARRYALL_GALLERY_MAX_FILES="3", CARRYALL_GALLERY_MAX_FILE_MB="1")
    good, big = ("good.png", image(MIB // 2)), ("big.png", image(MIB))
    described, body = form(good, good)
    with server.client() as client:
        assert 415 == send(client, good, ("bad.gif", GIF)).status_code
        assert 415 == send(client, good, ("bad.png", HTML)).status_code
        assert 413 == send(client, good, big).status_code
        assert 413 == send(client, good, good, good, good).status_code
        assert 400 == client.post("/api/upload", content=body[:-30], headers=described).status_code
        with half_sent(server, size=MIB // 2, sent=PNG + bytes(1000)):
            pass
        until(lambda: [] == written(server.data_dir))
        assert 200 == send(client, good, good, good).status_code
        listed = client.get("/api/uploads", headers=server.admin).json()

    assert 3 == listed["total"]
    assert [len(good[1])] * 3 == written(server.data_dir)


def test_endings_come_from_the_settings(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """C8: a .env file where the server starts is read, with the described JSON list."""
    (tmp_path / "server0").mkdir()
    (tmp_path / "server0" / ".env").write_text('ALLOWED_EXTENSIONS=["GIF", "png"]\nUPLOAD_FOLDER=uploads\n')
    server = make_server()
    with server.client() as client:
        gif = send(client, ("a.gif", GIF))
        jpeg = send(client, ("a.jpg", JPEG))

    assert (200, "image/gif") == (gif.status_code, gif.json()["data"][0]["content_type"])
    assert 415 == jpeg.status_code
    assert not (tmp_path / "server0" / "uploads").exists()


# --- C6: limits ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(make_server: Callable[..., Any]) -> Any:
    """A server whose gallery takes little."""
    return make_server(
        CARRYALL_GALLERY_MAX_FILE_MB="1",
        CARRYALL_GALLERY_TOTAL_MB="3",
        CARRYALL_GALLERY_MAX_FILES="2",
        CARRYALL_GALLERY_MAX_OPEN_UPLOADS="2",
    )


def test_sizes_are_limited(small: Any) -> None:
    """C6: one byte too much is 413, the limit itself isn't; what can't fit is refused before its first byte."""
    with small.client() as client:
        assert 413 == send(client, ("a.png", image(MIB + 1 - len(PNG)))).status_code
        described, body = form(("a.png", image(MIB + 1 - len(PNG))))
        assert 413 == client.post("/api/upload", content=iter([body]), headers=described).status_code
        assert 200 == send(client, ("a.png", image(MIB - len(PNG))), ("b.png", image(MIB - len(PNG)))).status_code
        full = send(client, ("a.png", image(MIB - len(PNG))), ("b.png", image(MIB - len(PNG))))

    assert (413, "quota_exceeded") == (full.status_code, full.json()["code"])
    assert [MIB, MIB] == written(small.data_dir)
    for size, code in ((10_000_000 * MIB, b"too_large"), (2 * MIB, b"quota_exceeded")):
        answer = announced(small, size)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert code in answer


def announced(server: Any, size: int) -> bytes:
    """Announce a form of this size, send nothing of it, and give the answer's beginning."""
    head = (
        "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.settimeout(20)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_uploads_under_way_are_limited(small: Any) -> None:
    """C6: an address with as many uploads under way as are allowed gets 429, until one of them ends.

    Who has a token isn't counted; who claims another address in a header is.
    """
    with small.client() as client, half_sent(small, size=1000), half_sent(small, size=1000) as second:
        for claimed in ({}, {"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}):
            refused = send(client, ("a.png", image()), **claimed)
            assert (429, "too_many_open_uploads") == (refused.status_code, refused.json()["code"])
            assert int(refused.headers["Retry-After"]) > 0
        assert 200 == send(client, ("a.png", image()), **small.service).status_code
        second.close()
        until(lambda: 200 == send(client, ("a.png", image())).status_code)


def test_nothing_shows_before_it_is_whole(small: Any) -> None:
    """C6: while an image arrives it is in no list and its bytes are no file yet; others are answered."""
    with small.client(headers=small.admin) as client, half_sent(small, size=MIB // 2, sent=PNG + bytes(1000)):
        begun = time.monotonic()
        assert 0 == client.get("/api/uploads").json()["total"]
        assert 200 == client.get("/ping").status_code
        assert time.monotonic() - begun < 1.0
        assert [] == [path for path in (small.data_dir / "files").rglob("*") if path.is_file()]
    until(lambda: [] == written(small.data_dir))


def test_requests_are_limited_by_address(make_server: Callable[..., Any]) -> None:
    """C6: a visitor's requests have a rate, 429 and Retry-After beyond; one with a token isn't counted among them."""
    server = make_server(CARRYALL_GALLERY_REQUESTS_PER_MINUTE="3", CARRYALL_GALLERY_PUBLIC_LIST="true")
    with server.client() as client:
        assert [200, 200] == [send(client, ("a.png", image())).status_code for _ in range(2)]
        assert 200 == client.get("/api/uploads").status_code
        refused = send(client, ("a.png", image()), **{"X-Forwarded-For": "203.0.113.9"})

        assert (429, "rate_limited") == (refused.status_code, refused.json()["code"])
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert 429 == client.get("/api/uploads").status_code
        assert 200 == send(client, ("a.png", image()), **server.admin).status_code


# --- who may ---------------------------------------------------------------------------------------------------------


def test_a_closed_gallery(make_server: Callable[..., Any]) -> None:
    """CARRYALL_GALLERY_ANONYMOUS=false asks for a token, before the body; images are still shown by their address."""
    server = make_server(CARRYALL_GALLERY_ANONYMOUS="false", CARRYALL_GALLERY_PUBLIC_LIST="true")
    with server.client() as client:
        refused = send(client, ("a.png", image()))
        taken = send(client, ("a.png", image()), **server.admin)

        assert (401, "Bearer") == (refused.status_code, refused.headers["WWW-Authenticate"])
        assert announced(server, 10 * MIB).startswith(b"HTTP/1.1 401 ")
        assert 200 == client.get(taken.json()["data"][0]["preview_url"]).status_code
        assert 0 == client.get("/api/uploads").json()["total"]


def test_wrong_tokens_are_not_visitors(visitor: httpx2.Client, server: Any) -> None:
    """A token that is none, or another surface's (a JWT), is refused rather than overlooked."""
    for headers in (server.bearer("wrong"), server.bearer(server.jwt("alice"))):
        assert 401 == send(visitor, ("a.png", image()), **headers).status_code
        assert 401 == visitor.get("/api/uploads", headers=headers).status_code
    assert 403 == send(visitor, ("a.png", image()), **{"X-Auth-Token": "wrong"}).status_code


def test_the_list_needs_a_token(visitor: httpx2.Client) -> None:
    """Without a token neither the list nor one image is described, unless the setting says otherwise."""
    for path in ("/api/uploads", "/api/uploads/x"):
        answer = visitor.get(path)
        assert (401, "Bearer") == (answer.status_code, answer.headers["WWW-Authenticate"])


def test_the_list_as_described(user: httpx2.Client) -> None:
    """A user's list has their images, newest first, in pages, each with the fields that the frontend reads."""
    sent = [send(user, (f"image {number}.png", image(number))).json()["data"][0] for number in range(5)]
    first = user.get("/api/uploads?page=1&limit=2").json()
    last = user.get("/api/uploads?page=3&limit=2").json()

    assert (5, 1, 2) == (first["total"], first["page"], first["limit"])
    assert ["image 4.png", "image 3.png"] == [one["original_name"] for one in first["data"]]
    assert ["image 0.png"] == [one["original_name"] for one in last["data"]]
    assert [] == user.get("/api/uploads?page=4&limit=2").json()["data"]
    one = first["data"][0]
    assert {
        "id": one["id"],
        "original_name": "image 4.png",
        "filename": sent[4]["stored_filename"],
        "file_path": f"/uploads/{sent[4]['stored_filename']}",
        "url": sent[4]["preview_url"],
        "upload_time": one["upload_time"],
        "size": len(PNG) + 4,
        "dimensions": None,
        "status": "completed",
        "caption": None,
        "tags": [],
        "faces": [],
        "face_cluster_ids": [],
    } == one
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", one["upload_time"])
    assert one == user.get(f"/api/uploads/{one['id']}").json()


@pytest.mark.parametrize("query", ["page=0", "page=x", "limit=0", "limit=101", f"page={10**20}", "page=-1&limit=5"])
def test_pages_that_are_none(user: httpx2.Client, query: str) -> None:
    """A page or limit out of bounds is 422 with a sentence as detail."""
    answer = user.get(f"/api/uploads?{query}")

    assert (422, "fields_invalid") == (answer.status_code, answer.json()["code"])
    assert isinstance(answer.json()["detail"], str)


def test_lists_are_private(user: httpx2.Client, visitor: httpx2.Client, server: Any) -> None:
    """Others' images, and files of other doors, are missing for a user; the administrator sees every image."""
    mine = send(user, ("mine.png", image())).json()["data"][0]["stored_filename"]
    others = send(visitor, ("others.png", image())).json()["data"][0]["stored_filename"]
    relayed = visitor.post("/upload?fileName=a.png", content=image(), headers=server.service).json()["file_id"]
    everything = visitor.get("/api/uploads?limit=100", headers=server.admin).json()["data"]
    ids = {one["filename"]: one["id"] for one in everything}

    assert [mine] == [one["filename"] for one in user.get("/api/uploads").json()["data"]]
    assert {mine, others} <= ids.keys()
    assert relayed not in ids.values()
    for hidden in (ids[others], relayed, "x" * 22):
        answer = user.get(f"/api/uploads/{hidden}")
        assert (404, "file_not_found") == (answer.status_code, answer.json()["code"])
    assert 200 == visitor.get(f"/api/uploads/{ids[others]}", headers=server.admin).status_code
    assert 404 == visitor.get(f"/api/uploads/{relayed}", headers=server.admin).status_code


def test_a_public_list(make_server: Callable[..., Any]) -> None:
    """With CARRYALL_GALLERY_PUBLIC_LIST visitors see what visitors sent, and nothing that somebody with a token did."""
    server = make_server(CARRYALL_GALLERY_PUBLIC_LIST="true")
    with server.client() as client:
        theirs = send(client, ("theirs.png", image()), **server.service).json()["data"][0]["stored_filename"]
        ours = send(client, ("ours.png", image())).json()["data"][0]["stored_filename"]
        listed = client.get("/api/uploads").json()
        id_of = {one["filename"]: one["id"] for one in client.get("/api/uploads", headers=server.admin).json()["data"]}

        assert (1, [ours]) == (listed["total"], [one["filename"] for one in listed["data"]])
        assert 200 == client.get(f"/api/uploads/{id_of[ours]}").status_code
        assert 404 == client.get(f"/api/uploads/{id_of[theirs]}").status_code


def test_browsers_may_call(visitor: httpx2.Client) -> None:
    """A page of another origin may upload and list, without cookies; refusals carry the CORS header, too (C5)."""
    origin = {"Origin": "https://app.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = visitor.options("/api/upload", headers=asked)

    assert 200 == preflight.status_code
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    refusals = [
        visitor.post("/api/upload", headers=origin),
        visitor.get("/api/uploads", headers=origin),
        visitor.get("/uploads/x.png", headers=origin),
        send(visitor, ("x" * 5000 + ".png", PNG), **origin),
    ]
    assert [406, 401, 404, 400] == [answer.status_code for answer in refusals]
    for answer in (preflight, *refusals):
        assert "*" == answer.headers["Access-Control-Allow-Origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
