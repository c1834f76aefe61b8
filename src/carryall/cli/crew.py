"""Several server processes on one socket: start them, replace those that fall, stop them all together."""

import gc
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from carryall.cli.screen import say
from carryall.cli.stopping import obey_signals
from carryall.config import Settings
from carryall.model.errors import CarryallError

log = structlog.get_logger(__name__)

# A forked worker shares the memory of all that is imported here (measured: 155 MiB for two of them, spawned 280). Here
# runs no thread whose locks it could copy. Where a system's own libraries start threads (macOS) it is no way.
_HOW = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
_SHORT_LIFE_S = 5.0
_LONGEST_PAUSE_S = 30.0
_LAST_WORDS_S = 10.0  # beyond the grace for requests: jobs, the catalog, the folders


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess
    ear: Connection
    began_at: float
    is_ready: bool = False


@contextmanager
def counting_together() -> Iterator[None]:
    """Have the metrics of this process and of those that it starts in one place; entered before they are imported."""
    with TemporaryDirectory(prefix="carryall-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # the name that prometheus-client knows
        yield


class Crew:
    """Keeps `settings.workers` processes serving one listening socket."""

    def __init__(self, settings: Settings, listener: socket.socket, *, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._listener = listener
        self._on_ready = on_ready
        self._workers: dict[int, _Worker] = {}
        self._is_stopping = False
        self._was_ready = False
        self._failures = 0
        self._next_start = 0.0
        self._ear, self._mouth = _HOW.Pipe(duplex=False)

    def run(self) -> None:
        """Serve until a signal comes. Raises CarryallError when the workers can't start at all."""
        obey_signals(self._asked_to_stop)
        gc.collect()
        gc.freeze()  # the collector of a worker would touch, and so copy, what it shares with the others
        while not self._is_stopping:
            self._fill()
            self._listen()
        self._stop()

    def _asked_to_stop(self) -> None:
        self._is_stopping = True
        self._mouth.send_bytes(b"stop")

    def _fill(self) -> None:
        for number in range(1, self._settings.workers + 1):
            if number not in self._workers and time.monotonic() >= self._next_start and not self._is_stopping:
                self._workers[number] = self._started(number)

    def _started(self, number: int) -> _Worker:
        ear, mouth = _HOW.Pipe(duplex=False)
        process = _HOW.Process(target=_work, args=(self._settings, self._listener, mouth), name=f"carryall-{number}")
        process.start()
        mouth.close()
        return _Worker(number, process, ear, time.monotonic())

    def _listen(self) -> None:
        """Wait until something happens to a worker, or somebody asks to stop."""
        pause_s = max(0.0, self._next_start - time.monotonic())
        ears: list[Any] = [self._ear]
        for worker in self._workers.values():
            ears += [worker.process.sentinel] if worker.is_ready else [worker.process.sentinel, worker.ear]
        heard = wait(ears, timeout=pause_s if len(self._workers) < self._settings.workers else None)
        for worker in list(self._workers.values()):
            if worker.ear in heard and not worker.is_ready:
                self._told_ready(worker)
            if worker.process.sentinel in heard:
                self._fell(worker)

    def _told_ready(self, worker: _Worker) -> None:
        try:
            worker.ear.recv_bytes()
        except EOFError:
            return  # it ended before it was ready; its sentinel tells
        worker.is_ready = True
        if not self._was_ready and all(each.is_ready for each in self._workers.values()):
            self._was_ready = True
            self._on_ready()

    def _fell(self, worker: _Worker) -> None:
        """Forget a worker that ended by itself; say when the next one may take its place."""
        del self._workers[worker.number]
        worker.ear.close()
        worker.process.join()
        if self._is_stopping:
            return
        status = worker.process.exitcode
        if not self._was_ready and status is not None and status >= 0:  # else it was killed, and is to start again
            self._stop()
            sys.exit(status or 1)  # it has said why
        lived_s = time.monotonic() - worker.began_at
        self._failures = self._failures + 1 if lived_s < _SHORT_LIFE_S else 0
        pause_s = min(_LONGEST_PAUSE_S, 2.0**self._failures) if self._failures else 0.0
        self._next_start = time.monotonic() + pause_s
        log.error("worker.fell", number=worker.number, status=status, starts_again_in_s=pause_s)

    def _stop(self) -> None:
        """Ask all to stop, and wait; end those that don't."""
        self._is_stopping = True
        for worker in self._workers.values():
            worker.process.terminate()
        give_up_at = time.monotonic() + self._settings.shutdown_grace_s * 2 + _LAST_WORDS_S
        for worker in self._workers.values():
            worker.process.join(max(0.0, give_up_at - time.monotonic()))
            if worker.process.is_alive():
                log.error("worker.killed", number=worker.number)
                worker.process.kill()
                worker.process.join()


def _work(settings: Settings, listener: socket.socket, mouth: Connection) -> None:
    """Be one worker: what goes wrong is one plain sentence, as at the command line."""
    from carryall.cli.process import run_process
    from carryall.wiring import start_logs

    start_logs(settings)
    try:
        run_process(settings, listener, on_ready=lambda: mouth.send_bytes(b"ready"), parent=os.getppid())
    except CarryallError as error:
        say(error.message)
        sys.exit(1)
