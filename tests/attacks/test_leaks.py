"""What must not get out, and what must not get in: answers, logs, links in the data folder (threats 25 and 27)."""

import io
import json
import re
import secrets
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|/site-packages|/usr/(local|lib)|/tmp/|/home/|sqlite|sqlalchemy|SELECT |INSERT |UPDATE |"
    r"errno|Errno|catalog\.db|staging|0x[0-9a-f]{12}|<class|object at|uvicorn|starlette|pydantic"
)
ESCAPES = [
    "\x1b[31mred",
    "a\r\nb",
    "a\nlevel=critical event=forged",
    "a\x00b",
    "\x07bell",
    "\u2028line",
    "\x9b31m",
    "a\x7f",
    "\u202etxt",
]


@pytest.fixture
def strange(target: Any, doors: Any) -> list[Any]:
    """Answers to requests of every wrong kind."""
    person = target.user()
    form, body = target.form(('name="file"; filename="a"', b"x"))
    asked: list[tuple[str, str, Any, bytes | None]] = [
        *(
            ("GET", path, who, None)
            for who in ({}, target.admin, person.who)
            for path in (
                "/nowhere",
                "/s/nowhere",
                "/d/nowhere",
                "/uploads/nowhere",
                "/uploads/..%2f..%2fetc%2fpasswd",
                "/user/nobody",
                "/user/" + "a" * 3000,
                "/v1/files/x",
                "/v1/files/x/content",
                "/v1/files?limit=x&cursor=x&sort=x&created_after=x",
                "/v1/files?cursor=AAAA&limit=99999999999999999999",
                "/v1/by-name/",
                "/v1/by-name/%00",
                "/v1/users/%00",
                "/v1/uploads/x",
                "/v1/files?created_after=9999-12-31T23:59:59-23:59",
                "/v1/files?name=%00%ff",
                "/api/uploads?page=0&limit=0",
                "/api/uploads?page=99999999999999999999",
                "/api/uploads/x",
                "/upload/download/x",
                "/upload/download/99999999999999999999999",
                "/s/%00",
                "/s/" + "x" * 5000,
                "/delete/x",
                "/list?x=%00",
                "/d/x?expires=99999999999999999999&signature=x",
                "/d/x?expires=-1&signature=%00",
                "/static/x",
                "/\x7f",
            )
        ),
        *(
            ("DELETE", path, person.who, None)
            for path in (
                "/delete/%00",
                "/delete_all",
                "/delete_all?confirm=maybe",
                "/delete_all?confirm=yes&function=x",
                "/v1/files/%00",
                "/v1/tokens/x",
            )
        ),
        *(
            ("POST", path, {**person.who, **form}, body)
            for path in ("/upload/chunk", "/api/upload", "/v1/users", "/upload?service=%00")
        ),
        ("POST", "/upload?service=../../x", {**target.service, **form}, body),
        ("POST", "/upload?fileName=" + "%00" * 500, target.service, b"x"),
        (
            "POST",
            "/upload/init",
            {**doors.subject.who, "Content-Type": "application/json"},
            b'{"main_service_file_id": 1e400, "original_file_name": []}',
        ),
        ("PUT", "/v1/by-name/" + "a/" * 3000 + "b", person.who, b"x"),
        ("PUT", "/v1/by-name/x", {**person.who, "Content-Type": "\xff"}, b"x"),
        ("PUT", "/v1/by-name/x", {**person.who, "If-Match": "\x01"}, b"x"),
        ("PUT", "/v1/by-name/x", {**person.who, "Content-Digest": "sha-256=:%%:, x"}, b"x"),
        ("PUT", "/v1/by-name/x", {**person.who, "Content-Range": "bytes 5-1/0"}, b"x"),
        *(
            (method, f"{base}{upload}", {**person.who, **spoken, "Upload-Offset": offset}, b"x")
            for base in ("/files/", "/v1/uploads/", "/upload_tus/")
            for upload in ("x", "%00", "x" * 3000)
            for offset in ("0", "-1", "9" * 40)
            for method, spoken in (
                ("PATCH", {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}),
                ("PATCH", {"Upload-Complete": "?0", "Content-Type": "application/partial-upload"}),
                ("DELETE", {"Tus-Resumable": "1.0.0"}),
            )
        ),
        *(
            ("POST", "/files/", {**person.who, "Tus-Resumable": "1.0.0", **said}, b"")
            for said in (
                {"Upload-Length": "99999999999999999999"},
                {"Upload-Length": "1", "Upload-Metadata": "filename /w==,\xff"},
                {"Upload-Length": "1", "Upload-Metadata": "filename " + "A" * 20_000},
                {"Upload-Concat": "final;/etc/passwd http://127.0.0.1:1/files/x /files/%00"},
                {"Upload-Length": "1", "Upload-Checksum": "md5 ../../x"},
            )
        ),
        ("POST", "/v1/files", {**person.who, "Upload-Complete": "?2", "Upload-Length": "x"}, b"x"),
    ]
    return [target.ask(method, path.encode("latin-1"), who, sent) for method, path, who, sent in asked]


