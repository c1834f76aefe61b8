"""Relay, as its clients meet it: forms and raw bodies with a service token, answered with a link."""

import hashlib
import json
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

HUGE_BYTES = 200 << 20
FEW_BYTES = 8 << 20  # what a refused client may get rid of: the server's drain of 4 MiB, and what kernels buffer
KEYS = {"status", "message", "filename", "service", "link", "file_id", "file_url", "size", "sha256"}


def form(*parts: tuple[str, bytes], boundary: str = "relay-form-boundary") -> tuple[dict[str, str], bytes]:
    """Write a form byte for byte: each part's Content-Disposition behind `form-data; `, and its content."""
    opening = f"--{boundary}\r\n".encode()
    blocks = [
        opening + f"Content-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    ]
    closing = f"--{boundary}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join([*blocks, closing])


def written(data_dir: Path) -> dict[str, int]:
    """Give every file below the folders that hold bytes, with its size."""
    rooms = (data_dir / "staging", data_dir / "files")
    return {str(path): path.stat().st_size for room in rooms for path in room.rglob("*") if path.is_file()}


def request_line(server: Any, request_id: str) -> dict[str, Any]:
    """Give the one line that the server logs of a request when it has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in server.log().splitlines():
            if request_id in line and json.loads(line)["event"] == "request":
                return dict(json.loads(line))
        time.sleep(0.02)
    raise AssertionError(f"no request {request_id} in the log")


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx2.Client]:
    """A client without any token."""
    with server.client() as found:
        yield found


@pytest.fixture
def huge_file(tmp_path: Path) -> Path:
    """A file of 200 MiB that takes no room on the disk."""
    path = tmp_path / "huge.bin"
    with path.open("wb") as sparse:
        sparse.truncate(HUGE_BYTES)
    return path


# --- what the described client's own test asks ----------------------------------------------------------------------


def test_ping(client: httpx2.Client) -> None:
    """GET /ping needs no token and says that the server runs."""
    answer = client.get("/ping")

    assert (200, {"message": "Server running"}) == (answer.status_code, answer.json())


def test_status(client: httpx2.Client) -> None:
    """GET /status has the fields that clients assert, the relay API's version, and no path of the server (P5)."""
    answer = client.get("/status")

    assert 200 == answer.status_code
    told = answer.json()
    assert ("healthy", "1.0.0", "Relay Cloud Storage API") == (told["status"], told["version"], told["service"])
    assert ["local"] == told["supported_services"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["server_version"])
    assert {"status", "version", "server_version", "service", "supported_services"} == told.keys()


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": ""}, {"X-API-Key": ""}])
def test_missing_token(client: httpx2.Client, headers: dict[str, str]) -> None:
    """No token, or an empty one, is 401, with words that relay's and a challenge that blobs' clients understand."""
    answer = client.post("/upload?service=local", files={"file": b"x"}, headers=headers)

    assert 401 == answer.status_code
    assert "authentication token" in answer.json()["detail"]
    assert "token_missing" == answer.json()["code"]
    assert "Bearer" == answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("name", ["X-Auth-Token", "X-API-Key"])
def test_wrong_token(client: httpx2.Client, name: str) -> None:
    """A wrong token is 403."""
    answer = client.post("/upload", files={"file": b"x"}, headers={name: "wrong"})

    assert (403, "Invalid authentication token") == (answer.status_code, answer.json()["detail"])


@pytest.mark.parametrize("service", ["dropbox", "", "mega", "%2e%2e", "local,dropbox"])
def test_unsupported_service(client: httpx2.Client, server: Any, service: str) -> None:
    """A service that isn't configured is 400 and says which are; `mega` is one of them until it has its store."""
    answer = client.post(f"/upload?service={service}", files={"file": b"x"}, headers=server.service)

    assert 400 == answer.status_code
    assert answer.json()["detail"].startswith("Unsupported service: ")
    assert answer.json()["detail"].endswith("Supported services: local")
    assert ("service_unsupported", ["local"]) == (answer.json()["code"], answer.json()["supported_services"])


# --- uploads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?service=local", "?service=LOCAL"])
def test_upload_by_form(client: httpx2.Client, server: Any, query: str) -> None:
    """A form with the part `file` is answered with the described keys, ours beside them, and a link that works."""
    content = secrets.token_bytes(70_000)
    answer = client.post(f"/upload{query}", files={"file": ("hi there.dat", content)}, headers=server.service)

    assert 200 == answer.status_code
    told = answer.json()
    assert KEYS == told.keys()
    assert ("success", "File uploaded successfully") == (told["status"], told["message"])
    assert ("hi there.dat", "local") == (told["filename"], told["service"])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (told["size"], told["sha256"])
    assert re.fullmatch(rf"{server.url}/d/[A-Za-z0-9_-]{{22,}}", told["link"])
    assert content == client.get(told["link"]).content
    assert content == client.get(told["file_url"]).content


def test_original_name_is_kept(client: httpx2.Client, server: Any) -> None:
    """P3: who follows the link gets the file under the name that it was sent with."""
    answer = client.post("/upload", files={"file": ("hi.txt", b"hi")}, headers=server.service)

    assert 'filename="hi.txt"' in client.get(answer.json()["link"]).headers["Content-Disposition"]


@pytest.mark.parametrize("header", ["X-Auth-Token", "X-API-Key"])
def test_upload_of_a_raw_body(client: httpx2.Client, server: Any, header: str) -> None:
    """A game mod without multipart posts the bytes themselves and names them in `fileName`."""
    content = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(1000)
    headers = {header: server.service_token, "Content-Type": "image/png"}
    answer = client.post("/upload", params={"fileName": "Level 1 ünïcode.png"}, content=content, headers=headers)

    assert (200, "Level 1 ünïcode.png") == (answer.status_code, answer.json()["filename"])
    assert content == client.get(answer.json()["link"]).content


def test_upload_of_unknown_length(client: httpx2.Client, server: Any) -> None:
    """A chunked raw body is taken like one whose length is known."""
    pieces = [secrets.token_bytes(10_000) for _ in range(7)]
    answer = client.post("/upload?filename=a.bin", content=iter(pieces), headers=server.service)

    assert (200, 70_000) == (answer.status_code, answer.json()["size"])
    assert b"".join(pieces) == client.get(answer.json()["link"]).content


def test_service_token_goes_before_a_bearer(client: httpx2.Client, server: Any) -> None:
    """With both kinds of credentials the request is relay's: a wrong service token isn't rescued by a right Bearer."""
    both = {**server.admin, **server.service}
    wrong = {**server.admin, "X-Auth-Token": "wrong"}

    assert "link" in client.post("/upload", files={"file": ("a.txt", b"x")}, headers=both).json()
    assert 403 == client.post("/upload", files={"file": ("a.txt", b"x")}, headers=wrong).status_code


def test_tokens_count_only_in_their_header(client: httpx2.Client, server: Any) -> None:
    """The service token in the query, as Bearer, in a cookie or in the form opens nothing."""
    token = server.service_token
    for name in ("token", "auth_token", "X-Auth-Token", "x-api-key"):
        assert 401 == client.post(f"/upload?{name}={token}", files={"file": b"x"}).status_code
    assert 401 == client.post("/upload", files={"file": b"x"}, headers=server.bearer(token)).status_code
    assert 401 == client.post("/upload", files={"file": b"x"}, headers={"Cookie": f"X-Auth-Token={token}"}).status_code
    assert 401 == client.post("/upload", files={"file": b"x"}, data={"X-Auth-Token": token}).status_code


# --- what is wrong, and in which order it is seen -------------------------------------------------------------------


def test_the_token_is_seen_first(client: httpx2.Client, server: Any) -> None:
    """Token, then service, then form (decision 2)."""
    headers, nothing = form(('name="other"', b"x"))

    def status(url: str, token: str) -> int:
        return client.post(url, content=nothing, headers={**headers, "X-Auth-Token": token}).status_code

    assert 403 == status("/upload?service=dropbox", "wrong")
    assert 400 == status("/upload?service=dropbox", server.service_token)
    assert 422 == status("/upload", server.service_token)


@pytest.mark.parametrize(
    ("parts", "status", "detail"),
    [
        ([('name="other"; filename="a.txt"', b"x")], 422, "a part named file"),
        ([('name="file"', b"a field, not a file")], 422, "a part named file"),
        ([], 422, "a part named file"),
        ([('name="file"; filename=""', b"")], 400, "No filename provided"),
        ([('name="file"; filename=""', b"x")], 400, "No filename provided"),
        ([('name="file"; filename="a"', b"x"), ('name="file"; filename="b"', b"y")], 413, "At most 1 file"),
    ],
)
def test_forms_that_are_not_one_file(
    client: httpx2.Client, server: Any, parts: list[tuple[str, bytes]], status: int, detail: str
) -> None:
    """A form without its file is 422, with a nameless one 400; `detail` is a sentence and nothing is kept."""
    headers, body = form(*parts)
    before = written(server.data_dir)
    answer = client.post("/upload", content=body, headers={**headers, **server.service})

    assert status == answer.status_code
    assert detail in answer.json()["detail"]
    assert before == written(server.data_dir)


def test_nothing_at_all(client: httpx2.Client, server: Any) -> None:
    """A request without a form and without a name brings no file: 422, and the field is named."""
    answer = client.post("/upload", headers=server.service)

    assert (422, "file_missing") == (answer.status_code, answer.json()["code"])
    assert [{"field": "body.file", "message": "Field required", "type": "missing"}] == answer.json()["errors"]


def test_other_methods_and_spellings(client: httpx2.Client, server: Any) -> None:
    """GET /upload is 405 and names what is allowed; /upload/ is another path and isn't redirected."""
    wrong_method = client.get("/upload", headers=server.service)
    wrong_path = client.post("/upload/", files={"file": b"x"}, headers=server.service)

    assert (405, "OPTIONS, POST") == (wrong_method.status_code, wrong_method.headers["Allow"])
    assert "Method Not Allowed" == wrong_method.json()["detail"]
    assert 404 == wrong_path.status_code


# --- P1: a stranger's body is not read ------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "wrong"}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("expectation", ["Expect: 100-continue\r\n", ""], ids=["asks", "eager"])
def test_a_strangers_body_is_not_read(server: Any, headers: dict[str, str], expectation: str) -> None:
    """P1: of 200 MB behind a wrong token nothing is written and little is read; the client sees the status.

    A client that asks first (Expect: 100-continue) is never told to go on.
    """
    before, request_id = written(server.data_dir), f"stranger-{secrets.token_hex(8)}"
    head = (
        f"POST /upload?service=local HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n{expectation}"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {HUGE_BYTES}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    )
    opening = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{head}\r\n".encode())
        sent = 0 if expectation else _send_until_answered(connection, opening.encode())
        first = connection.recv(4096)

    assert first.startswith(b"HTTP/1.1 403 " if "X-Auth-Token" in headers else b"HTTP/1.1 401 ")
    assert sent < HUGE_BYTES // 4
    assert request_line(server, request_id)["bytes_in"] <= FEW_BYTES
    assert before == written(server.data_dir)


def _send_until_answered(connection: socket.socket, opening: bytes) -> int:
    """Send a form's beginning and then zeros, as fast as the server takes them, until there is something to read."""
    connection.sendall(opening)
    sent, zeros = 0, bytes(64 << 10)
    connection.settimeout(0)
    while sent < HUGE_BYTES:
        try:
            connection.recv(1, socket.MSG_PEEK)
            break
        except BlockingIOError:
            pass
        try:
            sent += connection.send(zeros)
        except BlockingIOError:
            time.sleep(0.001)
    connection.settimeout(20)
    return sent


def test_a_limit_on_size_is_kept(make_server: Callable[..., Any]) -> None:
    """P1: a file above the plan's size is 413: announced ones before their first byte, others at the byte too much."""
    server = make_server(CARRYALL_SERVICE_MAX_FILE_MB="1", CARRYALL_SERVICE_TOTAL_MB="3")
    limit = 1 << 20
    with server.client(headers=server.service) as client:
        assert 200 == client.post("/upload", files={"file": ("a", bytes(limit))}).status_code
        for body in (bytes(limit + 1), iter([bytes(limit), b"x"])):
            answer = client.post("/upload?fileName=b", content=body)
            assert (413, "too_large", limit) == (
                answer.status_code,
                answer.json()["code"],
                answer.json()["limit"],
            )
        assert 413 == client.post("/upload", files={"file": ("b", bytes(limit + 1))}).status_code
        assert [200, 200, 413] == [
            client.post("/upload", files={"file": (name, bytes(limit))}).status_code for name in "xyz"
        ]
        assert "quota_exceeded" == client.post("/upload", files={"file": ("d", bytes(limit))}).json()["code"]
    assert [limit] * 3 == list(written(server.data_dir).values())


# --- P4, P5: what answers and logs don't tell ------------------------------------------------------------------------


def test_long_endings_are_names_like_others(client: httpx2.Client, server: Any) -> None:
    """P4: a name with an ending of 300 characters is kept as it is; the file can be fetched."""
    name = "level." + "x" * 300
    answer = client.post("/upload", files={"file": (name, b"x")}, headers=server.service)

    assert (200, name) == (answer.status_code, answer.json()["filename"])
    fetched = client.get(answer.json()["link"])
    assert (200, b"x") == (fetched.status_code, fetched.content)


def test_refusals_tell_nothing_of_the_inside(client: httpx2.Client, server: Any) -> None:
    """P4: names beyond all reason are refused with 4xx, and no answer holds a path, an errno or a traceback."""
    for name in ("y" * 5000, "/" * 5000 + "etc/passwd", "../" * 1400 + "x.txt"):
        answer = client.post("/upload?service=local", files={"file": (name, b"x")}, headers=server.service)
        assert 400 <= answer.status_code < 500
        told = answer.text.lower()
        assert not any(word in told for word in (str(server.data_dir), "errno", "traceback", "staging"))


def test_tokens_are_not_logged(client: httpx2.Client, server: Any) -> None:
    """P5: neither the right token nor a wrong one is in the log."""
    wrong = f"wrong-{secrets.token_hex(8)}"
    client.post("/upload", files={"file": ("a", b"x")}, headers={"X-Auth-Token": wrong})
    client.post("/upload", files={"file": ("a", b"x")}, headers=server.service)

    assert wrong not in server.log()
    assert server.service_token not in server.log()


def test_no_published_token_opens(make_server: Callable[..., Any]) -> None:
    """P5: without AUTH_TOKEN a token is made, told once and kept for the owner alone; the old default opens nothing."""
    server = make_server(AUTH_TOKEN="-")
    kept = next((server.data_dir / "secrets").glob("*service*"))
    token = kept.read_text().strip()
    with server.client() as client:
        default = client.post("/upload", files={"file": b"x"}, headers={"X-Auth-Token": "default-secret-token"})
        made = client.post("/upload", files={"file": b"x"}, headers={"X-Auth-Token": token})

    assert (403, 200) == (default.status_code, made.status_code)
    assert 0o600 == kept.stat().st_mode & 0o777
    assert 1 == server.log().count(token)


# --- P6, P8: bytes on the disk ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux' count of written bytes")
def test_bytes_are_written_once(client: httpx2.Client, server: Any) -> None:
    """P6: 48 MiB are written once, not to a spool and again to a temporary file; others are answered meanwhile."""
    size = 48 << 20
    counts = Path(f"/proc/{server.process.pid}/io")

    def written_bytes() -> int:
        return int(re.findall(r"^wchar: (\d+)$", counts.read_text(), re.MULTILINE)[0])

    slowest_s = 0.0

    def pieces() -> Iterator[bytes]:
        nonlocal slowest_s
        for _ in range(size >> 20):
            yield bytes(1 << 20)
            begun = time.monotonic()
            assert 200 == httpx2.get(f"{server.url}/ping").status_code
            slowest_s = max(slowest_s, time.monotonic() - begun)

    before = written_bytes()
    answer = client.post("/upload?fileName=a", content=pieces(), headers=server.service)

    assert (200, size) == (answer.status_code, answer.json()["size"])
    assert written_bytes() - before < size * 1.2
    assert slowest_s < 1.0


def test_a_failing_store_is_not_the_servers_mistake(make_server: Callable[..., Any]) -> None:
    """P8: a store that fails is 502 or 503, the room is given back, and the next upload works once it is mended."""
    server = make_server()
    files, aside = server.data_dir / "files", server.data_dir / "aside"
    with server.client(headers=server.service) as client:
        files.rename(aside)
        failed = client.post("/upload", files={"file": ("a", b"x" * 1000)})
        aside.rename(files)
        mended = client.post("/upload", files={"file": ("a", b"x" * 1000)})

    assert failed.status_code in {502, 503}
    assert str(server.data_dir) not in failed.text
    assert 200 == mended.status_code
    assert [1000] == list(written(server.data_dir).values())


def test_leftovers_go_after_a_kill(make_server: Callable[..., Any]) -> None:
    """P8: what was on its way at a kill -9 is gone after the next start, and the room is free again."""
    server = make_server(CARRYALL_SERVICE_TOTAL_MB="9")
    head = (
        f"POST /upload?fileName=a HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {server.service_token}\r\n"
        "Content-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(bytes(8_000_000))
        deadline = time.monotonic() + 10
        while sum(written(server.data_dir).values()) < 1_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.stop(signal.SIGKILL)
    server.start_again()
    deadline = time.monotonic() + 10  # on PostgreSQL others may serve, and have to be sure that the killed one is gone
    while written(server.data_dir) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert {} == written(server.data_dir)
    with server.client(headers=server.service) as client:
        assert 200 == client.post("/upload?fileName=b", content=bytes(9 << 20)).status_code


# --- real clients ----------------------------------------------------------------------------------------------------


@pytest.fixture
def libcurl_client(require_program: Callable[[str], str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Compile the C client; give a function that runs it and tells its exit status and what it printed."""
    binary = tmp_path / "relay_client"
    source = Path(__file__).with_name("relay_client.c")
    for library in ("-lcurl", "-l:libcurl.so.4"):  # the second is there without the development package, too
        command = [require_program("gcc"), "-o", str(binary), str(source), library]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("needs libcurl")

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([binary, *arguments], capture_output=True, check=False, timeout=50)
        return done.returncode, done.stdout.decode()

    return run


@pytest.fixture
def curl(server: Any, require_program: Callable[[str], str]) -> Callable[..., tuple[str, str]]:
    """Give a function that runs curl on a path of the server; it tells the body, and the status and bytes sent."""

    def run(*arguments: str) -> tuple[str, str]:
        *options, path = arguments
        command = [require_program("curl"), "--silent", "-w", "\n%{http_code} %{size_upload}", *options]
        done = subprocess.run([*command, server.url + path], capture_output=True, check=False, timeout=50)
        body, _, numbers = done.stdout.decode().rpartition("\n")
        return body, numbers

    return run


def test_a_libcurl_client(
    server: Any, client: httpx2.Client, libcurl_client: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """A C program with libcurl's mime form uploads small and large files (these after `100 Continue`)."""
    for size in (0, 10, 3 << 20):
        file = tmp_path / f"level {size}.dat"
        file.write_bytes(secrets.token_bytes(size))
        status, printed = libcurl_client(f"{server.url}/upload?service=local", server.service_token, str(file))

        assert 0 == status, printed
        assert (file.name, size) == (json.loads(printed)["filename"], json.loads(printed)["size"])
        assert file.read_bytes() == client.get(json.loads(printed)["link"]).content


def test_a_libcurl_client_that_is_refused(
    server: Any, libcurl_client: Callable[..., tuple[int, str]], huge_file: Path
) -> None:
    """The same program reads why it is refused, although it never sends its 200 MB."""
    for url, token, words in (
        ("/upload?service=local", "wrong", "Invalid authentication token"),
        ("/upload?service=mega", server.service_token, "Unsupported service: mega"),
    ):
        status, printed = libcurl_client(server.url + url, token, str(huge_file))

        assert 1 == status
        assert words in json.loads(printed)["detail"]


@pytest.mark.parametrize("expectation", ["Expect: 100-continue", "Expect:"], ids=["asks", "eager"])
@pytest.mark.parametrize(("token", "expected"), [("", 401), ("wrong", 403)])
def test_curl_is_refused_before_its_body(
    curl: Callable[..., tuple[str, str]], huge_file: Path, token: str, expected: int, expectation: str
) -> None:
    """With -F the final status comes at once: nothing is sent where curl asks first, and little where it doesn't."""
    body, numbers = curl(
        *("-H", f"X-Auth-Token: {token}", "-H", expectation, "-F", f"file=@{huge_file}"),
        *("--expect100-timeout", "20", "/upload?service=mega"),
    )
    status, sent = map(int, numbers.split())

    assert expected == status
    assert "authentication token" in json.loads(body)["detail"]
    assert sent == 0 if expectation == "Expect: 100-continue" else sent < HUGE_BYTES // 4


def test_curl_uploads(server: Any, client: httpx2.Client, curl: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    """The command of the documentation works, also after `100 Continue`."""
    file = tmp_path / "photo archive.zip"
    file.write_bytes(secrets.token_bytes(5 << 20))
    token = f"X-Auth-Token: {server.service_token}"
    body, _ = curl("-H", token, "-H", "Expect: 100-continue", "-F", f"file=@{file}", "/upload?service=local")

    assert "success" == json.loads(body)["status"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == json.loads(body)["sha256"]
    assert file.read_bytes() == client.get(json.loads(body)["link"]).content
