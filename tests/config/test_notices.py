"""What is said at the start about names that have no effect and risks that were chosen."""

import pytest

from carryall.config import load_settings
from carryall.config.notices import FOLDER_HINTS


def notices(**environ: str) -> tuple[str, ...]:
    """Return what is said about this environment."""
    return load_settings(environ, None).notices


def test_nothing_is_said_about_the_defaults() -> None:
    """A plain start is silent; empty names are not set."""
    assert notices() == ()
    assert notices(CACHE_TTL="", S3_BUCKET_NAME=" ") == ()


def test_another_database_is_ignored() -> None:
    """Tortoise's DATABASE_URL is named, and what it holds is not shown."""
    (said,) = notices(DATABASE_URL="sqlite://./uploads/blobserver.db?password=abc123")

    assert said.startswith("DATABASE_URL is ignored")
    assert "abc123" not in said


def test_the_cache_has_no_effect() -> None:
    """CACHE_TTL is named as without effect."""
    assert notices(CACHE_TTL="300")[0].startswith("CACHE_TTL has no effect")


def test_the_misspelt_rate_is_read() -> None:
    """REQUEST_TIMES_PER_MINTUE works as it is spelled, and its name here is told."""
    settings = load_settings({"REQUEST_TIMES_PER_MINTUE": "7"}, None)

    assert settings.user_requests_per_minute == 7
    assert "CARRYALL_USER_REQUESTS_PER_MINUTE" in settings.notices[0]


def test_a_store_that_is_set_up_by_half() -> None:
    """A bucket without keys and half an account make no store; that is told, one notice for each, without values."""
    said = notices(S3_BUCKET_NAME="mine77", S3_REGION_NAME="ir", MEGA_EMAIL="ann@example.org")

    assert len(said) == 2
    assert said[0].startswith("Without effect: S3_BUCKET_NAME, S3_REGION_NAME. They make the store s3 when")
    assert said[1].startswith("Without effect: MEGA_EMAIL. They make the store mega when both")
    assert not any(value in text for text in said for value in ("mine77", "ann@"))


def test_stores_that_are_there_are_not_mentioned() -> None:
    """Names that do what they are for are no news."""
    assert notices(MEGA_EMAIL="ann@example.org", MEGA_PASSWORD="pa55") == ()
    assert notices(S3_BUCKET_NAME="mine", S3_ACCESS_KEY="AKIA99", S3_SECRET_KEY="hush") == ()
    assert notices(S3_BUCKET_NAME="mine", STORAGE_BACKEND="s3") == ()


def test_folders_are_hints() -> None:
    """Folders of the described systems are neither served nor needed; all of them are named in one sentence."""
    (said,) = notices(**dict.fromkeys(FOLDER_HINTS, "/srv/x"))

    assert said.startswith("Neither served nor needed: ")
    assert all(name in said for name in FOLDER_HINTS)
    assert "CARRYALL_DATA_DIR" in said


def test_reload_is_for_development() -> None:
    """A server that reloads says so."""
    assert "for development" in notices(RELOAD="true")[0]


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "files.example.org"])
def test_an_open_gallery_on_a_public_address_says_so(host: str) -> None:
    """Whoever can reach the address can send images; closing the gallery ends the notice."""
    (said,) = notices(HOST=host)

    assert "without a token" in said
    assert host in said
    assert notices(HOST=host, CARRYALL_GALLERY_ANONYMOUS="false") == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_open_gallery_on_this_machine_is_silent(host: str) -> None:
    """The loopback address is nobody else's."""
    assert notices(HOST=host) == ()


def test_a_webhook_without_a_base_url_says_so() -> None:
    """Notifications aren't answers to a request, so no request tells them the public address."""
    (said,) = notices(MAIN_SERVICE_WEBHOOK_URL="https://main.example.org/hook")

    assert "CARRYALL_BASE_URL" in said
    assert notices(MAIN_SERVICE_WEBHOOK_URL="https://main.example.org/hook", BASE_URL="https://x.example.org") == ()
