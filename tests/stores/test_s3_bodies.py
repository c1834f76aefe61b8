"""Bodies on their way to a bucket: protected on every kind of line, and never held whole in memory."""

import functools
import ipaddress
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import aiohttp.connector
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.servers.s3_proxy import proxy_to

from carryall.model.errors import StoreError
from carryall.operations.sources import PathReading
from carryall.stores.s3.options import S3Options
from carryall.stores.s3.store import S3Store
from carryall.testing import fakes
from carryall.testing.store_contract import FarSource, source, stored_bytes

COST = Path(__file__).parents[1] / "servers" / "s3_cost.py"
MIB = 1 << 20
pattern = functools.cache(fakes.pattern)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start one server for the file."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    yield server
    server.kill()


@pytest.fixture
def options(server: S3Server) -> S3Options:
    """Give options that work."""
    return S3Options(server.bucket, server.url, REGION, ACCESS_KEY, SECRET_KEY)


def tls_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for this machine; give the server's context, and that of a client which trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bucket")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + secret)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "both.pem")
    return serving, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize("checksum", ["crc32", "none"])
async def test_tls_protects_bodies(
    server: S3Server,
    options: S3Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    checksum: Literal["crc32", "none"],
) -> None:
    """Over https payloads aren't signed: the line protects them; nobody is trusted without a certificate."""
    serving, trusting = tls_contexts(tmp_path)
    size = 6 * MIB
    async with proxy_to(server.port, serving) as proxy:
        given = replace(options, endpoint_url=proxy.url.replace("http", "https"), checksum=checksum, part_bytes=5 * MIB)
        wary, store = S3Store("s3", given), S3Store("s3", given)
        with pytest.raises(StoreError) as raised:
            await wary.ready()
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)  # made when aiohttp was imported
        await store.put(f"tls {checksum}", source(tmp_path, pattern(size)))
        assert pattern(size) == await stored_bytes(store, f"tls {checksum}", 0, size)
        await wary.close()
        await store.close()

    parts = [head for head in proxy.heads if "partNumber" in head]
    assert all(re.search("(?i)sha256: UNSIGNED-PAYLOAD", head) for head in parts)
    assert [checksum == "crc32"] * 2 == ["x-amz-checksum-crc32;" in head for head in parts]
    assert "certificate" in str(raised.value)


@pytest.mark.parametrize("is_far", [False, True])
@pytest.mark.parametrize("size", [17 * MIB + 5])
async def test_large_parts_are_not_held(options: S3Options, tmp_path: Path, *, is_far: bool, size: int) -> None:
    """A part over 16 MiB is read twice instead, from wherever it lies."""
    near = source(tmp_path, pattern(size))
    store = S3Store("s3", replace(options, part_bytes=17 * MIB))

    await store.put("large", FarSource(near) if is_far else near)

    assert pattern(size) == await stored_bytes(store, "large", 0, size)
    await store.close()


@dataclass(frozen=True, slots=True)
class ShortSource(FarSource):
    """Ends early without a word."""

    async def open(self, start: int, stop: int) -> PathReading:
        """Open less than was asked for."""
        return await self.near.open(start, stop - 1)


@pytest.mark.parametrize("size", [100, 6 * MIB, 17 * MIB])
async def test_a_source_that_ends_early_is_an_error(
    server: S3Server, options: S3Options, tmp_path: Path, size: int
) -> None:
    """What another store gives is counted: nothing shorter is taken for whole."""
    store = S3Store("s3", replace(options, part_bytes=max(size, 5 * MIB)))

    with pytest.raises(StoreError) as raised:
        await store.put("short", ShortSource(source(tmp_path, pattern(size))))

    assert ("staging_lost", False) == (raised.value.stable_code, raised.value.retryable)
    assert "short" not in server.all_keys()
    await store.close()


def cost(server: S3Server, path: Path, *words: int) -> dict[str, Any]:
    """Bring a file there and back in a process of its own; give what that cost."""
    command = [sys.executable, COST, server.url, server.bucket, path, *map(str, words)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    return dict(json.loads(answer))


def sparse(path: Path, size: int) -> Path:
    """Make a file that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_memory_is_flat(server: S3Server, tmp_path: Path) -> None:
    """A large file costs two parts' memory when two are sent at a time, and reading it even less."""
    figures = cost(server, sparse(tmp_path / "large", 96 * MIB), 5 * MIB, 2)

    assert 96 * MIB == figures["read_bytes"]
    assert figures["peak_mib"] - figures["peak_before_mib"] < 32


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_gibibyte(server: S3Server, tmp_path: Path) -> None:
    """As the settings are by default; the figures of docs/stores/s3.md."""
    figures = cost(server, sparse(tmp_path / "large", 1024 * MIB))

    print(json.dumps(figures, indent=2))
    assert 1024 * MIB == figures["read_bytes"]
    assert figures["peak_mib"] < 200
    assert figures["put_ms_per_mib"] < 1.2  # twice the target: machines differ
