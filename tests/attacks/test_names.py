"""Hostile names through every door: a name is data, and never a path, a header or a surprise (threats 1, 5, 26)."""

# ruff: noqa: RUF001  # characters that look like others are the point

import re
import secrets
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

DOORS = [
    "relay-form",
    "relay-raw",
    "blobs-form",
    "blobs-batch",
    "gallery",
    "chunks",
    "v1-form",
    "v1-raw",
    "v1-disposition",
    "by-name",
    "tus",
    "tus-joined",
    "draft",
    "draft-by-name",
]
FORMS = ["relay-form", "gallery", "v1-form"]
CANARY = f"/tmp/carryall-canary-{secrets.token_hex(6)}"
NASTY = [
    *("../x", "../../../../../../etc/passwd", "..", ".", "...", "./x", "/etc/passwd", "//etc/passwd", "a/../../b"),
    *(CANARY, f"../../../../../../../..{CANARY}", f"..\\..{CANARY}", "a/b/c.txt", "a//b", "a/", "/", "\\", "\\\\"),
    *("..\\..\\windows\\win.ini", "C:\\boot.ini", "C:x", "\\\\host\\share\\x", "file:///etc/passwd", "a\\b"),
    *("%2e%2e%2fx", "%252e%252e%252fx", "..%2f..%2fx", "..%5cx", "%00x", "%0d%0aSet-Cookie: a=b", "%c0%ae%c0%ae/x"),
    *("a\x00.png", "\x00", "a\r\nSet-Cookie: a=b", "a\rb", "a\nb", "a\x1b[2Jb", "a\x7fb", "a\tb", "\x0b\x0c"),
    *("CON", "NUL.txt", "com1", "aux.", "x.", "x ", " x", ".htaccess", ".bashrc", "-rf", "--help", "~root", "~/x"),
    *("a;b", "a&b|c", "$(id)", "`id`", "${HOME}", "%s%n%x", "'; drop table files;--", 'a"b', "a'b", "*", "?", "<x>"),
]
# What the big lists of naughty strings hold, by kind: each kind spelled out, many of them generated.
_NUMBERS = [
    *("0", "1", "-1", "1.00", "$1.00", "1/2", "1E2", "1E+02", "-1/2", "1/0", "0/0", "NaN", "Infinity", "-Infinity"),
    *("0x0", "0xffffffffffffffff", "0b1", "1_000", "1,000.00", "1 000", "9" * 96, "-" + "9" * 40, "1.#INF", "INF"),
    *("00012", "08", "2.2250738585072011e-308", "1e1000000000", "٣", "３", "½", "Ⅷ"),
]
_WORDS = [
    *("undefined", "undef", "null", "NULL", "(null)", "nil", "None", "true", "FALSE", "hasOwnProperty", "__proto__"),
    *("constructor", "then", "\\", "\\\\", "__class__", "__init__.py", "index", "catalog.db", "staging", "secrets"),
]
_MARKS = [chr(code) for code in [*range(0x21, 0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x7F)]]
_CONTROLS = [f"a{chr(code)}b" for code in [*range(0x01, 0x20), *range(0x7F, 0xA0), 0xAD, 0xFEFF, 0xFFFE, 0xFFFF]]
_SPACES = [f"a{chr(code)}b" for code in [0xA0, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]]
_DIRECTIONS = [f"a{chr(code)}txt.exe" for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E]]
_SCRIPTS = [
    *(
        "Ω≈ç√∫˜µ≤≥÷",
        "åß∂ƒ©˙∆˚¬…æ",
        "Ёлка-ЉЩ",
        "田中さん",
        "部落格",
        "사회과학원",
        "𠜎𠜱𠝹",
        "ヽ༼ຈل͜ຈ༽ﾉ",
        "เอกสาร",
        "ไฟล์",
        "Ⱥ",
    ),
    *("الملف", "قائمة.txt", "בְּרֵאשִׁית", "test⁠test", "ﷺ", "ß", "ẞ", "İ", "ı", "K", "Å", "ﬀ", "ǅ", "ａｂｃ", "ⓐⓑ"),
    *(
        "é",
        "e\u0301",
        "Å",
        "A\u030a",
        "가",
        "\u1100\u1161",
        "Z̡̖̜͖̰̣͉̜a̶͎l̸̙g̖o",
        "\u0301",
        "a" + "\u0300" * 60,
        "\U000e0041",
        "\ue000",
    ),
    *(
        "😍",
        "👩🏽",
        "👾 🙇",
        "🇺🇸🇷🇺",
        "👨‍👩‍👧‍👦",
        "0️⃣",
        "🏴\U000e0067\U000e0062\U000e007f",
        "☃",
        "\U0010ffff",
        "𝕿𝖍𝖊",
        "𝐇",
    ),
]
_INJECTIONS = [
    *("<script>alert(1)</script>", "</title><svg onload=alert(1)>", '"><img src=x onerror=alert(1)>', "' onfocus=x '"),
    *("javascript:alert(1)", "<a href='javascript:x'>", "<!--", "]]>", "<?xml version='1.0'?>", "&lt;&#60;&#x3c;"),
    *("1;DROP TABLE users", "1'; DROP TABLE users-- 1", "' OR 1=1 -- 1", "' UNION SELECT 1--", '{"$gt": ""}', "%"),
    *("$(touch x)", "`touch x`", "| id", "; id #", "&& id", "() { :;}; id", "eval('1')", "System('ls')", "<% x %>"),
    *("{{7*7}}", "${7*7}", "#{7*7}", "{0}", "{0.__class__}", "%d", "%s%s%s", "%*.*s", "%p%n", "%(a)s", "{a!r}"),
    *("${jndi:ldap://127.0.0.1/a}", "http://a/%%30%30", "=cmd|'/C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "\ttab"),
    *("../../etc/shadow%00", "/dev/null", "/dev/stdin", "PRN", "LPT1", "CLOCK$", "A:", "ZZ:", "a::$DATA", "x.lnk"),
    *("[](x)", "![a](b)", "**b**", "\\u0000", "\\x00", "\\n", "\\", "a\\", "a=b; filename=c", 'a"; filename="c'),
    *("UTF-8''a", "utf-8'en'a%20b", "=?utf-8?B?YQ==?=", "a; size=1", "a,b", "a%zz", "%", "%%", "%2", "+", "a+b", "#x"),
    *(
        "Dr. X's file (1).txt",
        "If you're reading this.txt",
        "Power لُلُصّبُلُلصّبُررً ॣ ॣh ॣ ॣ 冗",
        "Roses are [0;31mred",
        "a" * 200,
    ),
]
NAUGHTY = list(
    dict.fromkeys([*_NUMBERS, *_WORDS, *_MARKS, *_CONTROLS, *_SPACES, *_DIRECTIONS, *_SCRIPTS, *_INJECTIONS])
)


def disposition_faults(value: str, name: str) -> list[str]:
    """Tell what is wrong with a Content-Disposition, as it stands and as a client would decode it."""
    star = re.search(r"filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)", value)
    plain = re.search(r'filename="((?:[^"\\]|\\.)*)"', value)
    told = unquote(star[1], errors="strict") if star else plain[1] if plain else ""
    faults = ["not printable ASCII"] if re.search(r"[^\x20-\x7e]", value) else []
    faults += ["no name"] if not (star or plain) else []
    faults += [f"holds {bad!r}" for bad in "/\\\0\r\n" if bad in re.sub(r'\\"', "", value) + told]
    plain_name = re.fullmatch(r'[^/\\\x00-\x1f\x7f-\x9f"]+', name) and name.strip(". ") == name
    return faults + ([f"tells {told!r}"] if plain_name and name.isprintable() and told != name else [])


def attempt(target: Any, doors: Any, door: str, name: str, **options: Any) -> str:
    """Send a file under a name; tell what went wrong: stored with the name identical, or refused, and nothing else."""
    name += ".png" if door == "gallery" else ""
    data = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" if door == "gallery" else b"") + secrets.token_bytes(24)
    sent = doors[door](data, name, **options)
    if 400 <= sent.answer.status < 500:
        return "" if isinstance(sent.answer.json()["detail"], str) else "detail is no text"
    if not sent.is_stored:
        return f"status {sent.answer.status}"
    in_quotes = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")  # as a browser writes it in a form
    if sent.name not in (name, in_quotes, name.replace("\\\\", "\\")):  # and as a form's quoted pair is read
        return f"stored as {sent.name!r}"
    read = target.ask("GET", sent.path, sent.who)
    if (read.status, read.body) != (200, data):
        return f"read {read.status}, {len(read.body)} bytes"
    return ", ".join(disposition_faults(read.one("Content-Disposition"), name))


def strays(target: Any) -> list[str]:
    """List what lies in the data folder under a name that the server didn't make up."""
    generated = re.compile(r"(files|staging)/[0-9a-f]{2}/[A-Za-z0-9._-]{16,48}")
    return [path for path in target.kept() if not generated.fullmatch(path)]


def test_there_are_enough_names() -> None:
    """The lists are as long as the threats ask, and hold no name twice."""
    assert len(set(NASTY)) == len(NASTY) >= 64
    assert len(NAUGHTY) >= 300


@pytest.mark.parametrize("door", DOORS)
def test_nasty_names_are_data(target: Any, doors: Any, door: str) -> None:
    """1: every nasty name is stored identical or refused, served back harmless, and never becomes a path."""
    before = target.kept()
    faults = {name: fault for name in NASTY if (fault := attempt(target, doors, door, name))}

    assert {} == faults
    assert [] == strays(target)
    assert len(target.kept().keys() - before) >= len(NASTY) * 3 // 4, "most names are nobody's harm"
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("door", FORMS)
def test_nasty_names_in_the_extended_parameter(target: Any, doors: Any, door: str) -> None:
    """1: the same by `filename*`, where the name is percent-encoded."""
    ending = ".png" if door == "gallery" else ""
    heads = {name: f"filename*=UTF-8''{quote(name + ending, safe='')}" for name in NASTY}
    faults = {name: fault for name in NASTY if (fault := attempt(target, doors, door, name, head=heads[name]))}

    assert {} == faults
    assert [] == strays(target)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.bin", b"\xed\xa0\x80.bin", b"\xc0\xae\xc0\xae\xc0\xaf.bin", b"a\xe9.bin", b"\x80"]
)
def test_names_that_are_no_text(target: Any, doors: Any, name: bytes) -> None:
    """1, 26: bytes that aren't UTF-8 are taken in some way that can be read back, or refused; never a 5xx."""
    percent = quote(name, safe="")
    sent = [
        doors["relay-form"](b"data", head=b'filename="' + name + b'"'),
        doors["blobs-form"](b"data", head=f"filename*=UTF-8''{percent}"),
        doors["v1-form"](b"data", head=b"filename=" + name),
        doors._native(target.ask("POST", f"/v1/files?filename={percent}", doors.user.who, b"data"), doors.user.who),
        doors._native(target.ask("PUT", f"/v1/by-name/{percent}", doors.user.who, b"data"), doors.user.who),
        doors._native(target.ask("PUT", b"/v1/by-name/" + name, doors.user.who, b"data"), doors.user.who),
    ]
    reads = [target.ask("GET", one.path, one.who) for one in sent if one.is_stored]

    assert [] == [one.answer.status for one in sent if not (one.is_stored or 400 <= one.answer.status < 500)]
    assert [] == [read.status for read in reads if (read.status, read.body) != (200, b"data")]
    assert [] == [fault for read in reads for fault in disposition_faults(read.one("Content-Disposition"), "")]


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb", "\udc80\ud83d"])
def test_lone_surrogates(target: Any, doors: Any, name: str) -> None:
    """26, 28: half a surrogate pair in JSON is refused, or taken so that every later answer can still be written."""
    begun = doors.begin(990_002, name)
    listed = target.ask("GET", "/upload/files", doors.credentials("chunks"))

    assert begun.status in (200, 400, 422)
    assert 200 == listed.status


