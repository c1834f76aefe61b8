"""One tree of errors, with stable codes."""

import json

import pytest

from carryall.model import errors

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CarryallError)]


def raised(kind: type[errors.CarryallError]) -> errors.CarryallError:
    """Make an error of any kind."""
    extra = {"retryable": False} if kind is errors.StoreError else {}
    return kind("What, which, what would be right.", offset=3, **extra)


@pytest.mark.parametrize("kind", TREE)
def test_every_error_can_be_told(kind: type[errors.CarryallError]) -> None:
    """Each has a text, a code, and facts that are JSON."""
    error = raised(kind)

    assert "What, which, what would be right." == str(error) == error.message
    assert kind.code == error.stable_code
    assert {"offset": 3} == json.loads(json.dumps(error.facts))


def test_codes_are_unique() -> None:
    """A code names one class."""
    assert len(TREE) == len({kind.code for kind in TREE})


def test_the_docstring_shows_the_tree() -> None:
    """The picture at the top of the file has every class."""
    assert [] == [kind.__name__ for kind in TREE if kind.__name__ not in (errors.__doc__ or "")]


def test_a_narrower_code_wins() -> None:
    """An error may say more exactly what it is."""
    assert "file_not_found" == errors.Missing("No such file.", code="file_not_found").stable_code


@pytest.mark.parametrize("retryable", [True, False])
def test_a_store_says_whether_trying_again_helps(retryable: bool) -> None:  # noqa: FBT001
    """Retryability is a field of this one error, not of its class."""
    assert retryable == errors.StoreError("It failed.", retryable=retryable).retryable
    assert errors.NoRoom("Full.").retryable
    assert not errors.TooLarge("Large.").retryable
