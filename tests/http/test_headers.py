"""Header fields: file names in both directions, dates, conditions, media types, credentials."""

import base64
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from carryall.http.headers import (
    basic_password,
    bearer,
    clean_media_type,
    content_disposition,
    etag_matches,
    http_date,
    if_range_holds,
    parse_disposition,
    parse_http_date,
    parse_parameters,
    precondition,
    safe_name,
)

_ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))  # lone surrogates too
_ETAG = '"Zm9v"'
_CHANGED = datetime(1994, 11, 6, 8, 49, 37, 500_000, tzinfo=UTC)


def _headers(*lines: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in lines])


# --- names going out ---


@given(st.sampled_from(["inline", "attachment"]), _ANY_TEXT)
def test_any_name_goes_out_safely(kind: Literal["inline", "attachment"], name: str) -> None:
    """Whatever the name: printable ASCII, no separators, and it decodes to the name with "_" for what is unsafe."""
    header = content_disposition(kind, name)
    assert re.fullmatch(r"[ -~]+", header)
    assert "/" not in header
    assert "\\" not in header
    parsed = parse_disposition(header)
    expected = re.sub(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]", "_", name)
    assert parsed is not None
    assert parsed[0] == kind
    assert parsed[1] == {"filename": expected if expected.strip(". ") else "file"}


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("photo.jpg", 'attachment; filename="photo.jpg"'),
        ("Grüße.txt", "attachment; filename=\"Gr__e.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ('say "hi".txt', "attachment; filename=\"say _hi_.txt\"; filename*=UTF-8''say%20%22hi%22.txt"),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        ("a\r\nSet-Cookie: x=1", 'attachment; filename="a__Set-Cookie: x=1"'),
        ("nul\x00.txt", 'attachment; filename="nul_.txt"'),
        ("\ud800.txt", 'attachment; filename="_.txt"'),
        ("", 'attachment; filename="file"'),
        ("..", 'attachment; filename="file"'),
    ],
)
def test_names_are_written_as_browsers_read_them(name: str, header: str) -> None:
    """An ASCII form for everybody, and the exact one where they differ (RFC 6266 §4.3, appendix D)."""
    assert content_disposition("attachment", name) == header


@pytest.mark.parametrize("character", ["a", "é", "日", "😀"])
def test_long_names_are_cut_and_keep_their_extension(character: str) -> None:
    """A name of 4,000 characters makes no header that a client would refuse."""
    header = content_disposition("attachment", character * 4000 + ".tar.gz")
    assert len(header) < 4096
    assert safe_name(character * 4000 + ".tar.gz") == character * 252 + ".gz"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("." + "x" * 4000, "." + "x" * 254), ("x" * 300 + "." + "y" * 300, "x" * 255), ("x" * 255, "x" * 255)],
    ids=["only an extension", "a long extension", "just fitting"],
)
def test_what_is_no_extension_is_cut_like_the_rest(name: str, expected: str) -> None:
    """Only a short ending behind a stem is an extension."""
    assert safe_name(name) == expected


# --- names coming in ---


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="%\\")))
def test_names_as_browsers_send_them_come_in_whole(name: str) -> None:
    """Browsers escape quotes and line breaks in form-data, and nothing else: not a character is lost."""
    name = f"{name}C:\\{name}"
    sent = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    assert parse_disposition(f'form-data; name="file"; filename="{sent}"'.encode()) == (
        "form-data",
        {"name": "file", "filename": name},
    )


@given(st.text(alphabet=st.one_of(st.sampled_from('\\";='), st.characters(exclude_categories=("Cs",)))))
def test_names_in_quoted_pairs_come_in_whole(name: str) -> None:
    """A quoted-string of RFC 9110 §5.6.4, as Go and `curl --form-escape` send it, gives back what went in."""
    sent = name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_disposition(f'attachment; filename="{sent}"') == ("attachment", {"filename": name})


