"""Interim answers: whether a request may get a 104, and sending it (ADR 0010).

A proxy that doesn't know a 104 takes it for the answer, and gives the answer to whoever asks next on that connection.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from carryall.http.context import HttpRules
from carryall.http.server import INTERIM
from carryall.http.urls import UNKNOWN_CLIENT, is_forwarded, is_trusted

_OPT_OUT = "x-no-interim"


def is_direct(scope: Scope, rules: HttpRules) -> bool:
    """Tell whether nothing speaks for a proxy between the client and this server.

    These do: a header that proxies add; a peer that is a configured proxy or a Unix socket; a peer on this machine
    whose Host is not; another Host or scheme than those of the configured address; and `Connection: close`, with which
    many proxies send every request, and most clients none.
    """
    headers = Headers(scope=scope)
    peer = scope.get("client")
    address = str(peer[0]) if peer else UNKNOWN_CLIENT
    try:
        called = _origin(f"{scope['scheme']}://{headers.get('host', '')}")
    except ValueError:  # no host at all
        return False
    return not (
        is_forwarded(scope)
        or peer is None
        or is_trusted(address, rules.trusted_proxies)
        or (_is_local(address) and not _is_local(called[1]))
        or (rules.base_url is not None and _origin(rules.base_url) != called)
        or "close" in headers.get("connection", "").lower()
    )


def may_announce(scope: Scope, rules: HttpRules) -> bool:
    """Tell whether an upload may be announced by a 104 (I-V2, I-V5): as CARRYALL_INTERIM_104 has it."""
    if rules.interim_104 == "off" or INTERIM not in scope.get("extensions", {}):
        return False
    return _OPT_OUT not in Headers(scope=scope) and (rules.interim_104 == "on" or is_direct(scope, rules))


async def send(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Send a 104 with these headers; tell whether it was sent."""
    fields = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
    is_sent: bool = await scope["extensions"][INTERIM](104, fields)
    return is_sent


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
