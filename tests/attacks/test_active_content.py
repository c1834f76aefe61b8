"""Files that a browser might run, and pages that show their names (threats 3 and 4)."""

import re
import zlib
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest

SCRIPT = b"<script>alert(document.domain)</script>"
HTML = b"<!doctype html><html><body>" + SCRIPT + b"</body></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">' + SCRIPT + b"</svg>"
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head>' + SCRIPT + b"</head></html>"
XSL = b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#a"?><x xmlns:h="http://www.w3.org/1999/xhtml"/>'
MHT = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=a\r\n\r\n--a\r\nContent-Type: text/html\r\n\r\n"
    + HTML
)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0"
PNG += zlib.crc32(PNG[12:]).to_bytes(4, "big")
GIF = b"GIF89a/*" + b"\0" * 6 + b"*/=1;alert(1)//"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + SCRIPT
WEBP = b"RIFF\x40\0\0\0WEBPVP8 " + HTML
PDF = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n"
SWF = b"CWS\x0a\x20\0\0\0" + zlib.compress(b"\0" * 24)

# name, declared type, bytes
ACTIVE = [
    ("a.html", "text/html", HTML),
    ("a.htm", "application/octet-stream", HTML),
    ("a.txt", "text/html", HTML),
    ("a.html", "text/plain", HTML),
    ("a.png", "image/png", HTML),
    ("a", "", HTML),
    ("a.html", "image/png, text/html", HTML),
    ("a.bin", "text/html;charset=utf-7", b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-"),
    ("a.txt", "text/plain; charset=utf-16", "\ufeff<script>alert(1)</script>".encode("utf-16")),
    ("a.TEXT", " TEXT/HTML ", HTML),
    ("a.svg", "image/svg+xml", SVG),
    ("a.svgz", "image/svg+xml", zlib.compress(SVG, wbits=31)),
    ("a.png", "image/svg+xml", SVG),
    ("a.xhtml", "application/xhtml+xml", XHTML),
    ("a.xml", "text/xml", XHTML),
    ("a.xml", "application/xml", XSL),
    ("a.rss", "application/rss+xml", XHTML),
    ("a.vml", "application/vnd.x+xml", XHTML),
    ("a.js", "text/javascript", b"alert(1)"),
    ("a.mjs", "application/javascript", b"export default alert(1)"),
    ("a.css", "text/css", b"@import 'javascript:alert(1)'; {}*{xss:expression(alert(1))}"),
    ("a.mht", "multipart/related", MHT),
    ("a.mht", "message/rfc822", MHT),
    ("a.swf", "application/x-shockwave-flash", SWF),
    ("a.pdf", "application/pdf", PDF),
    ("a.png", "image/png", PNG + HTML),
    ("a.gif", "image/gif", GIF),
    ("a.jpg", "image/jpeg", JPEG),
    ("a.webp", "image/webp", WEBP),
    ("a.htc", "text/x-component", b"<public:attach event='onload' onevent='alert(1)'/>"),
    ("a.hta", "application/hta", HTML),
    ("a.wasm", "application/wasm", b"\0asm\x01\0\0\0"),
    ("a.json", "application/json", b'{"a":"</script><script>alert(1)</script>"}'),
    ("a.appcache", "text/cache-manifest", b"CACHE MANIFEST\n/\n"),
]
DOORS = ["relay-form", "relay-raw", "blobs-form", "gallery", "chunks", "v1-form", "by-name", "tus", "draft"]
# A browser shows these without running anything, as long as it may not sniff.
HARMLESS = re.compile(
    r"(image/(?!svg)[\w.-]+|audio/[\w.-]+|video/[\w.-]+|text/plain|application/octet-stream)(;\s*charset=[\w-]+)?",
    re.ASCII,
)


def is_sandboxed(policy: str) -> bool:
    """Tell whether a Content-Security-Policy takes scripts and its origin from whatever it comes with."""
    found = [part.split() for part in policy.lower().split(";")]
    return any(words[:1] == ["sandbox"] and not {"allow-scripts", "allow-same-origin"} & set(words) for words in found)


def dangers(answer: Any) -> list[str]:
    """Tell why a browser might run what is in an answer."""
    found = [] if answer.all("X-Content-Type-Options") == ["nosniff"] else ["may be sniffed"]
    safe = (
        answer.one("Content-Disposition").lower().startswith("attachment"),
        HARMLESS.fullmatch(answer.one("Content-Type").lower()),
        is_sandboxed(answer.one("Content-Security-Policy")),
    )
    return found + ([] if any(safe) else [f"{answer.one('Content-Type')} is shown as it is"])


def ways_to_read(target: Any, sent: Any) -> list[Any]:
    """Read a file in every way there is: GET, HEAD, a part of it, each output of a short link, and by other doors."""
    outputs = ["?output=file", "?output=download", "?output=inline", "?output=view"] if "/s/" in sent.url else []
    paths = [sent.path, *(sent.path + output for output in outputs), *other_paths(target, sent)]
    answers = [target.ask("GET", path, sent.who or target.admin) for path in paths]
    answers.append(target.ask("HEAD", sent.path, sent.who))
    answers.append(target.ask("GET", sent.path, {**sent.who, "Range": "bytes=0-1"}))
    return answers


def other_paths(target: Any, sent: Any) -> list[str]:
    """Give the short link and a new signed link of a file that the native API knows."""
    about = target.ask("GET", f"/v1/files/{sent.id}", sent.who or target.service)
    if about.status != 200:
        return []
    made = target.send_json("POST", f"/v1/files/{sent.id}/links", sent.who or target.service, {"expires_in": 60})
    links = [made.json()["url"]] if made.status == 201 else []
    parts = [urlsplit(url) for url in [about.json()["short_url"], *links]]
    return [part.path + ("?" + part.query if part.query else "") for part in parts]


@pytest.mark.parametrize("door", DOORS)
def test_nothing_runs(target: Any, doors: Any, door: str) -> None:
    """3: whatever could run in a browser is never sniffed, and is an attachment, of a harmless type or in a sandbox."""
    found, stored = {}, 0
    for name, media_type, data in ACTIVE:
        sent = doors[door](data, name, media_type=media_type)
        if not sent.is_stored:
            assert 400 <= sent.answer.status < 500, (name, media_type)
            continue
        stored += 1
        answers = ways_to_read(target, sent)
        assert data == answers[0].body
        wrong = [danger for answer in answers for danger in dangers(answer)]
        wrong += [f"status {answer.status}" for answer in answers if answer.status not in (200, 206)]
        if wrong:
            found[name, media_type] = wrong

    assert {} == found
    assert stored >= (1 if door == "gallery" else 28)


def test_every_answer_forbids_sniffing(target: Any) -> None:
    """3: nosniff stands on every kind of answer, refusals of every layer included."""
    asked = [
        *(("GET", path) for path in ("/", "/health", "/ping", "/docs", "/redoc", "/openapi.json", "/list", "/nowhere")),
        *(("GET", path) for path in ("/s/nowhere", "/d/nowhere", "/uploads/nowhere", "/v1/nowhere", "/metrics")),
        *(("POST", path) for path in ("/upload", "/api/upload", "/upload/chunk", "/upload/init", "/v1/files", "/ping")),
        *(("DELETE", "/list"), ("OPTIONS", "/list"), ("TRACE", "/"), ("PUT", "/v1/by-name/x")),
    ]
    answers = {one: target.ask(*one, {}, b"" if one[0] in ("POST", "PUT") else None) for one in asked}

    assert {} == {one: got.status for one, got in answers.items() if got.all("X-Content-Type-Options") != ["nosniff"]}


# --- pages ----------------------------------------------------------------------------------------------------------

MARKUP = [
    "<script>alert(1)</script>.png",
    '"><script>alert(1)</script>.png',
    "'><script>alert(1)</script>.png",
    '" onerror="alert(1).png',
    "' onerror='alert(1).png",
    "` onerror=`alert(1).png",
    "</h1><iframe srcdoc=x>.png",
    "</title><svg/onload=alert(1)>.png",
    "javascript:alert(1).png",
    "&lt;script&gt;alert(1)&lt;/script&gt;.png",
    "&#60;script&#62;.png",
    "--><script>alert(1)</script>.png",
    "\u2028<script>\u2029.png",
    "{{constructor.constructor('alert(1)')()}}.png",
    "a\x00<script>.png",
    "\ufeff+ADw-script+AD4-.png",
    "<img src=x onerror=alert(1)>.png",
    "a\n<base href=//evil.example/>.png",
]
INERT = {
    "src",
    "alt",
    "style",
    "charset",
    "lang",
    "name",
    "content",
    "class",
    "title",
    "href",
    "rel",
    "width",
    "height",
}


class Page(HTMLParser):
    """What a page consists of, as a browser would see it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", MARKUP)
@pytest.mark.parametrize("door", ["blobs-form", "relay-form", "by-name"])
def test_the_preview_page_shows_names_as_text(target: Any, doors: Any, door: str, name: str) -> None:
    """4: a name is text in the page, and a value in its attributes; it brings no element and no handler with it."""
    sent = doors[door](PNG, name, media_type="image/png")
    if not sent.is_stored:
        assert 400 <= sent.answer.status < 500
        return
    short = sent.path if "/s/" in sent.url else other_paths(target, sent)[0]
    answer = target.ask("GET", short + "?output=html")
    page = Page(answer.text)

    assert 200 == answer.status
    assert answer.one("Content-Type").lower().startswith("text/html; charset=utf-8")
    assert not {"script", "iframe", "svg", "base", "object", "embed", "form"} & set(page.tags)
    assert {found for found, _ in page.attributes} <= INERT
    assert all(re.match(r"(https?:/)?/|data:", value) for found, value in page.attributes if found in ("src", "href"))
    assert re.split(r"[/\n\x00]", sent.name)[-1] in page.text


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "image/png"])
@pytest.mark.parametrize("name", ["a.html", "a.svg", 'x" onload="y.svg'])
def test_the_preview_page_runs_nothing(target: Any, doors: Any, name: str, media_type: str) -> None:
    """4: the page says what it may load, runs no script, and is framed by nobody."""
    sent = doors["blobs-form"](SVG if "svg" in name else HTML, name, media_type=media_type)
    answer = target.ask("GET", sent.path + "?output=html")
    policy = {
        words[0]: words[1:] for part in answer.one("Content-Security-Policy").split(";") if (words := part.split())
    }

    assert 200 == answer.status
    assert ["'none'"] == policy.get("script-src", policy.get("default-src"))
    assert ["'none'"] == policy.get("frame-ancestors") or "DENY" == answer.one("X-Frame-Options")
    assert {"default-src", "script-src"} & policy.keys()
    assert "script" not in Page(answer.text).tags


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc"])
def test_pages_of_the_server_are_framed_by_nobody(target: Any, path: str) -> None:
    """4, 23: every page that the server itself shows has a policy for scripts and forbids frames."""
    answer = target.ask("GET", path, {"Accept": "text/html"})
    policy = answer.one("Content-Security-Policy")

    assert 200 == answer.status
    assert "frame-ancestors 'none'" in policy
    assert "default-src" in policy or "script-src" in policy
    assert "http:" not in policy
    assert "*" not in policy


@pytest.mark.parametrize(
    "query", ["?output=<script>", "?output=html&x=<script>alert(1)</script>", '?output=html"><script>']
)
def test_no_page_reflects_its_query(target: Any, doors: Any, query: str) -> None:
    """4: what stands in a query doesn't come back as markup, in a page or in a refusal."""
    sent = doors["blobs-form"](PNG, "a.png", media_type="image/png")
    for path in (sent.path, "/s/nowhere", "/<script>", "/user/<script>", "/api/uploads"):
        answer = target.ask("GET", path.replace("<", "%3C") + query.replace(" ", "%20"), doors.user.who)
        is_page = "html" in answer.one("Content-Type")
        assert not (is_page and "<script>" in answer.text), path