@pytest.mark.parametrize(
    ("value", "params"),
    [
        ("form-data", {}),
        ("Form-Data ; NAME=a ; FileName = b c ", {"name": "a", "filename": "b c"}),
        ('form-data;name="a";', {"name": "a"}),
        ('form-data; name="a"; filename=""', {"name": "a", "filename": ""}),
        ('form-data; filename="C:\\dir\\a.txt"', {"filename": "C:\\dir\\a.txt"}),
        ('form-data; filename="\\\\host\\share\\a"', {"filename": "\\\\host\\share\\a"}),
        ('form-data; filename="a\\\\b%22"', {"filename": 'a\\b"'}),
        ('form-data; filename="ends in\\"', {"filename": "ends in\\"}),
        ('form-data; filename="a\\"b\\\\c"', {"filename": 'a"b\\c'}),
        ('form-data; filename="a; filename=b"', {"filename": "a; filename=b"}),
        ("form-data; filename=日本.txt", {"filename": "日本.txt"}),
        ("form-data; filename=x; filename*=UTF-8''%e2%82%ac%20rates", {"filename": "€ rates"}),
        ("form-data; filename*=utf-8'en'a%2522b; filename=x", {"filename": "a%22b"}),
        ("form-data; filename*=iso-8859-1''%a3; filename=x", {"filename": "£"}),
        ("form-data; filename*=\"UTF-8''q\"", {"filename": "q"}),
        ("form-data; filename=x; filename*=UTF-8''%ff", {"filename": "x", "filename*": "UTF-8''%ff"}),
        ("form-data; filename*=UTF-8''%ed%a0%80", {"filename*": "UTF-8''%ed%a0%80"}),
        ("form-data; filename*=koi8-r''%c0", {"filename*": "koi8-r''%c0"}),
        ("form-data; filename*=plain", {"filename*": "plain"}),
    ],
)
def test_dispositions_are_read(value: str, params: dict[str, str]) -> None:
    """What browsers, curl and the usual libraries send is understood (RFC 6266, RFC 8187)."""
    assert parse_disposition(value) == ("form-data", params)


def test_percent_signs_outside_forms_are_data() -> None:
    """Only form-data encodes quotes by percent signs."""
    assert parse_disposition('attachment; filename="100%22.txt"') == ("attachment", {"filename": "100%22.txt"})


def test_bytes_are_utf8_or_else_latin1() -> None:
    """Headers carry bytes; old clients send Latin-1."""
    assert parse_disposition("attachment; filename=é".encode()) == ("attachment", {"filename": "é"})
    assert parse_disposition("attachment; filename=é".encode("latin-1")) == ("attachment", {"filename": "é"})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "; name=a",
        "form data; name=a",
        'form-data; name="a"; name="b"',
        'form-data; name="a"; NAME=b',
        'form-data; name="a',
        'form-data; name="a"b',
        'form-data; name=a"b"',
        "form-data; name",
        "form-data; =a",
        "form-data, name=a; b",
    ],
)
def test_ambiguous_dispositions_are_not_read(value: str) -> None:
    """Where two readers would see two things, nothing is seen."""
    assert parse_disposition(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "form-data" + "; " * 30_000,
        "a;" + "b" * 60_000,
        'a;b="' + '\\"' * 30_000,
        "a;b=" + " " * 60_000 + '"',
        "a" + ';b="' * 15_000,
    ],
    ids=["separators", "name", "quotes", "blanks", "openings"],
)
def test_reading_parameters_is_linear(value: str) -> None:
    """No header makes the reader slow (CVE-2024-24762, CVE-2026-53538)."""
    begun = time.process_time()
    parse_parameters(value)
    assert time.process_time() - begun < 0.2


# --- dates and conditions ---


