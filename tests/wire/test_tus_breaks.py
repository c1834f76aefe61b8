"""tus uploads that break: cut connections, rivals, stalled writers, a killed server (docs/protocols.md, T-…)."""

import base64
import hashlib
import random
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

MIB = 1 << 20
DATA = random.Random(7).randbytes(MIB)
DIGEST = "sha256 " + base64.b64encode(hashlib.sha256(DATA).digest()).decode()


def connect(server: Any, tus: Any, url: str, offset: int, **headers: str) -> socket.socket:
    """Begin a PATCH by hand, for the whole rest of DATA; give the connection, to send the body on."""
    lines = {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": tus.http.headers["Authorization"],
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
        "Content-Length": str(len(DATA) - offset),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = f"PATCH {urlsplit(url).path} HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(head.encode() + b"\r\n")
    return connection


def status(connection: socket.socket) -> int:
    """Read the status of the answer; 0 where the connection ended without one."""
    with connection:
        line = connection.makefile("rb").readline()
    return int(line.split()[1]) if line else 0


def settled(tus: Any, url: str, wanted: int) -> int:
    """Give the offset once the server has kept what came of a cut body. Only GET looks without ending the writer."""
    deadline = time.monotonic() + 5
    while tus.http.get(url).json()["received_bytes"] < wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return int(tus.offset(url))


@pytest.mark.parametrize("sent", [0, 1, 149_797, 524_288, 1_048_575])
def test_T_P5_what_arrived_is_kept(server: Any, tus: Any, sent: int) -> None:
    """A PATCH that is cut keeps the bytes that came; the next one goes on there, and the file is whole (T-P6)."""
    url = tus.begin(len(DATA))
    with connect(server, tus, url, 0) as connection:
        connection.sendall(DATA[:sent])
        time.sleep(0.3)  # uvicorn drops what it had not handed over when the client goes away
    offset = settled(tus, url, sent)

    assert sent == offset
    assert 204 == tus.patch(url, offset, DATA[offset:]).status_code
    assert DATA == tus.file(url)


@pytest.mark.parametrize("sent", [1, 700_000])
def test_T_K5_unchecked_bytes_dont_count(server: Any, tus: Any, sent: int) -> None:
    """A PATCH with a checksum that is cut keeps nothing: what came of it was never verified."""
    url = tus.begin(len(DATA))
    with connect(server, tus, url, 0, Upload_Checksum=DIGEST) as connection:
        connection.sendall(DATA[:sent])

    assert 0 == tus.offset(url)
    assert 204 == tus.patch(url, 0, DATA, Upload_Checksum=DIGEST).status_code
    assert DATA == tus.file(url)


def test_T_W5_a_cut_creation_stays_resumable(server: Any, tus: Any) -> None:
    """A creation whose bytes break off leaves an upload that expires; nobody was told where it is."""
    head = (
        f"POST /files/ HTTP/1.1\r\nHost: a\r\nAuthorization: {tus.http.headers['Authorization']}\r\n"
        "Tus-Resumable: 1.0.0\r\nUpload-Length: 1000\r\nContent-Length: 1000\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"x" * 400)
    deadline = time.monotonic() + 10
    while tus.http.get("/v1/me").json()["usage"]["open_uploads"] != 1 and time.monotonic() < deadline:
        time.sleep(0.02)

    assert 1 == tus.http.get("/v1/me").json()["usage"]["open_uploads"]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [("Upload-Length: 5", 100), ("Upload-Length: 2", 413), ("Upload-Length: x", 400), ("Tus-Resumable: 2", 412)],
)
def test_T_W4_a_creation_is_judged_before_its_bytes(server: Any, tus: Any, headers: str, wanted: int) -> None:
    """Who waits for 100 Continue hears it only when the upload may begin; else the refusal itself."""
    version = "" if headers.startswith("Tus") else "Tus-Resumable: 1.0.0\r\n"
    head = (
        f"POST /files/ HTTP/1.1\r\nHost: a\r\nAuthorization: {tus.http.headers['Authorization']}\r\n{version}"
        f"{headers}\r\nContent-Length: 5\r\nContent-Type: application/offset+octet-stream\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode())
        answers = connection.makefile("rb")
        first = int(answers.readline().split()[1])
        if first == 100:
            connection.sendall(b"hello")
            answers.readline()
            assert b" 201 " in answers.readline()

    assert wanted == first


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Authorization": "Bearer nobody"}, 401),
        ({"Upload-Offset": "1"}, 409),
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Checksum": "crc64 AAAA"}, 400),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": str(len(DATA) + 1)}, 413),
        ({}, 100),
    ],
)
def test_a_patch_is_judged_before_its_bytes(server: Any, tus: Any, headers: dict[str, str], wanted: int) -> None:
    """Token, offset, type, checksum and size of a PATCH are judged before its first byte is read (B15)."""
    url = tus.begin(len(DATA))
    with connect(server, tus, url, 0, Expect="100-continue", **headers) as connection:
        assert wanted == status(connection)
    assert 0 == tus.offset(url)


