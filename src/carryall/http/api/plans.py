"""Plans: the limits that the administrator gives to users."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from carryall.http.api.account_shapes import PLAN, PlanShape, plan_shape
from carryall.http.api.room import documented, native
from carryall.http.context import Context
from carryall.http.guarded import Caller
from carryall.model.principal import Plan
from carryall.operations.placing import Targets

_MOST_BYTES = 2**60  # an exbibyte
_MOST_A_MINUTE = 1_000_000
_MOST_DAYS = 36_500

Bytes = Annotated[StrictInt, Field(ge=0, le=_MOST_BYTES)]
Count = Annotated[StrictInt, Field(ge=1, le=_MOST_A_MINUTE)]
Extension = Annotated[str, Field(pattern=r"^\.?[A-Za-z0-9_-]{1,32}$")]
StoreName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
PlanPath = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]


class Limits(BaseModel):
    """A plan's limits; null means unlimited. Endings of names are taken with and without their dot, in any case."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {name: PLAN[name] for name in PLAN if name != "name"}}
    )

    max_file_bytes: Bytes | None = None
    total_bytes: Bytes | None = None
    max_open_uploads: Count | None = 1000
    requests_per_minute: Count | None = None
    retention_days: Annotated[StrictInt, Field(ge=1, le=_MOST_DAYS)] | None = None
    extensions: Annotated[list[Extension], Field(max_length=1000)] | None = None
    target: Annotated[str, Field(max_length=1000)] | None = None
    stores: Annotated[list[StoreName], Field(max_length=100)] | None = None

    def plan(self, name: str, targets: Targets) -> Plan:
        """Give the plan of this name. Raises Malformed for stores that aren't there."""
        return Plan(
            name=name,
            max_file_bytes=self.max_file_bytes,
            total_bytes=self.total_bytes,
            max_open_uploads=self.max_open_uploads,
            requests_per_minute=self.requests_per_minute,
            retention=timedelta(days=self.retention_days) if self.retention_days is not None else None,
            extensions=(
                frozenset(one.removeprefix(".").lower() for one in self.extensions)
                if self.extensions is not None
                else None
            ),
            target=targets.known(self.target) if self.target is not None else None,
            stores=self._known_stores(targets),
        )

    def _known_stores(self, targets: Targets) -> frozenset[str] | None:
        for store in self.stores or ():
            targets.known(store)
        return frozenset(self.stores) if self.stores is not None else None


class Plans(BaseModel):
    """Plans: the built-in ones that the settings make, then the administrator's by name."""

    model_config = ConfigDict(json_schema_extra={"example": {"plans": [PLAN]}})

    plans: list[PlanShape]


def router(context: Context) -> APIRouter:
    """Give the routes of plans."""
    routes = native(context, "v1 users")

    @routes.get("/plans", summary="List plans; without administering, one's own", **documented())
    async def plans(caller: Caller) -> Plans:
        found = await context.accounts.plans() if caller.is_admin else [caller.plan]
        return Plans(plans=[plan_shape(plan) for plan in found])

    @routes.put("/plans/{name}", summary="Make or change a plan", **documented(409, 422))
    async def put(caller: Caller, name: PlanPath, limits: Limits) -> PlanShape:
        caller.require_admin()
        return plan_shape(await context.accounts.put_plan(limits.plan(name, context.targets)))

    @routes.delete("/plans/{name}", status_code=204, summary="Remove a plan", **documented(404, 409, 422))
    async def remove(caller: Caller, name: PlanPath) -> None:
        caller.require_admin()
        await context.accounts.remove_plan(name)

    return routes
