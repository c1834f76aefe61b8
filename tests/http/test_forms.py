"""Forms: what real clients send, what hostile ones send, and that the network may cut both anywhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import pairwise

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from carryall.http.forms import Field, FilePart, FormLimits, parts
from carryall.model.errors import BodyTruncated, Malformed, Refused, TooLarge
from carryall.ports.body import CHUNK_MAX_BYTES, Body

_TYPE = "multipart/form-data; boundary=xYz"

_File = tuple[str, str, str | None, bytes]
_Part = tuple[str, str] | _File


class Chunks:
    """A body in given chunks. `taken` counts the bytes that were asked for."""

    declared_size: int | None = None

    def __init__(self, chunks: Iterable[bytes], *, fails: Exception | None = None) -> None:
        self.taken = 0
        self._chunks: Iterator[bytes] = iter(chunks)
        self._fails = fails

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += len(chunk)
            yield chunk
        if self._fails:
            raise self._fails


@st.composite
def split_anywhere(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut the data as a network might: at any places, into non-empty chunks."""
    if not data:
        return []
    if draw(st.booleans()):
        step = draw(st.integers(1, 4))
        return [data[at : at + step] for at in range(0, len(data), step)]
    cuts = sorted(draw(st.sets(st.integers(1, len(data)), max_size=12)) | {len(data)})
    return [data[start:stop] for start, stop in pairwise([0, *cuts])]


async def _read(body: Body, content_type: str = _TYPE, limits: FormLimits | None = None) -> list[_Part]:
    found: list[_Part] = []
    async for part in parts(body, content_type, limits or FormLimits()):
        if isinstance(part, Field):
            found.append((part.name, part.value))
        else:
            data = b"".join([piece async for piece in part.body])
            found.append((part.name, part.filename, part.media_type, data))
    return found


def _form(*segments: bytes, boundary: bytes = b"xYz") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, segment) for segment in segments) + b"--%b--\r\n" % boundary


def _file(filename: bytes, data: bytes = b"data") -> bytes:
    return b'Content-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b' % (filename, data)


def _field(value: bytes, name: bytes = b"f") -> bytes:
    return b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name, value)


# --- what real clients send: (content type, body, parts) -------------------------------------------------------------

_CURL = "------------------------f43c2b8d8ad39dab"
_CHROME = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
_FIREFOX = "---------------------------9051914041544843365972754266"
_DOTNET = "0cbf3d6f-ff9c-4d0e-9f8e-8f6f1f4b2f2b"