def test_dates_are_written_in_gmt() -> None:
    """An aware time of any zone becomes an IMF-fixdate (RFC 9110 §5.6.7)."""
    assert http_date(_CHANGED) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert http_date(_CHANGED.astimezone(timezone(timedelta(hours=-5)))) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    "value",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_of_a_date_are_read(value: str) -> None:
    """RFC 9110 §5.6.7 asks for the two obsolete ones too."""
    assert parse_http_date(value) == _CHANGED.replace(microsecond=0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date_is_none(value: str) -> None:
    """A condition on a date that can't be read is passed over (RFC 9110 §13.1.3)."""
    assert parse_http_date(value) is None


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # hypothesis wants it naive
def test_dates_round_trip(moment: datetime) -> None:
    """A written date can be read, to the second."""
    assert parse_http_date(http_date(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("header", "etag", "strong", "weak"),
    [
        ('"a"', '"a"', True, True),
        ('W/"a"', '"a"', False, True),
        ('"a"', 'W/"a"', False, True),
        ('W/"a"', 'W/"a"', False, True),
        ('"b", "a"', '"a"', True, True),
        ('"b",W/"a"', '"a"', False, True),
        ('"b, c"', '"c"', False, False),
        ("*", '"a"', True, True),
        (" * ", '"a"', True, True),
        ("*", None, False, False),
        ('"a"', None, False, False),
        ("a", '"a"', False, False),
        ("", '"a"', False, False),
        ('"A"', '"a"', False, False),
    ],
)
def test_entity_tags_are_compared(header: str, etag: str | None, strong: bool, weak: bool) -> None:  # noqa: FBT001
    """Strong comparison wants two strong tags, weak comparison looks at the text only (RFC 9110 §8.8.3.2)."""
    assert etag_matches(header, etag, weak=False) is strong
    assert etag_matches(header, etag, weak=True) is weak


_BEFORE, _SAME, _AFTER = (
    "Sun, 06 Nov 1994 08:49:36 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:38 GMT",
)


@pytest.mark.parametrize(
    ("method", "lines", "expected"),
    [
        ("GET", [], None),
        ("GET", [("If-None-Match", _ETAG)], 304),
        ("HEAD", [("If-None-Match", f"W/{_ETAG}")], 304),
        ("GET", [("If-None-Match", '"x"'), ("If-None-Match", _ETAG)], 304),
        ("GET", [("If-None-Match", '"x"')], None),
        ("DELETE", [("If-None-Match", _ETAG)], 412),
        ("PUT", [("If-None-Match", "*")], 412),
        ("PUT", [("If-Match", _ETAG)], None),
        ("PUT", [("If-Match", f"W/{_ETAG}")], 412),
        ("GET", [("If-Match", '"x"')], 412),
        ("GET", [("If-Match", _ETAG), ("If-None-Match", _ETAG)], 304),
        ("GET", [("If-Match", '"x"'), ("If-None-Match", _ETAG)], 412),
        ("GET", [("If-Modified-Since", _SAME)], 304),
        ("GET", [("If-Modified-Since", _AFTER)], 304),
        ("GET", [("If-Modified-Since", _BEFORE)], None),
        ("GET", [("If-Modified-Since", "soon")], None),
        ("PUT", [("If-Modified-Since", _SAME)], None),
        ("GET", [("If-None-Match", '"x"'), ("If-Modified-Since", _SAME)], None),
        ("GET", [("If-Unmodified-Since", _BEFORE)], 412),
        ("PUT", [("If-Unmodified-Since", _SAME)], None),
        ("GET", [("If-Match", _ETAG), ("If-Unmodified-Since", _BEFORE)], None),
        ("GET", [("If-Unmodified-Since", _SAME), ("If-Modified-Since", _SAME)], 304),
    ],
)
def test_conditions_are_evaluated_in_order(method: str, lines: list[tuple[str, str]], expected: int | None) -> None:
    """RFC 9110 §13.2.2, step by step."""
    assert precondition(_headers(*lines), _ETAG, last_modified=_CHANGED, method=method) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("If-None-Match", "*")], None),
        ([("If-Match", "*")], 412),
        ([("If-Match", _ETAG)], 412),
        ([("If-Unmodified-Since", _BEFORE)], None),
    ],
)
def test_conditions_on_what_is_not_there(lines: list[tuple[str, str]], expected: int | None) -> None:
    """`If-None-Match: *` creates and never replaces; If-Match never creates (RFC 9110 §13.1.1, §13.1.2)."""
    assert precondition(_headers(*lines), None, last_modified=None, method="PUT") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [(None, True), (_ETAG, True), (f"W/{_ETAG}", False), ('"x"', False), (_SAME, False), ("*", False), ("", False)],
)
def test_if_range_wants_the_present_strong_tag(line: str | None, expected: bool) -> None:  # noqa: FBT001
    """Anything but the present strong tag gets the whole file (RFC 9110 §13.1.5)."""
    assert if_range_holds(_headers(*([] if line is None else [("If-Range", line)])), _ETAG) is expected


