"""Byte ranges: RFC 9110 §14, and what is ignored because it asks for too much."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryall.http.ranges import Range, Unsatisfiable, multipart_ranges, parse_ranges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [Range(0, 1)]),
        ("bytes=0-499", [Range(0, 500)]),
        ("bytes=500-", [Range(500, 1000)]),
        ("bytes=-500", [Range(500, 1000)]),
        ("bytes=-5000", [Range(0, 1000)]),
        ("bytes=999-999999999999999999", [Range(999, 1000)]),
        ("BYTES=0-1", [Range(0, 2)]),
        ("bytes= 0-0 ,, -1 ", [Range(0, 1), Range(999, 1000)]),
        ("bytes=900-909,0-9", [Range(900, 910), Range(0, 10)]),
        ("bytes=5000-,0-9", [Range(0, 10)]),
    ],
)
def test_ranges_are_read_half_open(header: str, expected: list[Range]) -> None:
    """Ranges come out half-open, cut to the size, in the order asked for (RFC 9110 §14.1.2)."""
    assert parse_ranges(header, 1000) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-9,5-2",
        "bytes=1.0-2",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=\u0661-2",
        "bytes=--1",
        "bytes=0 - 9",
        "bytes 0-9",
        "rows=0-9",
        "bytes=0-" + "9" * 5000,
    ],
)
def test_what_is_no_range_means_the_whole(header: str | None) -> None:
    """Other units and malformed headers are ignored (RFC 9110 §14.2)."""
    assert parse_ranges(header, 1000) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001,5000-", "bytes=-0"])
def test_ranges_beyond_the_end_are_unsatisfiable(header: str) -> None:
    """Where no asked byte exists the answer is 416 with the size (RFC 9110 §15.5.17)."""
    answer = parse_ranges(header, 1000)
    assert answer == Unsatisfiable(1000)
    assert answer.content_range == "bytes */1000"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5", "bytes=7-9"])
def test_an_empty_file_has_no_ranges(header: str) -> None:
    """An empty file is answered whole: no Content-Range could say which of its bytes are sent."""
    assert parse_ranges(header, 0) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9,10-19", [Range(0, 20)]),
        ("bytes=0-9,5-19", [Range(0, 20)]),
        ("bytes=500-509,0-9,505-519", [Range(500, 520), Range(0, 10)]),
        ("bytes=0-99,10-20", [Range(0, 100)]),
    ],
)
def test_touching_ranges_become_one(header: str, expected: list[Range]) -> None:
    """Ranges that overlap or touch are sent once, at the place of their first mention (RFC 9110 §15.3.7.2)."""
    assert parse_ranges(header, 1000) == expected


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-,0-",
        "bytes=0-600,400-999",
        "bytes=0-9,1-10,2-11,3-12",
        "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 202, 2)),
        "bytes=" + ",".join(["-1"] * 12_000),
        "bytes=" + "," * 9000,
    ],
)
def test_greedy_headers_are_answered_with_the_whole(header: str) -> None:
    """More than 100 ranges, two overlaps, or the file's size: no range at all (RFC 9110 §14.2)."""
    assert parse_ranges(header, 1000) is None


def test_hundred_ranges_are_served() -> None:
    """The limit itself is allowed."""
    found = parse_ranges("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 200, 2)), 1000)
    assert found == [Range(at, at + 1) for at in range(0, 200, 2)]


def test_a_flood_costs_nothing() -> None:
    """12,000 ranges, or digits without end, take milliseconds (CVE-2025-62727; threat 22)."""
    headers = ["bytes=" + "0-0," * 12_000, "bytes=" + "0" * 1_000_000, "bytes=" + "0-,-1," * 1300 + "x"]
    begun = time.process_time()
    for header in headers:
        assert parse_ranges(header, 10**9) is None
    assert time.process_time() - begun < 0.05


@given(st.text(alphabet="bytes=0123456789-, ", max_size=60), st.integers(0, 200))
def test_any_header_gives_disjoint_ranges_inside_the_file(header: str, size: int) -> None:
    """Whatever is asked: ranges are non-empty, inside the file, apart from each other, and no larger than it."""
    found = parse_ranges(f"bytes={header}", size)
    if isinstance(found, list):
        ordered = sorted(found)
        assert all(0 <= each.start < each.stop <= size for each in ordered)
        assert all(before.stop < after.start for before, after in itertools.pairwise(ordered))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=8))
def test_ranges_cover_the_bytes_that_were_asked_for(pairs: list[tuple[int, int]]) -> None:
    """Not a byte more, not a byte less, unless the whole is sent."""
    asked = [(min(pair), max(pair)) for pair in pairs]
    found = parse_ranges("bytes=" + ",".join(f"{first}-{last}" for first, last in asked), 100)
    if found is not None:
        assert isinstance(found, list)
        assert {at for each in found for at in range(each.start, each.stop)} == {
            at for first, last in asked for at in range(first, last + 1)
        }


def test_several_ranges_are_framed_with_their_length() -> None:
    """The parts of multipart/byteranges add up to the announced Content-Length (RFC 9110 §14.6)."""
    data = bytes(range(256)) * 4
    ranges = [Range(0, 2), Range(1000, 1024)]
    frame = multipart_ranges(ranges, len(data), media_type="text/plain; charset=utf-8", boundary="gc0p4Jq0M2Yt08j")
    body = (
        b"".join(head + data[each.start : each.stop] for head, each in zip(frame.heads, ranges, strict=True))
        + frame.tail
    )
    assert len(body) == frame.content_length
    assert frame.content_type == "multipart/byteranges; boundary=gc0p4Jq0M2Yt08j"
    assert body.split(b"\r\n") == [
        b"",
        b"--gc0p4Jq0M2Yt08j",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Range: bytes 0-1/1024",
        b"",
        data[:2],
        b"--gc0p4Jq0M2Yt08j",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Range: bytes 1000-1023/1024",
        b"",
        data[1000:],
        b"--gc0p4Jq0M2Yt08j--",
        b"",
    ]


def test_a_part_never_carries_a_hostile_type() -> None:
    """A stored media type can't add lines to a part's header (threat 5)."""
    frame = multipart_ranges([Range(0, 1)], 2, media_type="text/html\r\nX: y", boundary="b")
    assert b"Content-Type: application/octet-stream\r\n" in frame.heads[0]
