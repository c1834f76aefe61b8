"""What each setting takes, and what it refuses with which advice."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from carryall.config import SETTINGS, Settings, SettingsError, load_settings

MIB = 1024 * 1024


def load(**environ: str) -> Settings:
    """Load from this environment alone."""
    return load_settings(environ, None)


def problem(**environ: str) -> str:
    """Return the one problem of this environment."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, None)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


def test_settings_are_frozen() -> None:
    """Nobody changes a setting while the server runs, and nobody invents one."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="forbidden"):
        Settings(prot=1)  # type: ignore[call-arg]


def test_sizes_are_mebibytes_and_may_be_decimals() -> None:
    """FILE_SIZE_LIMIT_MB=0.5 is half of 1024 * 1024 bytes."""
    settings = load(FILE_SIZE_LIMIT_MB="0.5", CARRYALL_MAX_JSON_KB="2", CARRYALL_SERVICE_TOTAL_MB="3")

    assert settings.user_max_file_bytes == MIB // 2
    assert settings.max_json_bytes == 2048
    assert settings.service_total_bytes == 3 * MIB
    assert settings.service_max_file_bytes is None


def test_every_size_can_be_read_in_bytes() -> None:
    """Each …_mb and …_kb setting has its …_bytes."""
    settings = Settings()

    for name in type(settings).model_fields:
        stem, _, unit = name.rpartition("_")
        if unit in ("mb", "kb"):
            size, factor = getattr(settings, name), MIB if unit == "mb" else 1024
            assert getattr(settings, f"{stem}_bytes") == (None if size is None else round(size * factor))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e30", "ten", "1_0 MB"])
def test_a_size_must_be_a_positive_number(value: str) -> None:
    """Zero, less, too much, and what is no number are refused."""
    assert f"is {value!r}: it must be a number from 0.001 to 1099511627776." in problem(TOTAL_SIZE_LIMIT_MB=value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PORT", ["0", "65536", "-1", "8000.5", "http", "9" * 5000]),
        ("DEFAULT_SHORT_PATH_LENGTH", ["5", "65", "eight"]),
        ("CARRYALL_JWT_LEEWAY_S", ["61", "-1"]),
        ("REQUEST_TIMES_PER_MINTUE", ["0", "many"]),
        ("CARRYALL_MAX_CHUNKS", ["0", "1.5"]),
    ],
)
def test_numbers_have_bounds(name: str, values: list[str]) -> None:
    """Numbers outside of their bounds are refused, and the bounds are told."""
    for value in values:
        assert ": it must be a " in problem(**{name: value})


@pytest.mark.parametrize("name", [one.env for one in SETTINGS if one.wants.startswith("a number")])
def test_numbers_are_finite(name: str) -> None:
    """No setting is infinite, or not a number."""
    for value in ("inf", "-inf", "nan"):
        assert "it must be a number" in problem(**{name: value})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("Yes", True), ("False", False), ("off", False)]
)
def test_switches_are_read_in_every_usual_way(text: str, value: bool) -> None:  # noqa: FBT001  the value under test
    """RELOAD=False, as the described README writes it, is off."""
    assert load(RELOAD=text).reload is value


def test_a_switch_is_true_or_false() -> None:
    """Anything else is refused."""
    assert problem(CARRYALL_METRICS_PUBLIC="maybe").endswith("it must be true or false.")


@pytest.mark.parametrize("value", ["127.0.0.1", "192.0.2.1", "::1", "::", "localhost", "box-1.example.org"])
def test_host_takes_addresses_and_names(value: str) -> None:
    """An address or a host name, as it stands."""
    assert load(HOST=value).host == value


@pytest.mark.parametrize("value", ["http://localhost", "localhost:8000", "[::1]", "a b", "-x", "127.0.0.1/8"])
def test_host_refuses_more_than_a_host(value: str) -> None:
    """No scheme, port, bracket or path."""
    assert "without scheme and port" in problem(HOST=value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("http://localhost:8000/", "http://localhost:8000"),
        ("https://files.example.org/carry/", "https://files.example.org/carry"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_base_url_loses_its_last_slash(value: str, kept: str) -> None:
    """Links are made by adding a path, so the slash at the end goes."""
    assert load(BASE_URL=value).base_url == kept
    assert load(UPLOAD_SERVICE_BASE_URL=value).base_url == kept


@pytest.mark.parametrize(
    "value",
    [
        "localhost:8000",
        "files.example.org",
        "ftp://example.org",
        "http://",
        "http://a b/",
        "https://example.org:99999",
        "https://example.org:0",
        "https://[::1",
        'https://example.org/"><script>',
        "https://ex\u00e4mple.org",
        "javascript:alert(1)",
        "https://example.org/\r\nX: y",
    ],
)
def test_base_url_must_be_a_web_address(value: str) -> None:
    """What is no http(s) URL is refused: it would stand in every answer."""
    assert "it must be a URL that begins with http:// or https://" in problem(BASE_URL=value)


@pytest.mark.parametrize("value", ["https://e.org/?a=1", "https://e.org/#top", "https://u:p@e.org", "https://e.org/?"])
def test_base_url_has_no_query_fragment_or_password(value: str) -> None:
    """Paths are added to it, and everybody sees it."""
    assert "without query, fragment, user name and password" in problem(BASE_URL=value)


@pytest.mark.parametrize("value", ["http://0.0.0.0:8000", "http://[::]:8000", "https://0.0.0.0"])
def test_base_url_is_no_listening_address(value: str) -> None:
    """0.0.0.0 is never given out: a client can't call it (defect C4)."""
    assert "not an address that a client can call" in problem(BASE_URL=value)


