"""The commands of the README, as a newcomer pastes them: they run, and every way in keeps the same bytes."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def values(printed: str) -> list[Any]:
    """Read the JSON values that were printed one after the other."""
    decoder, found, rest = json.JSONDecoder(), [], printed.lstrip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def test_the_walk(
    root: Path,
    tmp_path: Path,
    fenced: Callable[[str, str], list[str]],
    serve: Callable[..., Any],
    shell: Callable[[str, Path], str],
) -> None:
    """Every block of shell in the README works, in its order, on a server with nothing but defaults and its .env."""
    shutil.copy(root / "README.md", tmp_path)
    blocks = fenced("README.md", "sh")
    before = [block for block in blocks if ".env" in block]  # the server reads that when it starts
    shell("\n".join(before), tmp_path)
    server = serve(tmp_path)
    walk = "\n".join(block for block in blocks if block not in before)
    answers = values(shell(walk.replace("http://127.0.0.1:8000", server.url), tmp_path))

    one = [answer for answer in answers if isinstance(answer, dict)]
    digest = hashlib.sha256((root / "README.md").read_bytes()).hexdigest()
    # /v1 stored it and listed it, relay took it by form and as a raw body, chunks put it together
    assert 5 == sum(digest in json.dumps(answer) for answer in one)
    assert ["dot.png", "again.png"] == [image["original_filename"] for answer in one for image in images(answer)]
    assert ["README.md"] == [file["file_name"] for answer in answers if isinstance(answer, list) for file in answer][:1]
    assert ["alice"] == [answer["user"] for answer in one if "user" in answer]


def images(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what the gallery says of its images; nothing for the answers of others."""
    data = answer.get("data")
    return data if isinstance(data, list) else []
