"""What the tests of auth share: a clock that stands still, key pairs, and tokens made by hand."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class StoppedClock:
    """A Clock that moves when the test says so."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        self.time += timedelta(**span)


class Listener:
    """A TCP server that counts who comes, and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.connections += 1
        writer.close()


class Mint:
    """Makes tokens by hand, so that any header and any claims can be had. By default they are genuine."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.key = key
        self.claims: dict[str, Any] = {
            "iss": "main-service",
            "aud": "upload-service",
            "sub": "alice",
            "exp": int(NOW.timestamp()) + 300,
        }

    def signed(self, head: bytes, body: bytes, sign: Callable[[bytes], bytes] | None = None) -> str:
        data = b64(head) + b"." + b64(body)
        return (data + b"." + b64((sign or self.rs256)(data))).decode("ascii")

    def token(self, header: dict[str, Any] | None = None, *, without: str = "", **claims: Any) -> str:
        head = {"alg": "RS256", "typ": "JWT"} | (header or {})
        body = {name: value for name, value in (self.claims | claims).items() if name != without}
        return self.signed(json.dumps(head).encode(), json.dumps(body).encode())

    def rs256(self, data: bytes) -> bytes:
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture(scope="session")
def key_pairs() -> list[rsa.RSAPrivateKey]:
    """Three pairs; making one takes a while."""
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]


@pytest.fixture
def mint(key_pairs: list[rsa.RSAPrivateKey]) -> Mint:
    """Signs with the first pair, the right one."""
    return Mint(key_pairs[0])


@pytest.fixture
def forger(key_pairs: list[rsa.RSAPrivateKey]) -> Mint:
    """Signs with the second pair, the attacker's."""
    return Mint(key_pairs[1])


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """A server that nobody may come to."""
    counted = Listener()
    server = await asyncio.start_server(counted.greet, "127.0.0.1", 0)
    counted.port = server.sockets[0].getsockname()[1]
    async with server:
        yield counted
