"""Ports for the servers of tests: below those of outgoing connections, and no two runs get the same."""

import itertools
import os
import re
import socket

_FIRST, _EACH = 10_000, 10_000  # two workers have 10,000 to 29,999; Linux gives out 32,768 and above
_worker = int((re.search(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", "0")) or ["0"])[0]) % 2
_next = itertools.count(os.getpid() * 7)


def free_port(host: str = "127.0.0.1") -> int:
    """Give a TCP port that nobody has, and that nobody is given again soon."""
    for number in _next:
        port = _FIRST + _worker * _EACH + number % _EACH
        with socket.socket() as found:
            try:
                found.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError
