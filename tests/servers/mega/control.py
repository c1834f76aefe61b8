"""How a test makes accounts, lets things go wrong, and looks at what became of them: JSON below `/_control`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import cipher
import proof
from aiohttp import web
from faults import Faults
from world import FILE, Account, Node, World, make_account


class Control:
    """Answers `/_control/…`."""

    def __init__(self, world: World, faults: Faults, leave: Callable[[float, web.Request], Awaitable[None]]) -> None:
        self._world = world
        self._faults = faults
        self._leave = leave

    def routes(self) -> list[web.RouteDef]:
        """Give what it answers."""
        return [
            web.post("/_control/accounts", self._accounts),
            web.get("/_control/state", self._state),
            web.delete("/_control/state", self._clear),
            web.post("/_control/faults", self._fault),
            web.post("/_control/expire", self._expire),
            web.post("/_control/away", self._away),
            web.get("/_control/nodes", self._nodes),
            web.post("/_control/nodes", self._change_node),
            web.get("/_control/bytes", self._bytes),
        ]

    async def _accounts(self, request: web.Request) -> web.Response:
        """Make an account, or change the quota or second factor of one."""
        told = await request.json()
        account = self._world.accounts.get(told["email"])
        if account is None:
            options: dict[str, Any] = {"version": 2, "mfa": None, "quota_bytes": 20 << 30} | told
            account = await asyncio.to_thread(lambda: make_account(**options))
            self._world.accounts[account.email] = account
        account.mfa = told.get("mfa", account.mfa)
        account.quota_bytes = told.get("quota_bytes", account.quota_bytes)
        return web.json_response({"handle": account.handle, "root": account.root().h, "used": account.used_bytes()})

    async def _state(self, _: web.Request) -> web.Response:
        world = self._world
        return web.json_response(
            {
                "counters": dict(world.counters),
                "violations": world.violations,
                "requests": list(world.requests),
                "sessions": len(world.sessions),
                "uploads": len(world.uploads),
            }
        )

    async def _clear(self, _: web.Request) -> web.Response:
        """Forget what was counted and written down, and what should go wrong; everything else stays."""
        for kept in (self._world.counters, self._world.violations, self._world.requests, self._faults):
            kept.clear()
        return web.json_response({})

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.add(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    async def _expire(self, request: web.Request) -> web.Response:
        """Let what was handed out end: sessions, uploads' or downloads' addresses."""
        what = (await request.json())["what"]
        if what == "uploads":
            for upload in self._world.uploads.values():
                upload.is_expired = True
                upload.path.unlink(missing_ok=True)
        else:
            {"sessions": self._world.sessions, "downloads": self._world.downloads}[what].clear()
        return web.json_response({})

    async def _away(self, request: web.Request) -> web.Response:
        """Break all connections and refuse new ones for some seconds."""
        await self._leave(float((await request.json())["seconds"]), request)
        return web.json_response({})

    async def _nodes(self, request: web.Request) -> web.Response:
        account = self._world.accounts[request.query["email"]]
        return web.json_response([_told(account, node) for node in account.nodes.values()])

    async def _change_node(self, request: web.Request) -> web.Response:
        """Take a file down, as MEGA does after a complaint, or change its time."""
        told = await request.json()
        node = next(node for node in self._world.all_nodes() if node.h == told["handle"])
        node.is_taken_down = told.get("is_taken_down", node.is_taken_down)
        node.ts = told.get("ts", node.ts)
        return web.json_response({})

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        """Give a file's plain bytes."""
        for account in self._world.accounts.values():
            node = account.nodes.get(request.query["handle"])
            if node is not None and node.t == FILE:
                key, nonce, _ = cipher.unpack(proof.open_key(account, node))
                answer = web.StreamResponse()
                await answer.prepare(request)
                for plain in proof.plain_chunks(node, key, nonce):
                    await answer.write(plain)
                return answer
        return web.Response(status=404)


def _told(account: Account, node: Node) -> dict[str, Any]:
    """Describe a node with what only its owner can read."""
    told: dict[str, Any] = {"handle": node.h, "parent": node.p, "type": node.t, "size": node.s, "link": node.link}
    told["attributes"] = {}
    if node.k:
        try:
            told["attributes"] = proof.attributes(account, node)
        except ValueError:
            told["attributes"] = {"n": None}
    return told | {"name": told["attributes"].get("n"), "path": _path(account, node), "ts": node.ts}


def _path(account: Account, node: Node) -> str:
    """Give the names from the root down, with a slash between them."""
    if not node.k:
        return {2: "", 3: "inbox:", 4: "rubbish:"}[node.t]
    try:
        name = str(proof.attributes(account, node)["n"])
    except ValueError:
        name = node.h
    return f"{_path(account, account.nodes[node.p])}/{name}"
