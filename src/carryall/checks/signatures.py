"""What binary formats begin with: magic numbers, and a look into the containers that many formats share.

Sources: WHATWG MIME Sniffing; IANA's media types; each format's own specification.
"""

import re
import struct
from collections.abc import Callable, Iterator

from carryall.model.media_type import UNKNOWN

OFFICE_XML = "application/vnd.openxmlformats-officedocument."
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

# The first that fits wins.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"8BPS\0", "image/vnd.adobe.photoshop"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"MThd\0\0\0", "audio/midi"),
    (b"#!AMR", "audio/amr"),
    (b".snd\0\0\0", "audio/basic"),
    (b"FLV\x01", "video/x-flv"),
    (b"\0\0\x01\xba", "video/mpeg"),
    (b"\0\0\x01\xb3", "video/mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
    (b"\xed\xab\xee\xdb", "application/x-rpm"),
    (b"\x7fELF", "application/x-elf"),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\0asm", "application/wasm"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"OTTO\0", "font/otf"),
    (b"\0\x01\0\0\0", "font/ttf"),
    (b"ttcf\0", "font/collection"),
)

# These begin like words, or with one or two bytes: they count only where the rest isn't text.
_SHORT_MAGIC = (
    (b"BZh", "application/x-bzip2"),
    (b"FWS", "application/x-shockwave-flash"),
    (b"CWS", "application/x-shockwave-flash"),
    (b"ZWS", "application/x-shockwave-flash"),
    (b"true", "font/ttf"),
    (b"\xff\x0a", "image/jxl"),
)

# What an ISO media file (ISO/IEC 14496-12) is, by the brands in its `ftyp` box.
_BRANDS = {
    brand: media_type
    for media_type, brands in (
        ("image/avif", (b"avif", b"avis")),
        ("image/heic", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")),
        ("audio/mp4", (b"M4A ", b"M4B ", b"M4P ")),
        ("video/x-m4v", (b"M4V ", b"M4VH", b"M4VP")),
        ("video/quicktime", (b"qt  ",)),
        ("video/3gpp", (b"3gp4", b"3gp5", b"3gp6", b"3gp7")),
        ("video/3gpp2", (b"3g2a", b"3g2b", b"3g2c")),
        ("video/mp4", (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"MSNV")),
    )
    for brand in brands
}

# RIFF, and IFF, from which it comes.
_RIFF = {
    b"WEBP": "image/webp",
    b"WAVE": "audio/wav",
    b"AVI ": "video/x-msvideo",
    b"AIFF": "audio/aiff",
    b"AIFC": "audio/aiff",
}
_OGG = (
    (b"\x80theora", "video/ogg"),
    (b"OpusHead", "audio/ogg"),
    (b"\x01vorbis", "audio/ogg"),
    (b"\x7fFLAC", "audio/ogg"),
    (b"Speex", "audio/ogg"),
)
_MATROSKA = ((b"webm", "video/webm"), (b"matroska", "video/x-matroska"))
_OLE_STREAMS = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
)
_OLE_ENDINGS = {
    "doc": "application/msword",
    "dot": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
    "msi": "application/x-msi",
}
_ZIP_FOLDERS = (
    ("docx", b"word/", OFFICE_XML + "wordprocessingml.document"),
    ("xlsx", b"xl/", OFFICE_XML + "spreadsheetml.sheet"),
    ("pptx", b"ppt/", OFFICE_XML + "presentationml.presentation"),
)
_OFFICE_PARTS = {b"[Content_Types].xml", b"_rels/.rels"}
_ZIP_MIMETYPE = re.compile(rb"application/(?:epub\+zip|vnd\.oasis\.opendocument\.[a-z-]{1,40})")

_CONTROLS = bytes({*range(0x20)} - set(b"\t\n\f\r\x1b"))  # WHATWG's "binary data bytes"


def has_controls(data: bytes) -> bool:
    """Tell whether there is a byte that text doesn't have (WHATWG MIME Sniffing §3, binary data byte)."""
    return len(data.translate(None, _CONTROLS)) < len(data)


