"""Header fields into values and back: names, dates, conditions, media types, credentials."""

import base64
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from starlette.datastructures import Headers


def joined(headers: Headers, name: str) -> str | None:
    """Give a list field's lines as one (RFC 9110 §5.3); None when it isn't there."""
    lines = headers.getlist(name)
    return ", ".join(lines) if lines else None


# --- parameters ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)  # RFC 9110 §5.6.2
_NAME = r";[ \t]*(?:([^\s=;\"]++)[ \t]*=[ \t]*(?:\"("
_REST = r")\"|([^\";]*)))?[ \t]*"
# What HTML forms send: a quote in a value is %22, so a value goes to the next quote, whatever is in front of that.
_HTML_PARAMETER = re.compile(_NAME + r"[^\"]*" + _REST)
# RFC 9110 §5.6.4, and what Go and `curl --form-escape` send: a backslash makes a quote part of the value.
_QUOTED_PARAMETER = re.compile(_NAME + r"(?:[^\"\\]|\\.)*+" + _REST, re.DOTALL)
_PAIR = re.compile(r"\\([\"\\])")
_PAIRED = re.compile(r"(?:[^\\]|\\\\)*+")


def parse_parameters(value: str) -> tuple[str, dict[str, str]] | None:
    r"""Split `form-data; name="x"` or `text/plain; charset=utf-8` into its head and parameters, names in lower case.

    Some clients write quoted pairs (`\\` and `\"`: Go, httpx), others a backslash as it is (browsers, curl, requests).
    They are told apart: pairs are undone in a value with `\"`, and in one where every backslash is doubled; so
    `"C:\a.txt"` keeps what it has. Gives None for what can't be read, or names a parameter twice: that is where two
    readers would see two things.
    """
    end = value.find(";")
    head, rest = (value, "") if end < 0 else (value[:end], value[end:])
    parameters = _scan(rest, _HTML_PARAMETER)
    if parameters is None:
        parameters = _scan(rest, _QUOTED_PARAMETER)
    return None if parameters is None else (head.strip().lower(), parameters)


