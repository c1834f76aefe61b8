"""Every setting, once, sorted by the need that brings a person here."""

from typing import Annotated, ClassVar, Literal

from carryall.config.fields import MOST_MIB, InBytes, Topic, in_mib, setting
from carryall.config.keeping import Delivery, Durability, Safety
from carryall.config.values import (
    BaseUrl,
    DatabaseUrl,
    EventTypes,
    Extensions,
    HostNames,
    ListenHost,
    LowerCased,
    OutboundUrl,
    PathValue,
    RsaPublicKey,
    SigningKey,
    Token,
    TokenAlgorithm,
    UpperCased,
    UrlPath,
    UserNames,
)


class Server(Topic):
    """Where the server listens, where it keeps its things, and what it tells about itself."""

    title: ClassVar[str] = "Server"

    data_dir: PathValue = setting(
        "The one folder for everything that is kept: catalog, staged bytes, files, secrets. It is never served.",
        default="./data",
    )
    database_url: DatabaseUrl | None = setting(
        "A PostgreSQL database to keep the catalog in; unset, it is a file in the data folder.",
        default=None,
        secret=True,
        wants="a URL like postgresql://user:password@host/database",
    )
    host: ListenHost = setting(
        "The address to listen on; 0.0.0.0 listens on all of them.",
        default="127.0.0.1",
        also=("HOST",),
        wants="an IP address or a host name",
    )
    port: int = setting("The TCP port to listen on.", default=8000, also=("PORT", "SERVICE_PORT"), least=1, most=65535)
    base_url: BaseUrl | None = setting(
        "The address that clients use, for the links in answers; unset, it is taken from each request.",
        default=None,
        also=("BASE_URL", "UPLOAD_SERVICE_BASE_URL"),
        wants="a URL like https://files.example.org",
    )
    workers: int = setting(
        "How many server processes run. With 2 or more, any of them takes any request, also for the same upload; "
        "started by hand (gunicorn, a second `carryall serve` on the same data folder), all need the same number here.",
        default=1,
        also=("WEB_CONCURRENCY",),
        least=1,
        most=64,
    )
    reload: bool = setting("Start again when the code changes; for development.", default=False, also=("RELOAD",))
    environment: Annotated[str, LowerCased] = setting(
        'Where this server runs; "production" switches the interactive API pages off.', default="local", also=("ENV",)
    )
    docs: bool | None = setting(
        "Serve /docs, /redoc and /openapi.json; unset, they are served except in production.", default=None
    )
    web_dir: PathValue | None = setting(
        "A folder of your own static files to serve at /static; it may not touch the data folder.", default=None
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], UpperCased] = setting(
        "The least severe log lines that are written.", default="INFO", also=("LOG_LEVEL",)
    )
    log_format: Annotated[Literal["auto", "json", "console"], LowerCased] = setting(
        "How log lines look; auto is console on a terminal and json elsewhere.", default="auto"
    )
    access_log: bool = setting("Write one log line per request.", default=True)
    job_concurrency: int = setting("How many background jobs run at once.", default=4, least=1, most=256)
    shutdown_grace_s: float = setting(
        "How long running requests and jobs may go on after the server was asked to stop.",
        default=30,
        unit="seconds",
        least=0,
        most=3600,
    )


