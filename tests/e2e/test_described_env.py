"""One .env made of the four described systems' own: the server starts on it, and every surface works at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.servers.ports import free_port

_ENV = """\
AUTH_TOKEN=test-token-12345
HOST=127.0.0.1
PORT=8080
MEGA_EMAIL=somebody@example.org
MEGA_PASSWORD=a-password-of-mega
MEGA_API_URL=http://127.0.0.1:9   # nobody: the account isn't real
TEMP_UPLOAD_DIR=temp_uploads
LOG_LEVEL=INFO
SECRET_KEY=Xq8vN2-real-signing-key-77
BASE_FOLDER=./uploads
ALLOWED_USERS=user1,user2,user3
DEFAULT_SHORT_PATH_LENGTH=8
FILE_SIZE_LIMIT_MB=10
TOTAL_SIZE_LIMIT_MB=500
DATABASE_URL=sqlite://./uploads/blobserver.db
CACHE_TTL=300
PORT={port}     # the gallery's, and the last one wins
RELOAD=False
UPLOAD_FOLDER=./uploads
ENV=local
SERVICE_PORT=
STORAGE_BACKEND=local
LOCAL_TEMP_CHUNK_PATH=/tmp/hayula_chunks
MAIN_SERVICE_JWT_PUBLIC_KEY="{pem}"
JWT_ALGORITHM=RS256
EXPECTED_JWT_ISSUER=hayula_main_service
EXPECTED_JWT_AUDIENCE=hayula_upload_service
S3_BUCKET_NAME=hayula-uploads
S3_REGION_NAME=ir
"""
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def _wait(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(log_path.read_text())


def test_four_env_files_make_one_server(tmp_path: Path) -> None:
    """Relay, blobs, gallery and chunks each take a file on one server, and ./uploads is neither made nor served."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    port = free_port()
    (tmp_path / ".env").write_text(_ENV.format(port=port, pem=public.replace("\n", "\\n")))
    log_path, url = tmp_path / "log", f"http://127.0.0.1:{port}"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "carryall", "serve"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, url, log_path)
        admin = (tmp_path / "data" / "secrets" / "admin_token").read_text().strip()
        now = int(time.time())
        token = jwt.encode(
            {"alg": "RS256"},
            {"sub": "alice", "iss": "hayula_main_service", "aud": "hayula_upload_service", "exp": now + 300},
            RSAKey.import_key(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ).decode()
            ),
        )
        with httpx2.Client(base_url=url, timeout=20) as client:
            relay = client.post(
                "/upload?service=local",
                files={"file": ("a.txt", b"a")},
                headers={"X-Auth-Token": "test-token-12345"},
            )
            user = client.get("/user/user1", headers={"Authorization": f"Bearer {admin}"})
            blobs = client.post(
                "/upload", files={"file": ("b.txt", b"b")}, headers={"Authorization": f"Bearer {user.json()['token']}"}
            )
            gallery = client.post("/api/upload", files=[("files", ("c.png", _PNG))])
            session = client.post(
                "/upload/init",
                json={"main_service_file_id": 1, "original_file_name": "d.mp3"},
                headers={"Authorization": f"Bearer {token}"},
            )
            leak = client.get("/uploads/blobserver.db")
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)

    assert [200] * 5 == [one.status_code for one in (relay, user, blobs, gallery, session)]
    assert 404 == leak.status_code
    assert 0 == status
    assert not (tmp_path / "uploads").exists()
    assert "DATABASE_URL" in log_path.read_text()
