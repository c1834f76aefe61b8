"""Whose requests these are: keys from the settings, or from wherever AWS tools find them; and their signatures."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.session import Session

from carryall.model.errors import StoreError
from carryall.stores.s3.options import S3Options

UNSIGNED = "UNSIGNED-PAYLOAD"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with one set of keys, which may be temporary."""

    keys: Any = field(repr=False)
    region: str

    def headers(self, method: str, url: str, headers: Mapping[str, str], payload: str) -> dict[str, str]:
        """Give the headers with a signature over all of them. `payload` is the body's SHA-256, or UNSIGNED."""
        request = AWSRequest(method=method, url=url, headers=headers)
        request.context["payload"] = payload
        _Auth(self.keys, "s3", self.region).add_auth(request)
        return dict(request.headers.items())

    def link(self, url: str, expires_s: int) -> str:
        """Give a URL by which anybody may read for a while."""
        request = AWSRequest(method="GET", url=url)
        S3SigV4QueryAuth(self.keys, "s3", self.region, expires_s).add_auth(request)
        return str(request.url)


class _Auth(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs what it is told of the body, which it needn't have."""

    def payload(self, request: Any) -> str:
        return str(request.context["payload"])


class Account:
    """Finds the keys once, and anew when they are about to expire, never on the event loop.

    Source: botocore's chain of credential providers.
    """

    def __init__(self, name: str, options: S3Options, threads: Executor) -> None:
        self._name = name
        self._options = options
        self._threads = threads
        self._found: tuple[Any, str] | None = None
        self._finding = asyncio.Lock()

    async def signer(self) -> Signer:
        """Give what signs now. Raises StoreError where there are no keys."""
        if self._found is None or _is_stale(self._found[0]):
            async with self._finding:
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._find)
        return Signer(self._found[0].get_frozen_credentials(), self._found[1])

    def _find(self) -> Signer:
        try:
            found = self._found or self._look()
            signer = Signer(found[0].get_frozen_credentials(), found[1])
        except (HTTPClientError, NoConnection) as error:
            raise self._error("the service that gives them can't be reached", "store_unreachable") from error
        except (BotoCoreError, ClientError, RuntimeError) as error:
            raise self._error("they can't be had: check ACCESS_KEY and SECRET_KEY, or PROFILE") from error
        self._found = found
        return signer

    def _look(self) -> tuple[Any, str]:
        given = self._options
        if bool(given.access_key) != bool(given.secret_key):
            raise self._error("ACCESS_KEY and SECRET_KEY go together")
        session = None if given.access_key and given.region else Session(profile=given.profile)
        region = given.region or (session and session.get_config_variable("region")) or REGION
        if given.access_key or session is None:
            return Credentials(given.access_key, given.secret_key, given.session_token or None), str(region)
        keys = session.get_credentials()
        if keys is None:
            raise self._error("there are none: set ACCESS_KEY and SECRET_KEY, or what AWS tools read")
        return keys, str(region)

    def _error(self, what: str, code: str = "store_credentials") -> StoreError:
        text = f"Store {self._name} has no keys: {what}."
        return StoreError(text, retryable=code == "store_unreachable", code=code)


def _is_stale(keys: Any) -> bool:
    return isinstance(keys, RefreshableCredentials) and bool(keys.refresh_needed())
