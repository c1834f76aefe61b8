"""Tokens: one's own, and everybody's for the administrator. A secret is shown once, when it is made."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from carryall.http.api.account_shapes import TOKEN, NewTokenShape, TokenShape, token_fields
from carryall.http.api.moments import Ending
from carryall.http.api.room import documented, native
from carryall.http.api.users import UserName
from carryall.http.context import Context
from carryall.http.guarded import Caller
from carryall.model.principal import ALL_SCOPES, Kind, Principal, Scope
from carryall.operations.accounts import TokenWish

_EXAMPLE: dict[str, Any] = {"label": "backup script", "scopes": ["read", "write"], "expires_in": 2592000}


class TokenRequest(Ending):
    """What a new token is asked to be. Without scopes it may do what the one who asks may, administering apart."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    label: str = Field("", max_length=200)
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)] | None = None
    file_id: Annotated[str, Field(max_length=32)] | None = Field(None, description="The one file that it is for.")


class AnyTokenRequest(TokenRequest):
    """The same, and for whom."""

    user: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="For the administrator: whose it will be; their own when it is left out."
    )


class Tokens(BaseModel):
    """Tokens, newest first, revoked ones included."""

    model_config = ConfigDict(json_schema_extra={"example": {"tokens": [TOKEN]}})

    tokens: list[TokenShape]


def router(context: Context) -> APIRouter:
    """Give the routes of tokens."""
    routes = native(context, "v1 users")

    @routes.get("/tokens", summary="List tokens", **documented(404, 422))
    async def tokens(
        caller: Caller, user: Annotated[str | None, Query(max_length=128, description="For the administrator.")] = None
    ) -> Tokens:
        return await _listed(context, caller, _whose(caller, user))

    @routes.post("/tokens", status_code=201, summary="Make a token", **documented(404, 422))
    async def make(caller: Caller, wish: AnyTokenRequest) -> NewTokenShape:
        return await _made(context, caller, _whose(caller, wish.user), wish)

    @routes.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token", **documented(404, 422))
    async def revoke(caller: Caller, token_id: Annotated[str, Path(max_length=100)]) -> None:
        await context.accounts.revoke_token(caller, token_id)

    @routes.get("/users/{name}/tokens", summary="List a user's tokens", **documented(404, 422))
    async def tokens_of(caller: Caller, name: UserName) -> Tokens:
        return await _listed(context, caller, name)

    @routes.post("/users/{name}/tokens", status_code=201, summary="Make a token for a user", **documented(404, 422))
    async def make_for(caller: Caller, name: UserName, wish: TokenRequest) -> NewTokenShape:
        return await _made(context, caller, name, wish)

    return routes


async def _listed(context: Context, caller: Principal, user: str | None) -> Tokens:
    found = await context.accounts.tokens(caller, user)
    return Tokens(tokens=[TokenShape(**token_fields(token)) for token in found])


async def _made(context: Context, caller: Principal, user: str | None, wish: TokenRequest) -> NewTokenShape:
    if wish.file_id is not None:
        await context.serve.by_id(caller, wish.file_id)
    scopes = frozenset(wish.scopes) if wish.scopes is not None else caller.scopes & ALL_SCOPES
    end = wish.end(context.clock.now())
    asked = TokenWish(label=wish.label, scopes=scopes, file_id=wish.file_id, expires_at=end)
    new = await context.accounts.add_token(caller, user, asked)
    return NewTokenShape(**token_fields(new.token), token=new.secret)


def _whose(caller: Principal, user: str | None) -> str | None:
    """Give the user that is meant: the one named, else the one who asks; None for the administrator's own."""
    return caller.name if user is None and caller.kind is Kind.USER else user
