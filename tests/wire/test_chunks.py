"""Chunk sessions over real sockets: the described contract, and what its original got wrong (H1 to H12)."""

import hashlib
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

KIB, MIB = 1 << 10, 1 << 20
STARTED = "Upload session initialized."
SENT = "Chunk uploaded successfully."
COMPLETED = "File upload completed and main service notified."
SESSION_DELETED = "Session folder and related files deleted (if existed)."
NO_SESSION = "Invalid upload_session_id."


@dataclass
class Chunker:
    """A client with one token, which sends files in chunks."""

    http: httpx2.Client

    def init(self, file_id: Any = 7, name: str = "audio.mp3") -> str:
        body = {"main_service_file_id": file_id, "original_file_name": name}
        answer = self.http.post("/upload/init", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["upload_session_id"])

    def send(self, session: str, index: Any, data: bytes, *, order: str = "sic") -> httpx2.Response:
        """Send a chunk; `order` says in which order the form has its session, index and chunk."""
        parts = {
            "s": ("upload_session_id", (None, session)),
            "i": ("chunk_index", (None, str(index))),
            "c": ("chunk", ("blob", data)),
        }
        return self.http.post("/upload/chunk", files=[parts[one] for one in order])

    def complete(self, session: str, total: Any, file_id: Any = 7) -> httpx2.Response:
        body = {"upload_session_id": session, "total_chunks": total, "main_service_file_id": file_id}
        return self.http.post("/upload/complete", json=body)

    def upload(self, pieces: Iterable[bytes], file_id: Any = 7, name: str = "audio.mp3") -> tuple[str, dict[str, Any]]:
        """Send a whole file; give its session and the answer's data."""
        session, sent = self.init(file_id, name), 0
        for sent, piece in enumerate(pieces, 1):
            assert self.send(session, sent - 1, piece).status_code == 200
        answer = self.complete(session, sent, file_id)
        assert answer.status_code == 200, answer.text
        return session, answer.json()["data"]

    def delete(self, **body: Any) -> httpx2.Response:
        return self.http.request("DELETE", "/upload/file", json=body)

    def download(self, file_id: Any = 7) -> httpx2.Response:
        return self.http.get(f"/upload/download/{file_id}")

    def files(self) -> list[str]:
        answer = self.http.get("/upload/files")
        assert answer.status_code == 200
        return list(answer.json()["files"])


MakeUser = Callable[..., Chunker]


@pytest.fixture
def make_user() -> Iterator[MakeUser]:
    """Make a client for a user of a server: the named one, or one that nobody else is."""
    with ExitStack() as clients:

        def make(server: Any, subject: str | None = None, **claims: Any) -> Chunker:
            token = server.jwt(subject or f"u{secrets.token_hex(6)}", **claims)
            return Chunker(clients.enter_context(server.client(headers=server.bearer(token))))

        yield make


@pytest.fixture
def user(server: Any, make_user: MakeUser) -> Chunker:
    return make_user(server)


def refused(answer: httpx2.Response, status: int, detail: str | None = None) -> dict[str, Any]:
    """Check that an answer is a refusal as this surface makes them; give its body."""
    body: dict[str, Any] = answer.json()
    assert (status, "error") == (answer.status_code, body["status"]), answer.text
    assert isinstance(body["detail"], str)
    assert body["message"] == body["detail"]
    if detail is not None:
        assert detail == body["detail"]
    return body


def eventually(holds: Callable[[], bool], *, within_s: float = 10) -> bool:
    """Wait for what a background job makes true."""
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def kept_bytes(server: Any, session: str) -> int:
    """Give the bytes that a session has on the server's disk, staged or as a file: both are named after it."""
    roots = (server.data_dir / "files", server.data_dir / "staging")
    return sum(path.stat().st_size for root in roots for path in root.rglob(f"*{session}*") if path.is_file())


# --- the described contract ----------------------------------------------------------------------------------------


