"""Ctrl-C and SIGTERM: asked once, a command finishes what runs; asked again by Ctrl-C, it quits."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


def obey_signals(stop: Callable[[], None], *, is_quiet: bool = False) -> None:
    """Call `stop` at the first SIGINT or SIGTERM; a SIGINT after that ends the process at once, with status 130.

    Who is at a terminal is told so; a quiet process leaves that to the one that started it.

    Ending at once is safe, because whatever was acknowledged is on the disk by then (docs/adr/0007).
    """
    asked = False

    def obey(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            os._exit(128 + number)
        if not asked and not is_quiet and sys.stderr.isatty():
            # Not through sys.stderr: the signal may have come in the middle of one of its writes.
            os.write(2, b"\nFinishing what runs. Ctrl-C again quits at once.\n")
        asked = True
        stop()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, obey)
