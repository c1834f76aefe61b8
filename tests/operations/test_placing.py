"""Where files go: who may ask for which stores, and the keys that the stores are asked to keep them under."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.operations.conftest import user

from carryall.model.errors import Forbidden, Malformed
from carryall.model.file import File
from carryall.model.target import Target
from carryall.operations.placing import Targets, key_in, lease_of, readable_key
from carryall.testing.fakes import ScriptedStore

STORES = {name: ScriptedStore(name) for name in ("local", "s3", "mega")}
TARGETS = Targets(STORES, Target.of("local"))
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=400)


def a_file(**changes: Any) -> File:
    """Give a file of another service's user."""
    values = {"id": "fileid", "short_id": "s", "owner": "jwt:alice", "door": "chunks", "name": "höhe 1.mp3", "size": 1}
    rest = {"sha256": "0" * 64, "media_type": "audio/mpeg", "created_at": datetime(2026, 11, 20, tzinfo=UTC)}
    return File(**{**values, **rest, "external_id": "7", **changes})  # type: ignore[arg-type]


def test_what_nobody_asks_for_is_the_plans() -> None:
    """A request decides before the plan, and the plan before the default."""
    target = Target.parse("any:s3,mega")

    assert Target.of("local") == TARGETS.of(user(), None)
    assert target == TARGETS.of(user(target=target), None)
    assert Target.of("s3") == TARGETS.of(user(target=target), "S3")


@pytest.mark.parametrize("asked", ["", "dropbox", "local,dropbox", "any:dropbox"])
def test_stores_that_arent_there_are_refused(asked: str) -> None:
    """The error names them, and those that there are."""
    with pytest.raises(Malformed) as raised:
        TARGETS.of(user(), asked)

    missing = "dropbox" if asked else ""
    assert f"Unsupported service: {missing}. Supported services: local, s3, mega" == raised.value.message
    assert ["local", "s3", "mega"] == raised.value.facts["supported_services"]


def test_a_plan_may_have_some_stores_only() -> None:
    """Others are there, and not for everybody; what the plan itself says is no question."""
    who = user(stores=frozenset({"local", "s3"}), target=Target.of("mega"))

    assert Target.of("s3") == TARGETS.of(who, "s3")
    with pytest.raises(Forbidden) as raised:
        TARGETS.of(who, "local,mega")
    assert ("store_forbidden", ["local", "s3"]) == (raised.value.stable_code, raised.value.facts["stores"])
    assert Target.of("mega") == TARGETS.of(who, None)


@pytest.mark.parametrize(
    ("keys", "changes", "key"),
    [
        ("encoded", {}, "alice/7/h%C3%B6he%201.mp3"),
        ("encoded", {"owner": "user:alice"}, "user%3Aalice/7/h%C3%B6he%201.mp3"),
        ("encoded", {"external_id": None}, "alice/fileid/h%C3%B6he%201.mp3"),
        ("encoded", {"owner": "jwt:a/b", "name": "../x"}, "a%2Fb/7/..%2Fx"),
        ("encoded", {"name": ".."}, "alice/7/file2"),
        ("named", {}, "alice/fileid/höhe 1.mp3"),
        ("named", {"owner": "service", "name": 'a/b\\c:"d"\n'}, "service/fileid/a%2Fb%5Cc%3A%22d%22%0A"),
        ("named", {"name": "..."}, "alice/fileid/file3"),
        ("generated", {"upload_id": "up"}, "up"),
        ("generated", {}, "fileid"),
    ],
)
def test_keys_are_as_promised(keys: Any, changes: dict[str, Any], key: str) -> None:
    """`user/file id/name` where people read them (decision 21); a client's letters never make a path (threat 6)."""
    assert key == key_in(ScriptedStore("s", keys=keys), a_file(**changes))


@given(TEXT, TEXT, TEXT, st.sampled_from(["encoded", "named"]))
@example("ä" * 400, "/" * 400, "\U0001f642" * 300 + ".tar.gz", "encoded")
@example("a" * 400, "..", "." * 300, "named")
def test_keys_stay_in_their_bounds(owner: str, file_id: str, name: str, keys: str) -> None:
    """Three parts, in 1,024 bytes; none is a step up or down; the name's ending stays."""
    key = readable_key(owner, file_id, name, is_encoded=keys == "encoded")

    parts = key.split("/")
    assert 3 == len(parts)
    assert len(key.encode()) <= 1024
    assert len(parts[2].encode()) <= 255
    stem, dot, ending = name.rpartition(".")
    if keys == "encoded" and stem and len(ending) <= 16 and name.strip(". "):
        assert unquote(parts[2]).endswith(dot + ending)


@given(
    st.text(min_size=1, max_size=3),
    st.integers(0, 1200),
    st.text(min_size=1, max_size=3),
    st.sampled_from(["encoded", "named"]),
)
@example("x", 400, "y", "encoded")
def test_two_owners_never_share_a_key(end: str, length: int, other: str, keys: str) -> None:
    """However long their names are and however much of them is the same: what is cut away is told by a digest."""
    if end == other:
        return
    owners = ("ü" * length + end, "ü" * length + other)

    assert 2 == len({readable_key(owner, "7", "a.txt", is_encoded=keys == "encoded") for owner in owners})


def test_users_that_a_remote_takes_for_one_are_kept_apart() -> None:
    """Many drives take Alice for alice: there an id of ours is part of the key, and not another service's number."""
    store = ScriptedStore("drive", keys="named")
    keys = [key_in(store, a_file(owner=f"jwt:{name}", id=name[0] * 3 + str(n))) for n, name in enumerate(("Al", "al"))]

    assert 2 == len({key.lower() for key in keys})


def test_a_key_has_one_lease_in_each_store() -> None:
    """The name fits the catalog's column and differs for any other store or key."""
    names = {lease_of(*one) for one in (("s3", "a/b"), ("s3", "a/b/c"), ("s4", "a/b"))}

    assert 3 == len(names)
    assert {32} == {len(name) for name in names}
