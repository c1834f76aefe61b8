"""Where files are to go, as people write it, and when a file is there."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryall.model.errors import Malformed
from carryall.model.file import Copy, CopyState, File
from carryall.model.target import Target

QUEUED, DELIVERING, STORED, FAILED, GONE = CopyState
NOW = datetime(2026, 11, 20, tzinfo=UTC)
STORES = st.lists(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,23}", fullmatch=True), min_size=1, max_size=5, unique=True)


@pytest.mark.parametrize(
    ("text", "stores", "needed"),
    [
        ("local", ["local"], 1),
        (" Local , S3 ", ["local", "s3"], 2),
        ("all:local,s3", ["local", "s3"], 2),
        ("ANY:s3,mega", ["s3", "mega"], 1),
        ("any : s3, mega", ["s3", "mega"], 1),
        ("2:local,s3,mega", ["local", "s3", "mega"], 2),
        ("3:local,s3,mega", ["local", "s3", "mega"], 3),
        ("1:s3", ["s3"], 1),
    ],
)
def test_targets_are_read(text: str, stores: list[str], needed: int) -> None:
    """All of some stores, any of them, or so many; in whatever case."""
    assert Target(tuple(stores), needed) == Target.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "local,", "local,,s3", "local,local", "S3,s3", "../etc", "lo cal", "a" * 25, "-a", "ä"),
        *("0:s3", "2:s3", "-1:s3", "1.0:s3", "some:s3", ":s3", "any:", "any:all:s3", "¹:s3", f"{'9' * 5000}:s3"),
    ],
)
def test_what_is_no_target_is_told(text: str) -> None:
    """The error says what was written, and how it is written."""
    with pytest.raises(Malformed) as raised:
        Target.parse(text)

    assert "target_malformed" == raised.value.stable_code
    assert len(raised.value.message) < 700


@given(STORES, st.data())
def test_a_target_is_written_as_it_is_read(stores: list[str], data: Any) -> None:
    """What the catalog keeps comes back the same."""
    target = Target(tuple(stores), data.draw(st.integers(1, len(stores))))

    assert target == Target.parse(str(target))


@pytest.mark.parametrize(
    ("target", "moved"),
    [
        ("local,s3", "mega,s3"),
        ("any:local,s3", "any:mega,s3"),
        ("2:local,s3,mega", "s3,mega"),
        ("local,mega", "mega"),
        ("s3", "s3"),
    ],
)
def test_a_store_is_replaced(target: str, moved: str) -> None:
    """Where the other is among them already, the first just goes, and no more are asked for than there are."""
    found = Target.parse(target).moved("local", "mega")

    assert {*Target.parse(moved).stores} == {*found.stores}
    assert Target.parse(moved).needed == found.needed


def a_file(target: str, **states: CopyState) -> File:
    """Give a file whose copies have these states."""
    copies = tuple(Copy(store, "key", state) for store, state in states.items())
    made = File("id", "short", "alice", "v1", "a", 1, "0" * 64, "text/plain", NOW)
    return replace(made, target=Target.parse(target), copies=copies)


@pytest.mark.parametrize(
    ("target", "states", "how"),
    [
        ("s3", {"local": STORED, "s3": QUEUED}, "pending"),
        ("s3", {"local": STORED, "s3": FAILED}, "failing"),
        ("s3", {"s3": STORED}, "delivered"),
        ("local,s3", {"local": STORED, "s3": DELIVERING}, "pending"),
        ("local,s3", {"local": STORED, "s3": STORED}, "delivered"),
        ("any:s3,mega", {"local": STORED, "s3": FAILED, "mega": QUEUED}, "pending"),
        ("any:s3,mega", {"local": STORED, "s3": FAILED, "mega": FAILED}, "failing"),
        ("any:s3,mega", {"local": STORED, "s3": FAILED, "mega": STORED}, "delivered"),
        ("2:local,s3,mega", {"local": STORED, "s3": GONE, "mega": DELIVERING}, "pending"),
        ("2:local,s3,mega", {"local": STORED, "s3": GONE, "mega": FAILED}, "failing"),
    ],
)
def test_a_file_is_delivered_by_its_target(target: str, states: dict[str, CopyState], how: str) -> None:
    """As many stores as were asked for have it; a copy that nobody asked for doesn't count."""
    file = a_file(target, **states)

    assert (how == "delivered", how == "failing") == (file.is_delivered, file.is_failing)
