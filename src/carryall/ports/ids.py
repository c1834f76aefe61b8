"""New names for new things."""

from typing import Protocol


class Ids(Protocol):
    """Unguessable ids. Letters and digits only: they stand in paths, URLs and command lines as they are."""

    def long(self) -> str:
        """Give at least 128 random bits (22 characters). For uploads, files, and links whose id is the secret."""
        ...

    def short(self) -> str:
        """Give an id of the length that the operator set, for short links. May collide: the caller checks."""
        ...
