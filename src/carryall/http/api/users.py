"""Who asks, and the users: the administrator's to make and change, their own to look at."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from carryall.http.api.account_shapes import USER, MeShape, UserShape, me_shape, user_shape
from carryall.http.api.room import documented, native
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.guarded import Caller
from carryall.model.account import User
from carryall.model.errors import Missing
from carryall.model.principal import Principal

UserName = Annotated[str, Path(max_length=128)]
PlanName = Annotated[str, Field(max_length=64)]


class NewUser(BaseModel):
    """A user to make. A name may be an e-mail address; it has no slash, because it stands in paths."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "alice", "plan": None}})

    name: str = Field(min_length=1, max_length=128, pattern="^[^/]+$")
    plan: PlanName | None = None


class UserChanges(BaseModel):
    """What to change of a user; what is left out stays. A null plan is the default plan of users."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"plan": "large", "is_disabled": False}})

    plan: PlanName | None = None
    is_disabled: bool = False


class Users(BaseModel):
    """Every user, by name."""

    model_config = ConfigDict(json_schema_extra={"example": {"users": [USER]}})

    users: list[UserShape]


def router(context: Context) -> APIRouter:
    """Give the routes of `me` and of users."""
    routes = native(context, "v1 users")
    _looking(routes, context)
    _changing(routes, context)
    return routes


def _looking(routes: APIRouter, context: Context) -> None:
    @routes.get("/me", summary="Say who asks", **documented())
    async def me(caller: Caller) -> MeShape:
        return me_shape(caller, await context.accounts.usage(caller.id))

    @routes.get("/users", summary="List users", **documented())
    async def users(caller: Caller) -> Users:
        caller.require_admin()
        return Users(users=[await _shape(context, user) for user in await context.accounts.users()])

    @routes.get("/users/{name}", summary="Describe a user", **documented(404, 422))
    async def user(caller: Caller, name: UserName) -> UserShape:
        return await _shape(context, await _known(context, caller, name))


def _changing(routes: APIRouter, context: Context) -> None:
    @routes.post("/users", status_code=201, summary="Make a user", **documented(404, 409, 422))
    async def make(request: Request, response: Response, caller: Caller, new: NewUser) -> UserShape:
        caller.require_admin()
        user = await context.accounts.add_user(new.name, plan=new.plan)
        response.headers["Location"] = Call(request, context).url("v1", "users", user.name)
        return await _shape(context, user)

    @routes.patch("/users/{name}", summary="Change a user's plan or disable them", **documented(404, 422))
    async def change(caller: Caller, name: UserName, changes: UserChanges) -> UserShape:
        caller.require_admin()
        known = await _known(context, caller, name)
        given = changes.model_dump(exclude_unset=True)
        user = await context.accounts.change_user(
            name, plan=given.get("plan", known.plan), is_disabled=given.get("is_disabled", known.is_disabled)
        )
        return await _shape(context, user)

    @routes.delete(
        "/users/{name}", status_code=204, summary="Remove a user, their tokens and files", **documented(404, 422)
    )
    async def remove(caller: Caller, name: UserName) -> None:
        caller.require_admin()
        await context.accounts.remove_user(name)


async def _known(context: Context, caller: Principal, name: str) -> User:
    """Give a user to the administrator and to themselves; everybody else's are missing."""
    user = await context.accounts.user(name) if caller.is_admin or caller.id == f"user:{name}" else None
    if user is None:
        raise Missing("No such user.", code="user_not_found")
    return user


async def _shape(context: Context, user: User) -> UserShape:
    return user_shape(user, await context.accounts.usage(f"user:{user.name}"))
