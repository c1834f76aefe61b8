"""tus 1.0.0: its header fields, read strictly."""

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from carryall.http.headers import clean_media_type, joined
from carryall.http.trailers import LateDigests, promises, takes_trailers, trailers_of
from carryall.model.errors import Malformed
from carryall.model.upload import Declared

# tus' algorithm names -> RFC 9530's, and the digest's length in bytes.
ALGORITHMS = {
    "sha1": ("sha", 20),
    "sha256": ("sha-256", 32),
    "sha512": ("sha-512", 64),
    "md5": ("md5", 16),
    "crc32": ("crc32", 4),
}
_NUMBER = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_KEY = re.compile(r"[!-+\--~]+", re.ASCII)  # visible ASCII but the comma; a space ends it
_MOST = 2**63 - 1
_METADATA_BYTES = 16 << 10
_NAME_KEYS = ("filename", "name")
_TYPE_KEYS = ("filetype", "type", "contentType")
_TARGET_KEY = "target"
_EXTERNAL_KEY = "main_service_file_id"
CHECKSUM = "upload-checksum"
_PARTIAL, _FINAL = "partial", "final;"


def number(headers: Headers, name: str) -> int | None:
    """Read a size or an offset (T-H6). Raises Malformed for anything but one decimal number."""
    given = one(headers, name)
    if given is None:
        return None
    if not _NUMBER.fullmatch(given) or int(given) > _MOST:
        raise Malformed(f"{name} has to be one whole number from 0 to {_MOST}.", code="header_invalid")
    return int(given)


def one(headers: Headers, name: str) -> str | None:
    """Give a field that stands alone. Raises Malformed for several lines: which of them holds isn't ours to choose."""
    given = headers.getlist(name)
    if len(given) > 1:
        raise Malformed(f"{name} has to stand once.", code="header_invalid")
    return given[0].strip() if given else None


def metadata_of(text: str) -> dict[str, bytes]:
    """Read Upload-Metadata (T-C6). Raises Malformed for a key twice, an empty key, or a value that isn't base64."""
    if len(text) > _METADATA_BYTES:
        raise Malformed(f"Upload-Metadata may have at most {_METADATA_BYTES} bytes.", code="metadata_invalid")
    found: dict[str, bytes] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise Malformed("Upload-Metadata has an empty, a wrong or a repeated key.", code="metadata_invalid")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True)
        except ValueError as error:  # not base64, or not even ASCII
            raise Malformed(f"The value of {key} in Upload-Metadata is not base64.", code="metadata_invalid") from error
    return found


def declared_of(headers: Headers, *, door: str, size: int | None) -> Declared:
    """Say what a creation declares. Names are data, kept as they are.

    Values that aren't text are the client's own affair: they are told back, and nothing else. A name or a type that
    isn't text is Malformed: a name is never altered.
    """
    raw = joined(headers, "upload-metadata")
    values = dict(_texts(metadata_of(raw or "")))
    name = next((values[key] for key in _NAME_KEYS if values.get(key)), "file")
    media_type = next((values[key] for key in _TYPE_KEYS if values.get(key)), None)
    concat = one(headers, "upload-concat")
    return Declared(
        name=name,
        door=door,
        media_type=clean_media_type(media_type),
        size=size,
        external_id=values.get(_EXTERNAL_KEY),
        target=values.get(_TARGET_KEY),
        metadata=values,
        raw_metadata=raw,
        is_part=concat == _PARTIAL,
        raw_parts=concat if concat and concat.startswith(_FINAL) else None,
    )


def _texts(metadata: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for key, value in metadata.items():
        try:
            yield key, value.decode("utf-8")
        except UnicodeDecodeError as error:
            if key in (*_NAME_KEYS, *_TYPE_KEYS, _EXTERNAL_KEY, _TARGET_KEY):
                raise Malformed(f"{key} in Upload-Metadata has to be UTF-8.", code="metadata_invalid") from error


def checksum(headers: Headers, scope: Scope) -> Mapping[str, str]:
    """Give the digest of this request's body, hexadecimal, by RFC 9530 name: from the header, or from the trailer.

    One that is promised as a trailer has to come (T-KT2); Malformed is raised at once where none can.
    """
    if not promises(headers, CHECKSUM):
        return _checksum(headers)
    if CHECKSUM in headers or not takes_trailers(scope):
        text = "Upload-Checksum comes in the header or, where checksum-trailer is offered, in the trailer."
        raise Malformed(text, code="header_invalid")

    def read() -> Mapping[str, str]:
        told = _checksum(trailers_of(scope))
        if not told:
            raise Malformed("The promised trailer Upload-Checksum didn't come.", code="digest_malformed")
        return told

    return LateDigests((name for name, _ in ALGORITHMS.values()), read)


def _checksum(headers: Headers) -> dict[str, str]:
    """Read Upload-Checksum (T-K2, T-K3, T-K6)."""
    given = one(headers, CHECKSUM)
    if given is None:
        return {}
    algorithm, _, encoded = given.partition(" ")
    if algorithm not in ALGORITHMS:
        raise Malformed(
            f"Upload-Checksum may use {', '.join(ALGORITHMS)}.", code="checksum_unknown", supported=list(ALGORITHMS)
        )
    name, length = ALGORITHMS[algorithm]
    try:
        value = base64.b64decode(encoded.strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise Malformed("Upload-Checksum is not base64.", code="digest_malformed") from error
    if len(value) != length:
        raise Malformed(f"A digest by {algorithm} has {length} bytes.", code="digest_malformed")
    return {name: value.hex()}


def parts_of(headers: Headers, *, own_host: str, prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Give the ids of the uploads that a final one is made of (T-N3); empty for every other upload.

    URLs may be absolute or relative, but only name uploads of this server: no other host is ever asked (threat 6).
    """
    concat = one(headers, "upload-concat")
    if concat is None or concat == _PARTIAL:
        return ()
    urls = concat.removeprefix(_FINAL).split()
    if not concat.startswith(_FINAL) or not urls:
        raise Malformed('Upload-Concat is "partial" or "final;" with URLs.', code="parts_invalid")
    return tuple(_upload_id(url, own_host, prefixes) for url in urls)


def _upload_id(url: str, own_host: str, prefixes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Malformed("A part's URL can't be read.", code="parts_invalid") from error
    folder, _, upload_id = unquote(parts.path).rpartition("/")
    is_ours = not parts.netloc or parts.netloc.lower() == own_host.lower()
    if not is_ours or not upload_id.isalnum() or (folder and not folder.endswith(prefixes)):
        raise Malformed("A part's URL is no upload of this server.", code="parts_invalid")
    return upload_id