_CLIENTS: dict[str, tuple[str, bytes, list[_Part]]] = {
    "curl -F": (
        f"multipart/form-data; boundary={_CURL}",
        _form(
            b'Content-Disposition: form-data; name="a"\r\n\r\nb',
            b'Content-Disposition: form-data; name="file"; filename="q%22uo\\te.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nabc",
            boundary=_CURL.encode(),
        ),
        [("a", "b"), ("file", 'q"uo\\te.txt', "text/plain", b"abc")],
    ),
    "curl --form-escape": (
        f"multipart/form-data; boundary={_CURL}",
        _form(
            b'Content-Disposition: form-data; name="file"; filename="q\\"uo\\\\te.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nabc",
            boundary=_CURL.encode(),
        ),
        [("file", 'q"uo\\te.txt', "text/plain", b"abc")],
    ),
    "Chrome": (
        f"multipart/form-data; boundary={_CHROME}",
        _form(
            b'Content-Disposition: form-data; name="note"\r\n\r\ntwo\r\nlines \xe2\x82\xac',
            'Content-Disposition: form-data; name="files"; filename="日本 %22x%22.png"\r\n'
            "Content-Type: image/png\r\n\r\n".encode()
            + b"\x89PNG\r\n\x1a\n",
            b'Content-Disposition: form-data; name="files"; filename=""\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n",
            boundary=_CHROME.encode(),
        ),
        [
            ("note", "two\r\nlines €"),
            ("files", '日本 "x".png', "image/png", b"\x89PNG\r\n\x1a\n"),
            ("files", "", "application/octet-stream", b""),
        ],
    ),
    "Firefox": (
        f"multipart/form-data; boundary={_FIREFOX}",
        _form(
            'Content-Disposition: form-data; name="a%0D%0Ab"; filename="e\u0301%0D%0A.txt"\r\n'
            "Content-Type: text/plain\r\n\r\n--\r\n--".encode(),
            boundary=_FIREFOX.encode(),
        ),
        [("a\r\nb", "e\u0301\r\n.txt", "text/plain", b"--\r\n--")],
    ),
    "Internet Explorer": (
        f"multipart/form-data; boundary={_CHROME}",
        _form(
            b'Content-Disposition: form-data; name="file"; filename="C:\\temp\\a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nx",
            boundary=_CHROME.encode(),
        ),
        [("file", "C:\\temp\\a.txt", "text/plain", b"x")],
    ),
    ".NET": (
        f'multipart/form-data; boundary="{_DOTNET}"',
        _form(
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=service\r\n\r\nmega",
            b"Content-Disposition: form-data; name=file; filename=?.txt; filename*=utf-8''%C3%A9.txt\r\n\r\nx",
            boundary=_DOTNET.encode(),
        ),
        [("service", "mega"), ("file", "é.txt", None, b"x")],
    ),
    "OkHttp": (
        "multipart/form-data; boundary=3f1b0a8e-2c4d",
        _form(
            b'Content-Disposition: form-data; name="file"; filename="a.bin"\r\n'
            b"Content-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\nhello",
            boundary=b"3f1b0a8e-2c4d",
        ),
        [("file", "a.bin", "application/octet-stream", b"hello")],
    ),
    "Apache HttpClient": (
        "multipart/form-data; charset=UTF-8; boundary=Kz-9_tQ",
        _form(
            b'Content-Disposition: form-data; name="json"\r\nContent-Type: application/json\r\n'
            b"Content-Transfer-Encoding: 8bit\r\n\r\n{}",
            b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: application/octet-stream\r\n'
            b"Content-Transfer-Encoding: binary\r\n\r\n\x00",
            boundary=b"Kz-9_tQ",
        ),
        [("json", "{}"), ("file", "a", "application/octet-stream", b"\x00")],
    ),
    "an Android example": (
        "multipart/form-data;boundary=*****",
        _form(b'Content-Disposition: form-data; name="f";filename="a.jpg"\r\n\r\nx', boundary=b"*****"),
        [("f", "a.jpg", None, b"x")],
    ),
    "aiohttp": (
        "multipart/form-data; boundary=560d862b30684691b140b03234cc55a0",
        _form(
            b'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xc3\xbc',
            b"Content-Type: text/plain\r\n"
            b'Content-Disposition: form-data; name="file"; filename="\xc3\xa9 \\"q\\" \\\\ %.txt"\r\n\r\nabc',
            boundary=b"560d862b30684691b140b03234cc55a0",
        ),
        [("a", "ü"), ("file", 'é "q" \\ %.txt', "text/plain", b"abc")],
    ),
    "httpx": (
        "multipart/form-data; boundary=1f3ec76378c96b4de1c59eb1ce546efb",
        _form(
            b'Content-Disposition: form-data; name="file"; filename="\xc3\xa9 %22q%22 \\\\ %.txt%0A"\r\n'
            b"Content-Type: text/plain\r\n\r\nabc",
            boundary=b"1f3ec76378c96b4de1c59eb1ce546efb",
        ),
        [("file", 'é "q" \\ %.txt\n', "text/plain", b"abc")],
    ),
    "a CRLF before the form": (_TYPE, b"\r\n" + _form(_field(b"v"))[:-2], [("f", "v")]),
    "headers in lower case": (
        "Multipart/Form-Data; Boundary=xYz",
        _form(b'content-disposition:form-data; name="file"; filename="a"\r\ncontent-type:text/plain\r\n\r\nx'),
        [("file", "a", "text/plain", b"x")],
    ),
    "no parts": (_TYPE, b"--xYz--\r\n", []),
    "blank lines at the end": (_TYPE, _form(_field(b"")) + b"\r\n\r\n", [("f", "")]),
}


