"""Where settings come from, which source wins, and how mistakes are told."""

from pathlib import Path

import pytest

from carryall.config import SETTINGS, Settings, SettingsError, load_settings


def load(
    environ: dict[str, str] | None = None, text: str | None = None, folder: Path | None = None, **overrides: object
) -> Settings:
    """Load from this environment and, with a folder, from a .env file of this text there."""
    if folder is None:
        return load_settings(environ or {}, None, **overrides)
    path = folder / ".env"
    path.write_text(text or "", encoding="utf-8")
    return load_settings(environ or {}, path, **overrides)


def refusal(environ: dict[str, str], **overrides: object) -> SettingsError:
    """Return the error that these settings raise."""
    with pytest.raises(SettingsError) as caught:
        load(environ, **overrides)
    return caught.value


def test_nothing_set_is_the_defaults() -> None:
    """Without any name every setting has its default, on the loopback address."""
    settings = load()

    assert settings.model_dump() == Settings().model_dump()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert {row.source for row in settings.redacted()} == {"default"}


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment argument the real one counts."""
    monkeypatch.setenv("CARRYALL_PORT", "8123")

    assert load_settings(env_file=None).port == 8123


def test_a_file_that_is_not_there_is_no_mistake(tmp_path: Path) -> None:
    """The .env file is optional."""
    assert load_settings({}, tmp_path / ".env").model_dump() == Settings().model_dump()


@pytest.mark.parametrize(("alias", "name"), [(alias, one.name) for one in SETTINGS for alias in one.also])
def test_every_alias_reaches_its_setting(alias: str, name: str, public_pem: str, tmp_path: Path) -> None:
    """A value under any other name arrives as it does under the canonical one."""
    key_file = tmp_path / "key.pem"
    key_file.write_text(public_pem)
    values = {
        "host": "192.0.2.1",
        "port": "9999",
        "workers": "3",
        "base_url": "https://files.example.org",
        "reload": "true",
        "environment": "production",
        "log_level": "warning",
        "service_token": "a-token-of-ours-77",
        "secret_key": "k" * 40,
        "allowed_users": "ana,bo",
        "allowed_origins": "https://app.example.org",
        "short_id_length": "12",
        "user_max_file_mb": "0.5",
        "user_total_mb": "7",
        "user_requests_per_minute": "3",
        "gallery_extensions": '["gif"]',
        "gallery_url_path": "/images",
        "jwt_public_key": public_pem,
        "jwt_public_key_file": str(key_file),
        "jwt_issuer": "somebody",
        "jwt_audience": "else",
        "webhook_url": "http://main.internal/hook",
        "complete_wait_s": "2.5",
        "relay_wait_s": "7",
        "relay_repeat_s": "0",
    }
    value = values.get(name, "RS256" if name == "jwt_algorithm" else "local")
    others = {"CARRYALL_JWT_ISSUER": "i", "CARRYALL_JWT_AUDIENCE": "a"} if name.startswith("jwt_public") else {}

    by_alias = load({alias: value, **others})

    assert by_alias.model_dump() == load({f"CARRYALL_{name.upper()}": value, **others}).model_dump()
    assert by_alias.sources[name] == f"alias {alias}"


def test_an_argument_wins_over_the_environment() -> None:
    """What the command line says counts; None there says nothing."""
    settings = load({"PORT": "9000", "HOST": "::1"}, port=9001, host=None)

    assert (settings.port, settings.host) == (9001, "::1")
    assert settings.sources == {"port": "argument", "host": "alias HOST"}


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The real environment wins, even by an alias over the canonical name in the file."""
    settings = load({"PORT": "9000"}, "CARRYALL_PORT=9001\nCARRYALL_HOST=::1\n", tmp_path)

    assert settings.port == 9000
    assert settings.sources == {"port": "alias PORT", "host": ".env"}


def test_the_canonical_name_wins_over_aliases(tmp_path: Path) -> None:
    """Within one place the canonical name counts, then the aliases in their order; who loses is told."""
    settings = load({}, "SERVICE_PORT=1\nCARRYALL_PORT=3\nPORT=2\n", tmp_path)

    assert settings.port == 3
    assert settings.notices == (
        "PORT in .env is not used, because CARRYALL_PORT says something else.",
        "SERVICE_PORT in .env is not used, because CARRYALL_PORT says something else.",
    )
    assert load({"PORT": "5", "SERVICE_PORT": "5"}).notices == ()


