"""docs/api.md, run as it stands: every curl line of it works on a real server."""

import re
import secrets
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
# Each line of the page fails where the server refuses it; what it prints is for people.
CURL = 'curl() {{ command {curl} --silent --show-error --fail-with-body --output /dev/null --dump-header - "$@"; }}\n'


def blocks() -> list[str]:
    """Give the page's shell examples, in order."""
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_every_example_works(server: Any, tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """The whole page as one script, with the ids that a reader would copy from the answers."""
    curl, bash = require_program("curl"), require_program("bash")
    require_program("openssl")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + secrets.token_bytes(1000))
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "data" / "secrets").mkdir(parents=True)
    (tmp_path / "data" / "secrets" / "admin_token").write_text(server.admin_token)
    name, headers = server.new_user()
    with server.client(headers=headers) as user:
        files = user.post("/v1/files", files=[("file", ("a", b"a" * 200)), ("file", ("b", b"b"))]).json()["files"]
        link = user.post(f"/v1/files/{files[0]['id']}/links", json={"password": "s3cret"}).json()
        token = user.post("/v1/tokens", json={}).json()["id"]
    with server.client(headers=server.bearer(server.jwt(name))) as other:
        body = {"main_service_file_id": 1, "original_file_name": "a"}
        upload = other.post("/upload/init", json=body).json()["data"]["upload_session_id"]
    values = {
        "TOKEN": headers["Authorization"].removeprefix("Bearer "),
        "ID": files[0]["id"],
        "SECOND": files[1]["id"],
        "LINK": link["id"],
        "LINK_URL": link["url"],
        "TOKEN_ID": token,
        "UPLOAD": upload,
        "TOMORROW": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    page = "".join(blocks()).replace("http://127.0.0.1:8000", server.url)
    # A user's token can't see the session of another service's user, so this one line asks as that user.
    page = page.replace('"$AUTH" "$URL/v1/uploads/', f'"Authorization: Bearer {server.jwt(name)}" "$URL/v1/uploads/')

    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", CURL.format(curl=curl) + page],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", **values},
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert page.count("curl ") > 40
    with server.client(headers=headers) as user:
        kept = {file["path"] or file["name"] for file in user.get("/v1/files").json()["files"]}
    assert {"2026/summer/photo.jpg", "checked.jpg", "notes.txt", "beach.jpg"} <= kept