class SignIn(Topic):
    """Who may come in.

    Tokens and keys that are not set are generated at the first start, kept under the data folder in `secrets/`
    (readable by the server alone) and printed once.
    """

    title: ClassVar[str] = "Sign-in"

    service_token: Token | None = setting(
        "The token of services and game mods, sent as X-Auth-Token or X-API-Key; generated when unset.",
        default=None,
        also=("AUTH_TOKEN",),
        secret=True,
        wants="at least 8 visible ASCII characters",
    )
    admin_token: Token | None = setting(
        "The administrator's token, sent as Authorization: Bearer; generated when unset.",
        default=None,
        secret=True,
        wants="at least 8 visible ASCII characters",
    )
    secret_key: SigningKey | None = setting(
        "The key that signs links; a new one ends the links made before; generated when unset.",
        default=None,
        also=("SECRET_KEY",),
        secret=True,
        wants="at least 16 characters",
    )
    allowed_users: UserNames = setting(
        "The users who may have a token and files of their own.", default=(), also=("ALLOWED_USERS",)
    )
    short_links: Annotated[Literal["open", "bearer"], LowerCased] = setting(
        "Who may read a short link /s/{id}: open is whoever knows it, bearer needs its owner's token.", default="open"
    )
    short_id_length: int = setting(
        "The length of the id in a short link; each character adds 5.7 bits.",
        default=8,
        also=("DEFAULT_SHORT_PATH_LENGTH",),
        unit="characters",
        least=6,
        most=64,
    )


class Limits(Topic):
    """How much each kind of client may send.

    A limit belongs to who sends, on every door they use. The gallery's visitors have limits of their own, below.
    """

    title: ClassVar[str] = "Limits"

    user_max_file_mb: float = in_mib("The largest file of a user.", default=10, also=("FILE_SIZE_LIMIT_MB",))
    user_total_mb: float = in_mib("The room for all files of a user.", default=500, also=("TOTAL_SIZE_LIMIT_MB",))
    user_requests_per_minute: int = setting(
        "How many requests a user may make in a minute.",
        default=100,
        also=("REQUEST_TIMES_PER_MINTUE", "REQUEST_TIMES_PER_MINUTE"),
        unit="per minute",
        least=1,
    )
    user_retention_days: int = setting(
        "A user's file goes this long after its last download.", default=90, unit="days", least=1, most=36500
    )
    service_max_file_mb: float | None = in_mib("The largest file of the service token; unset, any size.", default=None)
    service_total_mb: float | None = in_mib(
        "The room for all files of the service token; unset, all there is.", default=None
    )
    jwt_max_file_mb: float | None = in_mib("The largest file of another service's user; unset, any size.", default=None)
    jwt_total_mb: float | None = in_mib(
        "The room for all files of another service's user; unset, all there is.", default=None
    )
    max_chunk_mb: float = in_mib("The largest chunk of a chunk session.", default=1024)
    max_chunks: int = setting("The most chunks of a chunk session.", default=10_000, least=1, most=1_000_000)
    max_append_mb: float | None = setting(
        "The most that one request may add to a resumable upload; 0 takes any. Unset, any is taken too, but clients "
        "are told to send pieces of 90 where the server is behind a proxy: many let 100 MB through.",
        default=None,
        unit="MiB",
        least=0,
        most=MOST_MIB,
    )
    max_open_uploads: int = setting("How many unfinished uploads one client may have.", default=1000, least=1)
    upload_expiry_hours: float = setting(
        "An unfinished upload goes when nothing came for this long.", default=120, unit="hours", least=0.01, most=87600
    )
    idempotency_hours: float = setting(
        "A request that comes again with its Idempotency-Key gets its first answer for this long.",
        default=24,
        unit="hours",
        least=0.01,
        most=8760,
    )

    user_max_file_bytes = InBytes[int]("user_max_file_mb")
    user_total_bytes = InBytes[int]("user_total_mb")
    service_max_file_bytes = InBytes[int | None]("service_max_file_mb")
    service_total_bytes = InBytes[int | None]("service_total_mb")
    jwt_max_file_bytes = InBytes[int | None]("jwt_max_file_mb")
    jwt_total_bytes = InBytes[int | None]("jwt_total_mb")
    max_chunk_bytes = InBytes[int]("max_chunk_mb")
    max_append_bytes = InBytes[int | None]("max_append_mb")


