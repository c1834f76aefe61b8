"""What OpenAPI says of byte routes, which FastAPI doesn't know."""

from collections.abc import Iterable, Mapping
from typing import Any

from carryall.http.dispatch import ByteRoute

Operation = dict[str, Any]

BINARY = {"type": "string", "format": "binary"}
SECURITY: Mapping[str, list[dict[str, list[str]]]] = {
    "service": [{"serviceToken": []}],
    "user": [{"userToken": []}],
    "jwt": [{"jwt": []}],
    "any": [{"userToken": []}, {"jwt": []}, {"serviceToken": []}],
    "optional": [{}, {"userToken": []}],
    "link": [{}, {"linkPassword": []}],
    "none": [{}],
}
SCHEMES = {
    "serviceToken": {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": "The service's token."},
    "userToken": {"type": "http", "scheme": "bearer", "description": "A user's or the administrator's token."},
    "linkPassword": {"type": "http", "scheme": "basic", "description": "A link's password, with any user name."},
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "RS256, from another service."},
}
PROBLEM = {
    "type": "object",
    "required": ["detail", "code"],
    "properties": {
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "Stable; docs/errors.md lists them all."},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Fields, where some are wrong."},
    },
}
_PROBLEM_TEXT = {
    400: "Not understood.",
    401: "Nobody known asks.",
    403: "Not allowed.",
    404: "Not there, or somebody else's.",
    406: "No files.",
    408: "The body came too slowly.",
    409: "Doesn't fit what is there.",
    410: "Used up.",
    412: "A condition doesn't hold.",
    413: "Too large, or no room.",
    415: "A type or coding that isn't taken.",
    416: "No such bytes.",
    422: "A field is missing or wrong.",
    429: "Too many requests.",
    502: "The store failed.",
    503: "Not now.",
    504: "The store stopped answering.",
    507: "The disk or the store is full.",
}


def operation(
    summary: str,
    *,
    tag: str,
    security: str,
    answer: Mapping[int, Any],
    refusals: Iterable[int] = (),
    parameters: Iterable[dict[str, Any]] = (),
    body: dict[str, Any] | None = None,
    description: str = "",
) -> Operation:
    """Describe one operation.

    Args:
        security: a key of SECURITY.
        answer: the good answers: status -> JSON example, or BINARY for bytes, or None for no body.
        refusals: statuses whose body is the usual problem.
        body: the request's `content` object.
    """
    return {
        "summary": summary,
        "description": description,
        "operationId": f"{tag}-{summary.lower()}".replace(" ", "-").replace("'", "").replace(",", ""),
        "tags": [tag],
        "security": SECURITY[security],
        "parameters": list(parameters),
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": {
            **{str(status): _good(example) for status, example in answer.items()},
            **{str(status): problem(status) for status in refusals},
        },
    }


def download(
    what: str, *, tag: str, security: str, parameters: Iterable[dict[str, Any]], refusals: Iterable[int]
) -> dict[str, Operation]:
    """Describe GET and HEAD of a file's bytes, which http/download.py answers alike everywhere.

    Args:
        what: completes "Read …" and "Describe … by its headers".
        refusals: beside those that every download has.
    """
    listed = list(parameters)
    return {
        "get": operation(
            f"Read {what}",
            tag=tag,
            security=security,
            parameters=listed,
            answer={200: BINARY, 206: BINARY, 304: None},
            refusals=sorted({404, 412, 416, 503, *refusals}),
        ),
        "head": operation(
            f"Describe {what} by its headers",
            tag=tag,
            security=security,
            parameters=listed,
            answer={200: None, 304: None},
            refusals=sorted({404, 412, *refusals}),
        ),
    }


def _good(example: Any) -> dict[str, Any]:
    if example is None:
        return {"description": "Done."}
    if example is BINARY:
        return {"description": "The bytes.", "content": {"*/*": {"schema": BINARY}}}
    kind = "array" if isinstance(example, list) else "object"
    return {"description": "Done.", "content": {"application/json": {"schema": {"type": kind}, "example": example}}}


def problem(status: int) -> dict[str, Any]:
    """Describe a refusal."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": _PROBLEM_TEXT[status], "content": content}


def form_body(name: str, *, is_many: bool = False, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Describe a form with a file (or several) and fields."""
    file = {"type": "array", "items": BINARY} if is_many else BINARY
    properties = {name: file, **(fields or {})}
    return {"multipart/form-data": {"schema": {"type": "object", "required": [name], "properties": properties}}}


def raw_body() -> dict[str, Any]:
    """Describe a raw body."""
    return {"application/octet-stream": {"schema": BINARY}}


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Describe a query parameter; a string unless the schema says otherwise."""
    shape = schema or {"type": "string"}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": shape}


def path(name: str, description: str) -> dict[str, Any]:
    """Describe a path parameter."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name for this request: repeated with it, the request makes nothing new and gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-+\\--~]+$"},
}


def merged(document: dict[str, Any], routes: Iterable[ByteRoute]) -> dict[str, Any]:
    """Add byte routes, the sign-in schemes and the problem's shape to FastAPI's document."""
    for route in routes:
        described = document["paths"].setdefault(route.path.replace(":path}", "}"), {})
        described.update({method: dict(docs) for method, docs in route.docs.items()})
    components = document.setdefault("components", {})
    components.setdefault("securitySchemes", {}).update(SCHEMES)
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    return document