def test_answers_tell_nothing_of_the_inside(strange: list[Any]) -> None:
    """25: no refusal is a 5xx, holds a trace, a path, a statement or a program's name; each has a text and a code."""
    wrong = {
        answer.raw[:90]: found[0] for answer in strange if (found := INSIDE.search(answer.text + str(answer.headers)))
    }
    refused = [answer for answer in strange if answer.status >= 400 and "json" in answer.one("Content-Type")]

    assert {} == wrong
    assert [] == [answer.raw[:200] for answer in strange if answer.status >= 500]
    assert all(isinstance(answer.json()["detail"], str) and answer.json()["code"] for answer in refused)
    assert not any(answer.one("Server") for answer in strange)
    assert len(refused) > 50


def settled(target: Any, marker: str) -> str:
    """Give the log once a request that was made after all others is in it."""
    target.ask("GET", f"/marker-{marker}")
    deadline = time.monotonic() + 10
    while f"/marker-{marker}" not in target.log():
        assert time.monotonic() < deadline, "the log lags behind"
    return str(target.log())


def test_no_token_is_in_the_log(target: Any, doors: Any) -> None:
    """25, P5: tokens, right and wrong, in any header, in a query or in a body, never stand in the log."""
    person, subject = target.user(), target.subject()
    wrong = f"wrong-{secrets.token_hex(8)}"
    password = f"pass-{secrets.token_hex(8)}"
    sent = doors["v1-raw"](b"x", who=person.who)
    link = target.send_json(
        "POST", f"/v1/files/{sent.id}/links", person.who, {"password": password, "expires_in": 60}
    ).json()
    query = urlsplit(link["url"])
    credentials = [person.token, subject.token, target.admin_token, target.service_token, wrong]
    for token in credentials:
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"X-Auth-Token": token},
            {"X-API-Key": token},
            {"Authorization": token},
            {"Cookie": f"token={token}"},
            {"Referer": f"http://x/?token={token}"},
            {"User-Agent": token},
        ):
            for path in ("/list", "/v1/me", "/upload/files", "/nowhere"):
                target.ask("GET", path, headers)
        target.ask("GET", f"/v1/me?token={token}&access_token={token}")
        target.ask("POST", "/upload", {"X-Auth-Token": token}, b"")
        target.send_json("POST", "/v1/tokens", person.who, {"token": token})
    target.ask("GET", f"{query.path}?{query.query}", {"Authorization": f"Basic {password}"})
    target.ask("GET", f"{query.path}?{query.query}&password={password}")
    log = settled(target, secrets.token_hex(6))
    signature = re.search(r"signature=([^&]+)", query.query)[1]  # type: ignore[index]

    assert [] == [token for token in [*credentials, password, signature] if token in log]
    assert person.name in log, "the log says who, by name"


