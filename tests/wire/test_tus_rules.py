"""tus 1.0.0 over real sockets: headers, creation, offsets, sizes, metadata, checksums (docs/protocols.md, T-…)."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

MIB = 1 << 20
EXTENSIONS = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
    "checksum-trailer",
}
DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    **{name: lambda data, name=name: hashlib.new(name, data).digest() for name in ("sha1", "sha256", "sha512", "md5")},
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
}
ENDPOINTS = ["/files", "/files/", "/v1/uploads", "/v1/uploads/", "/upload_tus", "/upload_tus/"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Give bytes of a length that is not announced."""
    yield from (data[at : at + size] for at in range(0, len(data), size))


def code_of(answer: Any) -> tuple[int, str]:
    """Give a refusal's status and code; every answer says which tus it speaks."""
    assert "1.0.0" == answer.headers["Tus-Resumable"]
    return answer.status_code, answer.json()["code"]


# --- what is spoken (A1, A4) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_T_O1_options_tell_what_is_spoken(server: Any, endpoint: str) -> None:
    """OPTIONS lists version, extensions and algorithms to anybody, whatever version they name (T-O2, T-H3, T-H4)."""
    with server.client(headers={"Tus-Resumable": "0.2.1"}) as stranger:
        answer = stranger.options(endpoint)

    assert 204 == answer.status_code
    assert "1.0.0" == answer.headers["Tus-Version"]
    assert EXTENSIONS == set(answer.headers["Tus-Extension"].split(","))
    assert ["sha1", "sha256", "sha512", "md5", "crc32"] == answer.headers["Tus-Checksum-Algorithm"].split(",")


def test_T_O3_options_of_an_upload(server: Any, tus: Any) -> None:
    """OPTIONS of an upload's URL tells the same and nothing of the upload."""
    with server.client() as stranger:
        answer = stranger.options(tus.begin(5))

    assert (204, "1.0.0") == (answer.status_code, answer.headers["Tus-Version"])
    assert "Upload-Offset" not in answer.headers


