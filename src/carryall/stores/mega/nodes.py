"""Files and folders as MEGA tells of them: nodes."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from carryall.model.errors import Missing
from carryall.stores.mega.crypto import FileKey, b64decode, b64encode, ecb_decrypt, opened
from carryall.stores.mega.keys import Identity

FILE, FOLDER, ROOT = 0, 1, 2
_BETWEEN = ":"  # not in a key's alphabet, so that no key is taken for a location
_ILLEGAL = dict.fromkeys([*range(32), 127, *map(ord, '"*/:<>?\\|')], "_")


class RawNode(NamedTuple):
    """What is kept of a node's JSON; an account may have a million of them."""

    handle: str
    parent: str
    kind: int
    attributes: str
    keys: str
    size: int
    made_at_s: int


def compact(found: dict[str, Any]) -> Any:
    """Give a JSON object back, or what is kept of it if it is a node. For `json.loads`."""
    if "h" not in found or "t" not in found:
        return found
    return RawNode(
        handle=str(found["h"]),
        parent=str(found.get("p", "")),
        kind=int(found["t"]),
        attributes=str(found.get("a", "")),
        keys=str(found.get("k", "")),
        size=int(found.get("s", 0)),
        made_at_s=int(found.get("ts", 0)),
    )


def stored_key(keys: str, user: str) -> str:
    """Give the account's own of a node's keys, as MEGA keeps it. Raises ValueError where it has none."""
    for entry in keys.split("/"):
        owner, _, key = entry.rpartition(":")
        if owner in {user, ""}:
            return key
    raise ValueError("not this account's node")


def folder_name(node: RawNode, own: Identity) -> str | None:
    """Give a folder's name; None where it can't be read."""
    try:
        key = ecb_decrypt(own.master_key, b64decode(stored_key(node.keys, own.user)))
        name = opened(node.attributes, key).get("n")
    except ValueError:
        return None
    return name if isinstance(name, str) else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file of ours is: all that is needed to read it without knowing the account's tree."""

    handle: str
    key: FileKey = field(repr=False)
    stored_key: str

    @property
    def location(self) -> str:
        """Give what the catalog keeps: the node's handle and its key, which only the master key opens."""
        return located(self.handle, self.stored_key)

    @property
    def tag(self) -> str:
        """Give what changes with the bytes."""
        return self.key.mac.hex()

    @classmethod
    def of_node(cls, node: RawNode, own: Identity) -> "Place":
        """Take a node of our folder. Raises ValueError where its key can't be read."""
        kept = stored_key(node.keys, own.user)
        return cls(node.handle, FileKey.unpacked(ecb_decrypt(own.master_key, b64decode(kept))), kept)

    @classmethod
    def at(cls, location: str, own: Identity) -> "Place":
        """Read a location. Raises Missing where it isn't one."""
        handle, _, kept = location.partition(_BETWEEN)
        try:
            return cls(handle, FileKey.unpacked(ecb_decrypt(own.master_key, b64decode(kept))), kept)
        except ValueError as error:
            raise Missing("This is no place in a MEGA account.", code="file_damaged") from error


def located(handle: str, kept: str) -> str:
    """Give the location of a node and its encrypted key."""
    return f"{handle}{_BETWEEN}{kept}"


def marked(key: str) -> str:
    """Give what stands for a key that `put` was given: who has a file's link can read it, and mustn't learn the key."""
    return b64encode(hashlib.sha256(key.encode()).digest()[:16])


def handle_of(location: str) -> str | None:
    """Give the node of a location; None for what isn't one: a key."""
    handle, between, _ = location.partition(_BETWEEN)
    return handle if between else None


@dataclass(frozen=True, slots=True)
class Label:
    """What a file of ours says of itself, encrypted, in its node's attributes.

    Attributes:
        name: as people see it.
        mark: stands for the key that `put` was given; None for a file that somebody else put there.
        sha256: of the whole plain file.
        made_at_s: when it was put there, in MEGA's time.
    """

    name: str
    mark: str | None
    sha256: str | None
    made_at_s: int

    def attributes(self) -> dict[str, Any]:
        """Give them under names that no client of MEGA's gives a meaning to."""
        return {"n": visible(self.name), "cam": self.mark, "cah": self.sha256, "cat": self.made_at_s}

    @classmethod
    def read(cls, text: str, key: FileKey) -> "Label":
        """Read a node's attributes; what isn't there or can't be read is left out."""
        try:
            found = opened(text, key.key)
        except ValueError:
            found = {}
        mark, sha256, made_at_s = found.get("cam"), found.get("cah"), found.get("cat")
        return cls(
            name=str(found.get("n", "")),
            mark=mark if isinstance(mark, str) else None,
            sha256=sha256 if isinstance(sha256, str) else None,
            made_at_s=made_at_s if isinstance(made_at_s, int) else 0,
        )


def visible(name: str) -> str:
    """Give a name that MEGA's programs can show and write to a disk."""
    return name.translate(_ILLEGAL) or "_"
