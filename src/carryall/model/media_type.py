"""What a media type may do in a browser, and which of two types to believe."""

import re

UNKNOWN = "application/octet-stream"
EMPTY = "application/x-empty"
PLAIN = "text/plain"

RASTER = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/bmp",
        "image/tiff",
        "image/x-icon",
        "image/avif",
        "image/heic",
        "image/heif",
        "image/jxl",
        "image/jp2",
        "image/vnd.adobe.photoshop",
    }
)

# Text that no browser runs while `nosniff` is sent. A declared type may narrow plain text to one of these.
QUIET_TEXT = frozenset(
    {
        PLAIN,
        "text/csv",
        "text/tab-separated-values",
        "text/markdown",
        "text/calendar",
        "text/vcard",
        "text/vtt",
        "application/json",
        "application/x-ndjson",
        "application/yaml",
        "application/toml",
        "application/sql",
        "application/x-subrip",
    }
)

# Sound and film whose beginning tells nothing; a declared type may narrow unknown bytes to one of these.
WITHOUT_MAGIC = frozenset({"audio/aac", "audio/mpeg", "audio/basic", "video/mpeg", "video/mp2t"})

_QUIET_FAMILIES = ("audio/", "video/", "font/")
_WORD = r"[a-z0-9!#$&^_.+-]{1,100}"
_ESSENCE = re.compile(rf"({_WORD}/{_WORD})[ \t]*(?:;[^,]*)?")

_BY_EXTENSION = {
    "png": "image/png",
    "jpg jpeg jpe jfif": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp dib": "image/bmp",
    "tif tiff": "image/tiff",
    "ico cur": "image/x-icon",
    "avif": "image/avif",
    "heic": "image/heic image/heif",
    "heif": "image/heif image/heic image/avif",
    "jxl": "image/jxl",
    "jp2": "image/jp2",
    "psd": "image/vnd.adobe.photoshop",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "ps eps": "application/postscript",
    "rtf": "application/rtf",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg oga": "audio/ogg application/ogg video/ogg",
    "opus": "audio/ogg",
    "m4a m4b": "audio/mp4 video/mp4",
    "aac": "audio/aac",
    "aif aiff aifc": "audio/aiff",
    "amr": "audio/amr",
    "mid midi": "audio/midi",
    "mp4 m4v": "video/mp4 video/x-m4v audio/mp4",
    "mov qt": "video/quicktime",
    "3gp": "video/3gpp video/3gpp2",
    "webm": "video/webm",
    "mkv mka": "video/x-matroska",
    "avi": "video/x-msvideo",
    "wmv wma asf": "video/x-ms-asf",
    "flv": "video/x-flv",
    "mpg mpeg": "video/mpeg",
    "ts": "video/mp2t",
    "ogv": "video/ogg",
    "zip": "application/zip",
    "gz tgz": "application/gzip",
    "bz2": "application/x-bzip2",
    "xz": "application/x-xz",
    "zst": "application/zstd",
    "7z": "application/x-7z-compressed",
    "rar": "application/vnd.rar",
    "tar": "application/x-tar",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "epub": "application/epub+zip",
    "apk": "application/vnd.android.package-archive",
    "jar": "application/java-archive",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "sqlite sqlite3 db": "application/vnd.sqlite3",
    "html htm": "text/html application/xhtml+xml",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml image/svg+xml application/xhtml+xml",
    "json": "application/json text/plain",
    "csv": "text/csv text/plain",
    "tsv": "text/tab-separated-values text/plain",
    "md": "text/markdown text/plain",
    "txt log": "text/plain text/csv text/markdown application/json",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "otf": "font/otf",
}
_TYPES_OF = {ending: frozenset(kinds.split()) for endings, kinds in _BY_EXTENSION.items() for ending in endings.split()}
# An ending that we have no rule for says nothing, so only content that says nothing either agrees with it.
_SILENT = frozenset({UNKNOWN, PLAIN})


def essence(media_type: str) -> str | None:
    """Give `type/subtype` in lower case, without parameters; None for what isn't exactly one media type.

    A list such as "image/png, text/html" is not one type: browsers would take its last. Source: RFC 9110 §8.3.1,
    WHATWG MIME Sniffing §4.4.
    """
    found = _ESSENCE.fullmatch(media_type.strip(" \t").lower())
    return found.group(1) if found else None


def is_active(media_type: str) -> bool:
    """Tell whether a browser could run something in this content: scripts, plug-ins, references, other parts.

    Only what is known to be quiet counts as quiet: raster images, sound, film, fonts, plain kinds of text and
    octet-stream. All else (HTML, SVG, XML, JavaScript, PDF, MHT, Flash, archives, nonsense) has to be served as an
    attachment or under a sandboxing policy. Even the quiet need `nosniff`. See threat 3.
    """
    kind = essence(media_type)
    if kind is None:
        return True
    return not (kind in RASTER or kind in QUIET_TEXT or kind == UNKNOWN or kind.startswith(_QUIET_FAMILIES))


def served_type(sniffed: str, declared: str | None) -> str:
    """Decide as what a file is served, from what its bytes are and what its sender called it.

    The bytes win wherever they tell something. Where they don't, the sender's word may narrow text to another quiet
    text, and unknown bytes to a kind of sound or film that has no magic number; anything else it says is ignored.
    """
    wish = essence(declared or "")
    if sniffed == PLAIN and wish in QUIET_TEXT:
        return wish
    if sniffed == UNKNOWN and wish in WITHOUT_MAGIC:
        return wish
    if sniffed == EMPTY:
        return wish if wish in QUIET_TEXT else UNKNOWN
    return sniffed


def extension_agrees(extension: str, media_type: str) -> bool:
    """Tell whether content of this (sniffed) type may carry this file name ending; the dot and the case don't matter.

    An ending that we have no rule for agrees with content that nobody recognises, and with nothing else.
    """
    return media_type in _TYPES_OF.get(extension.lower().lstrip("."), _SILENT)
