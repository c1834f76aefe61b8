"""Bring a file to an S3 server and back, and print what that cost this process, as JSON.

python tests/servers/s3_cost.py URL BUCKET FILE
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import uvloop

from carryall.operations.sources import PathSource
from carryall.stores.s3.options import S3Options
from carryall.stores.s3.store import S3Store


async def main(options: S3Options, path: Path, size: int) -> None:
    """Put, read, and print."""
    store = S3Store("s3", options)
    await store.ready()  # finding out who we are isn't the file's cost
    source = PathSource(path, size, path.name, "application/octet-stream", "")
    peak_before = peak_bytes()
    wall, cpu = time.monotonic(), time.process_time()
    stored = await store.put("cost", source)
    put_s, put_cpu_s = time.monotonic() - wall, time.process_time() - cpu
    wall, cpu = time.monotonic(), time.process_time()
    reading = await store.open(stored.location, 0, size)
    count = 0
    async for chunk in reading:
        count += len(chunk)
    await reading.aclose()
    read_s, read_cpu_s = time.monotonic() - wall, time.process_time() - cpu
    await store.close()
    figures = {
        "put_ms_per_mib": put_cpu_s * 1000 / (size >> 20),
        "put_mib_per_s": (size >> 20) / put_s,
        "read_ms_per_mib": read_cpu_s * 1000 / (size >> 20),
        "read_mib_per_s": (size >> 20) / read_s,
        "peak_before_mib": peak_before >> 20,
        "peak_mib": peak_bytes() >> 20,
        "read_bytes": count,
    }
    print(json.dumps(figures))


def peak_bytes() -> int:
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


if __name__ == "__main__":
    given = S3Options(sys.argv[2], sys.argv[1], "us-east-1", "test:tester", "testing")
    if len(sys.argv) > 4:
        given = replace(given, part_bytes=int(sys.argv[4]), parallel_parts=int(sys.argv[5]))
    file = Path(sys.argv[3])
    uvloop.run(main(given, file, file.stat().st_size))
