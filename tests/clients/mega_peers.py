"""Other people's MEGA clients, each with the same few verbs: megajs, rclone's go-mega, and async-mega-py.

Names are those of files in the account's root, or in a folder of it; paths are here. Every download's check sum is
checked.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import yarl
from mega.api import MegaAPI
from mega.client import MegaNzClient
from tests.servers.mega.cipher import totp

PASSWORD = "öpen sesame"
RCLONE = Path(sys.executable).parent / "rclone"
Run = Callable[..., subprocess.CompletedProcess[bytes]]

# Around a file's chunks, and behind the last of the growing ones.
SIZES = [0, 1, 16, 17, 131_072, 131_073, 393_216, 400_000, (5 << 20) + 1]
# Where megajs's check sum isn't MEGA's own: it begins one more chunk, an empty one, when a file ends with a chunk.
# go-mega errs for the empty file alone. MEGA's clients don't check empty files.
MEGAJS_ERRS = {0, 131_072, 393_216}
GO_MEGA_ERRS = {0}


@dataclass(frozen=True)
class Login:
    """Where to, and who."""

    url: str
    email: str
    mfa: str | None = None


class Megajs:
    """megajs, in a process of its own."""

    errs: ClassVar[set[int]] = MEGAJS_ERRS

    def __init__(self, login: Login, node: Run) -> None:
        self.login = login
        self._node = node

    def run(self, *steps: list[Any]) -> list[Any]:
        """Do steps of mega.mjs; give what each told."""
        code = {"code": totp(self.login.mfa, time.time())} if self.login.mfa else {}
        job = {"gateway": self.login.url, "email": self.login.email, "password": PASSWORD, "steps": steps, **code}
        done = self._node("mega.mjs", json.dumps(job))
        assert done.returncode == 0, done.stderr.decode()
        told = json.loads(done.stdout)
        errors = [one for one in told if isinstance(one, dict) and "error" in one]
        assert not errors, errors
        return list(told)

    def upload(self, paths: list[Path], folder: str = "") -> None:
        """Upload files."""
        self.run(*(["upload", path.name, str(path), folder] for path in paths))

    def download(self, names: list[str], out: Path, folder: str = "") -> None:
        """Download files; it finds them by their names, wherever they are."""
        self.run(*(["download", name, str(out / name)] for name in names))

    def link(self, name: str) -> str:
        """Give a public link."""
        return str(self.run(["link", name])[0])

    def erase(self, name: str) -> None:
        """Delete for good."""
        self.run(["erase", name])

    def used_bytes(self) -> int:
        """Ask the quota."""
        return int(self.run(["quota"])[0]["spaceUsed"])

    def download_link(self, url: str, folder: Path) -> Path:
        """Download what a link points at into a folder, without logging in; give where it is."""
        out = folder / "out"
        done = self._node("mega_download.mjs", url, self.login.url, str(out))
        assert done.returncode == 0, done.stderr.decode()
        return out.rename(folder / json.loads(done.stdout)["name"])


class Rclone:
    """rclone, in a process of its own for each verb. It logs in each time, since its settings are in variables."""

    errs: ClassVar[set[int]] = GO_MEGA_ERRS

    def __init__(self, login: Login) -> None:
        self.login = login

    def run(self, *arguments: str) -> bytes:
        """Run rclone with a remote `mega:`."""
        done = subprocess.run(
            [RCLONE, *arguments], env=self._environment(), capture_output=True, timeout=50, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _environment(self) -> dict[str, str]:
        mega = {"TYPE": "mega", "USER": self.login.email, "PASS": _obscured(PASSWORD), "HARD_DELETE": "true"}
        if self.login.mfa:
            mega["2FA"] = totp(self.login.mfa, time.time())
        settings = {f"RCLONE_CONFIG_MEGA_{name}": value for name, value in mega.items()}
        return {**os.environ, **settings, "X_MEGA_API_URL": self.login.url, "RCLONE_CONFIG": os.devnull}

    def upload(self, paths: list[Path], folder: str = "") -> None:
        """Upload files of one folder."""
        self.run("copy", str(paths[0].parent), f"mega:{folder}", *_chosen([path.name for path in paths]))

    def download(self, names: list[str], out: Path, folder: str = "") -> None:
        """Download files."""
        self.run("copy", f"mega:{folder}", str(out), *_chosen(names))

    def link(self, name: str) -> str:
        """Give a public link, which goes to MEGA's older name: async-mega-py knows the newer one alone."""
        return self.run("link", f"mega:{name}").decode().strip().replace("mega.co.nz", "mega.nz")

    def erase(self, name: str) -> None:
        """Delete for good."""
        self.run("deletefile", f"mega:{name}")

    def used_bytes(self) -> int:
        """Ask the quota."""
        return int(json.loads(self.run("about", "--json", "mega:"))["used"])