def test_answers_are_the_described_ones(server: Any, user: Chunker) -> None:
    """Every answer has the described statuses, keys and texts (H1: a chunk can be uploaded; H2: RS256 is verified)."""
    began = user.http.post("/upload/init", json={"main_service_file_id": 123, "original_file_name": "a.mp3"})
    session = began.json()["data"]["upload_session_id"]
    assert {"status": "success", "message": STARTED, "data": {"upload_session_id": session}} == began.json()
    assert {"status": "success", "message": SENT} == user.send(session, 0, b"ID3 sound").json()

    done = user.complete(session, 1, 123).json()
    place = f"{server.url}/upload/download/123"
    file_id = done["data"]["file_id"]
    assert {
        "status": "success",
        "message": COMPLETED,
        "data": {
            "file_path_on_upload_service": place,
            "file_download_url": place,
            "file_id": file_id,
            "size": 9,
            "sha256": hashlib.sha256(b"ID3 sound").hexdigest(),
        },
    } == done
    assert {"status": "success", "files": [place]} == user.http.get("/upload/files").json()
    assert {"status": "success", "message": SESSION_DELETED} == user.delete(upload_session_id=session).json()
    assert [] == user.files()


def test_any_order_in_parallel_and_twice(user: Chunker) -> None:
    """Chunks come shuffled, in parallel, again, and with their fields after the file; the bytes are the same."""
    dice = random.Random(4)
    pieces = [dice.randbytes(dice.randrange(200 * KIB, 900 * KIB)) for _ in range(12)]
    session = user.init()
    for index in (3, 8):
        assert user.send(session, index, b"to be replaced").status_code == 200
    order = [*range(12), 5]
    dice.shuffle(order)

    def send(index: int) -> int:
        form = ("sic", "cis", "sci", "ics")[index % 4]
        return user.send(session, index, pieces[index], order=form).status_code

    with ThreadPoolExecutor(4) as threads:
        assert [200] * 12 == list(threads.map(send, dict.fromkeys(order)))
    assert send(5) == 200

    answer = user.complete(session, 12)
    whole = b"".join(pieces)
    assert hashlib.sha256(whole).hexdigest() == answer.json()["data"]["sha256"]
    assert whole == user.download().content


def test_an_empty_file_is_one_empty_chunk(user: Chunker) -> None:
    """A file of no bytes goes like any other."""
    _, data = user.upload([b""])
    assert (0, b"") == (data["size"], user.download().content)


def test_download_is_an_attachment_with_ranges(user: Chunker) -> None:
    """The finished file is served to its owner, whole, in part and as a head."""
    user.upload([b"0123456789"], name="a b.mp3")
    whole, part = user.download(), user.http.get("/upload/download/7", headers={"Range": "bytes=2-4"})
    head = user.http.head("/upload/download/7")
    assert (200, 206, 200) == (whole.status_code, part.status_code, head.status_code)
    assert (b"0123456789", b"234", b"") == (whole.content, part.content, head.content)
    assert 'attachment; filename="a b.mp3"' == whole.headers["content-disposition"]
    assert "10" == head.headers["content-length"]


@pytest.mark.parametrize("file_id", ["8", "x", "-7", "7.0", "\u0667", "9" * 30, "%2e%2e%2f7"])
def test_what_is_not_there_is_missing(user: Chunker, file_id: str) -> None:
    """A file that isn't there is a 404 in the described words, whatever its id looks like."""
    user.upload([b"seven"])
    refused(user.download(file_id), 404)


def test_numbers_may_be_written_as_text(user: Chunker) -> None:
    """Digits in a string are that number, up to 64 bits; what else a lax parser would take is not."""
    session, _ = user.upload([b"x"], file_id=str(2**63 - 1))
    assert 200 == user.complete(session, "1", 2**63 - 1).status_code
    for wrong in (True, 1.0, -1, "-1", " 1", "1_0", "", 2**63, None, [], "\u0661"):
        body = {"main_service_file_id": wrong, "original_file_name": "a"}
        refused(user.http.post("/upload/init", json=body), 422)


# --- completion: nothing is lost, nothing is cut (H5, threat 16) ---------------------------------------------------


@pytest.mark.parametrize(
    ("total", "status"), [(0, 422), (-1, 422), (True, 422), (2, 409), (4, 409), (2**62, 422), (None, 422)]
)
def test_a_wrong_count_loses_nothing(user: Chunker, total: Any, status: int) -> None:
    """Completing with a wrong number of chunks is refused at once, and the right number still works."""
    session = user.init()
    for index in range(3):
        user.send(session, index, b"%d" % index)
    refused(user.complete(session, total), status)
    assert 200 == user.complete(session, 3).status_code
    assert b"012" == user.download().content