def test_empty_is_not_set(tmp_path: Path) -> None:
    """An empty value leaves the default, the alias or the file its say."""
    assert load({"SERVICE_PORT": "", "CARRYALL_HOST": "  "}).model_dump() == Settings().model_dump()
    assert load({"CARRYALL_PORT": "", "PORT": "9000"}).port == 9000
    assert load({"PORT": ""}, "PORT=9001", tmp_path).port == 9001
    assert load({}, "PORT=9001\nPORT=\n", tmp_path).port == 9001


def test_the_last_line_of_a_name_counts(tmp_path: Path) -> None:
    """In a file that repeats a name the last value is taken."""
    assert load({}, "PORT=9001\nPORT=9002\n", tmp_path).port == 9002


def test_the_file_is_read_as_dotenv_files_are_written(tmp_path: Path) -> None:
    """Quotes, export, comments and a byte order mark are understood; ${NAME} stands for itself."""
    text = "\ufeffHOST=192.0.2.1  # all\nexport PORT='9001'\n# COMMENT=1\nAUTH_TOKEN=\"abc${HOME}defgh\"\n"

    settings = load({"HOME": "/nowhere"}, text, tmp_path)

    assert (settings.host, settings.port, settings.service_token) == ("192.0.2.1", 9001, "abc${HOME}defgh")


def test_a_line_that_is_none_is_told(tmp_path: Path) -> None:
    """A line that can't be understood is a mistake, told by its number and without its text."""
    with pytest.raises(SettingsError) as caught:
        load({}, "PORT=9001\nAUTH TOKEN 'verysecret\n", tmp_path)

    assert caught.value.problems == ("Line 2 of .env can't be understood; it must look like NAME=value.",)


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"PORT=\xff\n")], ids=["folder", "binary"]
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, make: object) -> None:
    """A .env that is a folder, or no text, stops the start."""
    path = tmp_path / ".env"
    make(path)  # type: ignore[operator]

    with pytest.raises(SettingsError, match=r"\.env can't be read: "):
        load_settings({}, path)


def test_foreign_names_are_ignored(tmp_path: Path) -> None:
    """Names that aren't ours do no harm, neither in the environment nor in the file."""
    assert (
        load({"PATH": "/bin", "DEBUG": "maybe"}, "UNRELATED=1\nno_value\n", tmp_path).model_dump()
        == Settings().model_dump()
    )


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CARRYALL_PROT", "CARRYALL_PORT"),
        ("CARRYALL_DATADIR", "CARRYALL_DATA_DIR"),
        ("CARRYALL_AUTH_TOKEN", "CARRYALL_SERVICE_TOKEN"),
        ("CARRYALL_FILE_SIZE_LIMIT_MB", "CARRYALL_USER_MAX_FILE_MB"),
        ("carryall_port", "CARRYALL_PORT"),
        ("CARRYALL_GALERY_PUBLIC_LIST", "CARRYALL_GALLERY_PUBLIC_LIST"),
    ],
)
def test_an_unknown_name_of_ours_is_an_error(name: str, nearest: str, tmp_path: Path) -> None:
    """A misspelt CARRYALL_ name is refused, in the environment and in the file, with the nearest known one."""
    assert refusal({name: "1"}).problems == (f"{name} is no setting. The nearest one is {nearest}.",)
    with pytest.raises(SettingsError) as caught:
        load({}, f"{name}=\n", tmp_path)
    assert caught.value.problems == (f"{name} in .env is no setting. The nearest one is {nearest}.",)


def test_an_unknown_argument_is_an_error() -> None:
    """A misspelt argument is refused like a misspelt name."""
    assert refusal({}, prot=1).problems == ("prot is no setting. The nearest one is CARRYALL_PORT.",)


