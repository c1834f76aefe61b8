"""The proof of work that MEGA asks for before it lets a client in (HTTP 402)."""

import asyncio
import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from carryall.stores.mega.crypto import b64decode, b64encode

LONGEST_S = 180.0
"""How long to search; MEGA itself forgets a challenge after 300 s."""

_REPEATS = 262_144
_MOST_THREADS = 4


def threshold(easiness: int) -> int:
    """Give what the first 32 bits of the hash may be at most. The lower the easiness, the harder."""
    return (((easiness & 63) << 1) + 1) << (easiness >> 6) * 7 + 3


def is_solution(token: bytes, prefix: bytes, limit: int) -> bool:
    """Tell whether this prefix answers the challenge."""
    return _fits(prefix, token * _REPEATS, limit)


def _fits(prefix: bytes, body: bytes, limit: int) -> bool:
    hashing = hashlib.sha256(prefix)
    hashing.update(body)  # 12 MiB, without the interpreter's lock
    return int.from_bytes(hashing.digest()[:4], "big") <= limit


async def solve(challenge: str) -> str:
    """Answer an `X-Hashcash` header, in threads; end them when cancelled.

    Raises:
        ValueError: the challenge isn't of the known form.
        TimeoutError: nothing was found in LONGEST_S.
    """
    version, easiness, _, text = challenge.split(":")
    token = b64decode(text)
    if version != "1" or not 0 <= int(easiness) <= 255 or len(token) != 48:
        raise ValueError("an unknown challenge")
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    over = threading.Event()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="mega-hashcash")
    body = token * _REPEATS
    loop = asyncio.get_running_loop()
    searches = [
        loop.run_in_executor(pool, _search, body, threshold(int(easiness)), first, threads, over)
        for first in range(threads)
    ]
    try:
        found = [prefix for prefix in await asyncio.gather(*searches) if prefix is not None]
    finally:
        over.set()
        pool.shutdown(wait=False)
    if not found:
        raise TimeoutError("no answer was found in time")
    return f"1:{text}:{b64encode(found[0])}"


def _search(body: bytes, limit: int, first: int, stride: int, over: threading.Event) -> bytes | None:
    """Try every `stride`-th prefix until one fits, or somebody else's did, or the time is over."""
    deadline = time.monotonic() + LONGEST_S
    for number in range(first, 1 << 32, stride):
        if over.is_set() or time.monotonic() > deadline:
            return None
        prefix = number.to_bytes(4, "big")
        if _fits(prefix, body, limit):
            over.set()
            return prefix
    return None
