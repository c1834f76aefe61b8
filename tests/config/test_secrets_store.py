"""Secrets that nobody set are made once, kept privately, and the same afterwards."""

import os
import stat
import threading
from pathlib import Path

import pytest

from carryall.config import Generated, Settings, SettingsError, ensure_secrets, load_settings

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX")


def settings(**environ: str) -> Settings:
    """Load from this environment alone."""
    return load_settings(environ, None)


def test_missing_secrets_are_made(tmp_path: Path) -> None:
    """Every secret that isn't set is generated, written and put into the settings."""
    folder = tmp_path / "data" / "secrets"

    filled, made = ensure_secrets(settings(), folder)

    assert [one.name for one in made] == ["service_token", "admin_token", "secret_key"]
    assert all(one.is_new and len(one.value) >= 43 for one in made)
    assert len({one.value for one in made}) == 3
    assert (filled.service_token, filled.admin_token, filled.secret_key) == tuple(one.value for one in made)
    assert [one.path for one in made] == [folder / one.name for one in made]
    assert all(one.path.read_text() == one.value + "\n" for one in made)
    assert filled.sources["service_token"] == "secrets folder"


def test_a_restart_finds_the_same_secrets(tmp_path: Path) -> None:
    """The second start reads what the first one wrote, and nothing is new."""
    first, _ = ensure_secrets(settings(), tmp_path / "secrets")
    second, found = ensure_secrets(settings(), tmp_path / "secrets")

    assert second == first
    assert not any(one.is_new for one in found)
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == [
        "admin_token",
        "secret_key",
        "service_token",
    ]


def test_a_secret_that_is_set_stays(tmp_path: Path) -> None:
    """What the operator sets is neither replaced nor written down."""
    given = settings(AUTH_TOKEN="test-token-12345", CARRYALL_ADMIN_TOKEN="x7Kp2-mmQ", SECRET_KEY="0123456789abcdef")

    assert ensure_secrets(given, tmp_path / "secrets") == (given, [])
    assert not (tmp_path / "secrets").exists()


def test_the_webhook_secret_is_made_when_needed(tmp_path: Path) -> None:
    """Without a webhook there is nothing to sign."""
    filled, made = ensure_secrets(settings(MAIN_SERVICE_WEBHOOK_URL="http://main/hook"), tmp_path / "secrets")

    assert made[-1].name == "webhook_secret"
    assert filled.webhook_secret == made[-1].value


def test_what_is_known_about_the_settings_stays(tmp_path: Path) -> None:
    """Sources and notices of the other settings are still there, and the new values are redacted."""
    filled, made = ensure_secrets(settings(PORT="9000", CACHE_TTL="1"), tmp_path / "secrets")

    assert filled.sources["port"] == "alias PORT"
    assert len(filled.notices) == 1
    assert not any(one.value in row.value for one in made for row in filled.redacted())
    assert made[0].value not in repr(made)
    assert made[0].value not in repr(filled)


@POSIX
def test_modes(tmp_path: Path) -> None:
    """Folder 0700, files 0600, whatever the umask says; a folder that is too open is closed."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        _, made = ensure_secrets(settings(), folder)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.path.stat().st_mode) for one in made} == {0o600}


def test_many_starts_at_once_agree(tmp_path: Path) -> None:
    """Of eight starts at the same moment all get the same secrets, and each secret is new to exactly one."""
    results: list[list[Generated]] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        results.append(ensure_secrets(settings(), tmp_path / "secrets")[1])

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 8
    for kept in zip(*results, strict=True):
        assert len({one.value for one in kept}) == 1
        assert sum(one.is_new for one in kept) == 1
    assert len(list((tmp_path / "secrets").iterdir())) == 3


@POSIX
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A file that is open to others may have been read; the operator decides."""
    _, made = ensure_secrets(settings(), tmp_path / "secrets")
    made[0].path.chmod(0o640)

    with pytest.raises(SettingsError, match="secrets/service_token in the data folder can be read by others"):
        ensure_secrets(settings(), tmp_path / "secrets")


@POSIX
@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    """A link in place of a secret is refused, whether or not it leads somewhere."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (tmp_path / "elsewhere").write_text("a-token-of-somebody-else")
    (folder / "service_token").symlink_to(tmp_path / target)

    with pytest.raises(SettingsError, match="can't be kept in the data folder"):
        ensure_secrets(settings(), folder)
    assert not (tmp_path / "missing").exists()


@POSIX
def test_the_folder_is_no_link(tmp_path: Path) -> None:
    """Secrets are never written through a link to another folder."""
    (tmp_path / "served").mkdir()
    (tmp_path / "secrets").symlink_to(tmp_path / "served")

    with pytest.raises(SettingsError, match="is a link"):
        ensure_secrets(settings(), tmp_path / "secrets")
    assert list((tmp_path / "served").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "shorter than 8"),
        ("changeme", "placeholder"),
        ("\u00e4" * 40, "no ASCII text"),
        ("a b c d e f g h", "header"),
    ],
)
def test_what_the_folder_holds_must_be_strong(tmp_path: Path, text: str, reason: str) -> None:
    """A secret that was emptied or replaced by a weak one is refused, and not shown."""
    folder = tmp_path / "secrets"
    ensure_secrets(settings(), folder)
    (folder / "service_token").write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match=reason) as caught:
        ensure_secrets(settings(), folder)
    assert not text or text not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is told without its path."""
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(SettingsError, match="can't be kept in the data folder") as caught:
        ensure_secrets(settings(), tmp_path / "data" / "secrets")
    assert str(tmp_path) not in str(caught.value)
