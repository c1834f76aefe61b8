"""Settings -> a running server. Only this package names concrete classes: here the verbs, in `plugs` the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from carryall.auth.jwks import JwksKeys, StaticKey
from carryall.auth.jwt import JwtVerifier
from carryall.checks.sniff import sniff
from carryall.config import Settings
from carryall.http.app import build_app
from carryall.http.body import Pace
from carryall.http.context import Context, HttpRules
from carryall.http.forms import FormLimits
from carryall.http.urls import path_of
from carryall.model.errors import CarryallError
from carryall.model.file import File
from carryall.model.principal import Plan
from carryall.model.target import Target
from carryall.model.work import Event
from carryall.operations.accounts import Accounts
from carryall.operations.admit import Admission
from carryall.operations.announce import Announce
from carryall.operations.authenticate import Authenticate, BuiltInPlans, KnownSecrets
from carryall.operations.by_flag import ByFlag
from carryall.operations.completion import Completion
from carryall.operations.deliveries import Deliveries
from carryall.operations.doctor import Doctor
from carryall.operations.errands import Errands
from carryall.operations.events import Feed
from carryall.operations.expire import Expire
from carryall.operations.files import Files
from carryall.operations.health import Health
from carryall.operations.ingest import Door, DoorRules
from carryall.operations.inspect import Inspection
from carryall.operations.joining import Joining
from carryall.operations.placing import Targets
from carryall.operations.queue import Queue
from carryall.operations.resumable import Resumable
from carryall.operations.serve import Serve, address_of
from carryall.operations.streams import Checkpoints
from carryall.operations.world import World
from carryall.ports.cancellation import beside, ended
from carryall.subscribers.webhook import Webhook
from carryall.system.folder_lock import FolderLock
from carryall.system.logs import set_up_logs
from carryall.wiring.copies import Copies, make_copies
from carryall.wiring.jobs import make_runners, make_verbs
from carryall.wiring.plugs import Plugs, catalog_path, is_shared, make_plugs
from carryall.wiring.stores import warn_of_plans
from carryall.work.runner import Runner

__all__ = ["House", "Plugs", "application", "build", "catalog_path", "start_logs"]

log = structlog.get_logger(__name__)

_LEAST_FREE_BYTES = 64 << 20  # /ready says no below this
_TIDY_S = 2.0  # what a start may wait for: few uploads are one-shot at any moment
_DOUBT_S = 4.0  # longer than a heart has to stand still to be a dead one's (leases/shared.py)


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
    copies: Copies
    runners: tuple[Runner, ...]

    @asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        """Make the verbs work: the folders, the catalog and its tables are there inside the block."""
        async with self.plugs.open():
            try:
                yield self
            finally:
                await self.context.health.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve this data folder, alone or beside others: tidy up after who is gone, run jobs, drain at the end."""
        lock = FolderLock(self.settings.data_dir)
        lock.take(is_shared=is_shared(self.settings))
        try:
            async with self.open(), self._tidying():
                warn_of_plans(await self.context.accounts.plans(), self.settings.store_names)
                log.info("server.started")
                self.context.health.begin()
                async with self.working():
                    yield
                log.info("server.stopped")
        finally:
            lock.release()

    @asynccontextmanager
    async def _tidying(self) -> AsyncIterator[None]:
        """Give up what processes that are gone have left: most of it before the block, the rest beside it."""
        is_clear = asyncio.Event()
        async with beside(self._tidy(is_clear)):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TIDY_S):
                    await is_clear.wait()
            yield

    async def _tidy(self, is_clear: asyncio.Event) -> None:
        leases = self.plugs.world.leases
        try:
            await self._take_over(await leases.gone() or (lambda node: node != leases.node))
            is_clear.set()
            if is_shared(self.settings):  # whom nobody has watched before may be gone as well
                await asyncio.sleep(_DOUBT_S)
                await self._take_over(await leases.gone() or (lambda _: False))
        except CarryallError as error:  # the job that does it each minute comes by
            log.warning("server.untidy", reason=error.stable_code)
        finally:
            is_clear.set()

    async def _take_over(self, is_gone: Callable[[str | None], bool]) -> None:
        jobs = await self.queue.take_back(is_gone)
        aborted = await self.expire.abort_one_shots(is_gone)
        if aborted or jobs:
            log.info("server.tidied", aborted_uploads=aborted, jobs=jobs)

    async def run_due(self) -> int:
        """Run every job that is due now, one after the other; give how many there were."""
        return sum([await runner.run_due() for runner in self.runners])

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run jobs inside the block."""
        tasks = [asyncio.create_task(runner.run()) for runner in self.runners]
        try:
            yield
        finally:
            grace = timedelta(seconds=self.settings.shutdown_grace_s)
            await asyncio.gather(*(runner.drain(grace) for runner in self.runners))
            for task in tasks:
                await ended(task)


def start_logs(settings: Settings) -> None:
    """Set up logging as the settings say. Called once per process, before anything is logged."""
    set_up_logs(
        level=settings.log_level, as_json=None if settings.log_format == "auto" else settings.log_format == "json"
    )


def build(settings: Settings) -> House:
    """Wire everything. The settings must have their secrets (`ensure_secrets`)."""
    plugs = make_plugs(settings)
    world, plans = plugs.world, _plans(settings)
    announce = _announce(settings, plugs)
    copies = make_copies(settings, world, announce)
    authenticate = _authenticate(settings, plugs, plans)
    context = _context(settings, plugs, announce, copies=copies, authenticate=authenticate, plans=plans)
    sweep_after = timedelta(seconds=settings.sweep_after_s)
    expire = Expire(world, context.door, announce, admin=authenticate.admin, sweep_after=sweep_after)
    queue = Queue(world)
    return House(
        settings=settings,
        plugs=plugs,
        context=context,
        announce=announce,
        expire=expire,
        doctor=Doctor(world),
        queue=queue,
        copies=copies,
        runners=make_runners(settings, plugs, queue, make_verbs(plugs, announce, expire, copies)),
    )


def _context(
    settings: Settings,
    plugs: Plugs,
    announce: Announce,
    *,
    copies: Copies,
    authenticate: Authenticate,
    plans: BuiltInPlans,
) -> Context:
    """Give the verbs that requests ask for."""
    world, serve = plugs.world, Serve(plugs.world, copies.reader)
    files, admission = Files(world, serve, announce), Admission(world)
    targets = Targets(world.stores, Target.parse(settings.target))
    door = _door(settings, world, admission, announce, targets)
    resumable = Resumable(world, door, Joining(world, door))
    allowed = frozenset(settings.allowed_users)
    return Context(
        door=door,
        targets=targets,
        deliver=copies.deliver,
        deliveries=Deliveries(world, targets, serve, copies.deliver),
        feed=Feed(world, plugs.bell),
        serve=serve,
        files=files,
        accounts=Accounts(world, announce, files, allowed_users=allowed, built_in_plans=plans.named()),
        authenticate=authenticate,
        admission=admission,
        health=Health(world, least_free=_LEAST_FREE_BYTES),
        resumable=resumable,
        by_flag=ByFlag(world, door, resumable),
        errands=Errands(world, door, kept_for=timedelta(hours=settings.idempotency_hours)),
        secrets=world.secrets,
        clock=world.clock,
        ids=world.ids,
        meter=plugs.telemetry,
        rules=_http_rules(settings, world.stores),
    )


def application(house: House) -> ASGIApp:
    """Give the ASGI application; its lifespan starts and stops the server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house.serving():
            yield

    return build_app(house.context, lifespan=lifespan, logs_access=house.settings.access_log)


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
            stores=frozenset(Target.parse(settings.target).stores),
        ),
        admin=Plan(name="admin", max_open_uploads=most),
    )


