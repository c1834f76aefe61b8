"""Settings -> a running server. The only file that names concrete classes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from carryall.auth.jwks import JwksKeys, StaticKey
from carryall.auth.jwt import JwtVerifier
from carryall.auth.vault import Vault
from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.sqlite import SqliteCatalog
from carryall.checks.sniff import sniff
from carryall.config import Settings

from carryall.http.app import build_app
from carryall.http.body import Pace
from carryall.http.context import Context, HttpRules
from carryall.http.forms import FormLimits
from carryall.http.urls import path_of
from carryall.leases.process import ProcessLeases
from carryall.model.principal import Plan
from carryall.model.work import Event
from carryall.operations.accounts import Accounts
from carryall.operations.admit import Admission
from carryall.operations.announce import Announce
from carryall.operations.authenticate import Authenticate, BuiltInPlans, KnownSecrets
from carryall.operations.completion import Completion
from carryall.operations.doctor import Doctor
from carryall.operations.erase import Erase
from carryall.operations.expire import Expire
from carryall.operations.files import Files
from carryall.operations.health import Health
from carryall.operations.ingest import Door, DoorRules
from carryall.operations.inspect import Inspection
from carryall.operations.jobs import Bell
from carryall.operations.queue import Queue
from carryall.operations.serve import Serve
from carryall.operations.streams import Checkpoints
from carryall.rates.memory import MemoryRates
from carryall.staging.disk import DiskStaging
from carryall.stores.local import LocalStore
from carryall.subscribers.metrics import PrometheusTelemetry
from carryall.subscribers.outbound import GuardedHttp, address_of
from carryall.subscribers.webhook import Webhook
from carryall.system.clock import SystemClock
from carryall.system.folder_lock import FolderLock
from carryall.system.ids import RandomIds
from carryall.system.logs import set_up_logs
from carryall.work.runner import Runner

log = structlog.get_logger(__name__)

_LEAST_FREE_BYTES = 64 << 20  # /ready says no below this


@dataclass(frozen=True, slots=True)
class Plugs:
    """What touches the world."""

    catalog: SqliteCatalog
    staging: DiskStaging
    stores: Mapping[str, LocalStore]
    leases: ProcessLeases
    telemetry: PrometheusTelemetry
    outbound: GuardedHttp
    vault: Vault
    clock: SystemClock
    ids: RandomIds
    rates: MemoryRates
    bell: Bell


@dataclass(frozen=True, slots=True)
class House:
    """A server that is wired and not yet started; the command line uses its verbs, too."""

    settings: Settings
    plugs: Plugs
    context: Context
    announce: Announce
    expire: Expire
    doctor: Doctor
    queue: Queue
    runner: Runner

    @asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        """Make the verbs work: the folders, the catalog and its tables are there inside the block."""
        plugs = self.plugs
        for room in (plugs.staging, *plugs.stores.values()):
            room.prepare()
        migrate_sqlite(catalog_path(self.settings))
        plugs.catalog.start()
        try:
            yield self
        finally:
            await plugs.outbound.close()
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.plugs.catalog.close()
        self.plugs.staging.close()
        for store in self.plugs.stores.values():
            store.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Be the one process that serves this data folder: tidy up after the last one, run jobs, drain at the end."""
        lock = FolderLock(self.settings.data_dir)
        lock.take()
        try:
            async with self.open():
                aborted = await self.expire.abort_one_shots()
                log.info("server.started", aborted_uploads=aborted)
                async with self.working():
                    yield
                log.info("server.stopped")
        finally:
            lock.release()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run jobs inside the block."""
        task = asyncio.create_task(self.runner.run())
        try:
            yield
        finally:
            await self.runner.drain(timedelta(seconds=self.settings.shutdown_grace_s))
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def start_logs(settings: Settings) -> None:
    """Set up logging as the settings say. Called once per process, before anything is logged."""
    set_up_logs(
        level=settings.log_level, as_json=None if settings.log_format == "auto" else settings.log_format == "json"
    )


def catalog_path(settings: Settings) -> Path:
    """Give the catalog's file."""
    return settings.data_dir / "catalog.db"


