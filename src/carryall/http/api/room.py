"""What every room of the native API has alike: where it stands, who is let in, what its documents say."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.guarded import guarded
from carryall.model.errors import Malformed
from carryall.model.principal import Principal
from carryall.operations.admit import check_file_claim
from carryall.operations.authenticate import Realm

DOOR = "v1"
EXTERNAL_ID = "[1-9][0-9]{0,17}|0"
EXTERNAL_QUERY = openapi.query(
    "main_service_file_id", "The id that another service gave the file.", type="string", pattern=f"^(?:{EXTERNAL_ID})$"
)
_ALWAYS = (400, 401, 403, 408, 413, 415, 429, 503)  # a body is read on every route, and may be wrong on every one
_EXTERNAL = re.compile(EXTERNAL_ID)


def native(context: Context, tag: str, *, is_repeatable: bool = False) -> APIRouter:
    """Give a router under /v1 whose routes know who asks before they read; `is_repeatable` is for `guarded`."""
    route_class = guarded(context, Realm.NATIVE, is_repeatable=is_repeatable)
    return APIRouter(prefix="/v1", tags=[tag], route_class=route_class)


def documented(*refusals: int, answers: Mapping[int, str] | None = None) -> dict[str, Any]:
    """Say of a route, for OpenAPI, what it may answer: the usual refusals, these, and good answers by status."""
    refused = {status: openapi.problem(status) for status in (*_ALWAYS, *refusals)}
    good = {status: {"description": text} for status, text in (answers or {}).items()}
    return {"responses": {**good, **refused}, "openapi_extra": {"security": openapi.SECURITY["any"]}}


def repeatable(*refusals: int) -> dict[str, Any]:
    """Say the same of a route that takes an `Idempotency-Key`."""
    told = documented(*refusals)
    return {**told, "openapi_extra": {**told["openapi_extra"], "parameters": [openapi.IDEMPOTENCY_KEY]}}


def external_id_of(call: Call, principal: Principal) -> str | None:
    """Give the `main_service_file_id` that a request names. Raises Forbidden for one that its token isn't for."""
    given = call.query("main_service_file_id")
    if given is None:
        return None
    if not _EXTERNAL.fullmatch(given):
        raise Malformed("main_service_file_id is a whole number.", code="field_invalid")
    check_file_claim(principal, given)
    return given