def by_signature(head: bytes, ending: str) -> str | None:
    """Give the media type that the beginning of a file proves, or None.

    Args:
        head: the first bytes, at most 8 KiB, not empty.
        ending: the name's ending in lower case, without the dot; it only chooses among a container's kinds.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip_kind(head, ending)
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return _ole_kind(head, ending) if media_type == "application/x-ole-storage" else media_type
    return _container(head) or (_short(head) if has_controls(head) else None)


def _container(head: bytes) -> str | None:
    """Name formats that say what they are a few bytes in."""
    if head[4:8] == b"ftyp":
        return _iso_kind(head)
    if head[257:262] == b"ustar":
        return "application/x-tar"
    look = _CONTAINERS.get(head[:4])
    return look(head) if look is not None else _mpeg_kind(head)


def _riff_kind(head: bytes) -> str | None:
    return _RIFF.get(head[8:12])


def _ogg_kind(head: bytes) -> str:
    return next((kind for mark, kind in _OGG if mark in head[28:128]), "application/ogg")


def _matroska_kind(head: bytes) -> str | None:
    return next((kind for mark, kind in _MATROSKA if mark in head[:64]), None)


def _cafebabe_kind(head: bytes) -> str:
    # Java puts its version here (45 and up), Mach-O the number of its architectures.
    return "application/java-vm" if int.from_bytes(head[6:8], "big") >= 45 else "application/x-mach-binary"


_CONTAINERS: dict[bytes, Callable[[bytes], str | None]] = {
    b"RIFF": _riff_kind,
    b"RF64": _riff_kind,
    b"FORM": _riff_kind,
    b"OggS": _ogg_kind,
    b"\x1a\x45\xdf\xa3": _matroska_kind,
    b"\xca\xfe\xba\xbe": _cafebabe_kind,
}


def _iso_kind(head: bytes) -> str:
    end = min(int.from_bytes(head[:4], "big"), len(head), 256)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    named = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    if brands[0] in {b"mif1", b"msf1"}:
        return named if named in {"image/avif", "image/heic"} else "image/heif"
    return named or "video/mp4"


def _mpeg_kind(head: bytes) -> str | None:
    """Name bare MPEG frames: layer III sound, AAC in ADTS, and transport streams of 188-byte packets."""
    if len(head) >= 4 and head[0] == 0xFF:
        version_is_reserved, is_layer_3 = head[1] & 0x18 == 0x08, head[1] & 0xE6 == 0xE2
        rates_are_valid = head[2] >> 4 not in {0, 15} and head[2] & 0x0C != 0x0C
        if is_layer_3 and rates_are_valid and not version_is_reserved:
            return "audio/mpeg"
        if head[1] & 0xF6 == 0xF0 and (head[2] >> 2) & 0x0F < 13:
            return "audio/aac"
    is_stream = len(head) > 376 and head[0] == head[188] == head[376] == 0x47
    return "video/mp2t" if is_stream and has_controls(head) else None


def _short(head: bytes) -> str | None:
    """Name formats with short magic numbers, given that these bytes aren't text."""
    if head[:2] == b"MZ":
        at = int.from_bytes(head[60:64], "little")
        is_windows = head.startswith(b"PE\0\0", at)
        return "application/vnd.microsoft.portable-executable" if is_windows else "application/x-dosexec"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in {12, 40, 52, 56, 64, 108, 124}:
        return "image/bmp"
    if head[:4] in {b"\0\0\1\0", b"\0\0\2\0"} and head[4:6] != b"\0\0" and head[9:10] == b"\0":
        return "image/x-icon"
    if head[4:8] in {b"moov", b"mdat", b"wide", b"pnot"}:  # QuickTime of before 2001 has no ftyp box
        return "video/quicktime"
    return next((kind for magic, kind in _SHORT_MAGIC if head.startswith(magic)), None)


def _ole_kind(head: bytes, ending: str) -> str:
    for stream, kind in _OLE_STREAMS:
        if stream.encode("utf-16-le") in head:
            return kind
    return _OLE_ENDINGS.get(ending, "application/x-ole-storage")


def _zip_kind(head: bytes, ending: str) -> str:
    """Tell what a zip holds from the names in its first local headers; the directory at its end is out of sight."""
    entries = list(_zip_entries(head))
    if entries and entries[0][0] == b"mimetype" and (said := _ZIP_MIMETYPE.match(entries[0][1])):
        return said.group().decode("ascii")
    names = {name for name, _ in entries}
    is_office = not _OFFICE_PARTS.isdisjoint(names)
    for its_ending, folder, kind in _ZIP_FOLDERS:
        has_folder = any(name.startswith(folder) for name in names)
        if (is_office and has_folder) or (ending == its_ending and (is_office or has_folder)):
            return kind
    if b"AndroidManifest.xml" in names:
        return "application/vnd.android.package-archive"
    return "application/java-archive" if b"META-INF/MANIFEST.MF" in names else "application/zip"


def _zip_entries(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Walk the local headers (APPNOTE 4.3.7) as far as they are in sight: names, and the packed bytes after them."""
    at = 0
    while 0 <= at <= len(head) - 30 and head.startswith(b"PK\x03\x04", at):
        packed, _, name_length, extra_length = struct.unpack_from("<IIHH", head, at + 18)
        data = at + 30 + name_length + extra_length
        yield head[at + 30 : at + 30 + name_length], head[data : data + packed]
        # A streamed entry tells its size only behind its data: the next header has to be looked for.
        is_streamed = head[at + 6] & 0x08 and not packed
        at = head.find(b"PK\x03\x04", data) if is_streamed else data + packed


_FAMILIES = {
    "document": "pdf postscript rtf msword vnd.ms-excel vnd.ms-powerpoint vnd.ms-outlook x-ole-storage epub+zip",
    "archive": "zip gzip x-bzip2 x-xz zstd x-7z-compressed vnd.rar x-tar vnd.ms-cab-compressed",
    "program": "x-elf vnd.microsoft.portable-executable x-dosexec x-mach-binary wasm java-vm java-archive "
    "vnd.android.package-archive x-shockwave-flash vnd.debian.binary-package x-rpm x-msi",
    "text": "json x-ndjson yaml toml sql x-subrip",
    "markup": "xml xhtml+xml",
    "data": "vnd.sqlite3",
    "audio": "ogg",
}
_FAMILY_OF = {f"application/{kind}": family for family, kinds in _FAMILIES.items() for kind in kinds.split()} | {
    "text/html": "markup",
    "message/rfc822": "document",
    "multipart/related": "document",
    UNKNOWN: "unknown",
    "application/x-empty": "unknown",
}


def family_of(media_type: str) -> str:
    """Give the family (ports/sniffer.py) of a media type that our tables name."""
    if media_type.startswith((OFFICE_XML, OPEN_DOCUMENT)):
        return "document"
    return _FAMILY_OF.get(media_type, media_type.partition("/")[0])