def test_missing_chunks_are_named(user: Chunker) -> None:
    """A gap is a 409 with the list of what is missing; a surplus is a 409 too, never a cut file."""
    session = user.init()
    for index in (1, 4):
        user.send(session, index, b"x")
    gap = refused(user.complete(session, 5), 409)
    assert ("chunks_missing", [0, 2, 3]) == (gap["code"], gap["missing"])
    for index in (0, 2, 3):
        user.send(session, index, b"x")
    surplus = refused(user.complete(session, 3), 409)
    assert ("chunks_extra", [3, 4]) == (surplus["code"], surplus["extra"])
    assert [] == user.files()
    assert 200 == user.complete(session, 5).status_code


def test_a_session_without_chunks_is_incomplete(user: Chunker) -> None:
    """Nothing was sent, so there is no file; not even an empty one."""
    assert [0] == refused(user.complete(user.init(), 1), 409)["missing"]


def test_asked_twice_it_answers_the_same(make_server: Callable[..., Any], make_user: MakeUser) -> None:
    """A repeated completion gives the same answer, also after a restart; another count isn't the same question."""
    server = make_server()
    user = make_user(server)
    session, data = user.upload([b"one", b"two"])
    assert data == user.complete(session, 2).json()["data"]
    refused(user.complete(session, 1), 409)
    server.stop()
    server.start_again()
    assert data == user.complete(session, 2).json()["data"]
    refused(user.send(session, 0, b"late"), 409)
    assert b"onetwo" == user.download().content


def test_six_completions_give_one_file(user: Chunker) -> None:
    """Completions at the same moment all give the same one file."""
    session = user.init()
    for index in range(4):
        user.send(session, index, random.Random(index).randbytes(300 * KIB))
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: user.complete(session, 4), range(6)))
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["data"]["file_id"] for answer in answers})
    assert 1 == len(user.files())


def test_a_second_upload_replaces_only_when_it_is_whole(server: Any, user: Chunker) -> None:
    """Until the second upload of a file id is complete the first one is served; then its bytes go."""
    first, _ = user.upload([b"1" * MIB])
    second = user.init()
    user.send(second, 0, b"22")
    refused(user.complete(second, 2), 409)
    assert b"1" * MIB == user.download().content
    user.send(second, 1, b"22")
    assert 200 == user.complete(second, 2).status_code
    assert b"2222" == user.download().content
    refused(user.complete(first, 1), 404)
    assert 4 == kept_bytes(server, second)
    assert eventually(lambda: 0 == kept_bytes(server, first))
    assert 1 == len(user.files())


# --- sessions: durable, deletable, expiring (H6, H8) ---------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
def test_sessions_survive_a_restart(make_server: Callable[..., Any], make_user: MakeUser, how: signal.Signals) -> None:
    """Chunks that were acknowledged before the server ended are part of the file that is completed after it."""
    server = make_server()
    user = make_user(server)
    pieces = [random.Random(index).randbytes(700 * KIB) for index in range(4)]
    session = user.init()
    for index in (2, 0):
        assert 200 == user.send(session, index, pieces[index], order="cis" if index else "sic").status_code
    server.stop(how)
    server.start_again()
    assert [1, 3] == refused(user.complete(session, 4), 409)["missing"]
    for index in (3, 1):
        assert 200 == user.send(session, index, pieces[index]).status_code
    assert 200 == user.complete(session, 4).status_code
    assert b"".join(pieces) == user.download().content


def test_a_deleted_session_is_gone(server: Any, user: Chunker) -> None:
    """After DELETE the session takes no chunk and completes no file, and its bytes are off the disk."""
    session = user.init()
    user.send(session, 0, b"x" * MIB)
    assert MIB == kept_bytes(server, session)
    for _ in range(2):
        assert SESSION_DELETED == user.delete(upload_session_id=session).json()["message"]
    assert 0 == kept_bytes(server, session)
    for order in ("sic", "cis", "sci"):
        refused(user.send(session, 0, b"y" * MIB, order=order), 404, NO_SESSION)
    refused(user.complete(session, 1), 404, "Invalid upload_session_id or file_id.")
    assert 0 == kept_bytes(server, session)


