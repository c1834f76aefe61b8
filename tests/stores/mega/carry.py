"""A program: carry one large file to a MEGA and back, and print what that took, as JSON.

python carry.py URL EMAIL FOLDER MEBIBYTES
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from carryall.operations.sources import PathSource
from carryall.stores.mega.options import MegaOptions
from carryall.stores.mega.store import MegaStore
from carryall.system.keepsake import FileKeepsake

MIB = 1 << 20


def cpu_s() -> float:
    """Give the seconds of all cores that this process used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> int:
    """Give the most memory that this process ever had; `getrusage` would tell its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


async def measured(name: str, mib: int, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Do it; give its speed and its cost."""
    began, used = time.perf_counter(), cpu_s()
    await work()
    return {
        f"{name}_mib_per_s": round(mib / (time.perf_counter() - began), 1),
        f"{name}_cpu_ms_per_mib": round((cpu_s() - used) / mib * 1000, 2),
    }


async def carry(url: str, email: str, folder: Path, mib: int) -> dict[str, float]:
    """Put a file and read it."""
    path = folder / "large"
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    options = MegaOptions(email=email, password="open sesame", api_url=url, folder="large")
    store = MegaStore("mega", options, FileKeepsake(folder / "secrets", "mega", "secret key"))
    await store.ready()
    figures: dict[str, float] = {"before_mib": peak_mib()}

    async def put() -> None:
        await store.put("key", PathSource(path, mib * MIB, "large.bin", "application/octet-stream", "0" * 64))

    async def read() -> None:
        (stored,) = [found async for found in store.list()]
        reading = await store.open(stored.location, 0, stored.size)
        assert stored.size == sum([len(chunk) async for chunk in reading])
        await reading.aclose()
        await store.erase(stored.location)

    figures |= await measured("put", mib, put)
    figures |= await measured("read", mib, read)
    await store.close()
    path.unlink()
    return figures | {"peak_mib": peak_mib()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(carry(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))))
