"""A server whose wall clock a test moves while it runs, by libfaketime; its monotonic clock goes on as it did."""

import subprocess
from datetime import timedelta
from pathlib import Path


class MovedClock:
    """What a server's clock shows beside the true time. Give `environment` to the server that shall obey it."""

    def __init__(self, faketime: str, folder: Path) -> None:
        self._told = folder / "clock"
        self.set(timedelta())
        self.environment = {
            "LD_PRELOAD": _library(faketime),
            "FAKETIME_TIMESTAMP_FILE": str(self._told),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # or waiting threads spin (libfaketime 0.9.10)
            "NO_FAKE_STAT": "1",  # a file system has a clock of its own
        }

    def set(self, by: timedelta) -> None:
        """Let the clock be ahead of the true time by so much, or behind it where that is negative."""
        new = self._told.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}\n")
        new.replace(self._told)


def _library(faketime: str) -> str:
    """Ask the program for the library that it would load."""
    shown = subprocess.run([faketime, "-m", "-f", "+0", "env"], capture_output=True, check=True, text=True, env={})
    (line,) = (one for one in shown.stdout.splitlines() if one.startswith("LD_PRELOAD="))
    return line.partition("=")[2]