def test_T_H5_the_largest_size_is_told(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """Where every plan has a limit, OPTIONS tells the largest; one byte more is 413, and makes nothing (T-C4)."""
    server = make_server(FILE_SIZE_LIMIT_MB="1", CARRYALL_JWT_MAX_FILE_MB="1", CARRYALL_SERVICE_MAX_FILE_MB="1")
    tus = make_tus(server)

    assert str(MIB) == tus.http.options("/files/").headers["Tus-Max-Size"]
    assert (413, "too_large") == code_of(tus.create(MIB + 1))
    assert 201 == tus.create(MIB).status_code


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_T_C3_each_endpoint_takes_uploads(server: Any, make_tus: Callable[..., Any], endpoint: str) -> None:
    """Creation answers 201 with a Location below its own endpoint, which is random; PATCH fills it (T-P3, T-C10)."""
    tus = make_tus(server, endpoint=endpoint)
    url = tus.upload(b"hello")

    assert url.startswith(f"{server.url}{endpoint.rstrip('/')}/")
    assert len(url.rpartition("/")[2]) == 22
    assert url != tus.begin(5)
    assert 5 == tus.offset(url)


@pytest.mark.parametrize(
    ("method", "version"),
    [(method, version) for method in ("POST", "HEAD", "PATCH", "DELETE") for version in ("0.2.2", "1.0.1", "")]
    + [("POST", None), ("PATCH", None)],  # the others could be another protocol's, and are answered as such
)
def test_T_H2_another_version_changes_nothing(tus: Any, method: str, version: str | None) -> None:
    """A request in another version, or in none, is 412 with Tus-Version, and isn't carried out."""
    url = tus.begin(5)
    del tus.http.headers["Tus-Resumable"]
    headers = {"Upload-Length": "5", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    headers |= {} if version is None else {"Tus-Resumable": version}
    answer = tus.http.request(method, "/files/" if method == "POST" else url, headers=headers, content=b"")
    tus.http.headers["Tus-Resumable"] = "1.0.0"

    assert (412, "1.0.0") == (answer.status_code, answer.headers["Tus-Version"])
    assert "Location" not in answer.headers
    assert "Upload-Offset" not in answer.headers
    assert 0 == tus.offset(url)


def test_T_H1_refusals_say_their_version_too(server: Any, make_tus: Callable[..., Any]) -> None:
    """Errors carry Tus-Resumable as every answer does: nobody known, nothing there, no such method."""
    stranger = make_tus(server, {})
    tus = make_tus(server)

    assert (401, "token_missing") == code_of(stranger.create(5))
    assert (404, "upload_not_found") == code_of(tus.patch("/files/" + "a" * 22, 0, b"x"))
    answer = tus.http.post(tus.begin(5))
    assert (405, "method_not_allowed") == code_of(answer)
    assert "PATCH" in answer.headers["Allow"]


BAD_NUMBERS = ["-1", "+5", "1e3", "5.0", "", "0x5", "1_0", "9223372036854775808", "\u0665", "5, 5"]


@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_T_H6_numbers_are_whole(tus: Any, value: str) -> None:
    """A size or an offset that isn't one plain number is 400, and nothing changes."""
    url = tus.begin(5)

    assert (400, "header_invalid") == code_of(tus.http.post("/files/", headers=[(b"Upload-Length", value.encode())]))
    headers = [(b"Upload-Offset", value.encode()), (b"Content-Type", b"application/offset+octet-stream")]
    assert (400, "header_invalid") == code_of(tus.http.patch(url, headers=headers, content=b"hello"))
    assert 0 == tus.offset(url)


@pytest.mark.parametrize("name", ["Upload-Offset", "Upload-Checksum", "Upload-Length"])
def test_T_H6_a_field_stands_once(tus: Any, name: str) -> None:
    """Two lines of one field are 400: which of them is meant can't be known."""
    url = tus.begin()
    value = {"Upload-Checksum": "sha1 " + b64(DIGESTS["sha1"](b"x"))}.get(name, "0")
    headers = [("Upload-Offset", "0"), ("Content-Type", "application/offset+octet-stream")]
    headers += [(name, value), (name, value)] if name != "Upload-Offset" else [(name, "1")]

    assert (400, "header_invalid") == code_of(tus.http.patch(url, headers=headers, content=b"x"))
    assert 0 == tus.offset(url)


def test_T_H7_an_override_is_the_method_that_is_meant(tus: Any) -> None:
    """POST with X-HTTP-Method-Override is carried out as that method, in every respect."""
    url = tus.begin(5)
    stream = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    sent = tus.http.post(url, headers={"X-HTTP-Method-Override": "PATCH", **stream}, content=b"hel")
    told = tus.http.post(url, headers={"X-HTTP-Method-Override": "HEAD"})
    ended = tus.http.post(url, headers={"X-HTTP-Method-Override": "DELETE"})

    assert (204, "3") == (sent.status_code, sent.headers["Upload-Offset"])
    assert (200, "3", b"") == (told.status_code, told.headers["Upload-Offset"], told.content)
    assert 204 == ended.status_code
    assert 410 == tus.head(url).status_code


# --- offsets (A2, A3) ----------------------------------------------------------------------------------------------


def test_T_HD2_head_always_tells_the_offset(tus: Any) -> None:
    """HEAD tells offset and length at the start, in the middle and at the end, and is never cached (T-HD3, T-HD4)."""
    url = tus.begin(6)
    for at, piece in ((0, b"abc"), (3, b"def"), (6, b"")):
        answer = tus.head(url)
        assert (200, str(at), "6") == (
            answer.status_code,
            answer.headers["Upload-Offset"],
            answer.headers["Upload-Length"],
        )
        assert "no-store" == answer.headers["Cache-Control"]
        assert answer.headers.get("Content-Length", "0") == "0"
        assert 204 == tus.patch(url, at, piece).status_code
    assert b"abcdef" == tus.file(url)


def test_T_HD5_what_isnt_there_has_no_offset(tus: Any) -> None:
    """An unknown upload is 404 on every verb, without an offset (T-P4)."""
    for method in ("HEAD", "PATCH", "DELETE", "GET"):
        headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        answer = tus.http.request(method, "/files/" + "z" * 22, headers=headers)
        assert 404 == answer.status_code
        assert "Upload-Offset" not in answer.headers


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "text/plain", "application/partial-upload"])
def test_T_P1_bytes_have_their_type(tus: Any, kind: str | None) -> None:
    """A PATCH of another type is 415, and nothing changes."""
    url = tus.begin(5)
    headers = {"Upload-Offset": "0"} | ({"Content-Type": kind} if kind else {})
    answer = tus.http.patch(url, content=b"hello", headers=headers)

    assert 415 == answer.status_code
    assert 0 == tus.offset(url)