def _announce(settings: Settings, plugs: Plugs) -> Announce:
    webhook, types = None, frozenset(settings.webhook_events)
    if settings.webhook_url and settings.webhook_secret:
        webhook = Webhook(
            settings.webhook_url, settings.webhook_secret, outbound=plugs.outbound, clock=plugs.world.clock, types=types
        )
    base = settings.base_url or _own_url(settings)

    def with_url(event: Event, file: File | None) -> Event:
        theirs = address_of(file, plugs.world.stores) if file is not None else None
        external = event.data.get("main_service_file_id")
        is_own = external is None
        parts = ("v1", "files", event.subject, "content") if is_own else ("upload", "download", str(external))
        return replace(event, data={**event.data, "url": theirs or base + path_of(*parts)})

    return Announce(
        plugs.world,
        plugs.bell,
        subscriber=webhook,
        # The main service is told of the files of those whom it sent: its own users.
        wants=lambda event: event.type in types and event.owner.startswith("jwt:"),
        complete=with_url,
    )


def _own_url(settings: Settings) -> str:
    """Give the address of this machine where no public one is set; one that stands for all addresses is none."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _door(settings: Settings, world: World, admission: Admission, announce: Announce, targets: Targets) -> Door:
    checkpoints = Checkpoints(every_bytes=settings.checkpoint_bytes, every=timedelta(seconds=settings.checkpoint_s))
    return Door(
        world,
        admission,
        Completion(world, Inspection(sniff), announce),
        DoorRules(expiry=timedelta(hours=settings.upload_expiry_hours), checkpoints=checkpoints, targets=targets),
    )


def _authenticate(settings: Settings, plugs: Plugs, plans: BuiltInPlans) -> Authenticate:
    return Authenticate(
        plugs.world,
        KnownSecrets(service_token=settings.service_token or "", admin_token=settings.admin_token or ""),
        plans,
        verifier=_verifier(settings, plugs),
        is_gallery_open=settings.gallery_anonymous,
        needs_file_claim=settings.jwt_require_file_id,
    )


def _verifier(settings: Settings, plugs: Plugs) -> JwtVerifier | None:
    keys: JwksKeys | StaticKey
    if settings.jwks_url:
        keys = JwksKeys(settings.jwks_url, plugs.outbound, clock=plugs.world.clock)
    elif settings.jwt_public_key:
        keys = StaticKey(settings.jwt_public_key)
    else:
        return None
    return JwtVerifier(
        keys,
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience or "",
        leeway_s=int(settings.jwt_leeway_s),
        clock=plugs.world.clock,
    )


def _relay_service(settings: Settings, stores: Container[str]) -> str:
    """Give the store of relay's uploads that name none: MEGA, as the described system has it, where there is one."""
    return settings.relay_service or ("mega" if "mega" in stores else settings.target)


def _http_rules(settings: Settings, stores: Container[str]) -> HttpRules:
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
        default_service=_relay_service(settings, stores),
        chunk_target=settings.storage_backend,
        relay_wait_s=settings.relay_wait_s,
        relay_repeat_s=settings.relay_repeat_s,
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
        web_dir=settings.web_dir,
        append_limit_bytes=settings.max_append_bytes,
        tus_max_bytes=_largest_upload(settings),
        interim_104=settings.interim_104,
    )


def _largest_upload(settings: Settings) -> int | None:
    """Give the most bytes that anybody may send in one upload; None where somebody has no limit."""
    limits = [settings.user_max_file_bytes, settings.service_max_file_bytes, settings.jwt_max_file_bytes]
    return None if None in limits else max(limit for limit in limits if limit is not None)
