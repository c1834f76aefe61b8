"""How tus uploads end, and whose they are: expiry, termination, quota, authority (docs/protocols.md, T-…)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20
STREAM = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


def usage(tus: Any) -> tuple[int, int, int]:
    """Give the bytes that are stored and reserved, and the uploads under way."""
    found = tus.http.get("/v1/me").json()["usage"]
    return found["stored_bytes"], found["reserved_bytes"], found["open_uploads"]


def kept(server: Any, url: str) -> list[Path]:
    """Give what lies on the disk under an upload's id."""
    return list(server.data_dir.rglob(url.rpartition("/")[2] + "*"))


def eventually(holds: Callable[[], bool], *, within_s: float = 10) -> bool:
    """Wait for what a background job makes true."""
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


# --- expiry (A6) ---------------------------------------------------------------------------------------------------


def test_T_E2_the_end_is_told_and_slides(tus: Any) -> None:
    """Every answer on an unfinished upload says until when it is kept, later after each PATCH (T-E1, T-E4)."""
    created = tus.create(6)
    url = created.headers["Location"]
    first = parsedate_to_datetime(created.headers["Upload-Expires"])
    time.sleep(1.1)  # the field has whole seconds
    later = parsedate_to_datetime(tus.patch(url, 0, b"abc").headers["Upload-Expires"])

    assert created.headers["Upload-Expires"].endswith(" GMT")
    assert later > first
    assert "Upload-Expires" in tus.head(url).headers
    assert "Upload-Expires" not in tus.patch(url, 3, b"def").headers
    assert "Upload-Expires" not in tus.head(url).headers


def test_T_E3_an_expired_upload_is_gone(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """After its time an upload is 410 on every verb; its bytes and its room are free (matrix row 9)."""
    server = make_server()
    tus = make_tus(server)
    url, part = tus.begin(6), tus.begin(3, Upload_Concat="partial")
    final = tus.create(Upload_Concat=f"final;{part}").headers["Location"]
    tus.patch(url, 0, b"abc")
    server.stop()
    server.change_catalog("UPDATE uploads SET expires_at = 1")  # as if days had gone by
    server.change_catalog("UPDATE jobs SET run_at = 1 WHERE kind = 'expire'")
    server.start_again()

    assert eventually(lambda: not kept(server, url))
    assert eventually(lambda: (0, 0, 0) == usage(tus))
    for gone in (url, part, final):
        assert 410 == tus.head(gone).status_code
        assert "Upload-Offset" not in tus.head(gone).headers
        assert "upload_gone" == tus.http.patch(gone, headers=STREAM, content=b"x").json()["code"]
        assert 410 == tus.http.delete(gone).status_code
    server.cli("doctor")


# --- termination (A7) ----------------------------------------------------------------------------------------------


def test_T_X1_an_unfinished_upload_is_given_up(server: Any, tus: Any) -> None:
    """DELETE of an unfinished upload is 204; bytes and room are free, and it is gone from then on."""
    url = tus.begin(6)
    tus.patch(url, 0, b"abc")

    assert 204 == tus.http.delete(url).status_code
    assert [] == kept(server, url)
    assert (0, 0, 0) == usage(tus)
    assert (410, 410, 410) == (
        tus.head(url).status_code,
        tus.patch(url, 3, b"def").status_code,
        tus.http.delete(url).status_code,
    )


def test_T_X1_a_finished_upload_is_deleted(server: Any, tus: Any) -> None:
    """DELETE of a finished upload deletes its file; it is 404 from then on, also for HEAD."""
    url = tus.upload(b"hello")

    assert 204 == tus.http.delete(url).status_code
    assert 404 == tus.head(url).status_code
    assert "Upload-Offset" not in tus.head(url).headers
    assert (404, 404) == (tus.http.get(url).status_code, tus.http.delete(url).status_code)
    assert (0, 0, 0) == usage(tus)
    assert eventually(lambda: not kept(server, url))


def test_T_X2_a_writer_stops_before_the_end(server: Any, tus: Any, make_tus: Callable[..., Any]) -> None:
    """DELETE while a PATCH runs ends the PATCH, and nothing of the upload comes back."""
    writer = make_tus(server, {"Authorization": tus.http.headers["Authorization"]})
    url = tus.begin(1000)

    def stalled() -> Any:
        yield b"x" * 500
        assert eventually(lambda: 410 == tus.http.delete(url).status_code)
        yield b"x" * 500

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(writer.patch, url, 0, stalled())
        assert 409 == running.result(20).status_code

    assert 410 == tus.head(url).status_code
    assert [] == kept(server, url)
    assert (0, 0, 0) == usage(tus)


def test_T_X2_an_end_beside_the_last_byte(server: Any, tus: Any, make_tus: Callable[..., Any]) -> None:
    """DELETE beside the last PATCH leaves no file, whoever comes first (matrix row 10)."""
    writer = make_tus(server, {"Authorization": tus.http.headers["Authorization"]})
    for _ in range(20):
        url = tus.begin(5)
        with ThreadPoolExecutor(2) as pool:
            sent = pool.submit(writer.patch, url, 0, b"hello")
            ended = pool.submit(tus.http.delete, url)
        assert 204 == ended.result().status_code
        assert sent.result().status_code in (204, 404, 409, 410)
        assert tus.head(url).status_code in (404, 410)
    assert [] == tus.http.get("/v1/files").json()["files"]
    assert (0, 0, 0) == usage(tus)


# --- room ----------------------------------------------------------------------------------------------------------


def test_quota_is_taken_at_creation(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """A length that doesn't fit is 413 at creation; of a deferred one what fits is kept, and the rest refused."""
    server = make_server(CARRYALL_JWT_TOTAL_MB="2")
    tus = make_tus(server)
    first = tus.begin(MIB)

    refused = tus.create(MIB + 1)
    assert (413, "quota_exceeded") == (refused.status_code, refused.json()["code"])
    later = tus.begin()
    assert 204 == tus.patch(later, 0, bytes(MIB // 2)).status_code
    assert 413 == tus.patch(later, MIB // 2, Upload_Length=str(MIB + 1)).status_code
    assert 413 == tus.patch(later, MIB // 2, bytes(MIB)).status_code
    at = tus.offset(later)
    assert MIB // 2 <= at <= MIB
    assert (0, MIB + at, 2) == usage(tus)
    assert 204 == tus.patch(later, at, bytes(MIB - at), Upload_Length=str(MIB)).status_code
    assert 204 == tus.patch(first, 0, bytes(MIB)).status_code
    assert (2 * MIB, 0, 0) == usage(tus)
    server.cli("doctor")


# --- whose it is (threats 11, 12) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["new", "half", "file", "gone"])
def test_somebody_elses_upload_is_missing(server: Any, tus: Any, make_tus: Callable[..., Any], state: str) -> None:
    """Another user's upload is 404 on every verb, like one that never was, and isn't disturbed (matrix row 11)."""
    other = make_tus(server)
    url = tus.begin(5)
    if state != "new":
        tus.patch(url, 0, b"hel" if state == "half" else b"hello")
    if state == "gone":
        tus.http.delete(url)
    before = tus.head(url).status_code
    answers = {
        (answer.status_code, answer.headers.get("Upload-Offset"), answer.content.replace(missing.encode(), b""))
        for missing in (url, f"{server.url}/files/{'a' * 22}")
        for method in ("PATCH", "DELETE", "GET")
        for answer in [other.http.request(method, missing, headers=STREAM, content=b"")]
    }

    assert 1 == len(answers)
    assert 404 == next(iter(answers))[0]
    assert 404 == other.head(url).status_code
    assert before == tus.head(url).status_code


def test_T_H7_an_override_needs_the_real_methods_scope(server: Any, make_tus: Callable[..., Any]) -> None:
    """A token that may only write can't delete by POST with an override; one that may only read can't write."""
    _, headers = server.new_user()
    with server.client(headers=headers) as owner:
        tokens = {
            scope: owner.post("/v1/tokens", json={"scopes": [scope]}).json()["token"] for scope in ("read", "write")
        }
    reader, writer = (make_tus(server, server.bearer(tokens[scope])) for scope in ("read", "write"))
    url = writer.begin()

    def meant(client: Any, method: str, **more: str) -> int:
        status: int = client.http.post(url, headers={"X-HTTP-Method-Override": method, **STREAM, **more}).status_code
        return status

    assert 403 == meant(writer, "DELETE")
    assert 403 == meant(reader, "PATCH", **{"Upload-Length": "0"})
    assert 403 == meant(reader, "HEAD")
    assert 403 == reader.create(5).status_code
    assert "1" == writer.head(url).headers["Upload-Defer-Length"]
    wrong = writer.create(5, b"hello", Upload_Checksum="crc32 AAAAAA==")
    assert 460 == wrong.status_code


def test_the_administrator_pays_with_the_owners_room(
    make_server: Callable[..., Any], make_tus: Callable[..., Any]
) -> None:
    """What the administrator sends into a user's upload is the user's, in room and in name."""
    server = make_server()
    owner = make_tus(server)
    admin = make_tus(server, server.admin)
    url = owner.begin()
    part = owner.begin(3, Upload_Concat="partial")
    final = owner.create(Upload_Concat=f"final;{part}").headers["Location"]

    assert 204 == admin.patch(url, 0, b"hello", Upload_Length="5").status_code
    assert 204 == admin.patch(part, 0, b"abc").status_code
    assert (b"hello", b"abc") == (owner.file(url), owner.file(final))
    assert (8, 0, 0) == usage(owner)
    foreign = owner.begin(3, Upload_Concat="partial")
    assert 400 == admin.create(Upload_Concat=f"final;{foreign}").status_code
    server.cli("doctor")
