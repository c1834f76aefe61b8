"""Requests made from the OpenAPI document, by the thousand: no fault of ours, and no answer that it doesn't describe.

SCHEMATHESIS_EXAMPLES=200 makes the long form of it: that many examples for each operation, for an hour at most.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
LIMIT_S = 45 if EXAMPLES <= 10 else 3600
# Rules that JSON Schema has no words for (a cursor is one of ours, one end and not two) are refused, and should be.
# A request without a body is an empty file.
NOT_CHECKED = "positive_data_acceptance,negative_data_rejection"
PHASES = "examples,coverage,fuzzing" if EXAMPLES <= 10 else "examples,coverage,fuzzing,stateful"
# tus answers 412 to who doesn't speak it, and its bytes have a type of their own.
SETTINGS = """
hooks = "bytes_of_tus"

[checks]
missing_required_header.expected-statuses = [400, 401, 403, 404, 406, 412, 415, 422, 429]
"""
HOOKS = """import schemathesis

schemathesis.serializer.alias('application/offset+octet-stream', 'application/octet-stream')
"""
PATHS = {  # what each kind of principal is let loose on
    "admin": "^/(?!upload/)",
    "user": "^/(list|auth|upload$|upload_batch|s/|d/|api/|uploads/|v1/)",
    "subject": "^/(upload/|v1/(files$|me))",
    "service": "^/(upload$|v1/(uploads|by-name|me))",
}


@pytest.fixture(scope="module")
def api(make_target: Callable[..., Any]) -> Any:
    """A server of its own: what is tried here makes and removes users, plans and files."""
    return make_target()


def known_ids(api: Any, doors: Any) -> dict[str, str]:
    """Make things that a request can hit; give the parameters that lead to them."""
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(64)
    sent, shown = doors["v1-raw"](image, "a.png"), doors["gallery"](image)
    link = api.send_json("POST", f"/v1/files/{sent.id}/links", sent.who, {}).json()
    about = sent.answer.json()
    return {
        "path.file_id": sent.id,
        "path.short_id": about["short_id"],
        "path.link_id": link["id"],
        "path.image_id": sent.id,
        "path.path": "folder/a.bin",
        "path.upload_session_id": "none",
        "path.name": shown.id,
    }


def run(api: Any, folder: Path, who: dict[str, str], paths: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Let schemathesis loose on the server, with these headers, on these paths."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{api.url}/openapi.json", "--no-color"]
    for name, value in who.items():
        command += ["--header", f"{name}: {value}"]
    command += ["--include-path-regex", paths, "--max-examples", str(EXAMPLES), "--exclude-checks", NOT_CHECKED]
    command += ["--exclude-path", "/v1/events"]  # its answer has no end
    command += ["--generation-deterministic", "--generation-with-security-parameters", "false", "--continue-on-failure"]
    (folder / "bytes_of_tus.py").write_text(HOOKS)
    command += ["--phases", PHASES, "--request-timeout", "20", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
        text=True,
        timeout=LIMIT_S + 60,
    )


@pytest.mark.timeout(LIMIT_S + 90)
@pytest.mark.parametrize("kind", PATHS)
def test_every_answer_is_a_described_one(api: Any, doors_of: Any, tmp_path: Path, kind: str) -> None:
    """No request that the document can describe, rightly or wrongly, is a 5xx, or is answered in an undescribed way."""
    doors = doors_of(api)
    who = {"admin": api.admin, "user": doors.user.who, "subject": doors.subject.who, "service": api.service}[kind]
    lines, options = [SETTINGS], []
    if kind == "user":  # what is there stays there, for the requests that follow
        lines += ["[parameters]", *(f'"{name}" = "{value}"' for name, value in known_ids(api, doors).items())]
        options = ["--exclude-method", "DELETE"]
    (tmp_path / "schemathesis.toml").write_text("\n".join(lines))
    done = run(api, tmp_path, who, PATHS[kind], *options)
    generated = re.search(r"(\d+) generated", done.stdout)

    assert 0 == done.returncode, done.stdout[-8000:] + done.stderr[-2000:]
    assert generated
    assert int(generated[1]) >= 100
    assert not re.search(r'"status": 5\d\d|crashed|Traceback', api.log())


def test_the_document_stands_offline_and_whole(api: Any) -> None:
    """Every operation has an id, a success, its refusals as problems, and a reference that leads somewhere."""
    document = api.document
    every = [(path, way, told) for path, ways in document["paths"].items() for way, told in ways.items()]
    ids = [told["operationId"] for _, _, told in every]
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', api.ask("GET", "/openapi.json").text))
    problems = SimpleNamespace(missing=[], bare=[])
    for path, way, told in every:
        if not any(status.startswith("2") for status in told["responses"]):
            problems.missing.append((way, path))
        for status, answer in told["responses"].items():
            if status[0] == "4" and way != "head" and "content" not in answer and "$ref" not in answer:
                problems.bare.append((way, path, status))

    assert len(ids) == len(set(ids))
    assert references <= document["components"]["schemas"].keys()
    assert [] == problems.missing
    assert [] == problems.bare
    for page in ("/docs", "/redoc"):
        assert not re.search(r"(src|href)=\"(https?:)?//", api.ask("GET", page).text), "a page fetches from elsewhere"


def test_allow_names_every_method(api: Any) -> None:
    """A 405 says in `Allow` which methods the path really has (RFC 9110 §15.5.6)."""
    wrong = {}
    for path, ways in api.document["paths"].items():
        answer = api.ask("PROPFIND", re.sub(r"\{[^}]+\}", "1", path), api.admin)
        told = {method.strip() for method in answer.one("Allow").split(",")}
        documented = {way.upper() for way in ways}
        if answer.status != 405 or not documented <= told:
            wrong[path] = (answer.status, answer.one("Allow"))

    assert {} == wrong