def test_names_of_the_test_suite_are_ignored() -> None:
    """CARRYALL_TEST_… is reserved for tests."""
    assert load({"CARRYALL_TEST_REQUIRE": "all"}).model_dump() == Settings().model_dump()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One error holds every mistake: unknown names, wrong values, contradictions, from all places."""
    text = "CARRYALL_PORT=http\nCARRYALL_NONE=1\nEXPECTED_JWT_ISSUER=i\n"
    environ = {"STORAGE_BACKEND": "s3", "CARRYALL_JWKS_URL": "https://main.example/jwks", "AUTH_TOKEN": "short"}

    with pytest.raises(SettingsError) as caught:
        load(environ, text, tmp_path, workers=400)

    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    assert "CARRYALL_PORT in .env is 'http': it must be a whole number from 1 to 65535." in told
    assert "CARRYALL_NONE in .env is no setting." in told
    assert "CARRYALL_JWT_AUDIENCE (or EXPECTED_JWT_AUDIENCE) is not set" in told
    assert "STORAGE_BACKEND is 's3': no store s3 is set up. There is local; set S3_BUCKET_NAME" in told
    assert "AUTH_TOKEN can't be used: it is shorter than 8 characters" in told
    assert "--workers is '400': it must be a whole number from 1 to 64." in told
    assert str(caught.value) == "The settings can't be used:\n- " + "\n- ".join(caught.value.problems)


@pytest.mark.parametrize(
    ("environ", "secret"),
    [
        ({"AUTH_TOKEN": "ab12cd3"}, "ab12cd3"),
        ({"SECRET_KEY": "fifteen-letters"}, "fifteen-letters"),
        ({"CARRYALL_ADMIN_TOKEN": "blanks are in here"}, "blanks are in here"),
        ({"MAIN_SERVICE_JWT_PUBLIC_KEY": "a-shared-hmac-secret"}, "a-shared-hmac-secret"),
        ({"MAIN_SERVICE_WEBHOOK_URL": "ftp://ann:pa55@host/?key=abc123"}, "pa55"),
        ({"MAIN_SERVICE_WEBHOOK_URL": "ftp://ann:pa55@host/?key=abc123"}, "abc123"),
        ({"CARRYALL_AUTH_TOKEN": "verysecretvalue"}, "verysecretvalue"),
    ],
)
def test_errors_never_show_secrets(environ: dict[str, str], secret: str) -> None:
    """Neither the sentence nor what it was raised from has the secret in it."""
    error = refusal(environ)

    assert secret not in str(error)
    assert secret not in str(error.__cause__)


def test_long_values_are_cut_in_errors() -> None:
    """A sentence stays readable whatever was given."""
    assert len(refusal({"PORT": "9" * 10_000}).problems[0]) < 200


def test_control_characters_are_escaped_in_errors() -> None:
    """A value can't paint the terminal of who reads the error."""
    assert "\x1b" not in str(refusal({"PORT": "\x1b[2J"}))


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ./data can't be resolved, the error names the setting that would help."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert refusal({}).problems == ("CARRYALL_DATA_DIR is './data': it must be a path that can be followed.",)


def test_the_key_can_stand_in_a_file(tmp_path: Path, public_pem: str) -> None:
    """MAIN_SERVICE_JWT_PUBLIC_KEY_FILE names a file with the key; its text becomes the key."""
    path = tmp_path / "key.pem"
    path.write_text(public_pem)
    environ = {"EXPECTED_JWT_ISSUER": "i", "EXPECTED_JWT_AUDIENCE": "a"}

    settings = load({**environ, "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(path)})

    assert settings.jwt_public_key == public_pem
    assert settings.sources["jwt_public_key"] == "alias MAIN_SERVICE_JWT_PUBLIC_KEY_FILE"
    assert settings.jwt_public_key == load({**environ, "CARRYALL_JWT_PUBLIC_KEY_FILE": str(path)}).jwt_public_key


def test_a_key_file_must_hold_a_key(tmp_path: Path, public_pem: str) -> None:
    """A file that is missing, is none, or holds something else is told by the name that named it."""
    environ = {"EXPECTED_JWT_ISSUER": "i", "EXPECTED_JWT_AUDIENCE": "a"}
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")

    for path in (tmp_path / "none.pem", tmp_path):
        told = refusal({**environ, "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(path)}).problems
        assert len(told) == 1
        assert "it must be a PEM file that this server can read" in told[0]
    told = refusal({**environ, "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(wrong)}).problems
    assert told[0].startswith("The file that MAIN_SERVICE_JWT_PUBLIC_KEY_FILE names can't be used: it is no public key")
    both = {"MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(wrong), "CARRYALL_JWT_PUBLIC_KEY": public_pem}
    assert "are both set; set one of them" in refusal({**environ, **both}).problems[0]
