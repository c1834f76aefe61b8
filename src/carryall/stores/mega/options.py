"""What has to be told about an account at MEGA."""

from dataclasses import dataclass, field

API_URL = "https://g.api.mega.co.nz"


@dataclass(frozen=True, slots=True)
class MegaOptions:
    """An account, and where in it files go.

    Attributes:
        email: of the account, and with `password` what it logs in with.
        totp_secret: the base32 text that MEGA shows when two-factor authentication is switched on.
        api_url: where commands are sent; another one for tests.
        folder: the name of the folder below the cloud drive that holds our files; made when absent.
        parallel_chunks: how many pieces of one file are on their way at once.
    """

    email: str
    password: str = field(repr=False)
    totp_secret: str | None = field(default=None, repr=False)
    api_url: str = API_URL
    folder: str = "Carryall"
    parallel_chunks: int = 4
