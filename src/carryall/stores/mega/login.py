"""Logging in: what is sent, and what is said to people when MEGA refuses it."""

import asyncio

from carryall.model.errors import StoreError
from carryall.stores.mega import errors
from carryall.stores.mega.api import Api
from carryall.stores.mega.crypto import b64decode
from carryall.stores.mega.errors import Refusal
from carryall.stores.mega.keys import Identity, LoginKeys, identity, keys_v1, keys_v2, one_time_code
from carryall.stores.mega.options import MegaOptions

_WRONG = "MEGA knows no account with this e-mail and password. Correct the store's EMAIL or PASSWORD."
_NO_CODE = "The MEGA account asks for a second factor. Set the store's TOTP_SECRET to the text that MEGA shows for it."
_BAD_CODE = (
    "MEGA refused the one-time code. Correct the store's TOTP_SECRET: it is the long text that MEGA shows when "
    "two-factor authentication is switched on, not one of the codes."
)
_UNCONFIRMED = "The MEGA account isn't confirmed. Open the link in the e-mail that MEGA sent to its EMAIL."


async def log_in(api: Api, options: MegaOptions) -> Identity:
    """Open a new session.

    Raises:
        StoreError: `store_credentials` where the account refuses us, with what to correct.
    """
    email = options.email.strip().lower()
    command = {"a": "us", "user": email}
    try:
        greeting = await api.ask({"a": "us0", "user": email}, sid=None)
        keys = await _keys(greeting, email, options.password)
        if options.totp_secret:  # only now, as MEGA's own time is known
            command["mfa"] = _code(options.totp_secret, api.now_s())
        answer = await api.ask(command | {"uh": keys.user_hash}, sid=None)
    except Refusal as error:
        raise _explained(error, has_code=bool(options.totp_secret)) from error
    try:
        return await asyncio.to_thread(identity, answer, keys.password_key)
    except (ValueError, KeyError, TypeError) as error:
        raise _credentials("What MEGA answered to the login can't be opened with this PASSWORD.") from error


async def _keys(greeting: object, email: str, password: str) -> LoginKeys:
    match greeting:
        case {"v": 1}:
            return await asyncio.to_thread(keys_v1, email, password)
        case {"v": 2, "s": str(salt)}:
            return await asyncio.to_thread(keys_v2, password, b64decode(salt))
    raise _credentials("This MEGA account is of a kind that isn't known: neither of version 1 nor of version 2.")


def _code(secret: str, now_s: float) -> str:
    try:
        return one_time_code(secret, now_s)
    except ValueError as error:
        raise _credentials("The store's TOTP_SECRET isn't base32: letters and the digits 2 to 7.") from error


def _explained(error: Refusal, *, has_code: bool) -> StoreError:
    """Give the error of a refused login, as far as it is about the account."""
    texts = {errors.NOT_FOUND: _WRONG, errors.INCOMPLETE: _UNCONFIRMED, errors.SECOND_FACTOR: _NO_CODE}
    if has_code:  # the SDK: -5 for a wrong code, -8 for one that was used already
        texts |= dict.fromkeys((errors.FAILED, errors.EXPIRED, errors.SECOND_FACTOR), _BAD_CODE)
    return _credentials(texts[error.number]) if error.number in texts else error


def _credentials(text: str) -> StoreError:
    return StoreError(text, retryable=False, code="store_credentials")
