"""What rclone says went wrong becomes our codes; its words, which hold addresses and secrets, stay inside."""

import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.servers.rclone_serve import free_port, obscured, rclone, serving

from carryall.model.errors import Missing, StoreError
from carryall.stores.rclone.failures import failure, redacted
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore

SAID = [
    ("store_not_found", 'didn\'t find section in config file ("nope")'),
    ("store_not_found", 'didn\'t find backend called "gone"'),
    ("store_not_found", "NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404"),
    ("store_not_found", "Failed to create file system: bucket not found"),
    ("store_credentials", "read metadata failed: 401 Unauthorized: 401 Unauthorized"),
    ("store_credentials", "AccessDenied: Access Denied status code: 403, request id: X"),
    ("store_credentials", 'couldn\'t fetch token - maybe it has expired? - refresh with "rclone config reconnect x:"'),
    (
        "store_credentials",
        "couldn't connect SSH: ssh: handshake failed: ssh: unable to authenticate, attempted methods",
    ),
    ("store_credentials", "couldn't login: Object (typically, node or user) not found"),
    ("store_credentials", "NewFs: 530 Login incorrect"),
    ("store_full", "googleapi: Error 403: The user's Drive storage quota has been exceeded., storageQuotaExceeded"),
    ("store_full", "upload failed: path/insufficient_space/.."),
    ("store_full", "507 Insufficient Storage"),
    ("store_full", "write /srv/x: no space left on device"),
    ("store_full", "failed to upload: Over quota"),
    ("store_busy", "googleapi: Error 403: Rate Limit Exceeded, rateLimitExceeded"),
    ("store_busy", "too_many_requests/..."),
    ("store_busy", "HTTP error 429 (429 Too Many Requests)"),
    ("store_busy", "SlowDown: Please reduce your request rate. status code: 503"),
    ("store_refused", "413 Request Entity Too Large"),
    ("store_refused", "disallowed: restricted content"),
    ("store_damaged", "corrupted on transfer: sizes differ src 5 vs dst 4"),
    ("store_timeout", "read tcp 10.0.0.1:1->10.0.0.2:2: i/o timeout"),
    ("store_timeout", "context deadline exceeded"),
    ("store_unreachable", "dial tcp 127.0.0.1:1: connect: connection refused"),
    ("store_unreachable", "dial tcp: lookup nosuch.invalid: no such host"),
    ("store_unreachable", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ("store_unreachable", "unexpected EOF"),
    ("store_failed", "something that nobody has seen before"),
    ("store_failed", 'Propfind "http://host/401/quota/timeout.txt": strange'),
    ("store_failed", ""),
]
FINAL = {"store_not_found", "store_credentials", "store_full", "store_refused"}


@pytest.mark.parametrize(("code", "said"), SAID)
def test_every_failure_has_its_code(code: str, said: str) -> None:
    """The code, and whether trying again can help, follow from what rclone says and not from a file's name."""
    error = failure("far", said)

    assert isinstance(error, StoreError)
    assert (code, code not in FINAL) == (error.stable_code, error.retryable)
    assert (code == "store_busy") == (error.retry_after_s is not None)


@pytest.mark.parametrize(
    "said", ["object not found", "error in ListJSON: directory not found", "is a directory not a file"]
)
def test_what_isn_t_there_is_missing(said: str) -> None:
    """A file that isn't there is no failure of the store."""
    assert isinstance(failure("far", said), Missing)


@pytest.mark.parametrize(
    "line",
    [
        'Put "https://user:hunter2@host/path?X-Signature=hunter2": refused',
        "login with password=hunter2 failed",
        "Authorization: hunter2",
        "session_id = hunter2",
        "ya29.hunter2AAAAAAAAAAAAAAA was refused",
    ],
)
def test_log_lines_hold_no_secret(line: str) -> None:
    """What may be a secret is taken out, at the cost of what isn't one (threat 25)."""
    assert "hunter2" not in redacted(line)


async def code_of(options: RcloneOptions) -> str:
    """Tell how a store that can't work says so; neither there nor in the log may a secret stand."""
    store = RcloneStore("far", options)
    with capture_logs() as lines, pytest.raises(StoreError) as raised:
        await store.ready()
    await store.close()
    for text in (raised.value.message, repr(lines), repr(options)):
        assert "hunter2" not in text
        assert obscured("hunter2")[22:] not in text
    return raised.value.stable_code


@pytest.mark.parametrize("kind", ["webdav", "sftp"])
async def test_bad_credentials(tmp_path: Path, kind: str) -> None:
    """A wrong password is told as what it is."""
    served, config = tmp_path / "served", tmp_path / "rclone.conf"
    served.mkdir()
    with serving(kind, served) as server:
        config.write_text(server.section("far", password="hunter2"))

        assert "store_credentials" == await code_of(RcloneOptions("far:files", config=config))


@pytest.mark.parametrize("kind", ["webdav", "sftp"])
async def test_nobody_there(kind: str) -> None:
    """A server that is down is unreachable, and a remote may be written out with its password."""
    port, password = free_port(), obscured("hunter2").strip()
    address = f"url='http://127.0.0.1:{port}'" if kind == "webdav" else f"host=127.0.0.1,port={port}"

    assert "store_unreachable" == await code_of(RcloneOptions(f":{kind},user=u,pass={password},{address}:files"))


async def test_unknown_remote(tmp_path: Path) -> None:
    """A remote that isn't in the configuration, and a configuration that isn't there, are told."""
    (tmp_path / "rclone.conf").write_text("[other]\ntype = memory\n")

    assert "store_not_found" == await code_of(RcloneOptions("far:x", config=tmp_path / "rclone.conf"))
    assert "store_not_found" == await code_of(RcloneOptions("far:x", config=tmp_path / "none.conf"))


async def test_unknown_kind(tmp_path: Path) -> None:
    """A configuration with a backend that rclone hasn't is told."""
    (tmp_path / "rclone.conf").write_text("[far]\ntype = gone\n")

    assert "store_not_found" == await code_of(RcloneOptions("far:x", config=tmp_path / "rclone.conf"))


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """Give a configuration that is encrypted."""
    config = tmp_path / "rclone.conf"
    config.write_text("[far]\ntype = local\n")
    command = [rclone(), f"--config={config}", "config", "encryption", "set", "--password-command=echo hunter2"]
    subprocess.run(command, check=True, capture_output=True)
    return config


async def test_locked_configuration(locked: Path, tmp_path: Path) -> None:
    """An encrypted configuration without its password never asks for one; with it, it works."""
    assert "store_not_found" == await code_of(RcloneOptions("far:x", config=locked))
    opened = RcloneStore(
        "far", RcloneOptions(f"far:{tmp_path}", config=locked, environment={"RCLONE_CONFIG_PASS": "hunter2"})
    )
    await opened.ready()
    await opened.close()
