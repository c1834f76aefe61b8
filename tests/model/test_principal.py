"""Who sees whose things."""

import pytest

from carryall.model.errors import Forbidden
from carryall.model.principal import ALL_SCOPES, Kind, Plan, Principal, Scope

ALICE = Principal("user:alice", "alice", Kind.USER, Plan("user"))
ADMIN = Principal("admin", "admin", Kind.ADMIN, Plan("admin"), frozenset({*ALL_SCOPES, Scope.ADMIN}))


def scoped(*scopes: Scope, **ids: str) -> Principal:
    """Give Alice with a credential that may do less."""
    return Principal(ALICE.id, "alice", Kind.USER, ALICE.plan, frozenset(scopes or ALL_SCOPES), **ids)


def test_owners_see_their_own() -> None:
    """The same name from another system is somebody else."""
    assert ALICE.sees("user:alice")
    assert not ALICE.sees("jwt:alice")
    assert not ALICE.sees("user:bob")


def test_the_administrator_sees_everything() -> None:
    """Whatever it is."""
    assert ADMIN.sees("user:bob", file_id="f", external_id="17")


@pytest.mark.parametrize(("asked", "expected"), [("f", True), ("g", False), (None, False)])
def test_a_credential_for_one_file_sees_that_alone(asked: str | None, expected: bool) -> None:  # noqa: FBT001
    """Of its owner's things it sees one, by either kind of id; what has no id, as an upload, is none of them."""
    assert expected == scoped(file_id="f").sees("user:alice", file_id=asked)
    assert expected == scoped(external_file_id="f").sees("user:alice", external_id=asked)
    assert not scoped(file_id="f").sees("user:bob", file_id="f")


def test_scopes_are_asked_for() -> None:
    """A credential does what its scopes say; the administrator's does everything."""
    reading = scoped(Scope.READ)

    reading.require(Scope.READ)
    ADMIN.require(Scope.DELETE)
    with pytest.raises(Forbidden) as raised:
        reading.require(Scope.WRITE)
    assert ("scope_missing", {"scope": "write"}) == (raised.value.stable_code, raised.value.facts)
    with pytest.raises(Forbidden):
        ALICE.require_admin()
    ADMIN.require_admin()
