"""Stores that are named by settings: what makes one, what each option takes, and how mistakes are told."""

from pathlib import Path
from typing import Any

import pytest

from carryall.config import Bucket, LocalFolder, MegaAccount, RcloneRemote, Settings, SettingsError, load_settings
from carryall.config.fields import MASK

BUCKET = {"KIND": "s3", "BUCKET": "photos-of-all"}
MEGA = {"MEGA_EMAIL": "ann@example.org", "MEGA_PASSWORD": "pa55-word"}


def named(name: str, **options: str) -> dict[str, str]:
    """Give the environment that sets these options of a store."""
    return {f"CARRYALL_STORE_{name}_{option}": value for option, value in options.items()}


def load(environ: dict[str, str], **overrides: Any) -> Settings:
    """Load from this environment alone."""
    return load_settings(environ, None, **overrides)


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    """Return what is wrong with this environment."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert "pa55-word" not in str(caught.value)
    return caught.value.problems


def test_stores_of_every_kind(tmp_path: Path) -> None:
    """Each kind takes its options; the order is that of the names, and the built-in store comes first."""
    settings = load(
        named("DISK2", KIND="local", ROOT=str(tmp_path / "disk2"))
        | named("PHOTOS", **BUCKET, PART_MB="9", LINKS="Signed", PREFIX="/a/b/")
        | named("BOX", KIND="MEGA", EMAIL="ann@example.org", PASSWORD="x", FOLDER="Mods")
        | named("DRIVE", KIND="rclone", REMOTE="drive:carryall")
    )
    disk, photos, box, drive = (store.options for store in settings.stores.values())

    assert settings.store_names == ("local", "disk2", "photos", "box", "drive")
    assert disk == LocalFolder(root=tmp_path / "disk2")
    assert photos == Bucket(bucket="photos-of-all", part_mb=9, links="signed", prefix="a/b")
    assert isinstance(photos, Bucket)
    assert photos.part_bytes == 9 << 20
    assert box == MegaAccount(email="ann@example.org", password="x", folder="Mods")
    assert drive == RcloneRemote(remote="drive:carryall")


def test_a_store_called_like_its_kind_needs_no_kind() -> None:
    """The described names and the options meet in one store; a canonical name wins, and who loses is told."""
    settings = load(
        {"S3_BUCKET_NAME": "theirs", "S3_ACCESS_KEY": "AKIA99", "S3_SECRET_KEY": "hush"}
        | named("S3", BUCKET="ours", PREFIX="carryall")
    )

    bucket = settings.stores["s3"].options
    assert isinstance(bucket, Bucket)
    assert (bucket.bucket, bucket.prefix, bucket.access_key) == ("ours", "carryall", "AKIA99")
    assert settings.notices == ("S3_BUCKET_NAME is not used, because CARRYALL_STORE_S3_BUCKET says something else.",)


def test_described_names_are_for_a_store_of_their_kind() -> None:
    """A store that is called s3 and is of another kind has nothing to do with S3_BUCKET_NAME."""
    settings = load({"S3_BUCKET_NAME": "theirs"} | named("S3", KIND="rclone", REMOTE="drive:x"))

    assert settings.stores["s3"].kind == "rclone"
    assert settings.notices[0].startswith("Without effect: S3_BUCKET_NAME.")


def test_the_described_account_of_mega() -> None:
    """Both halves make the store; the second factor and the address of tests belong to it."""
    settings = load({**MEGA, "MEGA_2FA_SECRET": "abcd efgh-ijkl mnop", "MEGA_API_URL": "http://127.0.0.1:9/"})

    account = settings.stores["mega"].options
    assert isinstance(account, MegaAccount)
    assert (account.totp_secret, account.api_url) == ("ABCDEFGHIJKLMNOP", "http://127.0.0.1:9")


@pytest.mark.parametrize("name", ["CARRYALL_TARGET", "STORAGE_BACKEND", "CARRYALL_RELAY_SERVICE"])
def test_a_store_that_is_wanted_may_not_be_half(name: str) -> None:
    """What is a hint elsewhere is a mistake when files are sent there; a bucket without keys is none."""
    assert problems({"MEGA_EMAIL": "ann@example.org", name: "mega"}) == (
        "CARRYALL_STORE_MEGA_PASSWORD (or MEGA_PASSWORD) is not set, and store mega needs it: text.",
    )
    assert load({"S3_BUCKET_NAME": "ours", name: "s3"}).store_names == ("local", "s3")


@pytest.mark.parametrize(("given", "missing"), [("ACCESS", "SECRET"), ("SECRET", "ACCESS")])
def test_keys_go_together(given: str, missing: str) -> None:
    """One half of the keys is a mistake, also of a store whose bucket is missing, too."""
    halves = {f"S3_{given}_KEY": "pa55-word"}

    assert problems(halves | {"S3_BUCKET_NAME": "ours"}) == (
        f"CARRYALL_STORE_S3_{missing}_KEY (or S3_{missing}_KEY) is not set, but S3_{given}_KEY is; they go together.",
    )
    assert len(problems(halves)) == 2


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (named("X", BUCKET="abc"), "CARRYALL_STORE_X_KIND is not set; it must be one of s3, mega, rclone, local."),
        (named("X", KIND="ftp"), "CARRYALL_STORE_X_KIND is 'ftp': it must be one of s3, mega, rclone, local."),
        (named("MY_S3", KIND="s3"), "CARRYALL_STORE_MY_KIND is not set"),
        (named("X", KIND="s3"), "CARRYALL_STORE_X_BUCKET is not set, and store x needs it: a bucket's name"),
        (named("X", **BUCKET, BUKET="b"), "The nearest one is CARRYALL_STORE_X_BUCKET."),
        (named("X", **BUCKET, PASSWORD=""), "CARRYALL_STORE_X_PASSWORD is no setting of a store of kind s3."),
        (named("X", KIND="s3", BUCKET="a/b"), "CARRYALL_STORE_X_BUCKET is 'a/b': it must be a bucket's name"),
        (named("X", **BUCKET, ENDPOINT_URL="url"), "it must be a URL that begins with http:// or https://"),
        (named("X", **BUCKET, PART_MB="4"), "CARRYALL_STORE_X_PART_MB is '4': it must be a number from 5 to 5120."),
        (named("X", **BUCKET, LINK_DAYS="8"), "it must be a whole number from 1 to 7."),
        (named("X", **BUCKET, LINKS="yes"), "it must be one of none, signed, public."),
        (named("X", **BUCKET, PREFIX="a/../b"), "it must be a path like carryall/files."),
        (named("X", KIND="mega", EMAIL="ann", PASSWORD="p"), "it must be an e-mail address."),
        (MEGA | {"MEGA_2FA_SECRET": "123456"}, "MEGA_2FA_SECRET can't be used: it must be the secret itself"),
        (MEGA | named("MEGA", FOLDER="a/b"), "it must be the name of one folder, without slashes."),
        (named("X", KIND="rclone", REMOTE="/etc"), "CARRYALL_STORE_X_REMOTE can't be used: it must be a remote"),
        (named("X", KIND="rclone", REMOTE="--x:"), "it must be a remote"),
        (named("X", KIND="local"), "CARRYALL_STORE_X_ROOT is not set"),
        (named("LOCAL", ROOT="/srv/x"), "the store local is the built-in folder in CARRYALL_DATA_DIR."),
        ({"CARRYALL_STORE_X": "s3"}, "Settings of stores look like CARRYALL_STORE_PHOTOS_KIND"),
        ({"carryall_store_x_kind": "s3"}, "Settings of stores look like CARRYALL_STORE_PHOTOS_KIND"),
    ],
)
def test_mistakes_are_told(environ: dict[str, str], told: str) -> None:
    """One sentence that names the setting and says what would be right."""
    (problem,) = problems(environ)

    assert told in problem


def test_all_mistakes_are_told_at_once() -> None:
    """Those of every store and those of the other settings are in one error."""
    told = problems(named("X", KIND="s3") | named("Y", KIND="mega") | {"PORT": "http"})

    assert [problem.split()[0] for problem in told] == [
        "CARRYALL_STORE_X_BUCKET", "CARRYALL_STORE_Y_EMAIL", "CARRYALL_STORE_Y_PASSWORD", "PORT",
    ]  # fmt: skip


def test_a_file_is_read_like_the_environment(tmp_path: Path) -> None:
    """Stores can be named in .env, or in both; names there are told with the file."""
    path = tmp_path / ".env"
    path.write_text(
        "CARRYALL_STORE_PHOTOS_KIND=s3\nCARRYALL_STORE_PHOTOS_BUCKET=in-file\nCARRYALL_TARGET=local,photos\n"
    )

    settings = load_settings(named("PHOTOS", REGION="eu"), path)

    assert settings.target == "local,photos"
    assert settings.stores["photos"].sources == {"bucket": ".env", "region": "env"}
    path.write_text("CARRYALL_STORE_PHOTOS_BUKET=x\n")
    with pytest.raises(SettingsError, match=r"CARRYALL_STORE_PHOTOS_BUKET in \.env is no setting"):
        load_settings(named("PHOTOS", **BUCKET), path)


@pytest.mark.parametrize("name", ["CARRYALL_STORE_MEGA_PASSWORD_FILE", "MEGA_PASSWORD_FILE"])
def test_a_secret_can_stand_in_a_file(name: str, tmp_path: Path) -> None:
    """Its text is the secret, and the store is as if it had been set; both at once are a mistake."""
    path = tmp_path / "secret"
    path.write_text("pa55-word\n")

    account = load({"MEGA_EMAIL": "ann@example.org", name: str(path)}).stores["mega"].options

    assert isinstance(account, MegaAccount)
    assert account.password == "pa55-word"
    assert problems(MEGA | {name: str(path)}) == (f"MEGA_PASSWORD and {name} are both set; set one of them.",)


def test_a_secret_file_must_be_there(tmp_path: Path) -> None:
    """A file that can't be read is told by the name that names it, and by nothing else."""
    (told,) = problems({"MEGA_EMAIL": "ann@example.org", "MEGA_PASSWORD_FILE": str(tmp_path / "none")})

    assert told.startswith("MEGA_PASSWORD_FILE is ")
    assert told.endswith("it must be a file with the secret and nothing else that this server can read.")


