"""`rclone rcd`: started at first use, replaced when it dies, ended with us."""

import asyncio
import json
import os
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog

from carryall.model.errors import StoreError
from carryall.ports.cancellation import shielded
from carryall.stores.rclone.failures import failure, redacted, unreachable
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.room import Room, enter

log = structlog.get_logger(__name__)

KEPT = (  # of our environment; the rest, our secrets among it, rclone doesn't see
    *("PATH", "HOME", "USER", "LANG", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
KEPT_BEGINNING = "RCLONE_CONFIG"  # its password, and the remotes that are written in the environment

# Becomes rclone. On Linux it asks for death with its parent (prctl PR_SET_PDEATHSIG), which outlives exec, and then
# looks whether the parent is gone already. No code of ours runs between fork and exec.
_BECOME = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_FLAGS = (
    *("--rc-no-auth", "--rc-serve", "--rc-server-read-timeout=0", "--rc-server-write-timeout=0"),
    *("--ask-password=false", "--use-json-log", "--log-level=NOTICE"),
    *("--low-level-retries=3", "--contimeout=15s", "--timeout=60s"),  # whoever calls us tries again, with back-off
)
_START_S = 20.0
_STOP_S = 3.0
_SHORT_LIFE_S = 5.0
_LONGEST_PAUSE_S = 30.0
_LINE_BYTES = 1 << 16


class Daemon:
    """Keeps one rclone running for one store."""

    def __init__(self, name: str, options: RcloneOptions) -> None:
        self._name = name
        self._options = options
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._room: Room | None = None
        self._session: aiohttp.ClientSession | None = None
        self._listening: asyncio.Task[None] | None = None
        self._last_words = ""
        self._began_at = 0.0
        self._failures = 0
        self._next_start = 0.0
        self._reason: StoreError | None = None  # why it didn't start the last time

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def free_bytes(self) -> int:
        """How much rclone can spool on this machine's disk."""
        return 0 if self._room is None else self._room.free_bytes

    async def session(self) -> aiohttp.ClientSession:
        """Give a client of the running daemon; start one where none runs. Raises StoreError."""
        async with self._starting:
            if self._session is None or self.pid is None:
                await shielded(self._replace())
            assert self._session is not None  # noqa: S101  # _replace made it
            return self._session

    async def is_gone(self, within_s: float) -> bool:
        """Tell whether the process ends within that time, or has."""
        process = self._process
        if process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), within_s)
        return self.pid is None

    async def close(self) -> None:
        """End it."""
        async with self._starting:
            await shielded(self._end())

    async def _replace(self) -> None:
        if self._process is not None:
            self._count_fall()
        await self._end()
        if (wait_s := self._next_start - time.monotonic()) > 0:
            error = self._reason or unreachable(self._name)
            error.retry_after_s = int(wait_s) + 1
            raise error
        self._reason, self._began_at = None, time.monotonic()
        try:
            await self._start()
        except StoreError as error:
            self._reason = error
            self._count_fall()
            await self._end()
            raise

    def _count_fall(self) -> None:
        """Note that it ended by itself. Who falls soon after his start is let lie for a while."""
        is_early = time.monotonic() - self._began_at < _SHORT_LIFE_S
        self._failures = self._failures + 1 if is_early else 0
        pause_s = min(_LONGEST_PAUSE_S, 0.25 * 2.0**self._failures) if self._failures > 1 else 0.0
        self._next_start = time.monotonic() + pause_s
        status = None if self._process is None else self._process.returncode
        log.warning("rclone.fell", store=self._name, status=status, starts_again_in_s=pause_s)

    async def _start(self) -> None:
        binary = found(self._options.binary)
        if binary is None:
            raise StoreError(
                f"Store {self._name} needs rclone: install carryall[rclone], or rclone itself.",
                retryable=False,
                code="store_not_found",
            )
        try:
            self._room = await asyncio.to_thread(enter)
            self._process = await asyncio.create_subprocess_exec(
                *_command(binary, self._room, self._options),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=PIPE,
                env=environment(self._options),
                start_new_session=True,  # Ctrl-C at a terminal is for us to hear
            )
        except OSError as error:
            raise StoreError(f"Store {self._name}: rclone can't be started.", retryable=True) from error
        self._listening = asyncio.create_task(self._listen(self._process))
        self._session = aiohttp.ClientSession(
            "http://rclone",
            connector=aiohttp.UnixConnector(str(self._room.socket), limit=0),
            read_bufsize=1 << 19,
            auto_decompress=False,
        )
        await self._wait_until_ready(self._session)
        log.info("rclone.started", store=self._name, pid=self._process.pid)

    async def _wait_until_ready(self, session: aiohttp.ClientSession) -> None:
        give_up_at = time.monotonic() + _START_S
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.post("/rc/noop", timeout=aiohttp.ClientTimeout(total=_START_S)):
                    return
            if await self.is_gone(within_s=0.02):
                if self._listening is not None:
                    await self._listening  # it says why before it ends
                error = failure(self._name, self._last_words)
                raise error if isinstance(error, StoreError) else unreachable(self._name)
            if time.monotonic() > give_up_at:
                raise StoreError(f"Store {self._name}: rclone doesn't start.", retryable=True, code="store_timeout")

    async def _listen(self, process: Process) -> None:
        """Drain what it logs: a full pipe would stop it."""
        assert process.stderr is not None  # noqa: S101  # it was asked for
        rest = b""
        while chunk := await process.stderr.read(_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._log(line)
            rest = rest[-_LINE_BYTES:]

    def _log(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            level, text = str(said["level"]), str(said["msg"])
        except (ValueError, TypeError, KeyError):
            level, text = "", line.decode(errors="replace")
        self._last_words = text
        log.debug("rclone.said", store=self._name, level=level, text=redacted(text))

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            await _ended(self._process)
        if self._listening is not None:
            await self._listening
        if self._room is not None:
            await asyncio.to_thread(self._room.leave)
        self._session = self._process = self._listening = self._room = None


def found(binary: Path | None) -> str | None:
    """Find the program: the one that was named, the wheel's beside our Python, the system's; None without any."""
    if binary is not None:
        return str(binary) if os.access(binary, os.X_OK) else None
    return shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")


def environment(options: RcloneOptions) -> dict[str, str]:
    """Give what rclone may see of our environment, and what its settings add."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_BEGINNING)}
    return kept | dict(options.environment)


def _command(binary: str, room: Room, options: RcloneOptions) -> list[str]:
    config = [] if options.config is None else [f"--config={options.config}"]
    rclone = [binary, "rcd", f"--rc-addr=unix://{room.socket}", f"--temp-dir={room.folder}", *_FLAGS, *config]
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *rclone]


async def _ended(process: Process) -> None:
    """Ask it to go; end it when it doesn't."""
    for signal in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            signal()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_S)
            return
