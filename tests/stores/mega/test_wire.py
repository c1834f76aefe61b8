"""Connections are watched in both directions, and no text tells where they went."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from carryall.model.errors import StoreError
from carryall.stores.mega import wire
from carryall.stores.mega.api import Api
from carryall.stores.mega.wire import Wire


async def test_who_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes no more of a body is as silent as one that doesn't answer."""
    monkeypatch.setattr(wire, "IDLE_S", 0.2)
    left = asyncio.Event()

    async def take_nothing(_: web.Request) -> web.Response:
        await left.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/ul", take_nothing)
    connections = Wire()
    async with TestServer(app) as server:
        with pytest.raises(StoreError) as caught:
            async with connections.post(str(server.make_url("/ul")), bytes(64 << 20)):
                pass
        left.set()
        await connections.close()

    assert ("store_timeout", True) == (caught.value.stable_code, caught.value.retryable)


async def test_who_takes_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may take longer than the silence that is allowed, as long as it goes on."""
    monkeypatch.setattr(wire, "IDLE_S", 0.3)
    size = 48 << 20

    async def take_slowly(request: web.Request) -> web.Response:
        taken = 0
        async for chunk in request.content.iter_chunked(1 << 20):
            taken += len(chunk)
            await asyncio.sleep(0.02)
        return web.Response(text=str(taken))

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/ul", take_slowly)
    connections = Wire()
    async with TestServer(app) as server:
        async with connections.post(str(server.make_url("/ul")), bytes(size)) as answer:
            assert str(size) == await answer.text()
        await connections.close()


async def test_commands_wait_for_each_other() -> None:
    """MEGA is asked one thing after the other, each with a number of its own."""
    going, most, numbers = 0, 0, set[str]()

    async def answer(request: web.Request) -> web.Response:
        nonlocal going, most
        going += 1
        most = max(most, going)
        numbers.add(request.query["id"])
        await asyncio.sleep(0.01)
        going -= 1
        return web.json_response([{}])

    app = web.Application()
    app.router.add_post("/cs", answer)
    connections = Wire()
    async with TestServer(app) as server:
        api = Api(connections, str(server.make_url("/")))
        await asyncio.gather(*[api.ask({"a": "ug"}, sid="x") for _ in range(5)])
        await connections.close()

    assert (1, 5) == (most, len(numbers))


async def test_errors_tell_no_addresses() -> None:
    """Session ids and upload addresses stand in URLs; no error's text has them."""
    connections = Wire()
    api = Api(connections, "http://127.0.0.1:9")
    with pytest.raises(StoreError) as caught:
        await api.ask({"a": "ug"}, sid="very-secret", patience_s=0)
    await connections.close()

    error: BaseException | None = caught.value
    while error is not None:
        assert "very-secret" not in str(error)
        assert "very-secret" not in repr(error)
        error = error.__cause__


def test_storage_is_reached_with_tls() -> None:
    """Unless commands go without it, as in tests, an address that MEGA gives is made an https one."""
    assert "https://gfs.mega/ul/x" == Api(Wire(), "https://g.api.mega.co.nz").secured("http://gfs.mega/ul/x")
    assert "http://127.0.0.1/ul/x" == Api(Wire(), "http://127.0.0.1").secured("http://127.0.0.1/ul/x")
