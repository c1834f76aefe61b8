"""Where the client stands and what it calls us: addresses and public URLs, believing only configured proxies."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

from carryall.model.errors import Malformed

Networks = tuple[IPv4Network | IPv6Network, ...]

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII)
# Whoever types these reaches this machine by its loopback; in a link they would lead others nowhere.
_EVERY_ADDRESS = re.compile(r"(?:0\.0\.0\.0|\[::\])(?=:|$)")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,100}){1,10}", re.ASCII)
_OF_SOCKETS = {"ws": "http", "wss": "https"}
_FORWARDING = frozenset({"forwarded", "x-real-ip", "via"})
UNKNOWN_CLIENT = "unknown"


def is_trusted(address: str, proxies: Networks) -> bool:
    """Tell whether an address is one of the configured proxies."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in proxies if network.version == ip.version)


def client_of(scope: Scope, proxies: Networks) -> str:
    """Give the client's address: the peer's, or what the configured proxies say of theirs.

    X-Forwarded-For is read from its right end, where our own proxies wrote; whatever stands left of the first address
    that isn't ours was written by strangers (threat 24). No other forwarding header is believed.
    """
    peer = scope.get("client")
    address = str(peer[0]) if peer else UNKNOWN_CLIENT
    if not is_trusted(address, proxies):
        return address
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for hop in reversed([hop.strip() for hop in forwarded if hop.strip()]):
        try:
            address = str(ip_address(hop))
        except ValueError:
            return address
        if not is_trusted(address, proxies):
            return address
    return address


def is_forwarded(scope: Scope) -> bool:
    """Tell whether the request says that it came through a proxy, trusted or not."""
    names = (name.decode("latin-1") for name, _ in scope["headers"])
    return any(name in _FORWARDING or name.startswith("x-forwarded-") for name in names)


def base_url_of(scope: Scope, *, base_url: str | None, proxies: Networks) -> str:
    """Give the public address, without a trailing slash: the setting, else what the client called us.

    Raises Malformed for a Host that is none (threat 10): it would end up in links.
    """
    if base_url is not None:
        return base_url
    headers = Headers(scope=scope)
    scheme, host = scheme_of(scope, proxies), headers.get("host", "")
    if _is_from_proxy(scope, proxies):
        host = _last(headers.get("x-forwarded-host")) or host
    if not host and scope.get("server"):
        name, port = scope["server"]
        host = f"{name}:{port}" if port else str(name)
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise Malformed("The Host header is not a host name with an optional port.", code="host_invalid")
    host = _EVERY_ADDRESS.sub(lambda found: "[::1]" if found[0] == "[::]" else "127.0.0.1", host)
    return f"{scheme}://{host}{_prefix_of(scope, proxies)}"


def _prefix_of(scope: Scope, proxies: Networks) -> str:
    """Give the path below which a proxy serves us, and which it has taken off; "" for none, or one that is no path."""
    prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/") if _is_from_proxy(scope, proxies) else ""
    return prefix if _PREFIX.fullmatch(prefix) else ""


def scheme_of(scope: Scope, proxies: Networks) -> str:
    """Give "http" or "https": how the client came, as far as it can be known."""
    given = str(scope.get("scheme", "http"))
    scheme = _OF_SOCKETS.get(given, given)
    if _is_from_proxy(scope, proxies):
        return _last(Headers(scope=scope).get("x-forwarded-proto")) or scheme
    return scheme


def _is_from_proxy(scope: Scope, proxies: Networks) -> bool:
    peer = scope.get("client")
    return peer is not None and is_trusted(str(peer[0]), proxies)


def path_of(*parts: str) -> str:
    """Give an absolute path of these parts, each percent-encoded whole."""
    return "".join("/" + quote(part, safe="") for part in parts)


def _last(value: str | None) -> str | None:
    return value.rsplit(",", 1)[-1].strip().lower() if value else None
