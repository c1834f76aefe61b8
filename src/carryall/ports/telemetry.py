"""What operators count."""

from typing import Protocol


class Telemetry(Protocol):
    """Takes measurements. Never raises, never waits."""

    def upload_ended(self, door: str, outcome: str, size: int) -> None:
        """Count an upload by its door and its outcome ("stored", "refused", "broken"); size in bytes."""
        ...

    def quota_refused(self, kind: str) -> None:
        """Count a refusal for want of room, by the kind of principal that asked."""
        ...

    def served(self, size: int) -> None:
        """Count bytes that left in a download."""
        ...

    def delivered(self, store: str, outcome: str, size: int) -> None:
        """Count a try to bring a file to a store by its outcome ("stored", "failed", "given up"); size in bytes."""
        ...

    def store_asked(self, store: str, what: str, outcome: str, seconds: float) -> None:
        """Count an operation of a store elsewhere ("put", "stat" …) by its outcome: "ok", "cancelled" or a code."""
        ...

    def job_ended(self, kind: str, outcome: str) -> None:
        """Count a job by its kind and its outcome ("done", "retried", "failed")."""
        ...
