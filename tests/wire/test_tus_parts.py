"""tus concatenation: partial uploads and what becomes of them (docs/protocols.md, T-N1 to T-N10)."""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

MIB = 1 << 20
NAMED = "filename " + base64.b64encode(b"whole.txt").decode()


def part(tus: Any, data: bytes) -> str:
    """Upload a part; give its URL."""
    return str(tus.upload(data, Upload_Concat="partial"))


def join(tus: Any, *urls: str, **headers: str) -> Any:
    """Ask for a final upload of these parts."""
    return tus.create(Upload_Concat="final;" + " ".join(urls), **headers)


def usage(tus: Any) -> tuple[int, int, int]:
    """Give the bytes that are stored and reserved, and the uploads under way."""
    found = tus.http.get("/v1/me").json()["usage"]
    return found["stored_bytes"], found["reserved_bytes"], found["open_uploads"]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_T_N4_parts_are_joined_in_the_given_order(tus: Any) -> None:
    """The final's bytes are the parts' in the order of its URLs, whatever order they came in (T-N3)."""
    one, two, three = part(tus, b"one,"), part(tus, b"two,"), part(tus, b"three")
    answer = join(tus, two, urlsplit(three).path, one)
    url = answer.headers["Location"]

    assert (201, "13") == (answer.status_code, answer.headers["Upload-Offset"])
    assert b"two,threeone," == tus.file(url)
    assert "13" == tus.head(url).headers["Upload-Length"]
    assert (13, 0, 0) == usage(tus)


def test_T_N3_a_part_may_come_twice(tus: Any) -> None:
    """The same part may stand several times, and takes room each time."""
    one, two = part(tus, b"la"), part(tus, b" di")

    assert b"lala dila" == tus.file(join(tus, one, one, two, one).headers["Location"])
    assert (9, 0, 0) == usage(tus)


def test_T_N4_parts_of_no_bytes(tus: Any) -> None:
    """Empty parts join to nothing, alone and between others."""
    empty, some = part(tus, b""), part(tus, b"some")
    assert b"some" == tus.file(join(tus, empty, some).headers["Location"])
    other = part(tus, b"")
    answer = join(tus, other)

    assert (201, "0") == (answer.status_code, answer.headers["Upload-Offset"])
    assert b"" == tus.file(answer.headers["Location"])


def test_T_N5_a_final_may_wait_for_its_parts(tus: Any) -> None:
    """A final over unfinished parts is complete when the last of them is; until then it tells no offset (T-N8)."""
    one, two = tus.begin(3, Upload_Concat="partial"), tus.begin(3, Upload_Concat="partial")
    url = join(tus, one, two).headers["Location"]
    assert 204 == tus.patch(two, 0, b"def").status_code
    before = tus.head(url).headers
    assert 204 == tus.patch(one, 0, b"abc").status_code

    assert "Upload-Offset" not in before
    assert "Upload-Length" not in before
    assert f"final;{one} {two}" == before["Upload-Concat"]
    assert ("6", "6") == tuple(tus.head(url).headers[name] for name in ("Upload-Offset", "Upload-Length"))
    assert b"abcdef" == tus.file(url)
    assert (6, 0, 0) == usage(tus)


def test_T_N5_a_final_ends_with_its_part(tus: Any) -> None:
    """When a part of a waiting final is given up, the others' PATCH still works, and the final says what is wrong."""
    one, two = tus.begin(3, Upload_Concat="partial"), tus.begin(3, Upload_Concat="partial")
    url = join(tus, one, two).headers["Location"]
    assert 204 == tus.http.delete(one).status_code

    assert 204 == tus.patch(two, 0, b"def").status_code
    assert 400 == tus.head(url).status_code
    assert 204 == tus.http.delete(url).status_code
    assert 410 == tus.head(url).status_code


@pytest.mark.parametrize("kind", ["normal", "file", "final", "unknown", "foreign", "deleted", "host", "path", "none"])
def test_T_N5_only_own_parts_are_joined(server: Any, tus: Any, make_tus: Callable[..., Any], kind: str) -> None:
    """Whole uploads, finals, others' parts, other servers and nonsense are 400, all alike, and nothing is made."""
    good = part(tus, b"good")
    urls = {
        "normal": lambda: tus.begin(4),
        "file": lambda: tus.upload(b"file"),
        "final": lambda: join(tus, part(tus, b"final")).headers["Location"],
        "unknown": lambda: "/files/" + "a" * 22,
        "foreign": lambda: part(make_tus(server), b"foreign"),
        "deleted": lambda: tus.http.delete(gone := part(tus, b"gone")) and gone,
        "host": lambda: f"http://example.org{urlsplit(good).path}",
        "path": lambda: urlsplit(good).path.replace("/files/", "/etc/"),
        "none": lambda: "",
    }
    bad = urls[kind]()
    before = usage(tus)

    assert (400, "parts_invalid") == code_of(join(tus, *([good, bad] if bad else [])))
    assert before == usage(tus)
    assert b"good" == tus.file(join(tus, good).headers["Location"])


