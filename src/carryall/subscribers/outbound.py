"""HTTP requests that leave the house, and never reach into it (threat 6)."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
from yarl import URL

from carryall.model.errors import CarryallError, Refused, Unavailable

MAX_REDIRECTS = 3
TIMEOUT = timedelta(seconds=10)  # threat 6
# IETF protocol assignments; Python before 3.12.4 takes most of them for public.
_ASSIGNED = ipaddress.ip_network("192.0.0.0/24")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")  # names as name servers have them, IDNA included, and addresses
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Compressed answers could grow past the limit while they are unpacked, so none is asked for and none is unpacked.
_HEADERS = {"User-Agent": "carryall", "Accept-Encoding": "identity"}


class _NotPublicError(OSError):
    """The address lies inside. An OSError, so that aiohttp carries it out as it does any failure to connect."""


def address_of(url: str) -> str:
    """Give a URL's "host:port", lower-case, as it stands among the trusted ones.

    Raises:
        Refused: `address_refused`: it isn't an http or https URL, or it carries credentials.
    """
    return _address(_checked(url))


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the open internet's.

    Not public: private, shared, loopback, link-local, multicast and reserved ranges, and every IPv6 form that wraps
    an IPv4 address. Source: IANA's special-purpose address registries, as Python's `ipaddress` has them.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.is_site_local):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip in _ASSIGNED)


class GuardedHttp:
    """The Outbound of the port, over aiohttp: one session for trusted addresses, one that connects only to public ones.

    The guard stands where a socket is made for an address that was resolved: that very address is connected to next,
    so no spelling, name server or redirect comes around it.
    """

    def __init__(self, *, trusted: Iterable[str] = (), timeout: timedelta = TIMEOUT) -> None:
        """Take the addresses that may lie inside.

        Args:
            trusted: the operator's own: "host:port", as `address_of` gives it, for that port alone, or "host" for
                all its ports. Names are taken literally: another name of the same machine isn't trusted.
            timeout: for a whole request, its redirects included.
        """
        self._trusted = frozenset(entry.lower() for entry in trusted)
        self._timeout_s = timeout.total_seconds()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """End all connections. The object may not be used afterwards."""
        for session in self._sessions.values():
            await session.close()

    async def get(self, url: str, *, limit_bytes: int) -> bytes:
        """Give the body of a 200; the contract is in ports/sender.py."""
        place = _checked(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(place, limit_bytes)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error, place) from error

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> int:
        """Send the body and give the status; the contract is in ports/sender.py."""
        place = _checked(url)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session(place).post(place, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _mapped(error, place) from error

    async def _follow(self, place: URL, limit_bytes: int) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session(place).get(place, allow_redirects=False) as answer:
                if answer.status == 200:
                    return await _read(answer, limit_bytes)
                if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                    raise _failed(place, f"answered {answer.status}, not 200")
                place = _next_hop(place, answer.headers["Location"])
        raise _failed(place, f"comes after more than {MAX_REDIRECTS} redirects")

    def _session(self, place: URL) -> aiohttp.ClientSession:
        is_trusted = not self._trusted.isdisjoint({_address(place), place.raw_host})
        if is_trusted not in self._sessions:
            self._sessions[is_trusted] = aiohttp.ClientSession(
                # A connection is used once: kept ones would be found dead just when something is posted.
                connector=aiohttp.TCPConnector(
                    force_close=True, socket_factory=None if is_trusted else _public_socket, use_dns_cache=False
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers=_HEADERS,
            )
        return self._sessions[is_trusted]


def _checked(url: str, *, base: URL | None = None) -> URL:
    try:
        place = URL(url) if base is None else base.join(URL(url))
        has_host = bool(_HOST.fullmatch(place.raw_host or "")) and place.port is not None
    except ValueError as error:
        raise Refused("This is not a URL that can be asked.", code="address_refused") from error
    if place.scheme not in {"http", "https"} or not has_host or place.user is not None or place.password is not None:
        raise Refused("Only http and https URLs without credentials in them can be asked.", code="address_refused")
    return place


def _next_hop(place: URL, location: str) -> URL:
    hop = _checked(location, base=place)
    if place.scheme == "https" and hop.scheme == "http":
        raise Refused(f"{place.host} leads away from https.", code="address_refused")
    return hop


def _address(place: URL) -> str:
    return f"{place.host_subcomponent}:{place.port}".lower()


def _public_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, address = addr_info
    if not is_public(address[0]):
        raise _NotPublicError("not a public address")
    return socket.socket(family=family, type=kind, proto=protocol)


async def _read(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise _failed(answer.url, f"sent more than {limit_bytes} bytes")
    return bytes(body)


def _failed(place: URL, what: str) -> Unavailable:
    # Only the host is named: paths and queries of webhooks are often secrets.
    return Unavailable(f"{place.host} {what}.", code="outbound_failed")


def _mapped(error: Exception, place: URL) -> CarryallError:
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(reason, _NotPublicError):
        return Refused(f"{place.host} leads to an address that is not on the open internet.", code="address_refused")
    if isinstance(reason, aiohttp.InvalidURL):
        return Refused("This is not a URL that can be asked.", code="address_refused")
    return _failed(place, "did not answer in time" if isinstance(reason, TimeoutError) else "can't be reached")