def _by_requests() -> tuple[str, bytes, list[_Part]]:
    sent = requests.Request(
        "POST",
        "http://localhost/",
        data={"a": "ü"},
        files=[("file", ('na"m\\é\n.txt', b"abc", "text/plain")), ("file", ("z", b"\r\n--"))],
    ).prepare()
    assert isinstance(sent.body, bytes)
    return (
        sent.headers["Content-Type"],
        sent.body,
        [("a", "ü"), ("file", 'na"m\\é\n.txt', "text/plain", b"abc"), ("file", "z", None, b"\r\n--")],
    )


_CLIENTS["requests"] = _by_requests()


@pytest.mark.parametrize(("content_type", "sent", "expected"), _CLIENTS.values(), ids=_CLIENTS.keys())
@settings(max_examples=40)
@given(data=st.data())
def test_real_clients_are_understood(
    content_type: str, sent: bytes, expected: list[_Part], data: st.DataObject
) -> None:
    """Every client's form gives the same parts, however the network cuts it."""
    chunks = data.draw(split_anywhere(sent))
    assert asyncio.run(_read(Chunks(chunks), content_type)) == expected


_VALUES = st.one_of(st.binary(max_size=40), st.sampled_from([b"\r\n--xY", b"--xYz", b"\r", b"\r\n\r\n--", b"\r\r\n-"]))
_SENT_NAMES = st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters='\r\n"%\\'), max_size=20)


@given(st.lists(st.tuples(_SENT_NAMES, _VALUES), max_size=4), st.data())
def test_any_file_comes_out_as_it_went_in(files: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """Names and bytes are identical, whatever they are: control characters, near-boundaries (threat 26)."""
    sent = _form(*(_file(name.encode(), content) for name, content in files))
    chunks = data.draw(split_anywhere(sent))
    assert asyncio.run(_read(Chunks(chunks))) == [("file", name, None, content) for name, content in files]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\x",
        "\\\\host\\share\\x",
        "nul\x00.txt",
        "\x1b[31mred",
        "CON",
        "a.",
        "\u202egpj.exe",
        "/",
    ],
)
async def test_nasty_names_are_data(name: str) -> None:
    """A name is kept as it was sent; what it may do is decided where it is used (threats 1 and 26)."""
    assert await _read(Chunks([_form(_file(name.encode()))])) == [("file", name, None, b"data")]


# --- what is refused -------------------------------------------------------------------------------------------------

_HEAD = b'--xYz\r\nContent-Disposition: form-data; name="f"'

_MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "only line breaks": b"\r\n\r\n",
    "another boundary": _form(_field(b"v"), boundary=b"xYy"),
    "a preamble": b"This is a multi-part message.\r\n" + _form(_field(b"v")),
    "a boundary without dashes": _form(_field(b"v"))[2:],
    "a longer boundary": _form(_field(b"v"), boundary=b"xYzz"),
    "blanks behind a boundary": b"--xYz \r\n" + _form(_field(b"v"))[7:],
    "LF alone": _form(_field(b"v")).replace(b"\r\n", b"\n"),
    "LF behind the first boundary": b"--xYz\n" + _form(_field(b"v"))[7:],
    "LF in a header": _HEAD + b"\nX: y\r\n\r\nv\r\n--xYz--\r\n",
    "CR in a header": _HEAD + b"\rX: y\r\n\r\nv\r\n--xYz--\r\n",
    "no headers": b"--xYz\r\n\r\nv\r\n--xYz--\r\n",
    "no Content-Disposition": b"--xYz\r\nContent-Type: text/plain\r\n\r\nv\r\n--xYz--\r\n",
    "no name": _form(b"Content-Disposition: form-data\r\n\r\nv"),
    "only a file name": _form(b'Content-Disposition: form-data; filename="a"\r\n\r\nv'),
    "attachment": _form(b'Content-Disposition: attachment; name="f"\r\n\r\nv'),
    "two names": _form(b'Content-Disposition: form-data; name="f"; name="g"\r\n\r\nv'),
    "two file names": _form(b'Content-Disposition: form-data; name="f"; filename="a"; filename="b"\r\n\r\nv'),
    "two dispositions": _form(b'Content-Disposition: form-data; name="a"\r\n' + _field(b"v")),
    "an open quote": _form(b'Content-Disposition: form-data; name="f\r\n\r\nv'),
    "a header without colon": _form(b"Content-Type\r\n" + _field(b"v")),
    "a header without name": _form(b": x\r\n" + _field(b"v")),
    "a header with blanks in its name": _form(b"Content Type: x\r\n" + _field(b"v")),
    "a folded header": _form(b'Content-Disposition: form-data;\r\n name="f"\r\n\r\nv'),
    "a name in Latin-1": _form(_file("é".encode("latin-1"))),
    "an undecodable filename*": _form(b"Content-Disposition: form-data; name=f; filename*=UTF-8''%ff\r\n\r\nv"),
    "a file name in pieces": _form(b"Content-Disposition: form-data; name=f; filename*0=a; filename*1=b\r\n\r\nv"),
    "a field in Latin-1": _form(_field("é".encode("latin-1"))),
    "base64": _form(b"Content-Transfer-Encoding: base64\r\n" + _field(b"dg==")),
    "a negative length": _form(b"Content-Length: -1\r\n" + _field(b"v")),
    "a signed length": _form(b"Content-Length: +1\r\n" + _field(b"v")),
    "a length with underscores": _form(b"Content-Length: 1_0\r\n" + _field(b"0123456789")),
    "too small a length": _form(b"Content-Length: 1\r\n" + _field(b"vv")),
    "too large a length": _form(b"Content-Length: 3\r\n" + _field(b"vv")),
    "garbage behind a boundary": _form(_field(b"a"), _field(b"v")).replace(b"\r\n--xYz\r\n", b"\r\n--xYz!!"),
    "an epilogue": _form(_field(b"v")) + b"bye",
    "a part behind the end": _form(_field(b"v")) + _form(_field(b"w")),
    "no end": _form(_field(b"v"))[:-9],
    "half an end": _form(_field(b"v"))[:-3],
    "cut in a header": _HEAD,
    "cut in a file": _form(_file(b"a", b"x" * 50))[:100],
}


@pytest.mark.parametrize("sent", _MALFORMED.values(), ids=_MALFORMED.keys())
@settings(max_examples=20)
@given(data=st.data())
def test_malformed_forms_are_refused(sent: bytes, data: st.DataObject) -> None:
    """What no client sends is refused, however the network cuts it (threat 17)."""
    with pytest.raises(Malformed) as caught:
        asyncio.run(_read(Chunks(data.draw(split_anywhere(sent)))))
    assert caught.value.stable_code in {"form_malformed", "form_truncated"}


@given(st.binary(max_size=300), st.data())
def test_any_bytes_are_read_or_refused(noise: bytes, data: st.DataObject) -> None:
    """Nothing but our own refusals comes out of a form, and it ends."""
    whole = _form(_field(b"v"), _file(b"a"))
    at = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(Refused):
        asyncio.run(_read(Chunks(data.draw(split_anywhere(whole[:at] + noise + whole[at:])))))


@given(st.data())
def test_a_cut_form_is_never_whole(data: st.DataObject) -> None:
    """Without its closing boundary a form is truncated, also when all its parts seem whole."""
    sent = _form(_field(b"v"), _file(b"a", b"\r\n--x"))
    cut = sent[: data.draw(st.integers(0, len(sent) - 3))]
    with pytest.raises(Malformed) as caught:
        asyncio.run(_read(Chunks(data.draw(split_anywhere(cut)))))
    assert caught.value.stable_code == "form_truncated"