def test_T_N2_parts_are_no_files(tus: Any) -> None:
    """A whole part makes no file and no event of its own; only the final does, with its own metadata (T-N6)."""
    one = part(tus, b"one")
    assert "partial" == tus.head(one).headers["Upload-Concat"]
    assert "3" == tus.head(one).headers["Upload-Offset"]
    assert [] == tus.http.get("/v1/files").json()["files"]
    url = join(tus, one, Upload_Metadata=NAMED).headers["Location"]

    assert ["whole.txt"] == [file["name"] for file in tus.http.get("/v1/files").json()["files"]]
    assert NAMED == tus.head(url).headers["Upload-Metadata"]
    assert 410 == tus.head(one).status_code


def test_T_N1_a_parts_metadata_stays_with_it(tus: Any) -> None:
    """Metadata of parts is told back by them, and isn't the final's."""
    one = tus.upload(b"one", Upload_Concat="partial", Upload_Metadata=NAMED)

    assert NAMED == tus.head(one).headers["Upload-Metadata"]
    assert "Upload-Metadata" not in tus.head(join(tus, one).headers["Location"]).headers


def test_T_N7_a_final_takes_no_bytes(tus: Any) -> None:
    """PATCH to a final is 403, while it waits and when it is done, and changes nothing."""
    one = tus.begin(3, Upload_Concat="partial")
    url = join(tus, one).headers["Location"]

    assert (403, "upload_is_final") == code_of(tus.patch(url, 0, b"x"))
    tus.patch(one, 0, b"one")
    assert (403, "upload_is_final") == code_of(tus.patch(url, 3, b"x"))
    assert b"one" == tus.file(url)


def test_T_N3_a_final_announces_nothing(tus: Any) -> None:
    """A final with a length, or with bytes, is 400; so is another word than partial and final."""
    one = part(tus, b"one")

    assert (400, "header_invalid") == code_of(join(tus, one, Upload_Length="3"))
    assert (400, "parts_invalid") == code_of(tus.create(data=b"x", Upload_Concat=f"final;{one}"))
    for text in ("final", "Partial", f"final {one}", "whole"):
        assert (400, "parts_invalid") == code_of(tus.create(3, Upload_Concat=text))


def test_T_N8_a_final_tells_its_parts_as_they_came(tus: Any) -> None:
    """HEAD repeats a final's Upload-Concat to the letter."""
    path = urlsplit(part(tus, b"one")).path
    url = tus.create(Upload_Concat=f"final;{path}  {path}").headers["Location"]

    assert f"final;{path}  {path}" == tus.head(url).headers["Upload-Concat"]


def test_T_N10_the_sum_has_a_limit(make_server: Callable[..., Any], make_tus: Callable[..., Any]) -> None:
    """Parts that are too large together are 413, also by repetition; they stay, and the doctor finds nothing wrong."""
    server = make_server(CARRYALL_JWT_MAX_FILE_MB="1", CARRYALL_JWT_TOTAL_MB="2")
    tus = make_tus(server)
    half, more = part(tus, bytes(MIB // 2)), part(tus, bytes(MIB // 2 + 1))

    assert (413, "too_large") == code_of(join(tus, half, more))
    assert (413, "too_large") == code_of(join(tus, half, half, half))
    assert (0, MIB + 1, 2) == usage(tus)
    answer = join(tus, half, half)
    assert (201, str(MIB)) == (answer.status_code, answer.headers["Upload-Offset"])
    assert (MIB, MIB // 2 + 1, 1) == usage(tus)
    other = part(tus, bytes(MIB // 2 - 1))
    assert (413, "quota_exceeded") == code_of(join(tus, other, other))
    assert (MIB, MIB, 2) == usage(tus)
    for url in (more, other):
        assert 204 == tus.http.delete(url).status_code
    assert (MIB, 0, 0) == usage(tus)
    server.cli("doctor")


def test_parts_that_end_at_once_are_joined_once(tus: Any) -> None:
    """Parts that end at one moment, while their final is asked for, make one file and leak no room."""
    for _ in range(5):
        before = usage(tus)[0]
        parts = [tus.begin(2, Upload_Concat="partial") for _ in range(4)]
        url = join(tus, *parts).headers["Location"]
        with ThreadPoolExecutor(8) as pool:
            ends = [pool.submit(tus.patch, one, 0, b"%d," % at) for at, one in enumerate(parts)]
            asked = [pool.submit(tus.head, url) for _ in range(4)]
        assert {204} == {end.result().status_code for end in ends}
        assert {200} == {one.result().status_code for one in asked}
        assert b"0,1,2,3," == tus.file(url)
        assert (before + 8, 0, 0) == usage(tus)
    assert 5 == len(tus.http.get("/v1/files").json()["files"])
