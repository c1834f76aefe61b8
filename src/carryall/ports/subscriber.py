"""Who is told what happened."""

from typing import Protocol

from carryall.model.work import Event


class Subscriber(Protocol):
    """Takes events that became true. Told at least once, perhaps more often, perhaps not in order."""

    async def tell(self, event: Event) -> None:
        """Pass the event on, and return when it was taken. Events that it has no interest in are taken at once.

        Telling the same event again is harmless: receivers know it by its id.

        Raises:
            StoreError: it was not taken; `retryable` says whether telling again can help.
        """
        ...
