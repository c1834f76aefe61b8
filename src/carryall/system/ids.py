"""Random ids from the operating system's generator."""

import secrets
import string

_LONG = string.ascii_letters + string.digits
# Without the letters and digits that people mix up (0 O o, 1 l I i, …): 54 are left.
_SHORT = "".join(c for c in _LONG if c not in "0OoIl1i5")
_LONG_LENGTH = 22  # 62^22 > 2^130


class RandomIds:
    """Implements `ports.ids.Ids`."""

    def __init__(self, *, short_length: int) -> None:
        self._short_length = short_length

    def long(self) -> str:
        """Give 130 random bits in 22 letters and digits."""
        return "".join(secrets.choice(_LONG) for _ in range(_LONG_LENGTH))

    def short(self) -> str:
        """Give a short id of unambiguous letters and digits."""
        return "".join(secrets.choice(_SHORT) for _ in range(self._short_length))
