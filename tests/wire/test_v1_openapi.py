"""The document of the native API: every route is in it, byte routes too, with who may ask and what may be answered."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

OPERATIONS = {
    ("/v1/files", "get"), ("/v1/files", "post"),
    ("/v1/files/{file_id}", "get"), ("/v1/files/{file_id}", "patch"), ("/v1/files/{file_id}", "delete"),
    ("/v1/files/{file_id}/content", "get"), ("/v1/files/{file_id}/content", "head"),
    ("/v1/files/{file_id}/links", "get"), ("/v1/files/{file_id}/links", "post"),
    ("/v1/files/{file_id}/links/{link_id}", "delete"),
    ("/v1/by-name/{path}", "put"), ("/v1/by-name/{path}", "get"), ("/v1/by-name/{path}", "head"),
    ("/v1/by-name/{path}", "delete"),
    ("/v1/uploads", "post"), ("/v1/uploads", "options"),
    ("/v1/uploads/{upload_id}", "get"), ("/v1/uploads/{upload_id}", "head"),
    ("/v1/uploads/{upload_id}", "patch"), ("/v1/uploads/{upload_id}", "delete"),
    ("/v1/uploads/{upload_id}", "options"),
    ("/v1/deliveries", "get"), ("/v1/files/{file_id}/copies/{store}/retry", "post"),
    ("/v1/files/{file_id}/copies/{store}/link", "post"), ("/v1/events", "get"),
    ("/v1/me", "get"),
    ("/v1/users", "get"), ("/v1/users", "post"),
    ("/v1/users/{name}", "get"), ("/v1/users/{name}", "patch"), ("/v1/users/{name}", "delete"),
    ("/v1/users/{name}/tokens", "get"), ("/v1/users/{name}/tokens", "post"),
    ("/v1/tokens", "get"), ("/v1/tokens", "post"), ("/v1/tokens/{token_id}", "delete"),
    ("/v1/plans", "get"), ("/v1/plans/{name}", "put"), ("/v1/plans/{name}", "delete"),
    ("/d/{link_id}", "get"), ("/d/{link_id}", "head"),
}  # fmt: skip
# What browsers and clients ask before they have anything to show (T-O2).
PUBLIC = {
    ("/v1/uploads", "options"), ("/v1/uploads/{upload_id}", "options"),
    ("/d/{link_id}", "get"), ("/d/{link_id}", "head"),
}  # fmt: skip
PROBLEM = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture(scope="module")
def document(server: Any) -> dict[str, Any]:
    """The OpenAPI document."""
    with server.client() as anybody:
        found: dict[str, Any] = anybody.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of the native API, by path and method."""
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        if path.startswith(("/v1/", "/d/"))
        for method, operation in item.items()
    }


def references(value: Any) -> Iterator[str]:
    """Walk every reference in a piece of the document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def example_of(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """Give the example of a JSON content, from itself or from its schema."""
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return content.get("example", schema.get("example"))


def test_every_route_is_documented(operations: dict[tuple[str, str], Any]) -> None:
    """What is served is in the document, and nothing else is."""
    assert set(operations) == OPERATIONS


def test_operations_say_who_may_ask(operations: dict[tuple[str, str], Any]) -> None:
    """Every operation has a summary, parameters for its path, and a way to sign in; under /v1, none without."""
    for (path, method), operation in operations.items():
        where = f"{method} {path}"
        assert operation["summary"], where
        named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), where
        assert ({} in operation["security"]) == ((path, method) in PUBLIC), where
        assert "401" in operation["responses"] or method == "options", where


def test_refusals_have_the_problems_shape(operations: dict[tuple[str, str], Any]) -> None:
    """Every refusal of every operation is a problem, with a string `detail`; the framework's own shape is nowhere."""
    for (path, method), operation in operations.items():
        refusals = {status: one for status, one in operation["responses"].items() if status >= "400"}
        assert refusals or method == "options", path
        for status, refusal in refusals.items():
            assert refusal["content"]["application/json"]["schema"] == PROBLEM, (path, method, status)


def test_good_answers_have_examples(document: dict[str, Any], operations: dict[tuple[str, str], Any]) -> None:
    """Every JSON answer and every JSON body has an example, or names what it is made of."""
    for (path, method), operation in operations.items():
        answers = [one for status, one in operation["responses"].items() if status < "300"]
        for part in [*answers, operation.get("requestBody", {})]:
            content = part.get("content", {}).get("application/json")
            if content is not None:
                schema = document["components"]["schemas"].get(content["schema"].get("$ref", "").rpartition("/")[2], {})
                assert example_of(document, content) is not None or schema.get("properties"), (path, method)


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Every reference in the document is to a part of it; operation ids are unique."""
    for reference in references(document):
        part: Any = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    schemes = document["components"]["securitySchemes"]
    used = {
        scheme
        for item in document["paths"].values()
        for operation in item.values()
        for way in operation.get("security", [])
        for scheme in way
    }
    assert used <= set(schemes)
