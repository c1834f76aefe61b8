"""Say what a file is from its first bytes: magic numbers first, then what kind of text it is."""

import codecs
import json
import re

from carryall.checks.signatures import by_signature, family_of, has_controls
from carryall.model.media_type import EMPTY, PLAIN, UNKNOWN
from carryall.ports.sniffer import HEAD_BYTES, Sniffed

_BYTE_ORDERS = (
    (codecs.BOM_UTF8, "utf-8", 3),
    (codecs.BOM_UTF16_BE, "utf-16-be", 2),
    (codecs.BOM_UTF16_LE, "utf-16-le", 2),
    # Without a mark, as an XML parser would guess it (XML 1.0 appendix F).
    (b"\0<\0", "utf-16-be", 0),
    (b"<\0", "utf-16-le", 0),
)

# What may stand before the root element. No alternative can match in two ways, so the scan is linear.
_PROLOG = re.compile(
    r"\s+ | <\?.*?\?> | <!--.*?--> | <!doctype [^\[>]* (?: > | \[ .*? \]\s*> )",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_TAG = re.compile(r"<(?:[\w.-]+:)?([a-z][\w.-]*)(?=[\s/>]|\Z)", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype\s+(?:[\w.-]+:)?([\w.-]+)", re.IGNORECASE)
_XHTML = re.compile(r"xmlns(?::[\w.-]+)?\s*=\s*[\"']http://www\.w3\.org/1999/xhtml")

# WHATWG's list (MIME Sniffing §7.1), and more that browsers would run or load something for.
# fmt: off
_HTML_TAGS = frozenset(
    {
        "html", "head", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "body",
        "br", "p", "img", "meta", "link", "base", "form", "input", "button", "video", "audio", "object",
        "embed", "frameset", "template", "marquee",
    }
)
# fmt: on

# A web archive or a mail: header lines, one of them MIME's (RFC 2045 §4).
_MAIL = re.compile(
    r"(?:[a-z][a-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:mime-version:|content-type:\s*multipart/)", re.IGNORECASE
)
_WEB_ARCHIVE = re.compile(r"^content-type:\s*multipart/related", re.IGNORECASE | re.MULTILINE)

_JSON_START = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])")
_TEXT_ENDINGS = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "ics": "text/calendar",
    "vcf": "text/vcard",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "ndjson": "application/x-ndjson",
    "jsonl": "application/x-ndjson",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "sql": "application/sql",
}


def sniff(head: bytes, name: str) -> Sniffed:
    """Say what a file is; the contract is in ports/sniffer.py."""
    head = head[:HEAD_BYTES]
    ending = name.rpartition(".")[2].lower()
    if not head:
        media_type = EMPTY
    elif (signed := by_signature(head, ending)) is not None:
        media_type = signed
    elif (text := _as_text(head)) is not None:
        media_type = _text_kind(text, ending, is_whole=len(head) < HEAD_BYTES)
    else:
        media_type = UNKNOWN
    return Sniffed(media_type=media_type, family=family_of(media_type))


def _as_text(head: bytes) -> str | None:
    """Decode text: UTF-8, UTF-16, else any 8-bit code. None for bytes that are no text."""
    for mark, encoding, skipped in _BYTE_ORDERS:
        if head.startswith(mark):
            return _decoded(head[skipped:], encoding)
    if has_controls(head):
        return None
    return _decoded(head, "utf-8") or head.decode("latin-1")


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        # The last character may be cut; an incremental decoder keeps it back.
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return None
    return None if has_controls(text.encode("utf-8")) else text


def _text_kind(text: str, ending: str, *, is_whole: bool) -> str:
    body = text.lstrip()
    if body.startswith("<"):
        return _markup_kind(body, ending) or _TEXT_ENDINGS.get(ending, PLAIN)
    if body.startswith(("%PDF-", "%!PS")):
        return "application/pdf" if body[1] == "P" else "application/postscript"
    if _MAIL.match(body):
        return "multipart/related" if _WEB_ARCHIVE.search(body) else "message/rfc822"
    if ending in _TEXT_ENDINGS:
        return _TEXT_ENDINGS[ending]
    return "application/json" if _is_json(body, is_whole=is_whole) else PLAIN


def _markup_kind(body: str, ending: str) -> str | None:
    """Tell HTML, XHTML, SVG and other XML apart by what follows the prolog. Text that only begins with "<" is None."""
    at = 0
    while step := _PROLOG.match(body, at):
        at = step.end()
    tag = _TAG.match(body, at) or _DOCTYPE.search(body)
    root = tag.group(1).lower() if tag else ""
    is_xml = body.startswith("<?xml")
    if root == "svg":
        return "image/svg+xml"
    if root == "html" and (is_xml or _XHTML.search(body)):
        return "application/xhtml+xml"
    if is_xml or (root and ("xmlns" in body or ending in {"xml", "rss", "atom"})):
        return "application/xml"
    # A lone comment, and a doctype without a root, are HTML to a browser.
    if root in _HTML_TAGS or body.startswith("<!--") or _DOCTYPE.match(body):
        return "text/html"
    return None


def _is_json(body: str, *, is_whole: bool) -> bool:
    """Tell JSON objects and arrays; of a longer file only the beginning can be judged."""
    if not is_whole or not body.startswith(("{", "[")):
        return _JSON_START.match(body) is not None
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
