"""Nothing that a browser could run is ever called quiet, and the bytes win over the sender's word."""

import pytest

from carryall.checks.signatures import _BRANDS, _MAGIC
from carryall.model.media_type import essence, extension_agrees, is_active, served_type

ACTIVE = (
    "text/html",
    "TEXT/HTML",
    "text/html; charset=utf-8",
    " text/html ",
    "application/xhtml+xml",
    "image/svg+xml",
    "image/svg",
    "application/xml",
    "text/xml",
    "text/xsl",
    "application/atom+xml",
    "application/rdf+xml",
    "application/mathml+xml",
    "text/javascript",
    "application/javascript",
    "application/ecmascript",
    "text/jscript",
    "text/css",
    "application/pdf",
    "multipart/related",
    "multipart/x-mixed-replace",
    "message/rfc822",
    "application/x-mimearchive",
    "application/x-shockwave-flash",
    "application/vnd.adobe.flash.movie",
    "application/wasm",
    "application/x-java-applet",
    "application/hta",
    "text/x-component",
    "text/vbscript",
    "text/cache-manifest",
    "application/x-unknown",
    "image/png, text/html",
    "image/png,text/html",
    "image/png; a=b, text/html",
    "image/png text/html",
    "image/png\ttext/html",
    "image/png\r\nX: y",
    "image/png\n",
    "image/",
    "/png",
    "png",
    "*/*",
    "",
    ";",
    "image/png;,",
    "audio/<script>",
)


@pytest.mark.parametrize("media_type", ACTIVE)
def test_active_types_are_known(media_type: str) -> None:
    """HTML, its relatives, scripts, plug-ins, containers, lists and nonsense are active (threat 3)."""
    assert is_active(media_type)


@pytest.mark.parametrize(
    "media_type",
    [
        "image/png",
        "IMAGE/JPEG",
        "image/webp; q=1",
        "audio/mpeg",
        "video/mp4",
        "font/woff2",
        "text/plain",
        "text/plain; charset=utf-8",
        "text/csv",
        "application/json",
        "application/octet-stream",
    ],
)
def test_quiet_types_are_known(media_type: str) -> None:
    """Pictures, sound, film, fonts and plain text may be shown as they are."""
    assert not is_active(media_type)


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("Text/HTML;charset=x", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        ("a/b ; x", "a/b"),
        ("a/b, c/d", None),
        ("a/b/c", None),
        ("a", None),
        ("ä/b", None),
        ("a/" + "b" * 101, None),
    ],
)
def test_essence(media_type: str, expected: str | None) -> None:
    """The type without parameters, in lower case; nothing for what isn't exactly one type."""
    assert essence(media_type) == expected


@pytest.mark.parametrize(
    ("sniffed", "declared", "expected"),
    [
        ("image/png", "image/jpeg", "image/png"),
        ("text/html", "text/plain", "text/html"),
        ("image/svg+xml", "image/png", "image/svg+xml"),
        ("application/zip", "application/octet-stream", "application/zip"),
        ("text/plain", "text/csv", "text/csv"),
        ("text/plain", "Text/Markdown; charset=utf-8", "text/markdown"),
        ("text/plain", "application/json", "application/json"),
        ("text/plain", "text/html", "text/plain"),
        ("text/plain", "text/javascript", "text/plain"),
        ("text/plain", "image/svg+xml", "text/plain"),
        ("text/plain", "image/png, text/html", "text/plain"),
        ("text/plain", "text/csv, text/html", "text/plain"),
        ("text/plain", "multipart/related", "text/plain"),
        ("text/plain", None, "text/plain"),
        ("text/plain", "", "text/plain"),
        ("text/csv", "text/plain", "text/csv"),
        ("application/octet-stream", "audio/mpeg", "audio/mpeg"),
        ("application/octet-stream", "image/png", "application/octet-stream"),
        ("application/octet-stream", "text/plain", "application/octet-stream"),
        ("application/octet-stream", "application/pdf", "application/octet-stream"),
        ("application/octet-stream", None, "application/octet-stream"),
        ("application/x-empty", "text/plain", "text/plain"),
        ("application/x-empty", "text/html", "application/octet-stream"),
        ("application/x-empty", "image/png", "application/octet-stream"),
        ("application/x-empty", None, "application/octet-stream"),
    ],
)
def test_served_type(sniffed: str, declared: str | None, expected: str) -> None:
    """The bytes win; the sender may only narrow what they leave open, and only to something quiet."""
    assert served_type(sniffed, declared) == expected


@pytest.mark.parametrize("declared", ACTIVE)
@pytest.mark.parametrize("sniffed", ["text/plain", "application/octet-stream", "application/x-empty"])
def test_no_declaration_makes_content_active(sniffed: str, declared: str) -> None:
    """A sender can't turn quiet content into active content."""
    assert not is_active(served_type(sniffed, declared))


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [
        ("png", "image/png"),
        (".PNG", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("bmp", "image/bmp"),
        ("tif", "image/tiff"),
        ("tiff", "image/tiff"),
        ("svg", "image/svg+xml"),
        ("pdf", "application/pdf"),
        ("mp3", "audio/mpeg"),
        ("m4a", "video/mp4"),
        ("opus", "audio/ogg"),
        ("heic", "image/heif"),
        ("txt", "text/plain"),
        ("xyz", "application/octet-stream"),
        ("xyz", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_extension_agrees(extension: str, media_type: str) -> None:
    """A name may end as its content is."""
    assert extension_agrees(extension, media_type)


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [
        ("png", "image/jpeg"),
        ("png", "text/html"),
        ("png", "image/svg+xml"),
        ("png", "text/plain"),
        ("png", "application/octet-stream"),
        ("png", "application/x-empty"),
        ("jpg", "application/zip"),
        ("svg", "application/xml"),
        ("gif", "text/html"),
        ("xyz", "text/html"),
        ("xyz", "application/x-elf"),
        ("", "text/html"),
    ],
)
def test_extension_disagrees(extension: str, media_type: str) -> None:
    """A name that ends as something else is seen through, an unknown ending over known content too."""
    assert not extension_agrees(extension, media_type)


def test_every_sniffed_type_is_one_type() -> None:
    """The sniffer's tables hold well-formed types, so that nothing it says is taken for nonsense."""
    named = {row[1] for row in _MAGIC} | set(_BRANDS.values())
    assert named == {essence(name) for name in named}
