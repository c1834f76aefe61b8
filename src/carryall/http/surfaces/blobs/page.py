"""The page that shows an image to people. Names are strangers' text: nothing in them may become markup."""

from base64 import b64encode
from hashlib import sha256
from html import escape

from carryall.http.headers import safe_name
from carryall.model.file import File

_STYLE = "body{font-family:sans-serif}img{max-width:100%}"
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS = {
    # No script, no frame, no form: the page has our style and an image from here, and a browser takes nothing else.
    "Content-Security-Policy": (
        f"default-src 'none'; img-src 'self'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # the image's address may be signed for minutes only
}


def page_of(file: File, address: str) -> str:
    """Give the page: the image, or a link to a file that is none. `address` is the path that gives its bytes."""
    name, source = escape(safe_name(file.name)), escape(address)
    if file.media_type.startswith("image/"):
        title, shown = f"Image {name}", f'<img src="{source}" alt="{name}">'
    else:
        title, shown = f"File {name}", f'<p><a href="{source}" download="{name}">Download {name}</a></p>'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n'
        f'<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>{shown}</body>\n</html>\n"
    )
