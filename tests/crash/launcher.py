"""Starts mortal servers, one life after another: each is a process of its own, forked when everything is imported.

Reads "start" from standard input; writes "pid NUMBER" when the server's process is there, and "ended STATUS" when it
has ended. The command line of the server is this script's own.
"""

import os
import sys

from tests.crash.mortal import MortalWebhook, mortal, rewired

from carryall.cli import main, serve, setup  # noqa: F401  # imported once, not in each life


def live() -> int:
    """Be the server until its end; give its status."""
    os.dup2(2, 1)  # what the parent prints is for the test alone
    with rewired(mortal, MortalWebhook):
        try:
            main.main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def until_told() -> None:
    """Start a server for every line that comes in."""
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(live())
            finally:
                os._exit(1)  # by an error that nobody foresaw; its traceback is in the log
        print(f"pid {pid}", flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


until_told()