def test_T_HD6_a_stalled_writer_leaves_for_head(server: Any, tus: Any) -> None:
    """HEAD answers within a second although a PATCH stalls; what it tells is durable, and the next PATCH goes on."""
    url = tus.begin(len(DATA))
    connection = connect(server, tus, url, 0)
    connection.sendall(DATA[:300_000])
    time.sleep(0.3)  # nothing tells when the server has read it
    begun = time.monotonic()
    offset = tus.offset(url)
    took_s = time.monotonic() - begun

    assert took_s < 1
    assert 300_000 == offset
    assert 409 == status(connection)
    assert 204 == tus.patch(url, offset, DATA[offset:]).status_code
    assert DATA == tus.file(url)


def test_T_HD6_a_stalled_checked_writer_leaves_nothing(server: Any, tus: Any) -> None:
    """HEAD during a PATCH with a checksum tells the offset from before it."""
    url = tus.begin(len(DATA))
    with connect(server, tus, url, 0, Upload_Checksum=DIGEST) as connection:
        connection.sendall(DATA[:300_000])
        time.sleep(0.2)  # nothing tells when the server has read it
        assert 0 == tus.offset(url)
        assert 409 == status(connection)
    assert 204 == tus.patch(url, 0, DATA, Upload_Checksum=DIGEST).status_code


def test_a_newcomer_wins_within_a_second(server: Any, tus: Any) -> None:
    """A client that comes back while its old request hangs goes on at once; the old one is told so (matrix row 3)."""
    url = tus.begin(len(DATA))
    old = connect(server, tus, url, 0)
    old.sendall(DATA[:1000])
    time.sleep(0.3)  # nothing tells when the server has read it
    begun = time.monotonic()
    answer = tus.patch(url, 1000, DATA[1000:])

    assert time.monotonic() - begun < 2
    assert 204 == answer.status_code
    assert 409 == status(old)
    assert DATA == tus.file(url)


def test_two_at_once_never_mix(server: Any, tus: Any, make_tus: Callable[..., Any]) -> None:
    """Two clients that resume the same upload again and again end with the file as it was sent (matrix row 3)."""
    rivals = [tus, make_tus(server, {"Authorization": tus.http.headers["Authorization"]})]
    url = tus.begin(len(DATA))

    def race(client: Any) -> set[int]:
        heard = set()
        while True:
            offset = client.offset(url)
            if offset == len(DATA):
                return heard
            heard.add(client.patch(url, offset, DATA[offset : offset + 99_991]).status_code)

    with ThreadPoolExecutor(2) as pool:
        heard = set().union(*pool.map(race, rivals))

    assert heard <= {204, 409}
    assert DATA == tus.file(url)


def test_a_killed_server_resumes(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """After kill -9 in the middle the acknowledged offset holds, and the upload goes on to the same file (T-P5)."""
    server = make_server()
    tus = make_tus(server)
    url = tus.begin(len(DATA), Upload_Metadata="filename YS5iaW4=")
    assert 204 == tus.patch(url, 0, DATA[:400_000]).status_code
    with connect(server, tus, url, 400_000) as connection:
        connection.sendall(DATA[400_000:700_000])
        server.stop(signal.SIGKILL)
    server.start_again()
    offset = tus.offset(url)

    assert 400_000 <= offset <= 700_000
    assert "filename YS5iaW4=" == tus.head(url).headers["Upload-Metadata"]
    assert 204 == tus.patch(url, offset, DATA[offset:]).status_code
    assert DATA == tus.file(url)
    server.cli("doctor")


def test_head_completes_what_a_crash_left_whole(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """An upload whose last byte was kept, but which is no file yet, becomes one when its client asks (I4)."""
    server = make_server()
    tus = make_tus(server)
    url = tus.begin(len(DATA))
    assert 204 == tus.patch(url, 0, DATA[:-1]).status_code
    server.stop(signal.SIGKILL)
    upload_id = url.rpartition("/")[2]
    with (server.data_dir).joinpath(next_extent(server, upload_id)).open("ab") as extent:
        extent.write(DATA[-1:])
    # As if it had died behind the last row.
    server.change_catalog("UPDATE segments SET length = $1 WHERE upload_id = $2", len(DATA), upload_id)
    server.start_again()

    assert len(DATA) == tus.offset(url)
    assert DATA == tus.file(url)
    assert 1 == len(tus.http.get("/v1/files").json()["files"])


def next_extent(server: Any, upload_id: str) -> str:
    """Give the path of an upload's only extent."""
    found = list((server.data_dir / "staging").rglob(f"{upload_id}.*"))
    assert 1 == len(found)
    return str(found[0])


def test_a_lost_answer_is_asked_for_again(tus: Any) -> None:
    """A client that never heard the last 204 learns by HEAD that it is done; repeating its PATCH does no harm."""
    url = tus.upload(DATA[:5000])

    assert 409 == tus.patch(url, 0, DATA[:5000]).status_code
    assert 5000 == tus.offset(url)
    assert 1 == len(tus.http.get("/v1/files").json()["files"])


def test_the_log_keeps_secrets(server: Any, tus: Any) -> None:
    """No token and no metadata of an upload stands in the server's log."""
    secret = base64.b64encode(b"my private diary.txt").decode()
    tus.upload(b"hello", Upload_Metadata=f"filename {secret}")
    tus.create(5, Upload_Metadata=f"filename {secret},filename {secret}")
    token = tus.http.headers["Authorization"].removeprefix("Bearer ")

    assert token not in server.log()
    assert secret not in server.log()
    assert "private diary" not in server.log()
