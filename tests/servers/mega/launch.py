"""Starts the MEGA of this folder, and asks its control API, for tests."""

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).parent


class FakeMega(AbstractContextManager["FakeMega"]):
    """A running server: `url` is what clients call the gateway. It ends with the `with` block."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), str(port), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        word, _, found = self._process.stdout.readline().partition(" ")
        assert word == "ready"
        self.pid = self._process.pid
        self.url = f"http://127.0.0.1:{int(found)}"
        self._client = httpx2.Client(base_url=f"{self.url}/_control", timeout=60)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Everything it had is gone."""
        self._client.close()
        self._process.kill()
        self._process.communicate()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self._client.request(method, path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def account(self, email: str, password: str = "open sesame", **options: Any) -> dict[str, Any]:
        """Make an account (`version` 1 or 2, `mfa` a base32 secret, `quota_bytes`), or change its last two."""
        return dict(self._ask("POST", "/accounts", json={"email": email, "password": password, **options}))

    def fault(self, on: str, **rule: Any) -> None:
        """Let something go wrong: see `Rule` in faults.py."""
        self._ask("POST", "/faults", json={"on": on, **rule})

    def expire(self, what: str) -> None:
        """End "sessions", or the addresses of "uploads" or "downloads"."""
        self._ask("POST", "/expire", json={"what": what})

    def leave(self, seconds: float) -> None:
        """Break all connections, and refuse new ones for some seconds."""
        self._ask("POST", "/away", json={"seconds": seconds})

    def change(self, handle: str, **values: Any) -> None:
        """Set a node's `is_taken_down` or `ts`."""
        self._ask("POST", "/nodes", json={"handle": handle, **values})

    def clear(self) -> None:
        """Forget counters, violations, requests and faults."""
        self._ask("DELETE", "/state")

    @property
    def state(self) -> dict[str, Any]:
        """`counters` by command ("chunk" and "dl" too), `violations`, `requests`, `sessions`, `uploads`."""
        return dict(self._ask("GET", "/state"))

    @property
    def violations(self) -> list[dict[str, Any]]:
        """What clients did wrong: kind, detail, email."""
        return list(self.state["violations"])

    def count(self, command: str) -> int:
        """Tell how often a command was sent."""
        return int(self.state["counters"].get(command, 0))

    def nodes(self, email: str) -> list[dict[str, Any]]:
        """Give all nodes with handle, parent, type, size, link, attributes, name, path and ts."""
        return list(self._ask("GET", "/nodes", params={"email": email}))

    def files(self, email: str) -> dict[str, dict[str, Any]]:
        """Give the files by their paths (`/Carryall/a.txt`, `rubbish:/a.txt`)."""
        return {node["path"]: node for node in self.nodes(email) if node["type"] == 0}

    def bytes(self, handle: str) -> bytes:
        """Give a file's plain bytes."""
        answer = self._client.get("/bytes", params={"handle": handle})
        assert answer.status_code == 200, answer.text
        return answer.content