def test_a_weak_tag_never_allows_ranges() -> None:
    """A weak tag can't promise that two parts fit together."""
    assert not if_range_holds(_headers(("If-Range", 'W/"a"')), 'W/"a"')


# --- media types and credentials ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("image/png", "image/png"),
        ("Image/PNG", "image/png"),
        ("text/plain; charset=UTF-8", "text/plain; charset=utf-8"),
        ('text/plain;charset="utf-8"', "text/plain; charset=utf-8"),
        ('image/png; name="a.png"', "image/png"),
        ("application/vnd.ms-excel.sheet.macroEnabled.12", "application/vnd.ms-excel.sheet.macroenabled.12"),
        ("image/svg+xml", "image/svg+xml"),
        (None, None),
        ("", None),
        ("png", None),
        ("image/", None),
        ("/png", None),
        ("image/png/x", None),
        ("image/png, text/html", None),
        ("image/png text/html", None),
        ("text/html\r\nX: y", None),
        ("text/plain; charset=utf-8\r\nX: y", None),
        ('text/plain; charset="a b"', None),
        ("text/plain; charset", None),
        ("text/plain; charset=a; charset=b", None),
        ("tëxt/plain", None),
        ("text/" + "x" * 300, None),
    ],
)
def test_media_types_are_cleaned(value: str | None, expected: str | None) -> None:
    """Only what is one media type passes, and never more than its charset (threats 3 and 5)."""
    assert clean_media_type(value) == expected


@given(_ANY_TEXT)
def test_a_clean_media_type_is_fit_for_a_header(value: str) -> None:
    """Nothing that comes out could end a header, and cleaning it again changes nothing."""
    clean = clean_media_type(value) or clean_media_type(f"text/plain; charset={value}")
    if clean is not None:
        assert re.fullmatch(r"[!-~]+/[!-~]+(; charset=[!-~]+)?", clean)
        assert clean_media_type(clean) == clean


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Bearer abc.DEF-1_~+/="], "abc.DEF-1_~+/="),
        (["bearer  abc"], "abc"),
        ([], None),
        (["Bearer"], None),
        (["Bearer "], None),
        (["Bearer a b"], None),
        (["Bearer a,b"], None),
        (["Bearer =a"], None),
        (["Bearer \xe9"], None),
        (["Basic YTpi"], None),
        (["BearerX abc"], None),
        (["Bearer abc", "Bearer abc"], None),
    ],
    ids=str,
)
def test_bearer_tokens_are_strict(lines: list[str], expected: str | None) -> None:
    """One header, one scheme, one token (RFC 6750 §2.1)."""
    assert bearer(_headers(*(("Authorization", line) for line in lines))) == expected


@pytest.mark.parametrize(
    ("credentials", "password"),
    [(b"me:secret", "secret"), (b":p\xc3\xa4ss:word", "päss:word"), (b"me:", ""), (b"secret", None), (b"a:\xff", None)],
)
def test_basic_passwords_are_read(credentials: bytes, password: str | None) -> None:
    """Everything behind the first colon, in UTF-8; the name isn't looked at (RFC 7617)."""
    line = "Basic " + base64.b64encode(credentials).decode()
    assert basic_password(_headers(("Authorization", line))) == password


@pytest.mark.parametrize("line", ["Basic", "Basic a:b", "Basic YTpi=", "Basic YTp", "Bearer YTpi"])
def test_malformed_basic_credentials_are_none(line: str) -> None:
    """What isn't base64 is no password."""
    assert basic_password(_headers(("Authorization", line))) is None


def test_the_exact_name_is_percent_encoded_utf8() -> None:
    """Other readers of RFC 8187 get the same name out of it as ours."""
    header = content_disposition("inline", "naïve 日本 😀.txt")
    assert unquote(header.partition("filename*=UTF-8''")[2]) == "naïve 日本 😀.txt"