class AsyncMega:
    """async-mega-py, in this process. It has no second factor."""

    errs: ClassVar[set[int]] = set()

    def __init__(self, login: Login) -> None:
        self.login = login

    def _do(self, step: Callable[[MegaNzClient], Awaitable[Any]]) -> Any:
        """Log in and do something."""

        async def run() -> Any:
            MegaAPI._entrypoint = yarl.URL(f"{self.login.url}/cs")
            async with MegaNzClient() as client:
                await client.login(self.login.email, PASSWORD)
                return await step(client)

        return asyncio.run(run())

    def upload(self, paths: list[Path], folder: str = "") -> None:
        """Upload files."""

        async def send(client: MegaNzClient) -> None:
            into = (await client.find(f"/{folder}")).id if folder else None
            for path in paths:
                await client.upload(path, into)

        self._do(send)

    def download(self, names: list[str], out: Path, folder: str = "") -> None:
        """Download files."""

        async def fetch(client: MegaNzClient) -> None:
            for name in names:
                await client.download(await client.find(Path("/", folder, name)), out)

        self._do(fetch)

    def link(self, name: str) -> str:
        """Give a public link."""

        async def export(client: MegaNzClient) -> str:
            return str(await client.export(await client.find(name)))

        return str(self._do(export))

    def erase(self, name: str) -> None:
        """Delete for good."""

        async def destroy(client: MegaNzClient) -> None:
            await client.destroy((await client.find(name)).id)

        self._do(destroy)

    def used_bytes(self) -> int:
        """Ask the quota."""

        async def ask(client: MegaNzClient) -> int:
            return int((await client.get_account_stats()).storage.used)

        return int(self._do(ask))

    def download_link(self, url: str, folder: Path) -> Path:
        """Download what a link points at into a folder; give where it is."""

        async def fetch(client: MegaNzClient) -> Path:
            (got,) = (await client.download_url(url, folder)).values()
            if isinstance(got, Exception):
                raise got
            return Path(got)

        return Path(self._do(fetch))


def make_peer(client: str, login: Login, node: Callable[[], Run]) -> Any:
    """Give a client by its name; `node` is asked for where it is needed."""
    if client == "megajs":
        return Megajs(login, node())
    return Rclone(login) if client == "rclone" else AsyncMega(login)


def make_files(folder: Path) -> list[Path]:
    """Make a folder with files of all sizes that matter, each named by its size."""
    folder.mkdir()
    for size in SIZES:
        (folder / str(size)).write_bytes(random.Random(size).randbytes(size))
    return [folder / str(size) for size in SIZES]


@cache
def _obscured(password: str) -> str:
    """Give a password as rclone's settings have it."""
    done = subprocess.run([RCLONE, "obscure", password], capture_output=True, check=True, text=True)
    return done.stdout.strip()


def _chosen(names: list[str]) -> list[str]:
    """Give rclone's filters for some names in one folder."""
    return [part for name in names for part in ("--include", f"/{name}")]
