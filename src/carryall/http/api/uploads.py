"""What an upload's address shows: the file that it became, or how far it is. Looking disturbs nobody."""

import re

from starlette.responses import JSONResponse, Response

from carryall.http.api.shapes import upload_shape
from carryall.http.call import Call
from carryall.http.download import Delivery, deliver
from carryall.http.headers import joined
from carryall.model.principal import Principal, Scope
from carryall.operations.sight import alive

_JSON = re.compile(r"(?:^|,)\s*application/json\s*(?:;(?!\s*q=0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE)


async def show(call: Call, principal: Principal) -> Response:
    """Give the file of a complete upload; before that, and to whoever asks for JSON, what is known of the upload.

    JSON is asked for by `Accept: application/json` or `?output=json`, and tells of an upload that is over, too.
    Raises Missing, also (`upload_gone`) for one that was given up or has expired.
    """
    if Scope.WRITE not in principal.scopes:  # who may only write still may ask what became of it
        principal.require(Scope.READ)
    upload = await call.context.door.look(principal, call.params["upload_id"])
    if not _wants_json(call):
        alive(upload, call.context.clock.now())
        if upload.file_id is not None:
            return await deliver(call, await call.context.serve.by_id(principal, upload.file_id), Delivery(via="api"))
    shape = upload_shape(call, upload).model_dump(mode="json")
    return JSONResponse(shape, headers={"Cache-Control": "no-store"})


def _wants_json(call: Call) -> bool:
    return call.query("output") == "json" or bool(_JSON.search(joined(call.headers, "accept") or ""))