@pytest.mark.parametrize("offset", [0, 2, 4, 5, 6, 2**62])
def test_T_P2_a_wrong_offset_changes_nothing(tus: Any, offset: int) -> None:
    """A PATCH that begins elsewhere than the upload ends is 409, and says where it should."""
    url = tus.begin(5)
    tus.patch(url, 0, b"hel")
    answer = tus.patch(url, offset, b"lo")

    assert (409, "offset_mismatch") == code_of(answer)
    assert 3 == answer.json()["offset"]
    assert 3 == tus.offset(url)
    tus.patch(url, 3, b"lo")
    assert b"hello" == tus.file(url)


def test_T_P2_an_offset_is_needed(tus: Any) -> None:
    """A PATCH without an offset is 400."""
    headers = {"Content-Type": "application/offset+octet-stream"}
    assert (400, "header_invalid") == code_of(tus.http.patch(tus.begin(5), content=b"hello", headers=headers))


def test_T_P7_no_byte_goes_past_the_length(tus: Any) -> None:
    """A body that is longer than what is missing is 413, known or not, and what is there stays (T-P2)."""
    url = tus.begin(5)
    tus.patch(url, 0, b"hel")

    assert (413, "too_large") == code_of(tus.patch(url, 3, b"long"))
    assert 3 == tus.offset(url)
    assert (413, "too_large") == code_of(tus.patch(url, 3, pieces(b"l" * MIB, 1000)))
    assert tus.offset(url) in (3, 4, 5)
    tus.patch(url, tus.offset(url), b"lo"[tus.offset(url) - 3 :])
    assert b"hel" == tus.file(url)[:3]


def test_T_P8_nothing_may_be_sent(tus: Any) -> None:
    """A PATCH of no bytes at the right offset is 204, also on a complete upload, with or without a length."""
    url = tus.begin(5)
    for offset, data in ((0, b""), (0, b"hello"), (5, b""), (5, iter(()))):
        answer = tus.patch(url, offset, data)
        assert (204, str(offset + len(data or b"") if isinstance(data, bytes) else offset)) == (
            answer.status_code,
            answer.headers["Upload-Offset"],
        )
    assert (409, "upload_closed") == code_of(tus.patch(url, 5, b"x"))
    assert b"hello" == tus.file(url)


def test_T_P9_a_body_needs_no_length(tus: Any) -> None:
    """A chunked PATCH works, over many chunks."""
    data = bytes(range(256)) * 4096
    url = tus.begin(len(data))
    answer = tus.patch(url, 0, pieces(data, 10_007))

    assert (204, str(len(data))) == (answer.status_code, answer.headers["Upload-Offset"])
    assert data == tus.file(url)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB])
