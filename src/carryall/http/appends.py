"""How much one request may add to an upload: what clients are told, and what they are held to."""

from carryall.http.call import Call
from carryall.http.urls import is_forwarded
from carryall.model.errors import TooLarge
from carryall.model.principal import Principal
from carryall.ports.body import Body

# Many proxies and networks in front of servers let bodies of at most 100 MB through.
_BEHIND_PROXY_BYTES = 90 << 20


def advised(call: Call) -> int | None:
    """Give what one append should bring at most, in bytes: the setting, else what passes a proxy where there is one.

    A forwarding header is believed from anybody here: it only makes the sender's own pieces smaller.
    """
    rules = call.context.rules
    if rules.append_limit_bytes is not None:
        return rules.append_limit_bytes or None
    is_proxied = rules.base_url is not None or bool(rules.trusted_proxies) or is_forwarded(call.request.scope)
    return _BEHIND_PROXY_BYTES if is_proxied else None


def bounded(call: Call, principal: Principal) -> Body:
    """Give the body of an append, held to the setting; what is only advice for the way here is no reason to refuse.

    Raises TooLarge (`append_too_large`) before the first byte where the size is announced, else in the middle; what
    came before that counts as after a break.
    """
    most = call.context.rules.append_limit_bytes
    if not most:
        return call.body
    too_large = TooLarge(
        f"One request may add at most {most} bytes. Send more, smaller ones.",
        code="append_too_large",
        limit=most,
        max_size=principal.plan.max_file_bytes,
    )
    if call.body.declared_size is None:
        return _Bounded(call.body, most, too_large)
    if call.body.declared_size > most:
        raise too_large
    return call.body


class _Bounded:
    """A body of unknown size that may not grow past a bound; fulfils `carryall.ports.body.Body`."""

    declared_size: int | None = None

    def __init__(self, body: Body, most: int, too_large: TooLarge) -> None:
        self._pieces = aiter(body)
        self._left = most
        self._too_large = too_large

    def __aiter__(self) -> "_Bounded":
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._left -= len(piece)
        if self._left < 0:
            raise self._too_large
        return piece
