"""Settings on what is taken, kept and carried on: safety, durability, delivery."""

from typing import Annotated, ClassVar, Literal

from carryall.config.fields import KIB, InBytes, Topic, in_mib, setting
from carryall.config.values import LowerCased, Networks, Origins, TargetText


class Safety(Topic):
    """Bounds that keep a slow, huge or hostile request from hurting the others, and whom the server believes."""

    title: ClassVar[str] = "Safety"

    allowed_origins: Origins = setting(
        "The web origins that browsers may call from.", default=("*",), also=("ALLOWED_ORIGINS",)
    )
    trusted_proxies: Networks = setting(
        "The reverse proxies whose X-Forwarded headers are believed, as addresses or networks; unset, nobody's.",
        default=(),
    )
    interim_104: Annotated[Literal["auto", "on", "off"], LowerCased] = setting(
        "When an upload's address is announced while its first body comes (104): auto is never through a proxy.",
        default="auto",
    )
    metrics_public: bool = setting("Serve /metrics without a token.", default=False)
    header_s: float = setting(
        "A request whose header doesn't end within this long is given up.",
        default=30,
        unit="seconds",
        least=1,
        most=3600,
    )
    body_idle_s: float = setting(
        "A body from which nothing comes for this long is given up.", default=60, unit="seconds", least=1, most=3600
    )
    body_min_bytes_per_s: int = setting(
        "A body that is slower than this over 60 s is given up; 0 takes any.",
        default=1024,
        unit="bytes per second",
        least=0,
    )
    max_json_kb: float = setting("The largest JSON body.", default=1024, unit="KiB", least=1, most=65536)
    form_max_fields: int = setting("The most fields of a form that are not files.", default=100, least=1, most=10_000)
    form_max_files: int = setting("The most files in a form.", default=800, least=1, most=10_000)
    drain_mb: float = setting(
        "How much of a refused body is read and thrown away, so that the client sees the answer.",
        default=4,
        unit="MiB",
        least=0,
        most=1024,
    )

    max_json_bytes = InBytes[int]("max_json_kb", unit_bytes=KIB)
    drain_bytes = InBytes[int]("drain_mb")


class Durability(Topic):
    """What survives a crash or a power failure, how often that is made sure, and when leftovers are swept."""

    title: ClassVar[str] = "Durability"

    durability: Annotated[Literal["full", "relaxed"], LowerCased] = setting(
        "With full, what was acknowledged survives a power failure; with relaxed, which is faster, only a crash.",
        default="full",
    )
    checkpoint_mb: float = in_mib("A running upload is made durable each time this much is new.", default=64)
    checkpoint_s: float = setting(
        "A running upload is made durable after this long, when enough is new.",
        default=5,
        unit="seconds",
        least=0.1,
        most=3600,
    )
    complete_wait_s: float = setting(
        "How long a request of the native API waits for its file to be finished before it answers 202.",
        default=25,
        also=("CARRYALL_COMPLETE_WAIT",),
        unit="seconds",
        least=0,
        most=3600,
    )
    sweep_after_s: float = setting(
        "Staged bytes that belong to nothing are erased when they are this old.",
        default=3600,
        unit="seconds",
        least=60,
        most=31_536_000,
    )

    checkpoint_bytes = InBytes[int]("checkpoint_mb")


class Delivery(Topic):
    """Where files go, how long their local copies stay, and how they are watched over.

    Stores are named by settings of their own: docs/stores/index.md.
    """

    title: ClassVar[str] = "Delivery"

    target: TargetText = setting(
        "The stores that files go to unless a request or a plan says otherwise; any: or a number before them says how "
        "many have to have a file before it counts as delivered.",
        default="local",
        wants="store names like local,s3 or any:s3,mega",
    )
    storage_backend: TargetText = setting(
        "The store that finished files of the chunk sessions go to.",
        default="local",
        also=("STORAGE_BACKEND",),
        wants="a store's name",
    )
    relay_service: TargetText | None = setting(
        "The store that relay's uploads go to when they name none; unset, mega where there is one, else the target.",
        default=None,
        wants="a store's name",
    )
    relay_wait_s: float = setting(
        "How long relay and the chunk sessions wait for the store that they promise before they answer 202.",
        default=120,
        also=("CARRYALL_RELAY_WAIT",),
        unit="seconds",
        least=0,
        most=3600,
    )
    relay_repeat_s: float = setting(
        "The same file sent to relay again within this long is the same file, and not a second one; 0: never.",
        default=600,
        also=("CARRYALL_RELAY_REPEAT",),
        unit="seconds",
        least=0,
        most=86400,
    )
    keep_local: Annotated[Literal["until_delivered", "always", "cache"], LowerCased] = setting(
        "What becomes of the local copy of a file whose target has no local store: it goes when the target has the "
        "file, stays, or stays while the cache has room.",
        default="until_delivered",
    )
    cache_mb: float = in_mib("The room for local copies with CARRYALL_KEEP_LOCAL=cache.", default=10240)
    deliveries_at_once: int = setting("How many files are delivered to one store at once.", default=4, least=1, most=64)
    scrub_days: float = setting(
        "Each stored copy is looked at once in this many days; 0 never looks.",
        default=30,
        unit="days",
        least=0,
        most=3650,
    )
    scrub_mb_per_s: float = setting(
        "How fast local copies are read to compare them with their digests.",
        default=20,
        unit="MiB per second",
        least=0.1,
        most=100_000,
    )

    cache_bytes = InBytes[int]("cache_mb")
    scrub_bytes_per_s = InBytes[int]("scrub_mb_per_s")