def test_secrets_are_not_shown() -> None:
    """Neither `carryall settings` nor repr shows keys, passwords and remotes that may carry them."""
    settings = load(
        MEGA
        | {"MEGA_2FA_SECRET": "ABCDEFGHIJKLMNOP"}
        | named("X", **BUCKET, ACCESS_KEY="AKIA99", SECRET_KEY="hush-hush", SESSION_TOKEN="tok-tok")
        | named("Y", KIND="rclone", REMOTE=":sftp,host=h,pass=deadbeef:")
    )
    rows = {row.env: row for row in settings.redacted()}
    shown = repr(settings.redacted()) + repr(settings) + repr(settings.stores)

    for secret in ("pa55-word", "ABCDEFGH", "AKIA99", "hush-hush", "tok-tok", "deadbeef"):
        assert secret not in shown
    assert (rows["CARRYALL_STORE_X_SECRET_KEY"].value, rows["CARRYALL_STORE_X_KIND"].value) == (MASK, "s3")
    assert rows["CARRYALL_STORE_MEGA_EMAIL"][2:] == ("ann@example.org", "alias MEGA_EMAIL")
    assert rows["CARRYALL_STORE_X_PART_MB"][2:] == ("8", "default")


def test_what_to_look_at() -> None:
    """A failure's code leads to the settings, by the names that the person used."""
    stores = load(MEGA | named("X", **BUCKET)).stores

    assert stores["mega"].look_at("store_credentials") == (
        "MEGA_EMAIL", "MEGA_PASSWORD", "CARRYALL_STORE_MEGA_TOTP_SECRET",
    )  # fmt: skip
    assert stores["x"].look_at("store_unreachable") == ("CARRYALL_STORE_X_ENDPOINT_URL",)
    assert stores["x"].look_at("store_busy") == ()


def test_two_names_of_one_place_are_refused() -> None:
    """Two stores never keep their files at one place: each would erase the other's. Another prefix is another place."""
    with pytest.raises(SettingsError, match=r"The stores x and y keep their files at one place.*STORE_Y_PREFIX"):
        load(named("X", **BUCKET) | named("Y", **BUCKET))

    assert ["x", "y"] == list(load(named("X", **BUCKET) | named("Y", **BUCKET, PREFIX="other/")).stores)
