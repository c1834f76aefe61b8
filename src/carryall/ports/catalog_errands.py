"""The catalog's memory of requests that may be repeated."""

from datetime import datetime
from typing import Protocol

from carryall.model.errand import Errand


class Errands(Protocol):
    """Errands by their owner and key, and by the attempt that works on them."""

    def add(self, errand: Errand) -> bool:
        """Write a new errand; False, and nothing written, where its owner has one of this key. Safe against rivals."""
        ...

    def get(self, owner: str, key: str) -> Errand | None:
        """Give an errand."""
        ...

    def take_over(self, old_id: str, new_id: str) -> bool:
        """Let another attempt work on an errand; False where it was answered, or another one was faster."""
        ...

    def note_upload(self, errand_id: str, upload_id: str) -> bool:
        """Write that the attempt opened an upload; False where it isn't its errand any more."""
        ...

    def answer(self, errand_id: str, text: str) -> bool:
        """Write what the attempt ended with; False where it isn't its errand any more."""
        ...

    def remove(self, owner: str, key: str) -> None:
        """Forget one errand."""
        ...

    def forget(self, now: datetime) -> None:
        """Forget errands whose time is up."""
        ...