@pytest.mark.parametrize("form", ["json", "console"])
def test_nobody_writes_lines_into_the_log(
    target: Any, make_target: Callable[..., Any], doors_of: Any, form: str
) -> None:
    """25: what ends a line or steers a terminal is escaped in names, paths and headers, in both forms of log."""
    if form == "console":
        target = make_target(CARRYALL_LOG_FORMAT=form, CARRYALL_LOG_LEVEL="DEBUG")
    doors = doors_of(target)
    began = len(target.log())
    for text in ESCAPES:
        doors["v1-raw"](b"x", text)
        doors["blobs-form"](b"x", text)
        doors["chunks"](b"x", text)
        doors["tus"](b"x", text)
        percent = "".join(f"%{byte:02x}" for byte in text.encode())
        for path in (
            f"/{percent}",
            f"/s/{percent}",
            f"/user/{percent}",
            f"/v1/by-name/{percent}",
            f"/nowhere?{percent}",
        ):
            target.ask("GET", path, {**target.admin, "User-Agent": percent})
        for name in ("X-Request-ID", "User-Agent", "X-Forwarded-For", "X-Correlation-ID", "Origin"):
            target.ask(
                "GET", "/health", [(name, text.encode().replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\0", b""))]
            )
        target.ask("GET", f"/raw-{text}".encode().replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\0", b""))
        target.ask("GET", "/v1/me", target.bearer(target.sign(sub=text)))
    written = settled(target, secrets.token_hex(6))[began:]
    lines = written.split("\n")[:-1]

    assert not re.search(r"[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]", written)
    assert "\x1b[31mred" not in written
    assert not [line for line in lines if line.startswith(("b", "level=critical"))]
    if form == "json":
        assert "\x1b" not in written
        assert all({"event", "timestamp", "level"} <= json.loads(line).keys() for line in lines)
        assert not [line for line in lines if json.loads(line)["event"] == "forged"]


def test_faults_tell_the_operator_only(target: Any, doors: Any) -> None:
    """25: when kept bytes are gone the client learns that and nothing of where they were; the log knows more."""
    pieces = [secrets.token_bytes(33) for _ in range(3)]
    sent = [doors[door](data) for door, data in zip(("v1-raw", "blobs-form", "relay-form"), pieces, strict=True)]
    for data in pieces:
        place_of(target, data).unlink()
    answers = [target.ask("GET", one.path, one.who) for one in sent]

    assert {404, 410, 502, 503} >= {answer.status for answer in answers}
    assert [] == [answer.text for answer in answers if INSIDE.search(answer.text + str(answer.headers))]
    assert "Traceback" not in target.log()


# --- links in the data folder (27) -----------------------------------------------------------------------------------


def place_of(target: Any, data: bytes) -> Path:
    """Find where the only file with this content lies."""
    fitting = [target.data_dir / name for name, size in target.kept().items() if size == len(data)]
    found = [path for path in fitting if path.exists() and path.read_bytes() == data]
    assert 1 == len(found)
    return Path(found[0])


@pytest.mark.parametrize(
    "door", ["relay-form", "blobs-form", "gallery", "chunks", "v1-raw", "by-name", "tus-joined", "draft"]
)
def test_a_link_in_place_of_a_file_is_not_followed(target: Any, doors: Any, tmp_path: Path, door: str) -> None:
    """27: a symbolic link where a file's bytes were leads nobody to another file of the machine."""
    outside = tmp_path / "outside"
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + secrets.token_bytes(40)
    outside.write_bytes(b"O" * len(data))
    sent = doors[door](data, "a.png")
    place = place_of(target, data)
    place.unlink()
    place.symlink_to(outside)
    answers = [target.ask("GET", sent.path, {**sent.who, **more}) for more in ({}, {"Range": "bytes=0-3"})]
    place.unlink()

    assert [] == [answer.status for answer in answers if answer.status < 400 or answer.status == 500]
    assert not any(b"OOO" in answer.body for answer in answers)
    assert outside.read_bytes() == b"O" * len(data)


def test_a_link_in_place_of_a_folder_is_not_followed(target: Any, doors: Any, tmp_path: Path) -> None:
    """27: nor does a link in place of the folder that a file is in."""
    data = secrets.token_bytes(50)
    sent = doors["v1-raw"](data)
    place = place_of(target, data)
    (tmp_path / place.name).write_bytes(b"O" * 50)
    aside = place.parent.with_name("aside")
    place.parent.rename(aside)
    place.parent.symlink_to(tmp_path)
    answer = target.ask("GET", sent.path, sent.who)
    place.parent.unlink()
    aside.rename(place.parent)

    assert answer.status in (404, 503)
    assert b"OOO" not in answer.body
    assert data == target.ask("GET", sent.path, sent.who).body


def test_staged_links_are_not_written_through(target: Any, doors: Any, tmp_path: Path) -> None:
    """27: a link in place of staged bytes neither gets the next chunk nor becomes part of a file."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"O" * 64)
    number = 9_200_000 + secrets.randbelow(1000)
    session = doors.begin(number, "a").json()["data"]["upload_session_id"]
    data = secrets.token_bytes(64)
    assert 200 == doors.chunk(session, 0, data).status
    place = place_of(target, data)
    place.unlink()
    place.symlink_to(outside)
    doors.chunk(session, 1, b"more")
    done = doors.complete(session, 2, number)
    read = target.ask("GET", f"/upload/download/{number}", doors.subject.who)
    doors.chunk(session, 0, b"E" * 64)

    assert b"O" * 64 == outside.read_bytes()
    assert done.status >= 400
    assert b"OOO" not in read.body


def test_the_data_folder_holds_no_links(target: Any, doors: Any) -> None:
    """27: whatever was uploaded, the server makes no symbolic link, no pipe and no device, and nothing executable."""
    for door in ("relay-form", "blobs-form", "chunks", "by-name"):
        doors[door](b"#!/bin/sh\n", "run.sh")
    modes = {path: path.lstat().st_mode for path in target.data_dir.rglob("*")}

    assert [] == [path for path in modes if path.is_symlink() or not (path.is_dir() or path.is_file())]
    assert [] == [path for path, mode in modes.items() if path.is_file() and mode & 0o111]
    assert [] == [path for path, mode in modes.items() if mode & 0o077]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_archives_stay_packed(target: Any, doors: Any, name: str) -> None:
    """27: an archive is a file like any other: it is kept as it is, and nothing is unpacked anywhere."""
    packed = io.BytesIO()
    if name == "a.zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("../../evil.txt", "evil")
    else:
        with tarfile.open(fileobj=packed, mode="w:gz" if name.endswith("gz") else "w") as archive:
            link = tarfile.TarInfo("../../evil.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    before = len(target.kept())
    sent = doors["v1-form"](packed.getvalue(), name)

    assert packed.getvalue() == target.ask("GET", sent.path, sent.who).body
    assert before + 1 == len(target.kept())
    assert [] == list(target.data_dir.parent.rglob("evil*"))


def test_a_data_folder_that_is_served_is_refused(make_target: Callable[..., Any], tmp_path: Path) -> None:
    """27: a server doesn't start when a folder that it serves holds its data, also by way of a link."""
    (tmp_path / "web").symlink_to(tmp_path / "data")
    for served in (tmp_path, tmp_path / "web"):
        with pytest.raises(AssertionError, match="did not start"):
            make_target(CARRYALL_DATA_DIR=str(tmp_path / "data"), CARRYALL_WEB_DIR=str(served))
