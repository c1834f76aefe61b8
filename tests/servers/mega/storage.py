"""The storage servers' HTTP side: pieces of ciphertext come in, ranges of it go out."""

import asyncio
import os
import re

import cipher
from aiohttp import web
from faults import Faults, Rule
from front import cut
from world import Node, Upload, World

_PIECE_BYTES = 12 << 16  # a multiple of the check sum's twelve
_READ_BYTES = 1 << 20


class Storage:
    """Answers `/ul/…` and `/dl/…`."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._going = 0

    def routes(self) -> list[web.RouteDef]:
        """Give what it answers."""
        return [
            web.post("/ul/{id}/{offset:\\d+}", self._post),
            web.get("/dl/{id}", self._get),
            web.get("/dl/{id}/{range}", self._get),
        ]

    async def _post(self, request: web.Request) -> web.StreamResponse:
        """Take a piece, or do what a fault says."""
        offset = int(request.match_info["offset"])
        self._world.counters["chunk"] += 1
        self._going += 1
        self._world.counters["chunks at once"] = max(self._world.counters["chunks at once"], self._going)
        try:
            rule = self._faults.take("chunk", offset=offset)
            await asyncio.sleep(rule.delay_s)
            if rule.cut:
                return cut(request)
            if rule.status is not None or rule.answer is not None:
                await drain(request)
                return web.Response(status=rule.status or 200, text="" if rule.answer is None else str(rule.answer))
            answer = await self._take(request, offset)
            if rule.drop:
                return cut(request)
            return web.Response(body=b"0" if rule.mute else answer, content_type="application/octet-stream")
        finally:
            self._going -= 1

    async def _take(self, request: web.Request, offset: int) -> bytes:
        """Check a piece and write it down; give the answer's body."""
        upload = self._world.uploads.get(request.match_info["id"])
        if upload is None or upload.is_expired:
            await drain(request)
            return b"-8"
        end = offset + (request.content_length or 0)
        if request.content_length is None:
            self._world.blame("no Content-Length", offset, upload.account)
            return b"-2"
        if offset not in upload.starts or (end not in upload.starts and end != upload.size) or end > upload.size:
            self._world.blame("chunk boundary", [offset, end, upload.size], upload.account)
            await drain(request)
            return b"-7"
        told = request.query.get("d")
        crc = await self._write(request, upload, offset)
        if crc is None:
            return b"-3"
        if told is not None and told != cipher.encode(crc):
            self._world.blame("crc", offset, upload.account)
            return b"-14"
        return self._came(upload, offset, end) or (b"" if told is None else b"0")

    def _came(self, upload: Upload, offset: int, end: int) -> bytes:
        """Note a piece; give the token where it was the last one missing."""
        upload.missing -= {start for start in upload.missing if offset <= start < max(end, offset + 1)}
        if upload.missing:
            return b""
        self._world.tokens[cipher.encode(upload.token)] = upload
        return upload.final()

    @staticmethod
    async def _write(request: web.Request, upload: Upload, offset: int) -> bytes | None:
        """Write a body down as it comes; give its check sum, or None where it broke off."""
        crc, at, piece = 0, offset, bytearray()
        fd = await asyncio.to_thread(os.open, upload.path, os.O_WRONLY)
        try:
            async for data in request.content.iter_any():
                piece += data
                while len(piece) >= _PIECE_BYTES:
                    crc, at = await asyncio.to_thread(_keep, fd, bytes(piece[:_PIECE_BYTES]), at, crc)
                    del piece[:_PIECE_BYTES]
            crc, at = await asyncio.to_thread(_keep, fd, bytes(piece), at, crc)
        finally:
            os.close(fd)
        return crc.to_bytes(12, "big") if at == offset + (request.content_length or 0) else None

    async def _get(self, request: web.Request) -> web.StreamResponse:
        """Give a range, or what a fault says."""
        self._world.counters["dl"] += 1
        rule = self._faults.take("dl")
        await asyncio.sleep(rule.delay_s)
        if rule.cut:
            return cut(request)
        if rule.status is not None:
            return web.Response(status=rule.status, headers={"X-MEGA-Time-Left": str(rule.time_left_s)})
        node = self._world.downloads.get(request.match_info["id"])
        if node is None or node.content is None:
            return web.Response(status=403)
        found = re.fullmatch(r"(\d+)-(-?\d*)", request.match_info.get("range", "0-"))
        if found is None or int(found[1]) > node.s:
            return web.Response(status=416)
        end = min(int(found[2] or node.s) + (1 if found[2] else 0), node.s)
        return await _send(request, node, range(int(found[1]), max(end, int(found[1]))), rule)


async def _send(request: web.Request, node: Node, wanted: range, rule: Rule) -> web.StreamResponse:
    """Send a range out of a file that stays open although it is deleted meanwhile."""
    assert node.content is not None
    try:
        fd = await asyncio.to_thread(os.open, node.content, os.O_RDONLY)
    except FileNotFoundError:
        return web.Response(status=404)
    answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    answer.content_length = len(wanted)
    try:
        await answer.prepare(request)
        at = wanted.start
        while at < wanted.stop:
            data = await asyncio.to_thread(os.pread, fd, min(_READ_BYTES, wanted.stop - at), at)
            if rule.cut_after is not None and at + len(data) - wanted.start > rule.cut_after:
                await answer.write(data[: rule.cut_after - (at - wanted.start)])
                return cut(request)
            await answer.write(_flipped(data, rule.flip - at) if rule.flip is not None else data)
            at += len(data)
        return answer
    except ConnectionResetError:  # the client heard enough
        return answer
    finally:
        os.close(fd)


def _flipped(data: bytes, at: int) -> bytes:
    """Change one byte, where it is among these."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if 0 <= at < len(data) else data


def _keep(fd: int, piece: bytes, at: int, crc: int) -> tuple[int, int]:
    """Write a piece; give the check sum and where the next one goes."""
    os.pwrite(fd, piece, at)
    return cipher.folded(piece, crc), at + len(piece)


async def drain(request: web.Request) -> None:
    """Read a body that nobody wants."""
    async for _ in request.content.iter_any():
        pass
