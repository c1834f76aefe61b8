"""The API's HTTP side: commands, proofs of work, repeated requests, and news of changes."""

import asyncio
import secrets
import time
from contextlib import nullcontext, suppress
from typing import Any

import cipher
from aiohttp import web
from commands import Commands, Told, parse
from faults import Faults, Rule
from world import Account, Refused, Session, World

_NEWS_S = 20


class Front:
    """Answers `cs`, `sc` and `w`."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._commands = Commands(world)

    def routes(self) -> list[web.RouteDef]:
        """Give what it answers."""
        return [web.post("/cs", self._cs), web.route("*", "/sc", self._sc), web.route("*", "/w/{sid}", self._w)]

    async def _cs(self, request: web.Request) -> web.Response:
        """Do a batch of commands, or what a fault says."""
        raw = await request.read()
        try:
            told = parse(raw)
        except Refused as refused:
            return web.json_response(refused.number)
        self._note(request, told)
        rule = self._faults.take("cs", commands=[str(one.get("a")) for one in told])
        await asyncio.sleep(rule.delay_s)
        if rule.cut:
            return cut(request)
        instead = self._instead(rule, told) or await self._challenge(request, rule.hashcash, raw)
        if instead is not None:
            return instead
        answer = await self._answer(request, raw, told)
        return cut(request) if rule.drop else web.json_response(answer)

    def _note(self, request: web.Request, told: list[Told]) -> None:
        """Count and remember a request."""
        names = [str(one.get("a")) for one in told]
        self._world.counters.update(names)
        query = request.query
        self._world.requests.append({"id": query.get("id"), "has_sid": "sid" in query, "commands": names})
        if "id" not in query:
            self._world.blame("no id", names)

    @staticmethod
    def _instead(rule: Rule, told: list[Told]) -> web.Response | None:
        """Give what a fault answers."""
        if rule.status is not None:
            return web.Response(status=rule.status, text="Server Too Busy")
        if rule.answer is not None:
            return web.json_response(rule.answer if rule.is_bare else [rule.answer] * len(told))
        return None

    async def _challenge(self, request: web.Request, easiness: int | None, raw: bytes) -> web.Response | None:
        """Ask for a proof of work, unless the request brings one that is right."""
        given = request.headers.get("X-Hashcash")
        if given is not None:
            version, token, prefix = [*given.split(":"), "", "", ""][:3]
            asked = self._world.challenges.pop(token, None)
            told = (request.query.get("id"), raw)
            is_answer = version == "1" and asked is not None and asked[1:] == told
            if is_answer and await asyncio.to_thread(cipher.hashcash_is_solved, token, prefix, asked[0]):
                return None
            self._world.blame("hashcash", given)
            easiness = easiness or 255
        if easiness is None:
            return None
        token = cipher.encode(secrets.token_bytes(48))
        self._world.challenges[token] = (easiness, request.query.get("id"), raw)
        return web.Response(status=402, headers={"X-Hashcash": f"1:{easiness}:{int(time.time())}:{token}"})

    async def _answer(self, request: web.Request, raw: bytes, told: list[Told]) -> Any:
        """Do a batch once, however often it is sent with the same id."""
        sid, id = request.query.get("sid"), request.query.get("id", "")
        session = self._world.sessions.get(sid or "")
        if sid is not None and session is None:
            return -15
        key = (sid or "", id)
        before = self._world.answers.get(key)
        if before is None or before[0] != raw:
            if before is not None:
                self._world.blame("id used twice", [one.get("a") for one in told], session and session.account)
            before = (raw, asyncio.create_task(self._run(told, session)))
            self._world.remember(key, *before)
        return await asyncio.shield(before[1])

    async def _run(self, told: list[Told], session: Session | None) -> list[Any]:
        """Do commands in their order."""
        if session and session.going:
            self._world.blame("overlap", [one.get("a") for one in told], session.account)
        answers: list[Any] = []
        with session or nullcontext():
            for one in told:
                try:
                    answers.append(await self._commands.run(one, session))
                except Refused as refused:
                    answers.append(refused.number)
        return answers

    # --- news ---

    def _account(self, sid: str) -> Account | None:
        session = self._world.sessions.get(sid)
        return session.account if session else None

    async def _sc(self, request: web.Request) -> web.Response:
        """Tell what changed since `sn`, or where to wait for it."""
        account = self._account(request.query.get("sid", ""))
        if account is None:
            return web.json_response(-15)
        seen = int(request.query.get("sn", "0"))
        if seen >= len(account.events):
            return web.json_response({"w": f"{self._world.url}/w/{request.query['sid']}?seen={seen}"})
        return web.json_response({"a": account.events[seen:], "sn": str(len(account.events))})

    async def _w(self, request: web.Request) -> web.Response:
        """Answer as soon as there is news, or after a while."""
        account = self._account(request.match_info["sid"])
        if account and int(request.query.get("seen", "0")) >= len(account.events):
            with suppress(TimeoutError):
                await asyncio.wait_for(account.news.wait(), _NEWS_S)
        return web.Response(text="0")


def cut(request: web.Request) -> web.Response:
    """Break the connection; nobody hears the answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