class Gallery(Topic):
    """The open gallery: images from browsers, served at preview addresses that cannot be guessed."""

    title: ClassVar[str] = "Gallery"

    gallery_anonymous: bool = setting("Take images from visitors without a token.", default=True)
    gallery_public_list: bool = setting("Show the list of images to visitors without a token.", default=False)
    gallery_extensions: Extensions = setting(
        "The file name endings that are taken, as a comma-separated or a JSON list; the content must agree.",
        default=("png", "jpg", "jpeg", "webp"),
        also=("ALLOWED_EXTENSIONS",),
    )
    gallery_url_path: UrlPath = setting(
        "The path under which images are served.",
        default="/uploads",
        also=("UPLOAD_URL_PATH",),
        wants="a path like /uploads",
    )
    gallery_max_file_mb: float = in_mib("The largest image of a visitor.", default=20)
    gallery_total_mb: float = in_mib("The room for the images of all visitors together.", default=2000)
    gallery_max_files: int = setting("The most images in one request.", default=100, least=1, most=10_000)
    gallery_requests_per_minute: int = setting(
        "How many requests a visitor's address may make in a minute.", default=60, unit="per minute", least=1
    )
    gallery_max_open_uploads: int = setting(
        "How many uploads may be under way from a visitor's address, in each server process.", default=20, least=1
    )

    gallery_max_file_bytes = InBytes[int]("gallery_max_file_mb")
    gallery_total_bytes = InBytes[int]("gallery_total_mb")


class OtherTokens(Topic):
    """Tokens that another service issues (JWT, RS256) and that this server only verifies.

    Without a key and without a JWKS address they are all refused.
    """

    title: ClassVar[str] = "Tokens from another service"

    jwt_public_key: RsaPublicKey | None = setting(
        "The other service's RSA public key in PEM form; a literal \\n counts as a line end.",
        default=None,
        also=("MAIN_SERVICE_JWT_PUBLIC_KEY",),
        wants="an RSA public key of at least 2048 bits, in PEM form",
    )
    jwt_public_key_file: PathValue | None = setting(
        "A file that holds that key, instead of the key itself.",
        default=None,
        also=("MAIN_SERVICE_JWT_PUBLIC_KEY_FILE",),
    )
    jwks_url: OutboundUrl | None = setting(
        "Where the other service publishes its keys (JWKS), chosen by the token's kid.",
        default=None,
        wants="a URL that begins with http:// or https://",
    )
    jwt_algorithm: TokenAlgorithm = setting(
        "The one signature algorithm that is accepted.", default="RS256", also=("JWT_ALGORITHM",), wants="RS256"
    )
    jwt_issuer: str | None = setting(
        "The iss that a token must have; required with a key.", default=None, also=("EXPECTED_JWT_ISSUER",)
    )
    jwt_audience: str | None = setting(
        "The aud that a token must have; required with a key.", default=None, also=("EXPECTED_JWT_AUDIENCE",)
    )
    jwt_leeway_s: float = setting(
        "How far the two services' clocks may differ.", default=30, unit="seconds", least=0, most=60
    )
    jwt_require_file_id: bool = setting("Refuse tokens that are not for one file (claim file_id).", default=False)


class Notifications(Topic):
    """What the server tells other services, and which private addresses it may call."""

    title: ClassVar[str] = "Notifications"

    webhook_url: OutboundUrl | None = setting(
        "Where the main service hears that a file is stored; unset, nothing is sent.",
        default=None,
        also=("MAIN_SERVICE_WEBHOOK_URL",),
        wants="a URL that begins with http:// or https://",
    )
    webhook_secret: SigningKey | None = setting(
        "The key that signs notifications (HMAC-SHA256); generated when unset and needed.",
        default=None,
        secret=True,
        wants="at least 16 characters",
    )
    webhook_events: EventTypes = setting(
        "The events that are sent; file.deleted, file.damaged and copy.damaged can be, too.",
        default=("file.stored", "copy.stored", "copy.failed"),
    )
    trusted_hosts: HostNames = setting(
        "Hosts that may be called although their address is private, beside those in these settings.", default=()
    )


TOPICS: tuple[type[Topic], ...] = (
    Server,
    SignIn,
    Limits,
    Gallery,
    OtherTokens,
    Notifications,
    Safety,
    Durability,
    Delivery,
)
