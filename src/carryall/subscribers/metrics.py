"""What operators count, for Prometheus."""

import os
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class PrometheusTelemetry:
    """Implements `ports.telemetry.Telemetry`, and what the HTTP face measures.

    Where PROMETHEUS_MULTIPROC_DIR names a folder, as `carryall serve` sees to, the library keeps the counts of all its
    processes there, and any of them gives the page of all.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "carryall_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "carryall_request_seconds", "Time from a request's head to its answer's end.", ["route"], registry=registry
        )
        self._in = Counter("carryall_received_bytes", "Bytes of request bodies.", registry=registry)
        self._out = Counter("carryall_sent_bytes", "Bytes of answers' bodies.", registry=registry)
        self._uploads = Counter(
            "carryall_uploads", "Uploads by door and outcome.", ["door", "outcome"], registry=registry
        )
        self._upload_bytes = Counter(
            "carryall_stored_bytes", "Bytes of uploads that became files.", ["door"], registry=registry
        )
        self._quota = Counter(
            "carryall_quota_refusals",
            "Uploads refused for want of room, by kind of principal.",
            ["kind"],
            registry=registry,
        )
        self._served = Counter("carryall_served_bytes", "Bytes of files that were downloaded.", registry=registry)
        self._jobs = Counter("carryall_jobs", "Jobs by kind and outcome.", ["kind", "outcome"], registry=registry)
        self._measure_stores(registry)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    def _measure_stores(self, registry: CollectorRegistry) -> None:
        self._deliveries = Counter(
            "carryall_deliveries", "Tries to bring a file to a store.", ["store", "outcome"], registry=registry
        )
        self._delivered_bytes = Counter(
            "carryall_delivered_bytes", "Bytes of files that were brought to a store.", ["store"], registry=registry
        )
        self._asked = Counter(
            "carryall_store_operations",
            "Operations of stores elsewhere, by outcome.",
            ["store", "what", "outcome"],
            registry=registry,
        )
        self._asked_seconds = Histogram(
            "carryall_store_seconds", "Time that they took, with all tries.", ["store", "what"], registry=registry
        )

    def upload_ended(self, door: str, outcome: str, size: int) -> None:
        """Count an upload."""
        self._uploads.labels(door, outcome).inc()
        if size:
            self._upload_bytes.labels(door).inc(size)

    def quota_refused(self, kind: str) -> None:
        """Count a refusal for want of room."""
        self._quota.labels(kind).inc()

    def served(self, size: int) -> None:
        """Count bytes of a download."""
        self._served.inc(size)

    def delivered(self, store: str, outcome: str, size: int) -> None:
        """Count a try to bring a file to a store."""
        self._deliveries.labels(store, outcome).inc()
        if size:
            self._delivered_bytes.labels(store).inc(size)

    def store_asked(self, store: str, what: str, outcome: str, seconds: float) -> None:
        """Count an operation of a store elsewhere."""
        self._asked.labels(store, what, outcome).inc()
        self._asked_seconds.labels(store, what).observe(seconds)

    def job_ended(self, kind: str, outcome: str) -> None:
        """Count a job."""
        self._jobs.labels(kind, outcome).inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the route's pattern, never the path: paths are without number."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def moved(self, received: int, sent: int) -> None:
        """Count bytes of bodies."""
        self._in.inc(received)
        self._out.inc(sent)

    def page(self, queue: Mapping[tuple[str, str], int]) -> bytes:
        """Give everything in Prometheus' text format, with the job queue as it is now."""
        now = CollectorRegistry()
        now.register(_Queue(queue))
        return generate_latest(self._registry) + generate_latest(now)


class _Queue(Collector):
    """The job queue at one moment: it is everybody's, and so no process's own gauge."""

    def __init__(self, queue: Mapping[tuple[str, str], int]) -> None:
        self._jobs = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the gauge."""
        gauge = GaugeMetricFamily("carryall_job_queue", "Jobs by kind and state now.", labels=["kind", "state"])
        for (kind, state), number in self._jobs.items():
            gauge.add_metric([kind, state], number)
        yield gauge