async def test_a_cut_file_raises_where_it_is_read() -> None:
    """Whoever keeps a file's bytes learns of the cut before taking them for all."""
    form = parts(Chunks([_form(_file(b"a", b"x" * 50))[:100]]), _TYPE)
    part = await anext(form)
    assert isinstance(part, FilePart)
    with pytest.raises(Malformed):
        _ = [piece async for piece in part.body]


async def test_what_the_connection_does_passes_through() -> None:
    """A client that goes away is no malformed form."""
    with pytest.raises(BodyTruncated):
        await _read(Chunks([_form(_file(b"a"))[:90]], fails=BodyTruncated("The client went away.")))


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "not_multipart"),
        ("application/json", "not_multipart"),
        ("multipart/mixed; boundary=xYz", "not_multipart"),
        ("multipart/form-data, multipart/form-data; boundary=xYz", "not_multipart"),
        ("multipart/form-data; boundary=a; boundary=b", "not_multipart"),
        ("multipart/form-data", "form_boundary_missing"),
        ("multipart/form-data; boundary=", "form_boundary_missing"),
        ('multipart/form-data; boundary=""', "form_boundary_missing"),
        ('multipart/form-data; boundary="a "', "form_boundary_missing"),
        ('multipart/form-data; boundary="a\r\nb"', "form_boundary_missing"),
        ("multipart/form-data; boundary=é", "form_boundary_missing"),
        ("multipart/form-data; boundary=" + "a" * 71, "form_boundary_missing"),
    ],
    ids=lambda value: ascii(value[:60]),
)
async def test_the_type_is_judged_before_anything_is_read(content_type: str, code: str) -> None:
    """A body that is no form, or names no usable boundary (RFC 2046 §5.1.1), isn't asked for."""
    body = Chunks([_form(_field(b"v"))])
    with pytest.raises(Malformed) as caught:
        parts(body, content_type)
    assert (caught.value.stable_code, body.taken) == (code, 0)


@given(st.data())
def test_long_boundaries_are_understood(data: st.DataObject) -> None:
    """70 characters are allowed."""
    sent = _form(_file(b"a"), boundary=b"b" * 70)
    content_type = f"multipart/form-data; boundary={'b' * 70}"
    found = asyncio.run(_read(Chunks(data.draw(split_anywhere(sent))), content_type))
    assert found == [("file", "a", None, b"data")]


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "limits", "code"),
    [
        (_form(*[_field(b"v")] * 3), FormLimits(max_fields=2), "form_too_many_parts"),
        (_form(*[_file(b"a")] * 3), FormLimits(max_files=2), "form_too_many_parts"),
        (_form(_field(b"x" * 11)), FormLimits(max_field_bytes=10), "form_field_too_large"),
        (_form(_file(b"a" * 45)), FormLimits(max_header_bytes=100), "form_header_too_large"),
        (_form(b"X-Pad: 345678\r\n" * 2 + _field(b"v")), FormLimits(max_header_bytes=65), "form_header_too_large"),
        (_form(_file(b"a", b"x" * 50)), FormLimits(max_total_bytes=100), "form_too_large"),
    ],
    ids=["fields", "files", "field", "header", "header lines", "total"],
)
@given(data=st.data())
def test_limits_hold(sent: bytes, limits: FormLimits, code: str, data: st.DataObject) -> None:
    """One more than the limit is TooLarge, however the network cuts it (threats 15 and 17)."""
    with pytest.raises(TooLarge) as caught:
        asyncio.run(_read(Chunks(data.draw(split_anywhere(sent))), limits=limits))
    assert caught.value.stable_code == code


@given(st.data())
def test_limits_may_be_reached(data: st.DataObject) -> None:
    """The limit itself is allowed."""
    sent = _form(_field(b"x" * 10), _field(b""), _file(b"a" * 44), _file(b"b"))
    limits = FormLimits(max_fields=2, max_field_bytes=10, max_files=2, max_header_bytes=100, max_total_bytes=len(sent))
    assert len(b'Content-Disposition: form-data; name="file"; filename="%b"' % (b"a" * 44)) == 100
    found = asyncio.run(_read(Chunks(data.draw(split_anywhere(sent))), limits=limits))
    assert len(found) == 4


