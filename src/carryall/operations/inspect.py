"""Look at an upload's bytes before they become a file."""

from carryall.model.errors import TypeRefused
from carryall.model.media_type import extension_agrees, served_type
from carryall.model.upload import Declared
from carryall.ports.sniffer import Sniffer
from carryall.ports.staging import Staged


class Inspection:
    """Says what the content is, and refuses what isn't what it claims to be where that was asked for."""

    def __init__(self, sniff: Sniffer) -> None:
        self._sniff = sniff

    def media_type(self, staged: Staged, declared: Declared) -> str:
        """Give the type to serve the file as. Raises TypeRefused when content and name ending disagree."""
        sniffed = self._sniff(staged.head, declared.name)
        if declared.only_extensions is not None:
            extension = declared.name.rpartition(".")[2].lower()
            if not extension_agrees(extension, sniffed.media_type):
                raise TypeRefused(
                    f"The content is {sniffed.media_type}, which is not what the name ending .{extension} says. "
                    f"Allowed: {', '.join(sorted(declared.only_extensions))}.",
                    code="content_disagrees",
                    media_type=sniffed.media_type,
                )
        return served_type(sniffed.media_type, declared.media_type)
