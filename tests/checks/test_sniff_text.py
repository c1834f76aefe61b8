"""Text is told from bytes that are none, and what a browser or a parser would run from what it would only show."""

import codecs
import time

import pytest

from carryall.checks.sniff import sniff
from carryall.ports.sniffer import HEAD_BYTES, Sniffed

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
XHTML = b'<html xmlns="http://www.w3.org/1999/xhtml"><head/></html>'
MHT = (
    b"From: <Saved by Blink>\r\nSubject: x\r\n continued\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/related;\r\n\ttype="text/html"\r\n\r\nx'
)

MARKUP = {
    "image/svg+xml": (
        SVG,
        b"\n\t " + SVG,
        codecs.BOM_UTF8 + b'<?xml version="1.0"?>\n<!-- x -->\n<!DOCTYPE svg [<!ENTITY a "b>">]>\n' + SVG,
        b"<!DOCTYPE svg><svg/>",
        b"<!-- x --><SVG>",
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg"/>',
        codecs.BOM_UTF16_BE + SVG.decode().encode("utf-16-be"),
        SVG.decode().encode("utf-16-le"),
        SVG.decode().encode("utf-16-be"),
        b"<!DOCTYPE svg [<!ENTITY lol 'lol'>" + b"<!ENTITY a '&lol;&lol;'>" * 400,
    ),
    "application/xhtml+xml": (XHTML, b'<?xml version="1.0"?>' + XHTML, b"<?xml version='1.0'?><html>"),
    "application/xml": (
        b'<?xml version="1.0"?>\n<note/>',
        b'<feed xmlns="http://www.w3.org/2005/Atom"/>',
        b'<a:script xmlns:a="http://www.w3.org/1999/xhtml">alert(1)</a:script>',
    ),
    "text/html": (
        b"<!DOCTYPE html>\n<title>x</title>",
        b"  \r\n<HTML><body>",
        b"<script>alert(1)</script>",
        b"<script",
        b"<img src=x onerror=alert(1)>",
        b"<iframe/src=x>",
        b"<a href=x>",
        b"<!-- x -->text",
        b"<!--",
        b"<?php echo 1; ?><html>",
        codecs.BOM_UTF8 + b"<body onload=x>",
        codecs.BOM_UTF16_LE + "<html>".encode("utf-16-le"),
    ),
}
MAILS = {
    "multipart/related": (MHT, b"mime-version: 1.0\ncontent-type:multipart/related\n\n"),
    "message/rfc822": (
        b"MIME-Version: 1.0\r\n",
        b"Subject: x\nmime-version: 1.0\n\nx",
        b"Content-Type: multipart/mixed\n",
    ),
}
PLAIN = (
    b"hello",
    "Grüße, 世界".encode(),
    "Grüße".encode("latin-1"),
    codecs.BOM_UTF16_BE + "Grüße".encode("utf-16-be"),
    codecs.BOM_UTF16_LE + "Grüße".encode("utf-16-le"),
    codecs.BOM_UTF8,
    ("a" + "ü" * HEAD_BYTES).encode(),
    codecs.BOM_UTF8 + ("ü" * HEAD_BYTES).encode(),
    codecs.BOM_UTF16_BE + ("\U0001f600" * HEAD_BYTES).encode("utf-16-be"),
    b"\x1b[31mred\x1b[0m",
    b"alert(1)",
    b"#!/bin/sh\necho",
    b"BMW and MZ are makers",
    b"MZ",
    b"CWS and FWS",
    b"true",
    b"BZh9",
    b"The free moov",
    b"[section]\na = 1",
    b"{not json}",
    b"<joe@example.org> wrote:",
    b"<3 and < 4",
    b"<note>x</note>",
    b"Dear all: see https://example.org\n\nMIME-Version: 1.0",
)


@pytest.mark.parametrize("name", ["x", "holiday.png", "x.txt", "x.csv", "x.json"])
@pytest.mark.parametrize("media_type", MARKUP)
def test_markup_is_seen_under_any_name(media_type: str, name: str) -> None:
    """HTML, SVG and other XML are seen after any prolog, in any Unicode encoding, under any name."""
    family = "image" if media_type == "image/svg+xml" else "markup"
    assert {Sniffed(media_type, family)} == {sniff(data, name) for data in MARKUP[media_type]}