def build(settings: Settings) -> House:
    """Wire everything. The settings must have their secrets (`ensure_secrets`)."""
    plugs = _plugs(settings)
    plans = _plans(settings)
    announce = _announce(settings, plugs)
    serve = Serve(plugs.catalog, plugs.stores, plugs.vault, plugs.telemetry, plugs.clock)
    files = Files(plugs.catalog, serve, plugs.vault, announce, plugs.clock, plugs.ids)
    admission = Admission(plugs.catalog, plugs.rates)
    door = _door(settings, plugs, admission, announce)
    authenticate = _authenticate(settings, plugs, plans)
    context = Context(
        door=door,
        serve=serve,
        files=files,
        accounts=_accounts(settings, plugs, plans, announce, files),
        authenticate=authenticate,
        admission=admission,
        health=Health(plugs.catalog, plugs.staging, plugs.stores, least_free=_LEAST_FREE_BYTES),
        secrets=plugs.vault,
        clock=plugs.clock,
        ids=plugs.ids,
        meter=plugs.telemetry,
        rules=_http_rules(settings),
    )
    expire = _expire(settings, plugs, door, announce, authenticate)
    queue = Queue(plugs.catalog, plugs.clock)
    return House(
        settings=settings,
        plugs=plugs,
        context=context,
        announce=announce,
        expire=expire,
        doctor=Doctor(plugs.catalog, plugs.staging, plugs.stores),
        queue=queue,
        runner=_runner(settings, plugs, queue, announce, expire),
    )


