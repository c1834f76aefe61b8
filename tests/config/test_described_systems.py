"""The .env files of the four described systems, pasted together, are one good .env (decision 20)."""

import re
from pathlib import Path

import pytest

from carryall.config import Bucket, MegaAccount, SettingsError, load_settings

RELAY = """\
AUTH_TOKEN=default-secret-token
HOST=0.0.0.0
PORT=8080
MEGA_EMAIL=somebody@example.org
MEGA_PASSWORD=a-password-of-mega
TEMP_UPLOAD_DIR=temp_uploads
LOG_LEVEL=INFO
"""

BLOBS = """\
SECRET_KEY=your_secret_key
BASE_URL=http://localhost:8000
BASE_FOLDER=./uploads
ALLOWED_USERS=user1,user2,user3
ALLOWED_ORIGINS=http://localhost:3000,https://blobs.example.org
DEFAULT_SHORT_PATH_LENGTH=8
FILE_SIZE_LIMIT_MB=10
TOTAL_SIZE_LIMIT_MB=500
REQUEST_TIMES_PER_MINTUE=100
DATABASE_URL=sqlite://./uploads/blobserver.db
CACHE_TTL=300
"""

GALLERY = """\
# Server settings
HOST=0.0.0.0  # Listen on all interfaces
PORT=8000     # Custom port
RELOAD=False  # Disable auto-reload in production

# Storage settings
UPLOAD_FOLDER=/path/to/custom/storage
ALLOWED_EXTENSIONS=["png", "jpg", "jpeg", "webp"]
UPLOAD_URL_PATH=/uploads
"""

CHUNKS = """\
ENV=local
SERVICE_PORT=
STORAGE_BACKEND=local
LOCAL_TEMP_CHUNK_PATH=/tmp/hayula_chunks
PERSISTENT_LOCAL_STORAGE_PATH=/var/data/hayula_uploads
UPLOAD_SERVICE_BASE_URL=
MAIN_SERVICE_JWT_PUBLIC_KEY=your_jwt_public_key
JWT_ALGORITHM=RS256
EXPECTED_JWT_ISSUER=hayula_main_service
EXPECTED_JWT_AUDIENCE=hayula_upload_service
S3_ACCESS_KEY=
S3_SECRET_KEY=
S3_BUCKET_NAME=hayula-uploads
S3_ENDPOINT_URL=https://s3.example.org
S3_REGION_NAME=ir
"""

ALL = f"{RELAY}\n{BLOBS}\n{GALLERY}\n{CHUNKS}"


def with_real_secrets(text: str, public_pem: str) -> str:
    """Put real secrets in place of the placeholders, as whoever deploys does."""
    one_line = public_pem.replace("\n", "\\n")
    return (
        text.replace("default-secret-token", "test-token-12345")
        .replace("your_secret_key", "Xq8vN2-real-signing-key-77")
        .replace("your_jwt_public_key", f'"{one_line}"')
    )


def test_all_four_together(tmp_path: Path, public_pem: str) -> None:
    """One file, no problem; every name does what is documented, and what has no effect is told."""
    path = tmp_path / ".env"
    path.write_text(with_real_secrets(ALL, public_pem))

    settings = load_settings({}, path)

    assert (settings.host, settings.port, settings.reload) == ("0.0.0.0", 8000, False)  # noqa: S104  the described default
    assert settings.service_token == "test-token-12345"
    assert settings.base_url == "http://localhost:8000"
    assert settings.allowed_users == ("user1", "user2", "user3")
    assert (settings.user_max_file_mb, settings.user_total_mb, settings.short_id_length) == (10, 500, 8)
    assert (settings.gallery_extensions, settings.gallery_url_path) == (("png", "jpg", "jpeg", "webp"), "/uploads")
    assert (settings.storage_backend, settings.jwt_issuer) == ("local", "hayula_main_service")
    assert settings.jwt_public_key == public_pem
    told = " ".join(settings.notices)
    for name in (
        "DATABASE_URL",
        "CACHE_TTL",
        "REQUEST_TIMES_PER_MINTUE",
        "S3_BUCKET_NAME",
        "UPLOAD_FOLDER",
    ):
        assert name in told


@pytest.mark.parametrize("text", [RELAY, BLOBS, GALLERY, CHUNKS], ids=["relay", "blobs", "gallery", "chunks"])
def test_each_alone(tmp_path: Path, text: str, public_pem: str) -> None:
    """Each file works alone, too, and as the real environment."""
    path = tmp_path / ".env"
    path.write_text(with_real_secrets(text, public_pem))
    from_file = load_settings({}, path)

    pairs = re.findall(r"^([A-Z_0-9]+)=(.*?)(?:\s+#.*)?$", with_real_secrets(text, public_pem), flags=re.MULTILINE)
    assert load_settings(dict(pairs), None).model_dump() == from_file.model_dump()


def test_the_placeholders_are_refused_together(tmp_path: Path) -> None:
    """As published, with placeholders, the files don't start a server, and each placeholder is told."""
    path = tmp_path / ".env"
    path.write_text(ALL)

    with pytest.raises(SettingsError) as caught:
        load_settings({}, path)

    assert [problem.split()[0] for problem in caught.value.problems] == [
        "AUTH_TOKEN",
        "SECRET_KEY",
        "MAIN_SERVICE_JWT_PUBLIC_KEY",
    ]


def test_the_described_stores(tmp_path: Path, public_pem: str) -> None:
    """The account makes the store mega; the bucket of a backend that isn't chosen makes none, and that is told."""
    path = tmp_path / ".env"
    path.write_text(with_real_secrets(ALL, public_pem))

    settings = load_settings({}, path)

    assert list(settings.stores) == ["mega"]
    assert isinstance(settings.stores["mega"].options, MegaAccount)
    assert any(
        said.startswith("Without effect: S3_BUCKET_NAME, S3_ENDPOINT_URL, S3_REGION_NAME.") for said in settings.notices
    )


def test_the_described_s3_example(tmp_path: Path, public_pem: str) -> None:
    """STORAGE_BACKEND=s3 with a bucket and keys sends finished chunk sessions there."""
    text = ALL.replace("STORAGE_BACKEND=local", "STORAGE_BACKEND=s3")
    text = text.replace("S3_ACCESS_KEY=", "S3_ACCESS_KEY=AKIA99").replace("S3_SECRET_KEY=", "S3_SECRET_KEY=hush-hush")
    path = tmp_path / ".env"
    path.write_text(with_real_secrets(text, public_pem))

    settings = load_settings({}, path)

    bucket = settings.stores["s3"].options
    assert isinstance(bucket, Bucket)
    assert settings.storage_backend == "s3"
    assert (bucket.bucket, bucket.endpoint_url, bucket.region) == ("hayula-uploads", "https://s3.example.org", "ir")
    assert (bucket.access_key, bucket.secret_key) == ("AKIA99", "hush-hush")
    assert settings.stores["s3"].sources["bucket"] == "alias S3_BUCKET_NAME in .env"