async def test_skipped_files_are_counted() -> None:
    """Not reading a file doesn't get around the limits."""
    sent = _form(_file(b"a", b"x" * 1000), _file(b"b", b"x" * 1000))
    with pytest.raises(TooLarge):
        async for _ in parts(
            Chunks([sent[at : at + 100] for at in range(0, len(sent), 100)]), _TYPE, FormLimits(max_total_bytes=1500)
        ):
            pass


def _hostile() -> dict[str, tuple[str, bytes]]:
    mebibyte = 1 << 20
    nested = b"--in\r\n" * 50_000
    return {
        "CRLF before the form": (_TYPE, b"\r\n" * mebibyte + _form(_field(b"v"))),
        "CR before the form": (_TYPE, b"\r" * 2 * mebibyte),
        "LF before the form": (_TYPE, b"\n" * 2 * mebibyte),
        "CRLF behind the form": (_TYPE, _form(_field(b"v")) + b"\r\n" * mebibyte),
        "dashes": (_TYPE, b"-" * 2 * mebibyte),
        "100,000 fields": (_TYPE, _form(*[_field(b"")] * 100_000)),
        "20,000 files": (_TYPE, _form(*[_file(b"a", b"")] * 20_000)),
        "1,000 files": (_TYPE, _form(*[_file(b"a", b"")] * 1000)),
        "16 KiB of header": (_TYPE, _form(_file(b"a" * (16 << 10)))),
        "16 KiB of header lines": (_TYPE, _form(b"".join(b"X-%d: y\r\n" % at for at in range(2000)) + _field(b"v"))),
        "a header without end": (_TYPE, b"--xYz\r\n" + b"a" * 2 * mebibyte),
        "a header of colons": (_TYPE, b"--xYz\r\n" + b":\r\n" * mebibyte),
        "a header of semicolons": (_TYPE, _form(b"Content-Disposition: form-data" + b";" * 8000 + b"\r\n\r\nv")),
        "a header of quotes": (_TYPE, _form(_file(b'\\"' * 4000 + b"\\"))),
        "a field without end": (_TYPE, _form(_field(b"x" * 2 * mebibyte))),
        "a field of near-boundaries": (_TYPE, _form(_field(b"\r\n--xY" * 300_000))),
        "nested forms": (_TYPE, _form(b"Content-Type: multipart/mixed; boundary=in\r\n" + _field(nested))),
        "an endless boundary": ("multipart/form-data; boundary=" + "x" * mebibyte, _form(_field(b"v"))),
        "a type of semicolons": ("multipart/form-data" + "; " * mebibyte, _form(_field(b"v"))),
        "no boundary at all": ("multipart/form-data", b"x" * mebibyte),
    }


@pytest.mark.parametrize("chunk_bytes", [1 << 16, 1461])
@pytest.mark.parametrize(("content_type", "sent"), _hostile().values(), ids=_hostile().keys())
async def test_hostile_forms_are_refused_at_once(content_type: str, sent: bytes, chunk_bytes: int) -> None:
    """A refusal costs little, wherever the form turns hostile (threat 17, and what became a CVE elsewhere)."""
    body = Chunks(sent[at : at + chunk_bytes] for at in range(0, len(sent), chunk_bytes))
    begun = time.process_time()
    with pytest.raises(Refused):
        await _read(body, content_type)
    assert time.process_time() - begun < 0.5
    assert body.taken <= 512 << 10


@pytest.mark.parametrize(
    "content", [b"\r" * (4 << 20), b"\r\n--xY" * (1 << 19), b"\r\n" * (2 << 20)], ids=["CR", "near", "CRLF"]
)
async def test_hostile_content_is_only_content(content: bytes) -> None:
    """Line breaks and near-boundaries in a file cost no more than other bytes (CVE-2024-53981)."""
    sent = _form(_file(b"a", content))
    begun = time.process_time()
    found = await _read(Chunks(sent[at : at + 1461] for at in range(0, len(sent), 1461)))
    assert time.process_time() - begun < 2
    assert found == [("file", "a", None, content)]


