"""What people read: sizes, times, and other people's names without power over the terminal."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryall.cli.screen import count_text, size_text, visible, when_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 80, "1048576.0 EiB"),
    ],
)
def test_sizes_are_rounded(size: int, text: str) -> None:
    """A size has one decimal, in the largest unit that leaves at least one."""
    assert text == size_text(size)


def test_times_are_in_utc() -> None:
    """A time of any zone is shown in UTC, to the second; none is a dash."""
    there = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=8)))

    assert "2026-01-01 19:04:05Z" == when_text(there) == when_text(there.astimezone(UTC))
    assert "-" == when_text(None)


def test_one_is_singular() -> None:
    """Only one of a thing has no s."""
    assert ["0 files", "1 file", "2 files"] == [count_text(number, "file") for number in range(3)]


@given(st.text())
def test_nothing_commands_the_terminal(text: str) -> None:
    """Whatever a name contains, what is shown is printable; what was printable is shown as it is."""
    shown = visible(text)

    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_escapes_are_readable() -> None:
    """Escape sequences, line ends and direction marks are written out."""
    assert r"\x1b[2Jcv\u202efdp.exe\n ü 名" == visible("\x1b[2Jcv\u202efdp.exe\n ü 名")