def test_T_P10_one_patch_or_many(tus: Any, size: int) -> None:
    """A file of any size arrives as it is, in one request or in several over one connection (matrix row 1)."""
    data = hashlib.sha256(b"x").digest() * (size // 32 + 1)
    data = data[:size]
    whole = tus.upload(data)
    url = tus.begin(size)
    for at in range(0, size, size // 3 + 1):
        assert 204 == tus.patch(url, at, data[at : at + size // 3 + 1]).status_code

    assert data == tus.file(whole) == tus.file(url)


# --- creation (A5) -------------------------------------------------------------------------------------------------


def test_T_C2_a_size_now_or_later(tus: Any) -> None:
    """A creation names its length or defers it; neither, both, or another word than 1 is 400 (T-D1)."""
    later = {"Upload_Defer_Length": "1"}
    for answer in (
        tus.create(),
        tus.create(5, **later),
        *(tus.create(Upload_Defer_Length=word) for word in ("0", "2", "true", "")),
    ):
        assert (400, "header_invalid") == code_of(answer)
    assert 201 == tus.create(**later).status_code


def test_T_C5_no_bytes_are_a_file_at_once(tus: Any) -> None:
    """An upload of length 0 is complete when it is created: its file is there, without a PATCH."""
    url = tus.begin(0, Upload_Metadata="filename " + b64(b"empty.txt"))

    assert b"" == tus.file(url)
    assert 0 == tus.offset(url)
    assert ["empty.txt"] == [one["name"] for one in tus.http.get("/v1/files").json()["files"]]


BAD_METADATA = [
    ",",
    "a Zg==,",
    "a Zg==,a Zg==",
    "a Z",
    "a Zg",
    "a Zg=!",
    "a Zm9v_-==",
    "a é",
    "é Zg==",
    "filename /w==",
    "filetype /w==",
]


@pytest.mark.parametrize("text", BAD_METADATA)
def test_T_C6_metadata_that_cant_be_read_is_refused(tus: Any, text: str) -> None:
    """Empty, repeated or odd keys, values that aren't base64, and names that aren't text are 400."""
    headers = [(b"Upload-Length", b"5"), (b"Upload-Metadata", text.encode("latin-1"))]
    answer = tus.http.post("/files/", headers=headers)

    assert (400, "metadata_invalid") == code_of(answer)


GOOD_METADATA = [
    "filename YS50eHQ=",
    "filename YS50eHQ=,empty",
    "filename YS50eHQ=, empty ,filetype dGV4dC9wbGFpbg==",
    "name YS50eHQ=,relativePath Li4vLi4vYQ==",
    "filename YS50eHQ=,bytes //4=",
    "filename YS50eHQ=,long " + b64(b"x" * 7500),
]


@pytest.mark.parametrize("text", GOOD_METADATA)
def test_T_C7_metadata_comes_back_as_it_was_sent(tus: Any, text: str) -> None:
    """HEAD repeats Upload-Metadata to the letter, before and after the end; the name is the file's (T-C6)."""
    url = tus.begin(5, Upload_Metadata=text)

    assert text == tus.head(url).headers["Upload-Metadata"]
    tus.patch(url, 0, b"hello")
    assert text == tus.head(url).headers["Upload-Metadata"]
    assert "a.txt" in tus.http.get(url).headers["Content-Disposition"]


NASTY_NAMES = ["../../etc/passwd", "a\r\nSet-Cookie: b", "nul\x00l", "CON", "dots...", "\u202egpj.exe", "ñ" * 200, "/"]


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_T_C8_names_are_data(tus: Any, name: str) -> None:
    """A name is kept as it is, names no path, and goes out safely in a header."""
    url = tus.upload(b"hello", Upload_Metadata="filename " + b64(name.encode()))
    answer = tus.http.get(url)

    assert [name] == [one["name"] for one in tus.http.get("/v1/files").json()["files"]]
    assert answer.headers["Content-Disposition"].isascii()
    assert "Set-Cookie" not in answer.headers
    assert b"hello" == answer.content


def test_T_C9_a_name_may_be_refused(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """A name that is too long is 400 before a byte; nothing is left."""
    server = make_server()
    tus = make_tus(server)
    answer = tus.create(5, Upload_Metadata="filename " + b64(b"x" * 4097))

    assert (400, "name_too_long") == code_of(answer)
    server.cli("doctor")


def test_T_C7_nothing_said_nothing_told(tus: Any) -> None:
    """An upload without metadata has no Upload-Metadata, and its file a plain name."""
    url = tus.upload(b"hello")

    assert "Upload-Metadata" not in tus.head(url).headers
    assert 'filename="file"' in tus.http.get(url).headers["Content-Disposition"]


# --- a size that comes later (A5) ----------------------------------------------------------------------------------


def test_T_D2_a_length_that_comes_with_the_last_patch(tus: Any) -> None:
    """While the length is unknown HEAD says so; the PATCH that tells it may bring the rest (T-D3)."""
    url = tus.begin()
    tus.patch(url, 0, b"hel")
    before = tus.head(url).headers
    answer = tus.patch(url, 3, b"lo", Upload_Length="5")

    assert ("1", "3") == (before["Upload-Defer-Length"], before["Upload-Offset"])
    assert "Upload-Length" not in before
    assert 204 == answer.status_code
    assert "5" == tus.head(url).headers["Upload-Length"]
    assert "Upload-Defer-Length" not in tus.head(url).headers
    assert b"hello" == tus.file(url)


def test_T_D3_a_length_doesnt_change(tus: Any) -> None:
    """A second, other length is 400 and changes nothing; the same one may be repeated."""
    url = tus.begin()

    assert 204 == tus.patch(url, 0, b"hel", Upload_Length="5").status_code
    assert (400, "size_changed") == code_of(tus.patch(url, 3, b"lo", Upload_Length="6"))
    assert 3 == tus.offset(url)
    assert 204 == tus.patch(url, 3, b"lo", Upload_Length="5").status_code
    assert b"hello" == tus.file(url)


def test_T_D3_a_wrong_offset_fixes_no_length(tus: Any) -> None:
    """A PATCH at a wrong offset changes nothing, its Upload-Length included (T-P2)."""
    url = tus.begin()
    tus.patch(url, 0, b"hel")

    assert (409, "offset_mismatch") == code_of(tus.patch(url, 2, b"lo", Upload_Length="4"))
    assert (413, "too_large") == code_of(tus.patch(url, 3, b"lo", Upload_Length="4"))
    assert "1" == tus.head(url).headers["Upload-Defer-Length"]
    assert 204 == tus.patch(url, 3, b"lo", Upload_Length="5").status_code


def test_T_D4_a_length_that_cant_be(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """A length below what is held is 400, one above the plan's limit 413; the very number of bytes ends the upload."""
    tus = make_tus(make_server(CARRYALL_JWT_MAX_FILE_MB="1"))
    url = tus.begin()
    tus.patch(url, 0, b"hello")

    assert (400, "size_too_small") == code_of(tus.patch(url, 5, Upload_Length="4"))
    assert (413, "too_large") == code_of(tus.patch(url, 5, Upload_Length=str(MIB + 1)))
    assert 204 == tus.patch(url, 5, Upload_Length="5").status_code
    assert b"hello" == tus.file(url)


def test_T_D5_the_limit_holds_while_the_length_is_unknown(
    make_server: Callable[..., Any], make_tus: Callable[..., Any]
) -> None:
    """An upload of unknown length ends at the plan's limit, and can be completed there."""
    tus = make_tus(make_server(CARRYALL_JWT_MAX_FILE_MB="1"))
    url = tus.begin()

    assert 204 == tus.patch(url, 0, bytes(MIB - 1)).status_code
    assert (413, "too_large") == code_of(tus.patch(url, MIB - 1, b"xx"))
    assert (413, "too_large") == code_of(tus.patch(url, MIB - 1, pieces(bytes(MIB), 4096)))
    at = tus.offset(url)
    assert at <= MIB
    assert 204 == tus.patch(url, at, b"x" * (MIB - at), Upload_Length=str(MIB)).status_code
    assert MIB == len(tus.file(url))


# --- creation with bytes (A5) --------------------------------------------------------------------------------------


def test_T_W3_a_creation_brings_bytes(tus: Any) -> None:
    """Bytes in the POST are kept: all of them make the file, a part is told by its offset."""
    whole, some = tus.create(5, b"hello"), tus.create(5, pieces(b"hel", 1))
    later = tus.create(None, b"hel", Upload_Defer_Length="1")

    assert [(201, "5"), (201, "3"), (201, "3")] == [
        (answer.status_code, answer.headers["Upload-Offset"]) for answer in (whole, some, later)
    ]
    assert b"hello" == tus.file(whole.headers["Location"])
    tus.patch(some.headers["Location"], 3, b"lo")
    assert b"hello" == tus.file(some.headers["Location"])


def test_T_W2_bytes_of_another_type_are_refused(tus: Any) -> None:
    """A creation with a body that isn't said to be the upload's is 415, and makes nothing."""
    for body in (b"hello", pieces(b"hello", 2)):
        headers = {"Upload-Length": "5", "Content-Type": "text/plain"}
        assert 415 == tus.http.post("/files/", headers=headers, content=body).status_code
    assert 0 == tus.http.get("/v1/me").json()["usage"]["open_uploads"]


@pytest.mark.parametrize("data", [b"hello, world", b"hell\x00"])
def test_T_W6_what_is_refused_isnt_kept(tus: Any, data: bytes) -> None:
    """A creation whose bytes are too many or the wrong ones leaves nothing: its client hears no Location."""
    wrong = "sha1 " + b64(DIGESTS["sha1"](b"hello"))
    answer = tus.create(5, data, **({"Upload_Checksum": wrong} if len(data) == 5 else {}))

    assert answer.status_code == (460 if len(data) == 5 else 413)
    assert "Location" not in answer.headers
    assert (0, 0) == tuple(tus.http.get("/v1/me").json()["usage"][name] for name in ("open_uploads", "reserved_bytes"))


# --- checksums (A8) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_T_K4_mismatch_keeps_offset(tus: Any, algorithm: str) -> None:
    """Bytes that aren't the announced ones are 460, and the offset stays, also for HEAD; sent again, they count."""
    digest = DIGESTS[algorithm]
    url = tus.begin(8)
    assert 204 == tus.patch(url, 0, b"abcd", Upload_Checksum=f"{algorithm} {b64(digest(b'abcd'))}").status_code
    right = f"{algorithm} {b64(digest(b'efgh'))}"

    assert (460, "digest_mismatch") == code_of(tus.patch(url, 4, b"efgX", Upload_Checksum=right))
    assert 4 == tus.offset(url)
    assert 204 == tus.patch(url, 4, b"efgh", Upload_Checksum=right).status_code
    assert b"abcdefgh" == tus.file(url)


def test_T_K2_a_checksum_is_of_one_body(tus: Any) -> None:
    """The digest is of this request's bytes, in whatever pieces they come, and large."""
    data = bytes(range(256)) * 12_288  # 3 MiB
    url = tus.begin(len(data))
    half = len(data) // 2
    for at in (0, half):
        digest = f"sha256 {b64(hashlib.sha256(data[at : at + half]).digest())}"
        assert 204 == tus.patch(url, at, pieces(data[at : at + half], 9973), Upload_Checksum=digest).status_code
    assert data == tus.file(url)


BAD_CHECKSUMS = [
    ("crc32c AAAAAA==", "checksum_unknown"),
    ("SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "checksum_unknown"),
    ("", "checksum_unknown"),
    ("sha1", "digest_malformed"),
    ("sha1 !!!", "digest_malformed"),
    ("sha1 é", "digest_malformed"),
    ("sha1 AAAA", "digest_malformed"),
    ("sha256 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "digest_malformed"),
]


@pytest.mark.parametrize(("text", "code"), BAD_CHECKSUMS)
def test_T_K3_a_checksum_that_isnt_understood(tus: Any, text: str, code: str) -> None:
    """An unknown algorithm or a digest that can't be is 400 before the body, and nothing changes (T-K6)."""
    url = tus.begin(5)
    headers = [
        (b"Upload-Offset", b"0"),
        (b"Content-Type", b"application/offset+octet-stream"),
        (b"Upload-Checksum", text.encode("latin-1")),
    ]

    assert (400, code) == code_of(tus.http.patch(url, headers=headers, content=b"hello"))
    assert 0 == tus.offset(url)


# --- other clients' needs (A10) ------------------------------------------------------------------------------------


def test_T_A10_browsers_may_read_what_tus_says(server: Any, tus: Any) -> None:
    """A browser of another origin may send every tus header, and read every one that comes back."""
    asked = "authorization,upload-offset,upload-length,tus-resumable,upload-metadata,upload-concat,upload-checksum"
    origin = {"Origin": "https://example.org"}
    preflight = {**origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": asked}
    with server.client() as browser:
        allowed = browser.options("/files/" + "a" * 22, headers=preflight)
    answer = tus.create(5, **origin)
    exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}

    assert 200 == allowed.status_code
    assert "86400" == allowed.headers["Access-Control-Max-Age"]
    methods = {name.strip() for name in allowed.headers["Access-Control-Allow-Methods"].split(",")}
    assert {"POST", "HEAD", "PATCH", "OPTIONS", "GET", "DELETE", "PUT"} <= methods
    assert set(asked.split(",")) <= {
        name.strip().lower() for name in allowed.headers["Access-Control-Allow-Headers"].split(",")
    }
    assert {"location", "upload-offset", "upload-expires", "upload-metadata", "tus-resumable", "etag"} <= exposed
