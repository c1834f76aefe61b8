"""What the HTTP face works with: the verbs, and how it treats requests. Built once by `wiring`."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Protocol

from carryall.http.body import Pace
from carryall.http.forms import FormLimits
from carryall.operations.accounts import Accounts
from carryall.operations.admit import Admission
from carryall.operations.authenticate import Authenticate
from carryall.operations.by_flag import ByFlag
from carryall.operations.deliver import Deliver
from carryall.operations.deliveries import Deliveries
from carryall.operations.errands import Errands
from carryall.operations.events import Feed
from carryall.operations.files import Files
from carryall.operations.health import Health
from carryall.operations.ingest import Door
from carryall.operations.placing import Targets
from carryall.operations.resumable import Resumable
from carryall.operations.serve import Serve
from carryall.ports.clock import Clock
from carryall.ports.ids import Ids
from carryall.ports.secrets import Secrets


class Meter(Protocol):
    """What the face measures (fulfilled by the metrics subscriber)."""

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        ...

    def moved(self, received: int, sent: int) -> None:
        """Count bytes of bodies."""
        ...

    def page(self, queue: Mapping[tuple[str, str], int]) -> bytes:
        """Give the metrics page."""
        ...


@dataclass(frozen=True, slots=True)
class HttpRules:
    """How requests are treated. Sizes in bytes.

    Attributes:
        base_url: the public address without a trailing slash; None: taken from the request.
        trusted_proxies: whose forwarding headers are believed.
        origins: CORS origins; ("*",) for all.
        drain_bytes: how much of a refused body is read and thrown away, so that the client sees the answer.
        are_short_links_open: False: /s/ asks for the owner's token.
        default_service: where relay's uploads go when they name nothing.
        chunk_target: where chunk sessions' files go.
        relay_wait_s: how long relay and the chunk sessions wait for the store that they promise.
        relay_repeat_s: within this a repeated upload of the same file to relay is the same file.
        gallery_extensions: what the gallery takes, lower-case.
        gallery_path: where the gallery serves its files.
        is_gallery_list_public: True: GET /api/uploads needs no token.
        gallery_max_files: files in one request at most.
        anonymous_open_uploads: uploads under way for one client address.
        complete_wait_s: after this /v1 answers 202 and completes behind.
        web_dir: the operator's own static files, served at /static.
        interim_104: when uploads are announced by a 104; auto is never through a proxy.
        append_limit_bytes: the most that one append may bring; 0: any number; None: any, with advice behind proxies.
        tus_max_bytes: what OPTIONS tells of the largest upload; None where plans differ or set none.
    """

    base_url: str | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    origins: tuple[str, ...]
    pace: Pace
    form: FormLimits
    drain_bytes: int
    max_json_bytes: int
    are_docs_on: bool
    are_short_links_open: bool
    default_service: str
    chunk_target: str
    relay_wait_s: float
    relay_repeat_s: float
    max_chunk_bytes: int
    max_chunks: int
    gallery_extensions: frozenset[str]
    gallery_path: str
    is_gallery_list_public: bool
    gallery_max_files: int
    anonymous_open_uploads: int
    is_metrics_public: bool
    version: str
    complete_wait_s: float
    web_dir: Path | None
    append_limit_bytes: int | None
    tus_max_bytes: int | None
    interim_104: Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a route may use."""

    door: Door
    targets: Targets
    deliver: Deliver
    deliveries: Deliveries
    feed: Feed
    serve: Serve
    files: Files
    accounts: Accounts
    authenticate: Authenticate
    admission: Admission
    health: Health
    resumable: Resumable
    by_flag: ByFlag
    errands: Errands
    secrets: Secrets
    clock: Clock
    ids: Ids
    meter: Meter
    rules: HttpRules