def test_processes_are_counted() -> None:
    """Some processes serve; none, or more than a machine has use for, is a mistake."""
    assert [1, 16] == [load(CARRYALL_WORKERS=value).workers for value in ("1", "16")]
    for value in ("0", "65", "many"):
        assert "it must be a whole number from 1 to 64" in problem(CARRYALL_WORKERS=value)


def test_production_switches_the_docs_off() -> None:
    """ENV=production hides the interactive pages; CARRYALL_DOCS has the last word."""
    assert load().docs_enabled
    assert load(ENV="staging").docs_enabled
    assert not load(ENV="Production").docs_enabled
    assert load(ENV="production", CARRYALL_DOCS="true").docs_enabled
    assert not load(CARRYALL_DOCS="false").docs_enabled


def test_choices_ignore_case_and_refuse_others() -> None:
    """Words of a list are taken in any case; others are refused with the list."""
    settings = load(
        LOG_LEVEL="debug", CARRYALL_LOG_FORMAT="JSON", CARRYALL_SHORT_LINKS="Bearer", CARRYALL_DURABILITY="RELAXED"
    )

    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")
    assert (settings.short_links, settings.durability) == ("bearer", "relaxed")
    assert problem(LOG_LEVEL="loud").endswith("it must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL.")
    assert problem(CARRYALL_DURABILITY="none").endswith("it must be one of full, relaxed.")


def test_lists_are_comma_separated_or_json() -> None:
    """Blanks and empty parts don't count, a repeated part counts once."""
    assert load(ALLOWED_USERS=" ana, bo@example.org,,ana ,").allowed_users == ("ana", "bo@example.org")
    assert load(ALLOWED_USERS='["ana", "bo"]').allowed_users == ("ana", "bo")
    assert load(ALLOWED_USERS="").allowed_users == ()
    assert load(ALLOWED_USERS=",").allowed_users == ()


@pytest.mark.parametrize("value", ["[", '["a", 1]', "[a]", '["a"] x'])
def test_a_json_list_must_be_one_of_strings(value: str) -> None:
    """Half a list, or a list of something else, is refused."""
    assert "a JSON list of strings" in problem(ALLOWED_USERS=value)


@pytest.mark.parametrize("value", ["a/b", "..", "a\\b", "a b", "x" * 129])
def test_user_names_fit_a_path(value: str) -> None:
    """A user is addressed at /user/{name}; what can't stand there is refused."""
    assert "is no user name" in problem(ALLOWED_USERS=value)


def test_origins() -> None:
    """The default is every origin; others are given without a path."""
    assert load().allowed_origins == ("*",)
    assert load(ALLOWED_ORIGINS="https://App.example.org/, http://localhost:3000").allowed_origins == (
        "https://app.example.org",
        "http://localhost:3000",
    )
    for value in ("app.example.org", "https://app.example.org/path", "null", "https://*.example.org?x"):
        assert "is no origin" in problem(ALLOWED_ORIGINS=value)


def test_extensions() -> None:
    """Endings are lower-case and without a dot, from a list in either form (defect: the original wanted JSON)."""
    assert load().gallery_extensions == ("png", "jpg", "jpeg", "webp")
    assert load(ALLOWED_EXTENSIONS=".PNG, jpg,png").gallery_extensions == ("png", "jpg")
    assert load(ALLOWED_EXTENSIONS='["PNG","gif"]').gallery_extensions == ("png", "gif")
    assert "is no file name ending" in problem(ALLOWED_EXTENSIONS="png,../x")
    assert "at least one" in problem(ALLOWED_EXTENSIONS=",")


@pytest.mark.parametrize(
    ("value", "kept"), [("/uploads/", "/uploads"), ("/img/2x", "/img/2x"), ("/Upl0ads_~-.", "/Upl0ads_~-.")]
)
def test_the_gallery_path(value: str, kept: str) -> None:
    """UPLOAD_URL_PATH is honoured."""
    assert load(UPLOAD_URL_PATH=value).gallery_url_path == kept


@pytest.mark.parametrize(
    "value", ["uploads", "/", "//x", "/a//b", "/a/../b", "/..", "/a b", "/a?b", "/a%2fb", "/{name}"]
)
def test_the_gallery_path_is_plain(value: str) -> None:
    """It begins with a slash and needs no encoding."""
    assert "it must begin with /" in problem(UPLOAD_URL_PATH=value)


