"""How much one append may bring: what is advised, and what is refused."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from carryall.http.appends import advised, bounded
from carryall.http.body import Pace
from carryall.http.call import Call
from carryall.model.errors import TooLarge
from carryall.model.principal import Kind, Plan, Principal

ADVICE = 90 << 20
ALICE = Principal("jwt:alice", "alice", Kind.JWT, Plan("jwt", max_file_bytes=10))
PROXIES = (ip_network("10.0.0.1/32"),)


async def silent() -> Message:
    """Never be asked for a body."""
    raise AssertionError("the body was read")


def call(headers: dict[str, str] | None = None, **rules: Any) -> Call:
    """Give a request with these headers, to a server with these rules."""
    given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "PATCH", "path": "/", "headers": given, "client": ("127.0.0.1", 1)}
    known = {"base_url": None, "trusted_proxies": (), "append_limit_bytes": None, "pace": Pace()}
    context: Any = SimpleNamespace(rules=SimpleNamespace(**{**known, **rules}))
    return Call(Request(scope, silent), context)


@pytest.mark.parametrize(
    ("headers", "rules", "most"),
    [
        ({}, {}, None),
        ({"x-forwarded-for": "198.51.100.7"}, {}, ADVICE),
        ({"via": "1.1 proxy"}, {}, ADVICE),
        ({}, {"base_url": "https://files.example.org"}, ADVICE),
        ({}, {"trusted_proxies": PROXIES}, ADVICE),
        ({"x-forwarded-for": "198.51.100.7"}, {"append_limit_bytes": 0, "trusted_proxies": PROXIES}, None),
        ({"x-forwarded-for": "198.51.100.7"}, {"append_limit_bytes": 7}, 7),
        ({}, {"append_limit_bytes": 7}, 7),
    ],
)
async def test_smaller_pieces_are_advised_behind_a_proxy(
    headers: dict[str, str], rules: dict[str, Any], most: int | None
) -> None:
    """Where a request says that it was forwarded, or the settings that there is a proxy; the setting comes first."""
    assert most == advised(call(headers, **rules))


@pytest.mark.parametrize("rules", [{}, {"append_limit_bytes": 0}])
async def test_advice_is_no_reason_to_refuse(rules: dict[str, Any]) -> None:
    """A client that doesn't know of it, and whose proxy lets more through, isn't cut: tus clients send all at once."""
    proxied = call({"x-forwarded-for": "198.51.100.7", "content-length": str(ADVICE + 1)}, **rules)

    assert bounded(proxied, ALICE) is proxied.body


async def test_I_A9_more_than_the_setting_is_refused() -> None:
    """Before the first byte, with both limits; the limit itself fits."""
    exact = call({"content-length": "7"}, append_limit_bytes=7)
    with pytest.raises(TooLarge) as refused:
        bounded(call({"content-length": "8"}, append_limit_bytes=7), ALICE)

    assert bounded(exact, ALICE) is exact.body
    assert ("append_too_large", {"limit": 7, "max_size": 10}) == (refused.value.stable_code, refused.value.facts)