@pytest.mark.parametrize("media_type", MAILS)
def test_web_archives_are_seen(media_type: str) -> None:
    """MHT files and mails, in which browsers find HTML, are seen by their header."""
    assert {Sniffed(media_type, "document")} == {sniff(data, "x.png") for data in MAILS[media_type]}


@pytest.mark.parametrize("data", PLAIN, ids=lambda data: repr(data[:20]))
def test_plain_text_stays_plain(data: bytes) -> None:
    """Text that only begins like something else is text, in UTF-8, UTF-16 and 8-bit codes, cut or whole."""
    assert sniff(data, "x.png") == Sniffed("text/plain", "text")


@pytest.mark.parametrize(
    "data",
    [b"\x01\x02\x03\x04", b"hello\0", b"\0<html>", b"\xff\xfe\0\xd8a\0", b"\xff\xfea\0\0\0", b"\x7f\x00"],
    ids=repr,
)
def test_other_bytes_are_unknown(data: bytes) -> None:
    """Bytes with controls in them, and broken UTF-16, are no text."""
    assert sniff(data, "x.html") == Sniffed("application/octet-stream", "unknown")


@pytest.mark.parametrize(
    ("data", "is_json"),
    [
        (b'{"a": [1, 2]}', True),
        (b' [{"a": 1}]\n', True),
        (b"[]", True),
        (b'{"a": "' + b"x" * HEAD_BYTES, True),
        (b'[["' + b"x" * HEAD_BYTES, True),
        (b'{"a": 1', False),
        (b"{'a': 1}", False),
        (b"[link] " + b"x" * HEAD_BYTES, False),
        (b'"text"', False),
        (b"1", False),
        (b"[" * 5000, False),
    ],
    ids=lambda value: repr(value)[:16],
)
def test_json_is_seen(data: bytes, is_json: bool) -> None:  # noqa: FBT001  # a table of cases
    """Whole objects and arrays are JSON; of a long file its beginning decides."""
    assert (sniff(data, "x").media_type == "application/json") is is_json


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.csv", "text/csv"),
        ("A.CSV", "text/csv"),
        ("a.md", "text/markdown"),
        ("a.yaml", "application/yaml"),
        ("a.html", "text/plain"),
        ("a.svg", "text/plain"),
        ("a.js", "text/plain"),
        ("a.css", "text/plain"),
        ("csv", "text/csv"),
    ],
)
def test_names_choose_among_kinds_of_plain_text(name: str, media_type: str) -> None:
    """A name tells CSV from Markdown, and never makes text active."""
    assert sniff(b"a,b\n1,2\n", name) == Sniffed(media_type, "text")


def test_only_the_head_counts() -> None:
    """What comes after 8 KiB changes nothing, however much is given."""
    assert sniff(b"a" * HEAD_BYTES + b"\0", "x").media_type == "text/plain"
    assert sniff(b"a" * (HEAD_BYTES - 1) + b"\0", "x").media_type == "application/octet-stream"


@pytest.mark.parametrize(
    "head",
    [
        b"<!--" * 2048,
        b"<?" * 4096,
        b"<!doctype [" + b"]" * 8000,
        b"<!doctype [" + b"] " * 4000,
        b"<!doctype a" * 700,
        b"<a:" * 2730,
        b"<" + b"a" * 8000,
        b"a:\n " * 2048,
        b"a:b\n" * 2048,
        b"a:b\n c\n" * 1100,
        b" " * 8191 + b"<",
        b"[" * 8191,
        b'{"a":' * 1600,
        b"PK\x03\x04" * 2048,
        (b"PK\x03\x04\x14\0\x08\0" + b"\0" * 22) * 270,
    ],
    ids=lambda head: repr(head[:12]),
)
def test_no_head_takes_long(head: bytes) -> None:
    """Heads that are made to be slow to read take less than a twentieth of a second."""
    begin = time.perf_counter()
    sniff(head, "x")
    assert time.perf_counter() - begin < 0.05