@pytest.mark.parametrize(
    "value", ["/v1", "/upload", "/s", "/d/x", "/api/upload", "/user", "/list", "/static", "/DOCS", "/health"]
)
def test_the_gallery_path_is_free(value: str) -> None:
    """It may not hide another route of the server."""
    assert "belongs to other routes" in problem(UPLOAD_URL_PATH=value)


@pytest.mark.parametrize("name", ["CARRYALL_TARGET", "STORAGE_BACKEND", "CARRYALL_RELAY_SERVICE"])
def test_only_stores_that_are_there(name: str) -> None:
    """Files are sent to stores that are set up, in any case; another one is refused, and what is there is named."""
    assert getattr(load(**{name: " Local "}), name.lower().removeprefix("carryall_")) == "local"
    assert problem(**{name: "any:local,photos"}) == (
        f"{name} is 'any:local,photos': no store photos is set up. There is local; set CARRYALL_STORE_PHOTOS_KIND to "
        "make one."
    )
    assert "Write store names with commas between them" in problem(**{name: "a,,b"})


@pytest.mark.parametrize("name", ["CARRYALL_WEBHOOK_URL", "CARRYALL_JWKS_URL"])
@pytest.mark.parametrize("value", ["main:8080", "file:///etc/passwd", "gopher://h", "http:///x"])
def test_addresses_that_are_called_are_web_addresses(name: str, value: str) -> None:
    """Other schemes are never called."""
    others = {"EXPECTED_JWT_ISSUER": "i", "EXPECTED_JWT_AUDIENCE": "a"}

    assert "begins with http:// or https://" in problem(**{name: value}, **others)


def test_trusted_proxies_are_networks() -> None:
    """Addresses and networks, of both families; nobody by default."""
    assert load().trusted_proxies == ()
    assert load(CARRYALL_TRUSTED_PROXIES="10.0.0.1/8, ::1,192.0.2.7").trusted_proxies == (
        ip_network("10.0.0.0/8"),
        ip_network("::1"),
        ip_network("192.0.2.7"),
    )
    assert "'*' is no IP address or network" in problem(CARRYALL_TRUSTED_PROXIES="*")
    assert "'proxy.internal' is no IP address" in problem(CARRYALL_TRUSTED_PROXIES="10.0.0.1,proxy.internal")


def test_trusted_hosts_are_hosts() -> None:
    """Names and addresses, without scheme and port."""
    assert load(CARRYALL_TRUSTED_HOSTS="Main.Internal,10.0.0.7,::1").trusted_hosts == (
        "main.internal",
        "10.0.0.7",
        "::1",
    )
    assert "neither a host name nor an IP address" in problem(CARRYALL_TRUSTED_HOSTS="http://main")
    assert "neither a host name nor an IP address" in problem(CARRYALL_TRUSTED_HOSTS="main:8080")


def test_paths_are_absolute_and_free_of_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path counts from the working folder, ~ is the home, links are followed once and for all."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert load().data_dir == tmp_path / "data"
    assert load(CARRYALL_DATA_DIR="link/data").data_dir == tmp_path / "real" / "data"
    assert load(CARRYALL_DATA_DIR="~/mine").data_dir == tmp_path / "mine"
    assert "a path that can be followed" in problem(CARRYALL_DATA_DIR="~nobody-has-this-name/data")
    assert "a path that can be followed" in problem(CARRYALL_DATA_DIR="a\x00b")


def test_rows_are_redacted(public_pem: str) -> None:
    """`carryall settings` shows where each value comes from and no secret; neither does repr."""
    settings = load(
        AUTH_TOKEN="test-token-12345",
        SECRET_KEY="0123456789abcdef",
        PORT="9000",
        CARRYALL_WEBHOOK_URL="https://ann:pa55@main.example.org/hook?key=abc123",
        MAIN_SERVICE_JWT_PUBLIC_KEY=public_pem,
        EXPECTED_JWT_ISSUER="i",
        EXPECTED_JWT_AUDIENCE="a",
    )
    rows = {row.name: row for row in settings.redacted()}

    assert rows["service_token"] == ("service_token", "CARRYALL_SERVICE_TOKEN", "••••••", "alias AUTH_TOKEN")
    assert rows["port"] == ("port", "CARRYALL_PORT", "9000", "alias PORT")
    assert rows["host"] == ("host", "CARRYALL_HOST", "127.0.0.1", "default")
    assert rows["admin_token"].value == "not set"
    assert rows["webhook_url"].value == "https://••••••@main.example.org/hook?••••••"
    assert rows["jwt_public_key"].value == "-----BEGIN PUBLIC KEY----- ••••••"
    assert list(rows) == [row.name for row in Settings().redacted()]
    assert set(rows) == set(Settings.model_fields)
    assert "test-token" not in repr(settings)
    assert "0123456789abcdef" not in repr(settings)
