"""The kinds of stores, and what each has to be told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from carryall.config.fields import (
    DEFAULT,
    PREFIX,
    Described,
    InBytes,
    Row,
    Topic,
    describe,
    setting,
    shown,
)
from carryall.config.values import (
    BaseUrl,
    BucketName,
    Email,
    FolderName,
    KeyPrefix,
    LowerCased,
    PathValue,
    Remote,
    TotpSecret,
)

BUILT_IN = "local"
FILE_ENDING = "_FILE"


class StoreOptions(Topic):
    """What a store of one kind has to be told. The fields are the options of the store itself."""

    kind: ClassVar[str]
    where: ClassVar[tuple[str, ...]]
    """The options that tell the place of one store's files from another's."""

    suspects: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The options to look at when the store fails with a code."""

    together: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of options: where the first is set, the second must be."""


class Bucket(StoreOptions):
    """A bucket at AWS, MinIO, R2, Garage, Ceph or any other server that speaks S3.

    Without keys they are found where every AWS tool finds them: environment, profiles, the machine's own role.
    """

    title: ClassVar[str] = "KIND=s3"
    kind: ClassVar[str] = "s3"
    where: ClassVar[tuple[str, ...]] = ("endpoint_url", "bucket", "prefix")
    suspects: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "store_credentials": ("access_key", "secret_key", "region"),
        "store_not_found": ("bucket", "endpoint_url", "region"),
        "store_unreachable": ("endpoint_url",),
        "store_timeout": ("endpoint_url",),
        "store_full": ("bucket",),
        "store_damaged": ("checksum",),
    }
    together: ClassVar[tuple[tuple[str, str], ...]] = (
        ("access_key", "secret_key"),
        ("secret_key", "access_key"),
        ("session_token", "access_key"),
    )

    bucket: BucketName = setting(
        "The bucket's name.", default=..., also=("S3_BUCKET_NAME",), wants="a bucket's name like my-files"
    )
    endpoint_url: BaseUrl | None = setting(
        "The server; unset, it is AWS.",
        default=None,
        also=("S3_ENDPOINT_URL",),
        wants="a URL like https://s3.example.org",
    )
    region: str | None = setting("The region of the bucket.", default=None, also=("S3_REGION_NAME",))
    access_key: str | None = setting("The access key.", default=None, also=("S3_ACCESS_KEY",), secret=True)
    secret_key: str | None = setting("The access key's secret.", default=None, also=("S3_SECRET_KEY",), secret=True)
    session_token: str | None = setting("What belongs to a temporary access key.", default=None, secret=True)
    profile: str | None = setting("The profile of the AWS configuration files to take keys from.", default=None)
    addressing: Annotated[Literal["auto", "path", "virtual"], LowerCased] = setting(
        "Whether the bucket stands in the path or in the host's name; auto is virtual for AWS and path for others.",
        default="auto",
    )
    prefix: KeyPrefix = setting(
        "The folder in the bucket that is Carryall's; unset, it is the whole bucket.",
        default="",
        wants="a path like carryall/files",
    )
    part_mb: float = setting("Larger files are sent in parts of this size.", default=8, unit="MiB", least=5, most=5120)
    parallel_parts: int = setting("How many parts are on their way at once.", default=4, least=1, most=64)
    links: Annotated[Literal["none", "signed", "public"], LowerCased] = setting(
        "The bucket's own links: signed ones end after some days, public ones need a bucket that everybody may read; "
        "with none, clients get links to this server.",
        default="none",
    )
    link_days: int = setting("How long signed links live.", default=7, unit="days", least=1, most=7)
    public_url: BaseUrl | None = setting(
        "Where links point to, with the bucket where it belongs; unset, to the endpoint.",
        default=None,
        wants="a URL like https://files.example.org",
    )
    checksum: Annotated[Literal["crc32", "none"], LowerCased] = setting(
        "The checksum that the provider checks; none is for those that refuse checksums they don't know.",
        default="crc32",
    )

    part_bytes = InBytes[int]("part_mb")


class MegaAccount(StoreOptions):
    """An account at MEGA. Files lie in one folder of it, under their own names."""

    title: ClassVar[str] = "KIND=mega"
    kind: ClassVar[str] = "mega"
    where: ClassVar[tuple[str, ...]] = ("email", "folder")
    suspects: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "store_credentials": ("email", "password", "totp_secret"),
        "store_not_found": ("folder",),
        "store_unreachable": ("api_url",),
        "store_timeout": ("api_url",),
        "store_full": ("email",),
    }

    email: Email = setting(
        "The e-mail address of the account.", default=..., also=("MEGA_EMAIL",), wants="an e-mail address"
    )
    password: str = setting("Its password.", default=..., also=("MEGA_PASSWORD",), secret=True)
    totp_secret: TotpSecret | None = setting(
        "The secret that MEGA shows when two-factor authentication is switched on.",
        default=None,
        also=("MEGA_2FA_SECRET",),
        secret=True,
        wants="text of the letters A to Z and the digits 2 to 7",
    )
    api_url: BaseUrl = setting(
        "Where MEGA is asked.",
        default="https://g.api.mega.co.nz",
        also=("MEGA_API_URL",),
        wants="a URL like https://g.api.mega.co.nz",
    )
    folder: FolderName = setting(
        "The folder of the account that files lie in; it is made when it isn't there.",
        default="Carryall",
        wants="the name of a folder, without slashes",
    )
    parallel_chunks: int = setting("How many pieces of one file are on their way at once.", default=4, least=1, most=32)


class RcloneRemote(StoreOptions):
    """Anything that rclone knows: Google Drive, Dropbox, OneDrive, WebDAV, SFTP and the rest.

    rclone has to be there: install `carryall[rclone]`, or rclone itself. `rclone config` makes a remote.
    """

    title: ClassVar[str] = "KIND=rclone"
    kind: ClassVar[str] = "rclone"
    where: ClassVar[tuple[str, ...]] = ("remote", "config")
    suspects: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "store_credentials": ("remote", "config"),
        "store_not_found": ("remote", "config", "binary"),
        "store_unreachable": ("remote",),
        "store_timeout": ("remote",),
        "store_full": ("remote",),
    }

    remote: Remote = setting(
        "The remote and the folder there that is Carryall's, as rclone writes them.",
        default=...,
        secret=True,
        wants="a remote like drive:carryall",
    )
    config: PathValue | None = setting("rclone's configuration file; unset, the one that rclone finds.", default=None)
    binary: PathValue | None = setting("The program; unset, it is found.", default=None)


class LocalFolder(StoreOptions):
    """A folder of this machine beside the built-in one: another disk. It is Carryall's alone."""

    title: ClassVar[str] = "KIND=local"
    kind: ClassVar[str] = "local"
    where: ClassVar[tuple[str, ...]] = ("root",)
    suspects: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
        ("store_failed", "disk_failed", "no_room"), ("root",)
    )

    root: PathValue = setting(
        "The folder; it is made when it isn't there, and nothing else may be in it.",
        default=...,
        wants="the path of a folder",
    )


