"""Many clients from one thread, and what they cost: connections that cost a test little, memory and answer times."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def family(pid: int) -> list[int]:
    """Give a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def memory_bytes(pid: int) -> int:
    """Give what a process and its children take together; what they share counts once (Linux: Pss)."""
    total = 0
    for one in family(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total << 10


@dataclass
class Watch:
    """What a server took while it was watched."""

    peak_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)


@asynccontextmanager
async def watched(server: Any, path: str, headers: dict[str, str]) -> AsyncIterator[Watch]:
    """Ask for something small again and again inside the block, and look at the memory. An answer has to be 200."""
    found, over = Watch(), asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            began = time.monotonic()
            status, _, _ = await ask(server.port, "GET", path, headers)
            found.waits_s.append(time.monotonic() - began)
            assert status == 200, status
            found.peak_bytes = max(found.peak_bytes, memory_bytes(server.process.pid))
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        over.set()
        await looking


async def ask(
    port: int, method: str, path: str, headers: dict[str, str], pieces: Any = (), *, pause_s: float = 0.0
) -> tuple[int, dict[str, str], bytes]:
    """Make a request whose body comes in pieces, with a pause after each; give the status, the headers, the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        status = int((await reader.readline()).split()[1])
        told = {}
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            told[name.lower()] = value.strip()
        return status, told, await reader.read()
    finally:
        writer.close()


async def many(count: int, work: Callable[[int], Any], *, at_once: int) -> list[Any]:
    """Do something so many times, at most so many at once; give the results in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> Any:
        async with gate:
            return await work(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))