@pytest.mark.parametrize("session", ["../../staging", "/etc/passwd", "..%2f..", "a/../b", "\x00", "..\\..", "'--", ""])
def test_a_session_id_is_no_path(target: Any, doors: Any, session: str) -> None:
    """1: a made-up session id is refused wherever one is taken, and nothing is made of it."""
    refused = [
        doors.chunk(session, 0, b"x").status,
        doors.complete(session, 1, 1).status,
        target.send_json("DELETE", "/upload/file", doors.credentials("chunks"), {"upload_session_id": session}).status,
    ]

    assert [] == [status for status in refused if not 400 <= status < 500]
    assert [] == strays(target)


@pytest.mark.parametrize(
    "index", ["../0", "/0", "0/../1", "-1", "0x1", "1e3", " 1", "+1", "1_0", "٣", "9" * 30, "", "1.0", "0\x00"]
)
def test_a_chunk_index_is_a_number(target: Any, doors: Any, index: str) -> None:
    """1: an index that isn't plain decimal digits in range is refused, and nothing is made of it."""
    begun = doors.begin(990_001, "a.bin").json()["data"]["upload_session_id"]

    assert doors.chunk(begun, index, b"x").status in (400, 413, 422)
    assert [] == strays(target)


@pytest.mark.parametrize("door", ["blobs-form", "by-name", "chunks", "tus-whole"])
def test_naughty_strings_as_names(target: Any, doors: Any, door: str) -> None:
    """26: whatever a list of naughty strings holds is stored with its bytes, name and form unchanged, or refused."""
    names = NAUGHTY[::4] if door in ("chunks", "tus-whole") else NAUGHTY  # four or five requests each
    faults = {name: fault for name in names if (fault := attempt(target, doors, door, name))}

    assert {} == faults