KINDS: Mapping[str, type[StoreOptions]] = {one.kind: one for one in (Bucket, MegaAccount, RcloneRemote, LocalFolder)}
"""What a store can be."""


def described(store: str, kind: type[StoreOptions]) -> tuple[Described, ...]:
    """Return the options of a store by the names that set them. Described names are for the store "s3" or "mega"."""
    return tuple(
        replace(one, env=option_env(store, one.name), also=one.also if store == kind.kind else ())
        for one in describe(kind)
    )


def option_env(store: str, option: str) -> str:
    """Return the name that sets an option: CARRYALL_STORE_S3_BUCKET."""
    return f"{PREFIX}STORE_{store.upper()}_{option.upper()}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """One store of the settings.

    Attributes:
        options: of its kind.
        called: how a person finds the options that were set: "S3_BUCKET_NAME in .env", by option.
        sources: where they come from, as `carryall settings` prints it, by option.
    """

    name: str
    options: StoreOptions
    called: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """s3, mega, rclone or local."""
        return self.options.kind

    def look_at(self, code: str) -> tuple[str, ...]:
        """Name the settings to look at when the store fails with this code."""
        return tuple(
            self.called.get(option, option_env(self.name, option)) for option in self.options.suspects.get(code, ())
        )

    def redacted(self) -> list[Row]:
        """Return the options for people to look at, without secrets."""
        rows: list[tuple[str, Any]] = [("kind", self.kind)]
        rows += [(one.name, shown(one, getattr(self.options, one.name))) for one in describe(type(self.options))]
        return [
            Row(f"store_{self.name}_{name}", option_env(self.name, name), text, self.sources.get(name, DEFAULT))
            for name, text in rows
        ]


NAME = re.compile(re.escape(PREFIX) + r"STORE_([A-Z0-9]{1,24})_([A-Z0-9_]+)")
"""What sets an option of a store. A name has room in the kind of a job."""
