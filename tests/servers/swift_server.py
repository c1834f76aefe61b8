"""A real S3 server with signatures: OpenStack Swift, all of it in one process.

    python tests/servers/swift_server.py DIR PORT

prints `ready PORT` when it answers on 127.0.0.1 (PORT 0 takes a free one), and serves until it is killed, or until its
standard input ends where that is a pipe. DIR keeps the objects: started again on the same folder it has them still. Key
`test:tester`, secret `testing`, region `us-east-1`; bucket names have three letters or more; virtual hosts are below
`s3.test`. What Swift logs stands in `DIR/log`.
"""

import warnings

warnings.simplefilter("ignore")  # eventlet warns of its own retirement

import eventlet  # noqa: E402  # it must patch the standard library before anybody else imports it

eventlet.monkey_patch()

import logging.handlers  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import stat  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from time import monotonic  # noqa: E402
from typing import Any  # noqa: E402

from eventlet import wsgi  # noqa: E402
from swift.common import constraints, utils  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

_STORAGE = ("account", "container", "object")
_STORAGE_CONF = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/nodes
mount_check = false
disable_fallocate = true
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
log_requests = false
"""
_PIPELINE = (
    "catch_errors gatekeeper healthcheck etag-quoter listing_formats s3api tempauth copy slo dlo versioned_writes "
    "symlink proxy-logging proxy-server"
)
_FILTERS = {
    "etag-quoter": "enable_by_default = false",
    "s3api": """auth_pipeline_check = false
min_segment_size = 5242880
max_upload_part_num = 10000
storage_domain = s3.test
location = us-east-1
s3_acl = false""",
    "tempauth": "user_test_tester = testing .admin",
    "versioned_writes": "allow_object_versioning = true",
    "proxy-logging": "access_log_level = DEBUG",
}


def main(folder: Path, port: int) -> None:
    """Start the four servers of Swift on one folder, and serve."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "log", level=logging.ERROR)
    logging.raiseExceptions = False
    _configure(folder)
    public = eventlet.listen(("127.0.0.1", port))
    inner = {kind: eventlet.listen(("127.0.0.1", 0)) for kind in _STORAGE}
    for kind, listening in inner.items():
        _write_ring(folder, kind, listening.getsockname()[1])
        (folder / f"{kind}.conf").write_text(_STORAGE_CONF.format(folder=folder, kind=kind))
        _serve(listening, loadapp(str(folder / f"{kind}.conf"), global_conf={"log_name": kind}))
    (folder / "proxy.conf").write_text(_proxy_conf(folder))
    _serve(public, _remembering(loadapp(str(folder / "proxy.conf"), global_conf={"log_name": "proxy"})))
    print("ready", public.getsockname()[1], flush=True)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        eventlet.tpool.execute(os.read, 0, 1)  # a test that is killed closes its end without a word
        os._exit(0)
    while True:
        eventlet.sleep(3600)


def _configure(folder: Path) -> None:
    """Set what Swift would read in /etc/swift, and keep it out of the machine's own log."""
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = carryall\n")
    utils.set_swift_dir(str(folder))
    constraints.reload_constraints()
    logging.handlers.SysLogHandler = lambda *_, **__: logging.FileHandler(folder / "log")  # type: ignore[assignment,misc]


def _write_ring(folder: Path, kind: str, port: int) -> None:
    (folder / "nodes" / "d1").mkdir(parents=True, exist_ok=True)
    builder = RingBuilder(1, 1, 0)
    where = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, **where})
    builder.rebalance(seed="1")
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def _proxy_conf(folder: Path) -> str:
    sections = [
        f"[DEFAULT]\nswift_dir = {folder}\nworkers = 0\nlog_level = ERROR",
        f"[pipeline:main]\npipeline = {_PIPELINE}",
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true",
    ]
    for name in _PIPELINE.split()[:-1]:
        sections += [f"[filter:{name}]", f"use = egg:swift#{name.replace('-', '_')}", _FILTERS.get(name, "")]
    return "\n".join(sections)


def _serve(listening: socket.socket, app: Any) -> None:
    eventlet.spawn(
        wsgi.server,
        listening,
        app,
        utils.NullLogger(),
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,  # S3 clients look for `ETag`
        socket_timeout=60,
        url_length_limit=constraints.MAX_REQUEST_LINE,
        debug=False,
    )


class _Memory:
    """What Swift asks of memcached."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, **_: Any) -> Any:
        value, until = self._held.get(key, (None, 0))
        return value if until > monotonic() else None

    def set(self, key: str, value: Any, time: float = 0, **_: Any) -> None:
        self._held[key] = value, monotonic() + (time or 3600)

    def delete(self, key: str, **_: Any) -> None:
        self._held.pop(key, None)


def _remembering(app: Any) -> Any:
    memory = _Memory()

    def remembering(env: dict[str, Any], start_response: Any) -> Any:
        env["swift.cache"] = memory
        return app(env, start_response)

    return remembering


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
