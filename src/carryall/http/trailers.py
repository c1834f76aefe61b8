"""Trailers: fields behind a chunked body, where the server hands them on, and the digests that they may bring.

Nothing in them is a header: they are read by name, and only where a header's field promised that name (RFC 9110 §6.5).
"""

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping

from starlette.datastructures import Headers
from starlette.types import Scope

from carryall.http.digests import CONTENT_ALGORITHMS, expected_digests
from carryall.http.server import TRAILERS


class LateDigests(Mapping[str, str]):
    """Expected digests that are told only behind the bytes.

    Their names are there before, for the door to know what to compute; what was told is in `items`, after the body.
    """

    def __init__(self, names: Iterable[str], read: Callable[[], Mapping[str, str]]) -> None:
        """Take the algorithms that may be named; `read` gives the digests behind the body, or raises Malformed."""
        self._names = tuple(names)
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def items(self) -> ItemsView[str, str]:
        """Give what was told."""
        return self._read().items()


def content_digests(headers: Headers, scope: Scope) -> Mapping[str, str]:
    """Give the digests that a request's bytes have to have: from Content-Digest in the header, or in the trailer.

    A trailer that was promised and doesn't come promises nothing: proxies may drop it (RFC 9110 §6.5.1).
    """
    told = expected_digests(headers).content
    if told or not promises(headers, "content-digest") or not takes_trailers(scope):
        return told
    return LateDigests(CONTENT_ALGORITHMS, lambda: expected_digests(trailers_of(scope)).content)


def takes_trailers(scope: Scope) -> bool:
    """Tell whether the server hands trailers on."""
    return TRAILERS in scope.get("extensions", {})


def trailers_of(scope: Scope) -> Headers:
    """Give the trailers; there are none before the body's end."""
    return Headers(raw=scope["extensions"][TRAILERS])


def promises(headers: Headers, name: str) -> bool:
    """Tell whether a chunked request announces a trailer of this lower-case name."""
    named = ",".join(headers.getlist("trailer")).lower().split(",")
    return "transfer-encoding" in headers and name in (one.strip() for one in named)
