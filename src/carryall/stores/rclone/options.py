"""What a store over rclone is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RcloneOptions:
    """Settings of one store.

    Attributes:
        remote: what rclone calls the place: `drive:folder`, a name of its configuration and a path. It may carry
            credentials (`:sftp,host=…,pass=…:`), so it is never shown.
        config: rclone's configuration file; None for the one that rclone takes by itself.
        binary: the program; None for the one beside our Python (the extra `carryall[rclone]`), else on PATH.
        environment: variables that rclone gets beyond the few it always has (`daemon.KEPT`).
    """

    remote: str = field(repr=False)
    config: Path | None = None
    binary: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
