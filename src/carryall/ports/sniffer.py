"""What a file's first bytes say it is."""

from dataclasses import dataclass
from typing import Protocol

HEAD_BYTES = 8192
"""How much of a file a sniffer looks at, in bytes, from its beginning."""


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes are.

    Attributes:
        media_type: lower-case, without parameters; "application/octet-stream" where nothing is known and
            "application/x-empty" where there are no bytes.
        family: "image", "audio", "video", "font", "text", "markup", "document", "archive", "program", "data" or
            "unknown".
    """

    media_type: str
    family: str


class Sniffer(Protocol):
    """Recognises content. Never raises, whatever the bytes are; touches no disk; takes less than a millisecond."""

    def __call__(self, head: bytes, name: str) -> Sniffed:
        """Say what a file is.

        The name never turns one thing into another: it only chooses between kinds that share their magic number
        (old Office documents, kinds of text).

        Args:
            head: the file's first `HEAD_BYTES` bytes, or all of it when it is shorter. More is ignored.
            name: the client's file name; only its ending is looked at.
        """
        ...