# --- streaming -------------------------------------------------------------------------------------------------------


async def test_a_large_file_streams_through() -> None:
    """A piece is about a network chunk, and given before the next chunk is asked for: nothing is gathered."""
    chunk = bytes(range(256)) * 256
    head, tail = _form(_file(b"big", b"@")).split(b"@")
    body = Chunks([head, *[chunk] * 256, tail])
    received = 0
    async for part in parts(body, _TYPE):
        assert isinstance(part, FilePart)
        async for piece in part.body:
            assert 0 < len(piece) <= len(chunk) + 100
            received += len(piece)
            assert body.taken - received <= len(chunk) + len(head)
    assert received == 256 * len(chunk)


async def test_bytes_are_passed_on_without_a_copy() -> None:
    """A network chunk inside a file is handed on as the very object that came in."""
    chunk = b"x" * 65_536
    head, tail = _form(_file(b"big", b"@")).split(b"@")
    part = await anext(parts(Chunks([head, chunk, tail]), _TYPE))
    assert isinstance(part, FilePart)
    assert await anext(aiter(part.body)) is chunk


@given(st.data())
def test_pieces_keep_to_the_contract(data: st.DataObject) -> None:
    """A piece has at most 1 MiB, also when a left-over is glued to a chunk of that size."""
    head, tail = _form(_file(b"big", b"@")).split(b"@")
    filler = data.draw(st.sampled_from([b"\r", b"x", b"\r\n--xY"]))
    chunk = (filler * CHUNK_MAX_BYTES)[:CHUNK_MAX_BYTES]

    async def sizes() -> list[int]:
        part = await anext(parts(Chunks([head, chunk, chunk, tail]), _TYPE))
        assert isinstance(part, FilePart)
        return [len(piece) async for piece in part.body]

    found = asyncio.run(sizes())
    assert sum(found) == 2 * CHUNK_MAX_BYTES
    assert 0 < min(found) <= max(found) <= CHUNK_MAX_BYTES


async def test_fields_are_known_before_the_file_behind_them_is_read() -> None:
    """Admission can look at a field while the file that follows is still on the wire."""
    body = Chunks([_form(_field(b"v"), _file(b"a"))[:120], b"", _form(_file(b"a"))])
    part = await anext(parts(body, _TYPE))
    assert part == Field("f", "v")
    assert body.taken == 120


@given(st.data())
def test_what_is_left_of_a_part_is_skipped(data: st.DataObject) -> None:
    """Asking for the next part without reading this one leads to the next part."""
    sent = _form(_file(b"a", b"12345678"), _file(b"b", b"x"), _field(b"v"))
    chunks = data.draw(split_anywhere(sent))

    async def names() -> list[str]:
        found = []
        async for part in parts(Chunks(chunks), _TYPE):
            found.append(part.filename if isinstance(part, FilePart) else part.name)
            if isinstance(part, FilePart) and part.filename == "a":
                await anext(aiter(part.body))
        return found

    assert asyncio.run(names()) == ["a", "b", "f"]


async def test_a_part_left_behind_gives_no_more_bytes() -> None:
    """A body that was skipped raises: it must not pass for a whole one, nor take the next part's bytes."""
    form = parts(Chunks([_form(_file(b"a", b"1"), _file(b"b", b"2"))]), _TYPE)
    first, second = await anext(form), await anext(form)
    assert isinstance(first, FilePart)
    assert isinstance(second, FilePart)
    with pytest.raises(BodyTruncated):
        await anext(aiter(first.body))
    assert [piece async for piece in second.body] == [b"2"]


async def test_a_part_ends_once() -> None:
    """A body that has ended stays ended, and so does the form."""
    form = parts(Chunks([_form(_file(b"a", b"1"))]), _TYPE)
    part = await anext(form)
    assert isinstance(part, FilePart)
    assert part.body.declared_size is None
    assert [piece async for piece in part.body] == [b"1"]
    assert [piece async for piece in part.body] == []
    assert [each async for each in form] == []
    assert [each async for each in form] == []
