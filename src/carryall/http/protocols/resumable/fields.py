"""The draft's header fields: structured (RFC 9651), and passed over as a whole where they aren't."""

import re

from starlette.datastructures import Headers

from carryall.http.headers import media_type_of
from carryall.http.protocols.resumable.dialects import DIALECTS, NEWEST, Dialect
from carryall.model.upload import State, Upload

PARTIAL = "application/partial-upload"
VERSION = "Upload-Draft-Interop-Version"
_MARKS = ("upload-complete", "upload-incomplete", "upload-draft-interop-version")
_PARAMETERS = r"(?:; *[a-z*][a-z0-9_.*\-]*(?:=[!-:<-~]+)?)*"
_NUMBER = re.compile(rf"(0|[1-9]\d{{0,14}}){_PARAMETERS}", re.ASCII)
_FLAG = re.compile(rf"\?([01]){_PARAMETERS}", re.ASCII)


def is_marked(headers: Headers) -> bool:
    """Tell whether a request speaks the draft. One that also says Tus-Resumable speaks tus."""
    if "tus-resumable" in headers:
        return False
    return any(mark in headers for mark in _MARKS) or media_type_of(headers) == PARTIAL


def dialect_of(headers: Headers) -> Dialect:
    """Give the row for a request; versions that nobody knows speak the newest, and aren't told back."""
    version = number(headers, VERSION)
    if version is None and "upload-incomplete" in headers and "upload-complete" not in headers:
        return DIALECTS[3]
    return DIALECTS.get(version or 0, NEWEST)


def number(headers: Headers, name: str) -> int | None:
    """Read an Integer that isn't negative (I-F1, I-F3); None for anything else, and for two lines."""
    return _to_int(_item(headers, name, _NUMBER))


def is_end(headers: Headers, dialect: Dialect) -> bool | None:
    """Tell whether the upload ends with this request (I-F2); None where that isn't said."""
    found = _item(headers, dialect.flag, _FLAG)
    return None if found is None else (found == "1") is not dialect.is_inverted


def flag(dialect: Dialect, *, complete: bool) -> dict[str, str]:
    """Write the flag of an answer."""
    return {dialect.flag: "?1" if complete is not dialect.is_inverted else "?0"}


def limit(
    dialect: Dialect, *, max_size: int | None, max_append: int | None, age_s: int | None = None
) -> dict[str, str]:
    """Write Upload-Limit (I-F6, I-F7): never empty, and nothing in drafts that don't have it. Sizes in bytes."""
    if dialect.age_key is None:
        return {}
    members = {"max-size": max_size, "max-append-size": max_append, dialect.age_key: age_s}
    told = [f"{key}={value}" for key, value in members.items() if value is not None]
    return {"Upload-Limit": ", ".join(told) or "min-size=0"}


def standing(upload: Upload, dialect: Dialect, *, age_s: int, max_append: int | None) -> dict[str, str]:
    """Write how far an upload is (I-R1, I-R2)."""
    is_open = upload.state is State.OPEN
    length = {} if upload.size is None else {"Upload-Length": str(upload.size)}
    return {
        "Upload-Offset": str(upload.held_bytes),
        **length,
        **flag(dialect, complete=not is_open),
        **limit(dialect, max_size=upload.limit_bytes, max_append=max_append, age_s=max(0, age_s) if is_open else None),
    }


def _item(headers: Headers, name: str, pattern: re.Pattern[str]) -> str | None:
    given = headers.getlist(name)
    found = pattern.fullmatch(given[0].strip(" ")) if len(given) == 1 else None
    return found[1] if found else None


def _to_int(text: str | None) -> int | None:
    return None if text is None else int(text)