@pytest.mark.parametrize(
    "name", ["CON", "NUL", "trailing.", "trailing..", "a~1.txt", "Ünïcode.txt", "e\u0301.txt", "é.txt"]
)
@pytest.mark.parametrize(
    "door",
    ["relay-form", "relay-raw", "blobs-form", "chunks", "v1-form", "v1-raw", "by-name", "tus-deferred", "draft"],
)
def test_reserved_names_are_kept(doors: Any, door: str, name: str) -> None:
    """26: names that other systems reserve, and both normal forms of Unicode, are kept as they were sent."""
    sent = doors[door](b"reserved", name)

    assert sent.is_stored, sent.answer.text
    assert name == sent.name


def test_normal_forms_are_two_names(target: Any, doors: Any) -> None:
    """26: names are compared byte-wise: the composed and the decomposed form don't replace each other."""
    names = [unicodedata.normalize(form, "tests/é.bin") for form in ("NFC", "NFD")]
    sent = [doors["by-name"](name.encode(), name) for name in names]

    assert [name.encode() for name in names] == [target.ask("GET", one.path, one.who).body for one in sent]


@pytest.mark.parametrize(
    "line",
    ["\r\nX-Injected: 1", "%0d%0aX-Injected: 1", "\nX-Injected: 1", "\rX-Injected: 1", "\u560d\u560aX-Injected: 1"],
)
@pytest.mark.parametrize("door", DOORS)
def test_no_header_is_injected(target: Any, doors: Any, door: str, line: str) -> None:
    """5: a line break in a name, raw or percent-encoded, never begins a header of the answer, the page or a HEAD."""
    ending = ".png" if door == "gallery" else ".bin"
    sent = doors[door](b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", f"a{line}{ending}")
    reads = [target.ask(method, sent.path, sent.who) for method in ("GET", "HEAD")] if sent.is_stored else []

    for answer in [sent.answer, *reads]:
        assert 200 <= answer.status < 500
        assert b"x-injected" not in [
            name.partition(b":")[0].strip().lower() for name in re.split(rb"[\r\n]", answer.head)
        ]


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain\r\n X-Injected: 1",
        "text/plain%0d%0aX-Injected: 1",
        "text/plain\tx",
        "text/plain\x00",
        "text/plain; a=\xe9",
        "x" * 4000,
        "",
        "/",
        "text",
        "text/plain, text/html",
    ],
)
@pytest.mark.parametrize("door", ["relay-form", "blobs-form", "v1-form", "chunks", "tus-whole"])
def test_types_stay_in_their_header(target: Any, doors: Any, door: str, media_type: str) -> None:
    """5: a hostile media type of a part is stored harmless or refused; it never breaks the answer's head."""
    sent = doors[door](b"data", "a.bin", media_type=media_type)

    assert 200 <= sent.answer.status < 500
    if sent.is_stored:
        read = target.ask("GET", sent.path, sent.who)
        assert (200, b"data") == (read.status, read.body)
        assert re.fullmatch(rb"[\x20-\x7e\r\n]*", read.head)
        assert "X-Injected" not in dict(read.headers)
        assert 1 == len(read.all("Content-Type"))


@pytest.mark.parametrize(
    "header", ["X-Request-ID", "Origin", "Range", "If-None-Match", "Accept-Language", "X-Forwarded-For"]
)
def test_request_headers_are_not_echoed_raw(target: Any, header: str) -> None:
    """5: what a request's header says doesn't come back as a header's line."""
    answer = target.ask("GET", "/ping", [(header, "a\x0b%0d%0aX-Injected: 1")])

    assert 200 <= answer.status < 500
    assert "x-injected" not in [name.lower() for name, _ in answer.headers]