def test_finished_files_can_be_deleted(server: Any, user: Chunker) -> None:
    """By their session or by their file id; the bytes go with them."""
    session, _ = user.upload([b"a"], file_id=1)
    other, _ = user.upload([b"b"], file_id=2)
    both, _ = user.upload([b"c"], file_id=3)
    assert SESSION_DELETED == user.delete(upload_session_id=session).json()["message"]
    assert "File 2 deleted successfully." == user.delete(file_id=2).json()["message"]
    refused(user.delete(upload_session_id=both, file_id=4), 404)
    assert b"c" == user.download(3).content
    assert "File 3 deleted successfully." == user.delete(upload_session_id=both, file_id=3).json()["message"]
    assert [] == user.files()
    refused(user.download(1), 404, "File not found.")
    assert eventually(lambda: 0 == sum(kept_bytes(server, one) for one in (session, other, both)))


def test_deleting_needs_to_say_what(user: Chunker) -> None:
    """Refusals of DELETE are errors by their status too: the original answered 200."""
    for body in ({}, {"upload_session_id": None}, {"file_id": None, "other": 1}):
        refused(user.delete(**body), 400, "You must provide upload_session_id.")
    refused(user.http.delete("/upload/file"), 400, "You must provide upload_session_id.")
    refused(user.delete(upload_session_id="nope"), 404, NO_SESSION)
    refused(user.delete(file_id=99), 404, "File not found.")


def test_idle_sessions_expire(make_server: Callable[..., Any], make_user: MakeUser) -> None:
    """A session that nobody continues is given up with its bytes, and its room is free again."""
    server = make_server(CARRYALL_JWT_TOTAL_MB="1")
    user = make_user(server)
    session = user.init()
    assert 200 == user.send(session, 0, b"x" * MIB).status_code
    server.stop()
    server.change_catalog("UPDATE uploads SET expires_at = 1")  # as if five days had gone by
    server.change_catalog("UPDATE jobs SET run_at = 1 WHERE kind = 'expire'")
    server.start_again()
    assert eventually(lambda: 0 == kept_bytes(server, session))
    refused(user.send(session, 0, b"x"), 404, NO_SESSION)
    user.upload([b"y" * MIB])


# --- whose is what (threats 11, 12; H7, H11, H12) ------------------------------------------------------------------


def test_lists_show_urls_of_ones_own_files(server: Any, user: Chunker, make_user: MakeUser) -> None:
    """The list has a URL for each of the user's files and nobody else's, and each one can be fetched."""
    other = make_user(server)
    for file_id in (3, 1, 2):
        user.upload([b"%d" % file_id], file_id=file_id, name=f"{file_id}.mp3")
    other.upload([b"other"], file_id=3)
    user.init(9)
    assert 201 == user.http.post("/v1/files?fileName=plain.mp3", content=b"without a number").status_code
    assert [f"{server.url}/upload/download/{file_id}" for file_id in (1, 2, 3)] == user.files()
    assert [b"1", b"2", b"3"] == [user.http.get(url).content for url in user.files()]
    assert str(server.data_dir) not in user.http.get("/upload/files").text


def test_lists_of_equal_names_are_whole(user: Chunker) -> None:
    """Files of the same name are each listed once."""
    for file_id in range(20):
        user.upload([b"x"], file_id=file_id, name="same.mp3")
    found = [urlsplit(url).path for url in user.files()]
    assert sorted(f"/upload/download/{file_id}" for file_id in range(20)) == sorted(found)


def test_other_peoples_sessions_are_unknown(server: Any, user: Chunker, make_user: MakeUser) -> None:
    """A stranger's request for a session gets the answer of a session that isn't there, and changes nothing."""
    stranger = make_user(server)
    session = user.init()
    user.send(session, 0, b"mine")
    for order in ("sic", "cis"):
        refused(stranger.send(session, 0, b"yours", order=order), 404, NO_SESSION)
        unknown = stranger.send(secrets.token_urlsafe(16), 0, b"yours", order=order)
        refused(unknown, 404, NO_SESSION)
    refused(stranger.complete(session, 1), 404)
    refused(stranger.delete(upload_session_id=session), 404, NO_SESSION)
    user.complete(session, 1)
    refused(stranger.complete(session, 1), 404)
    refused(stranger.delete(upload_session_id=session), 404)
    refused(stranger.delete(file_id=7), 404)
    refused(stranger.download(), 404)
    assert b"mine" == user.download().content