def application(house: House) -> ASGIApp:
    """Give the ASGI application; its lifespan starts and stops the server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house.serving():
            yield

    return build_app(house.context, lifespan=lifespan, logs_access=house.settings.access_log)


def _plugs(settings: Settings) -> Plugs:
    is_durable = settings.durability == "full"
    clock = SystemClock()
    operators_urls = [url for url in (settings.webhook_url, settings.jwks_url) if url]
    return Plugs(
        catalog=SqliteCatalog(catalog_path(settings), is_durable=is_durable),
        staging=DiskStaging(settings.data_dir / "staging", is_durable=is_durable),
        stores={"local": LocalStore("local", settings.data_dir / "files", is_durable=is_durable)},
        leases=ProcessLeases(),
        telemetry=PrometheusTelemetry(),
        outbound=GuardedHttp(trusted=[*(address_of(url) for url in operators_urls), *settings.trusted_hosts]),
        vault=Vault(settings.secret_key or "", clock),
        clock=clock,
        ids=RandomIds(short_length=settings.short_id_length),
        rates=MemoryRates(),
        bell=Bell(),
    )


def _plans(settings: Settings) -> BuiltInPlans:
    most = settings.max_open_uploads
    return BuiltInPlans(
        user=Plan(
            name="user",
            max_file_bytes=settings.user_max_file_bytes,
            total_bytes=settings.user_total_bytes,
            max_open_uploads=most,
            requests_per_minute=settings.user_requests_per_minute,
            retention=timedelta(days=settings.user_retention_days),
        ),
        service=Plan(
            name="service",
            max_file_bytes=settings.service_max_file_bytes,
            total_bytes=settings.service_total_bytes,
            max_open_uploads=most,
        ),
        jwt=Plan(
            name="jwt",
            max_file_bytes=settings.jwt_max_file_bytes,
            total_bytes=settings.jwt_total_bytes,
            max_open_uploads=most,
        ),
        anonymous=Plan(
            name="anonymous",
            max_file_bytes=settings.gallery_max_file_bytes,
            total_bytes=settings.gallery_total_bytes,
            max_open_uploads=most,
            requests_per_minute=settings.gallery_requests_per_minute,
        ),
        admin=Plan(name="admin", max_open_uploads=most),
    )


def _announce(settings: Settings, plugs: Plugs) -> Announce:
    webhook = None
    if settings.webhook_url and settings.webhook_secret:
        webhook = Webhook(settings.webhook_url, settings.webhook_secret, outbound=plugs.outbound, clock=plugs.clock)
    base = settings.base_url or f"http://{settings.host}:{settings.port}"

    def with_url(event: Event) -> Event:
        external = event.data.get("main_service_file_id")
        parts = ("upload", "download", str(external)) if external else ("v1", "files", event.subject, "content")
        return replace(event, data={**event.data, "url": base + path_of(*parts)})

    return Announce(
        plugs.catalog,
        plugs.clock,
        plugs.ids,
        plugs.bell,
        subscriber=webhook,
        # The main service is told of the files of those whom it sent: its own users.
        wants=lambda event: event.type == "file.stored" and event.owner.startswith("jwt:"),
        complete=with_url,
    )


def _door(settings: Settings, plugs: Plugs, admission: Admission, announce: Announce) -> Door:
    completion = Completion(
        plugs.catalog,
        plugs.staging,
        plugs.leases,
        plugs.stores,
        Inspection(sniff),
        announce,
        plugs.telemetry,
        plugs.clock,
        plugs.ids,
    )
    rules = DoorRules(
        expiry=timedelta(hours=settings.upload_expiry_hours),
        checkpoints=Checkpoints(
            every_bytes=settings.checkpoint_bytes, every=timedelta(seconds=settings.checkpoint_s)
        ),
        default_store="local",
    )
    return Door(
        plugs.catalog,
        plugs.staging,
        plugs.leases,
        admission,
        completion,
        plugs.telemetry,
        plugs.clock,
        plugs.ids,
        rules,
    )


def _authenticate(settings: Settings, plugs: Plugs, plans: BuiltInPlans) -> Authenticate:
    return Authenticate(
        plugs.catalog,
        plugs.vault,
        plugs.clock,
        KnownSecrets(service_token=settings.service_token or "", admin_token=settings.admin_token or ""),
        plans,
        verifier=_verifier(settings, plugs),
        is_gallery_open=settings.gallery_anonymous,
        needs_file_claim=settings.jwt_require_file_id,
    )


def _verifier(settings: Settings, plugs: Plugs) -> JwtVerifier | None:
    keys: JwksKeys | StaticKey
    if settings.jwks_url:
        keys = JwksKeys(settings.jwks_url, plugs.outbound, clock=plugs.clock)
    elif settings.jwt_public_key:
        keys = StaticKey(settings.jwt_public_key)
    else:
        return None
    return JwtVerifier(
        keys,
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience or "",
        leeway_s=int(settings.jwt_leeway_s),
        clock=plugs.clock,
    )


def _accounts(settings: Settings, plugs: Plugs, plans: BuiltInPlans, announce: Announce, files: Files) -> Accounts:
    return Accounts(
        plugs.catalog,
        plugs.vault,
        announce,
        files,
        plugs.clock,
        plugs.ids,
        allowed_users=frozenset(settings.allowed_users),
        built_in_plans=plans.named(),
    )


def _expire(settings: Settings, plugs: Plugs, door: Door, announce: Announce, authenticate: Authenticate) -> Expire:
    return Expire(
        plugs.catalog,
        door,
        plugs.staging,
        plugs.stores,
        plugs.leases,
        announce,
        plugs.clock,
        plugs.ids,
        admin=authenticate.admin,
        sweep_after=timedelta(seconds=settings.sweep_after_s),
    )


def _runner(settings: Settings, plugs: Plugs, queue: Queue, announce: Announce, expire: Expire) -> Runner:
    erase = Erase(plugs.catalog, plugs.stores)
    verbs = {
        "announce": lambda payload: announce.tell(payload["event"]),
        "erase": lambda payload: erase.copy(payload["store"], payload["key"]),
        "expire": lambda _: expire.run(),
        "sweep": lambda _: expire.sweep(),
    }
    return Runner(queue, verbs, plugs.bell, plugs.telemetry, lanes=settings.job_concurrency)


def _http_rules(settings: Settings) -> HttpRules:
    return HttpRules(
        base_url=settings.base_url,
        trusted_proxies=settings.trusted_proxies,
        origins=settings.allowed_origins,
        pace=Pace(idle=timedelta(seconds=settings.body_idle_s), min_bytes_per_s=settings.body_min_bytes_per_s),
        form=FormLimits(max_fields=settings.form_max_fields, max_files=settings.form_max_files),
        drain_bytes=settings.drain_bytes,
        max_json_bytes=settings.max_json_bytes,
        are_docs_on=settings.docs_enabled,
        are_short_links_open=settings.short_links == "open",
        default_service="local",
        chunk_store=settings.storage_backend,
        max_chunk_bytes=settings.max_chunk_bytes,
        max_chunks=settings.max_chunks,
        gallery_extensions=frozenset(settings.gallery_extensions),
        gallery_path=settings.gallery_url_path,
        is_gallery_list_public=settings.gallery_public_list,
        gallery_max_files=settings.gallery_max_files,
        anonymous_open_uploads=settings.gallery_max_open_uploads,
        is_metrics_public=settings.metrics_public,
        version=version("carryall"),
        complete_wait_s=settings.complete_wait_s,
    )
