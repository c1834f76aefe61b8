"""The fields of the IETF draft for resumable uploads: read as RFC 9651 has them, written as each version has them."""

import pytest
from starlette.datastructures import Headers

from carryall.http.protocols.resumable.dialects import DIALECTS, NEWEST, Dialect
from carryall.http.protocols.resumable.fields import dialect_of, flag, is_end, is_marked, limit, number

ROWS = [*DIALECTS.values(), NEWEST]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("999999999999999", 10**15 - 1),
        ('7;a;b=2; c="x y"', None),  # a space in a value isn't read
        ("7;a;b=2", 7),
        *(
            (odd, None)
            for odd in ("", "-1", "01", "1.0", "1_0", "\uff11\uff12", "1000000000000000", "?1", "7;", "7,7", "0x7")
        ),
    ],
)
def test_I_F1_numbers_are_read_strictly(text: str, value: int | None) -> None:
    """A whole number of at most 15 digits, or nothing at all."""
    assert value == number(Headers(raw=[(b"upload-offset", text.encode())]), "Upload-Offset")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.version)
@pytest.mark.parametrize("complete", [True, False])
def test_I_F2_each_dialect_reads_what_it_writes(row: Dialect, *, complete: bool) -> None:
    """Whichever way round the flag is, it says the same in requests and in answers."""
    assert complete is is_end(Headers(flag(row, complete=complete)), row)


def test_I_V1_a_version_chooses_its_row() -> None:
    """A known number its row; none, an unknown one, or what is no number the newest; the old flag alone the oldest."""
    chosen = {text: dialect_of(Headers({"upload-draft-interop-version": text})) for text in ("3", "8", "11", "2", "x")}

    assert (DIALECTS[3], DIALECTS[8]) == (chosen["3"], chosen["8"])
    assert {NEWEST} == {chosen["11"], chosen["2"], chosen["x"], dialect_of(Headers({}))}
    assert DIALECTS[3] == dialect_of(Headers({"upload-incomplete": "?1"}))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.version)
def test_I_F6_limits_are_never_empty(row: Dialect) -> None:
    """Without a limit the field says `min-size=0`; in drafts that don't have it, nothing is said."""
    nothing = limit(row, max_size=None, max_append=None)
    told = limit(row, max_size=9, max_append=4, age_s=0)

    assert ({} if row.age_key is None else {"Upload-Limit": "min-size=0"}) == nothing
    assert ({} if row.age_key is None else {"Upload-Limit": f"max-size=9, max-append-size=4, {row.age_key}=0"}) == told


def test_marks_tell_the_draft_from_tus() -> None:
    """Each field of the draft marks it, and its type does; Tus-Resumable is stronger than all."""
    marks = [
        {"upload-complete": "?1"},
        {"upload-incomplete": "?1"},
        {"upload-draft-interop-version": "6"},
        {"content-type": "Application/Partial-Upload"},
    ]

    assert all(is_marked(Headers(mark)) for mark in marks)
    assert not any(is_marked(Headers({**mark, "tus-resumable": "1.0.0"})) for mark in marks)
    assert not is_marked(Headers({"upload-offset": "1", "content-type": "application/offset+octet-stream"}))