def test_file_ids_of_users_never_meet(server: Any, user: Chunker, make_user: MakeUser) -> None:
    """Two users with the same file id have a session and a file each: an id that a client names is no key (H12)."""
    other = make_user(server)
    mine, theirs = user.init(5), other.init(5)
    assert mine != theirs
    assert min(len(mine), len(theirs)) >= 22  # 128 bits
    user.send(mine, 0, b"mine")
    other.send(theirs, 0, b"theirs")
    assert 200 == other.complete(theirs, 1, 5).status_code
    assert 200 == user.complete(mine, 1, 5).status_code
    assert (b"mine", b"theirs") == (user.download(5).content, other.download(5).content)


@pytest.mark.parametrize("claim", [5, "5"])
def test_a_token_for_one_file_gets_no_other(server: Any, make_user: MakeUser, claim: Any) -> None:
    """The claim file_id is enforced on every route; a request that names another file is a 403 before any look-up."""
    subject = f"u{secrets.token_hex(6)}"
    wide, narrow = make_user(server, subject), make_user(server, subject, file_id=claim)
    others, _ = wide.upload([b"six"], file_id=6)
    started = wide.init(6)
    denied = "Access denied. JWT is for file 5, but you requested file 6."
    refused(narrow.http.post("/upload/init", json={"main_service_file_id": 6, "original_file_name": "a"}), 403, denied)
    refused(narrow.complete(others, 1, 6), 403, denied)
    refused(narrow.delete(file_id=6), 403, denied)
    refused(narrow.delete(file_id=6, upload_session_id=others), 403, denied)
    refused(narrow.download(6), 403, denied)
    refused(narrow.download(1234), 403)
    for order in ("sic", "cis"):
        refused(narrow.send(started, 0, b"x", order=order), 404, NO_SESSION)
    refused(narrow.delete(upload_session_id=started), 404, NO_SESSION)
    refused(narrow.complete(started, 1, 5), 404)
    assert [] == narrow.files()
    narrow.upload([b"five"], file_id=5)
    assert (1, 2) == (len(narrow.files()), len(wide.files()))
    assert b"five" == narrow.download(5).content
    assert "File 5 deleted successfully." == narrow.delete(file_id="5").json()["message"]
    assert b"six" == wide.download(6).content


def test_the_claim_can_be_required(make_server: Callable[..., Any], make_user: MakeUser) -> None:
    """With CARRYALL_JWT_REQUIRE_FILE_ID a token without the claim is refused on every route."""
    server = make_server(CARRYALL_JWT_REQUIRE_FILE_ID="true")
    refused(make_user(server).http.get("/upload/files"), 403)
    assert [] == make_user(server, file_id=5).files()


# --- names (H4, threats 1, 5, 26) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../../../../pwned.txt",
        "/etc/passwd",
        "..\\..\\pwned.txt",
        "C:\\Windows\\pwned.txt",
        "a\r\nX-Evil: 1.txt",
        "nul\x00byte.txt",
        "con",
        ".",
        "..",
        "naïve – 音楽 🎵.mp3",
        'quo"te\\.mp3',
        "x" * 4096,
    ],
)
def test_names_are_data(server: Any, user: Chunker, name: str) -> None:
    """No name leaves the data folder, fails, or reaches a header raw."""
    before = {path.name for path in server.data_dir.parent.iterdir()}
    user.upload([b"x"], name=name)
    answer = user.download()
    disposition = answer.headers["content-disposition"]
    assert b"x" == answer.content
    assert disposition.isascii()
    assert not set("/\0\r\n") & set(disposition)
    assert "x-evil" not in answer.headers
    assert before == {path.name for path in server.data_dir.parent.iterdir()}
    assert not [path for path in server.data_dir.rglob("*") if "pwned" in path.name]


def test_names_have_an_end(user: Chunker) -> None:
    """A name that is empty, or longer than any real one, is refused."""
    for name in ("", "x" * 4097):
        refused(user.http.post("/upload/init", json={"main_service_file_id": 7, "original_file_name": name}), 422)