def _scan(text: str, pattern: re.Pattern[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            return None
        at = match.end()
        if match[1] is not None:
            name = match[1].lower()
            if name in found:
                return None
            found[name] = match[3].strip(" \t") if match[2] is None else _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if '"' in value or _PAIRED.fullmatch(value):
        return _PAIR.sub(r"\1", value)
    return value


# --- names of files --------------------------------------------------------------------------------------------------

_MAX_NAME = 255  # characters; what file systems take
_MAX_EXTENSION = 32
# Separators, C0, DEL, C1, lone surrogates: what could lead out of a folder, end a header or upset a terminal.
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Some clients decode % in a plain filename, and none agrees on quoted pairs (RFC 6266 appendix D).
_NOT_PLAIN = re.compile(r"[^ !#$&-\[\]-~]")
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[A-Za-z0-9\-]*'([^\s\"]*)", re.ASCII | re.IGNORECASE)
_ATTR_CHARS = "!#$&+^`|"  # RFC 8187 §3.2.1, beside what `quote` leaves alone anyway


def content_disposition(kind: Literal["inline", "attachment"], name: str) -> str:
    """Write a Content-Disposition for any name whatsoever. Pure ASCII.

    Separators, control characters and lone surrogates become "_", in both forms; a name of dots and spaces, "file".
    Names of more than 255 characters are cut and keep their extension.

    Source: RFC 6266 §4.3, RFC 8187; threats 1 and 5.
    """
    safe = safe_name(name)
    plain = _NOT_PLAIN.sub("_", safe)
    header = f'{kind}; filename="{plain}"'
    return header if plain == safe else f"{header}; filename*=UTF-8''{quote(safe, safe=_ATTR_CHARS)}"


def safe_name(name: str) -> str:
    """Give the name under which a client may save a file: what `content_disposition` says, decoded."""
    safe = _UNSAFE.sub("_", name)
    if not safe.strip(". "):
        return "file"
    if len(safe) <= _MAX_NAME:
        return safe
    stem, dot, extension = safe.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        return safe[:_MAX_NAME]
    return stem[: _MAX_NAME - len(extension) - 1] + dot + extension


def parse_disposition(value: str | bytes) -> tuple[str, dict[str, str]] | None:
    """Read a Content-Disposition: its kind and parameters; None when it can't be read.

    `filename*` replaces `filename` (RFC 6266 §4.3). One that can't be decoded stays under its starred name, raw.
    In form-data, `%22`, `%0D` and `%0A` of a plain value are decoded and nothing else is, as browsers encode it.
    Bytes are UTF-8, or else Latin-1.
    """
    parsed = parse_parameters(_text(value) if isinstance(value, bytes) else value)
    if parsed is None or not _TOKEN.fullmatch(parsed[0]):
        return None
    kind, given = parsed
    read = {name: text for name, text in given.items() if not name.endswith("*")}
    if kind == "form-data":
        read = {name: _form_decoded(text) for name, text in read.items()}
    for name in given.keys() - read.keys():
        decoded = _extended_decoded(given[name])
        read.update({name: given[name]} if decoded is None else {name[:-1]: decoded})
    return kind, read


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _form_decoded(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%22", '"') if "%" in text else text


def _extended_decoded(value: str) -> str | None:
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return None
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeDecodeError:
        return None


# --- dates and conditions --------------------------------------------------------------------------------------------

_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"  # IMF-fixdate
    r"|[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT"  # RFC 850
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}",  # asctime
    re.ASCII,
)
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def http_date(moment: datetime) -> str:
    """Write an aware time as an IMF-fixdate (RFC 9110 §5.6.7); fractions of a second are cut off."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_http_date(value: str) -> datetime | None:
    """Read any of the three forms of a date that RFC 9110 §5.6.7 asks for; None for everything else."""
    if not _HTTP_DATE.fullmatch(value):
        return None
    try:
        return parsedate_to_datetime(value).replace(tzinfo=UTC)
    except ValueError:
        return None


def etag_matches(header: str, etag: str | None, *, weak: bool) -> bool:
    """Tell whether a list of entity tags, or `*`, names the current one (RFC 9110 §8.8.3.2).

    Args:
        etag: the present representation's tag, quotes included; None where there is no representation.
        weak: compare without looking at `W/`. Otherwise weak tags never match.
    """
    if etag is None:
        return False
    if header.strip() == "*":
        return True
    given = _ENTITY_TAG.findall(header)
    if weak:
        return etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in given}
    return not etag.startswith("W/") and etag in given


def precondition(
    headers: Headers, etag: str | None, *, last_modified: datetime | None, method: str
) -> Literal[304, 412] | None:
    """Evaluate a request's conditions, in the order of RFC 9110 §13.2.2; None when it may go on.

    Args:
        etag: the present representation's tag; None where there is none yet (a PUT that creates).
        last_modified: its time, if it is known; conditions on dates are passed over otherwise.
    """
    reads = method in {"GET", "HEAD"}
    match, none_match = joined(headers, "if-match"), joined(headers, "if-none-match")
    if match is not None:
        if not etag_matches(match, etag, weak=False):
            return 412
    elif _is_newer(last_modified, headers.get("if-unmodified-since")):
        return 412
    if none_match is not None:
        if etag_matches(none_match, etag, weak=True):
            return 304 if reads else 412
    elif reads and _is_newer(last_modified, headers.get("if-modified-since")) is False:
        return 304
    return None


def if_range_holds(headers: Headers, etag: str | None) -> bool:
    """Tell whether a Range may be answered with a part: no If-Range, or one with the present strong tag.

    A date never holds: a name may get a new file twice in a second, and the whole file is always a right answer.

    Source: RFC 9110 §13.1.5.
    """
    given = headers.get("if-range")
    return given is None or (given.strip() != "*" and etag_matches(given, etag, weak=False))


def _is_newer(last_modified: datetime | None, header: str | None) -> bool | None:
    """Tell whether the representation changed after the header's date, in whole seconds; None if that isn't known."""
    since = parse_http_date(header) if header is not None else None
    if since is None or last_modified is None:
        return None
    return last_modified.replace(microsecond=0) > since


# --- media types and credentials -------------------------------------------------------------------------------------

_MAX_MEDIA_TYPE = 255  # RFC 6838 §4.2: 127 for either side of the slash
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.ASCII | re.IGNORECASE)
_BASIC = re.compile(r"basic +((?:[a-z0-9+/]{4})*(?:[a-z0-9+/]{2}==|[a-z0-9+/]{3}=)?)", re.ASCII | re.IGNORECASE)


def clean_media_type(value: str | None) -> str | None:
    """Give `type/subtype`, with its charset if it has one, in lower case; None for what is no media type.

    Other parameters are left out. A list (`image/png, text/html`) is no media type (threat 3).
    """
    parsed = parse_parameters(value) if value and len(value) <= _MAX_MEDIA_TYPE else None
    if parsed is None:
        return None
    media_type, charset = parsed[0], parsed[1].get("charset", "").lower()
    top, slash, sub = media_type.partition("/")
    if not slash or not _TOKEN.fullmatch(top) or not _TOKEN.fullmatch(sub):
        return None
    if not charset:
        return media_type
    return f"{media_type}; charset={charset}" if _TOKEN.fullmatch(charset) else None


def media_type_of(headers: Headers) -> str:
    """Give the Content-Type without its parameters, in lower case; "" where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def bearer(headers: Headers) -> str | None:
    """Give the token of `Authorization: Bearer …` (RFC 6750 §2.1); None for anything else, or two of them."""
    match = _credentials(headers, _BEARER)
    return match[1] if match else None


def basic_password(headers: Headers) -> str | None:
    """Give the password of `Authorization: Basic …` in UTF-8 (RFC 7617); the user's name isn't looked at."""
    match = _credentials(headers, _BASIC)
    if match is None:
        return None
    try:
        _, colon, password = base64.b64decode(match[1]).decode().partition(":")
    except UnicodeDecodeError:
        return None
    return password if colon else None


def _credentials(headers: Headers, scheme: re.Pattern[str]) -> re.Match[str] | None:
    given = headers.getlist("authorization")
    return scheme.fullmatch(given[0].strip()) if len(given) == 1 else None
