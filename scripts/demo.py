"""Show what Carryall does: start a server, upload through every surface, look at the answers, download, compare, stop.

Everything happens in a folder that is thrown away afterwards; your own settings and data are not touched.
"""

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey
from rich.console import Console

ISSUER, AUDIENCE = "demo-main-service", "demo-uploads"
START_S = 60
screen = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Thing:
    """A file to send."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Ask:
    """One request, from which both what is sent and the curl line are made.

    Attributes:
        sign: whose credential goes along: SERVICE, TOKEN, JWT or none.
        form: fields by name; a Thing is a file.
        raw: the body, as it is.
        data: the body, as JSON.
    """

    method: str
    path: str
    sign: str = ""
    form: tuple[tuple[str, Thing | str], ...] = ()
    raw: Thing | None = None
    data: Any = None


@dataclass(frozen=True)
class Stage:
    """A running server, and the headers of those who call it."""

    address: str
    headers: dict[str, tuple[str, str]]

    def send(self, ask: Ask) -> tuple[int, bytes]:
        """Send a request; give status and body."""
        kind, body = encoded(ask)
        headers = {"Content-Type": kind} if kind else {}
        if ask.sign:
            name, value = self.headers[ask.sign]
            headers[name] = value
        connection = http.client.HTTPConnection(self.address, timeout=60)
        with contextlib.closing(connection):
            connection.request(ask.method, ask.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def show(self, ask: Ask, *, status: int = 200) -> Any:
        """Send a request and show it with its answer; give the answer. Another status than this ends the show."""
        screen.print(f"\n[dim]$[/] [bold]{curl_line(ask, self.address, self.headers)}[/]")
        got, body = self.send(ask)
        answer = json.loads(body) if body else None
        screen.print_json(data=answer, indent=2)
        if got != status:
            raise SystemExit(f"The answer was {got}, and {status} was expected.")
        return answer

    def compare(self, thing: Thing, path: str, *, sign: str = "") -> None:
        """Download from a path, or a URL of this server, and make sure that the bytes are those that were sent."""
        parts = urlsplit(path)
        ask = Ask("GET", parts.path + (f"?{parts.query}" if parts.query else ""), sign)
        got, body = self.send(ask)
        if got != 200 or body != thing.content:
            raise SystemExit(f"{path} gave status {got} and {len(body)} bytes; they are not those of {thing.name}.")
        digest = hashlib.sha256(body).hexdigest()
        screen.print(f"[green]✓[/] {ask.path} gives the same {len(body):,} bytes (sha-256 {digest[:16]}…)")


def encoded(ask: Ask) -> tuple[str, bytes | None]:
    """Give a request's content type and body."""
    if ask.form:
        boundary = "carryall-demo-boundary"
        parts = [form_part(boundary, name, value) for name, value in ask.form]
        return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])
    if ask.raw:
        return ask.raw.type, ask.raw.content
    if ask.data is not None:
        return "application/json", json.dumps(ask.data).encode()
    return "", None


def form_part(boundary: str, name: str, value: Thing | str) -> bytes:
    """Give one part of a form, as browsers write it."""
    if isinstance(value, str):
        head, content = f'name="{name}"', value.encode()
    else:
        head, content = f'name="{name}"; filename="{value.name}"\r\nContent-Type: {value.type}', value.content
    return f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def curl_line(ask: Ask, address: str, headers: dict[str, tuple[str, str]]) -> str:
    """Give the command that sends this request."""
    words = ["curl"]
    if ask.method not in {"GET", "POST", "PUT"}:
        words.append(f"-X {ask.method}")
    if ask.sign:
        name, value = headers[ask.sign]
        words.append(f'-H "{name}: {"Bearer " if value.startswith("Bearer ") else ""}${ask.sign}"')
    words += [
        f"-F {name}=@{value.name}" if isinstance(value, Thing) else f"-F {name}={value}" for name, value in ask.form
    ]
    if ask.raw:
        words.append(f"-T {ask.raw.name}" if ask.method == "PUT" else f"--data-binary @{ask.raw.name}")
    if ask.data is not None:
        words.append(f"-H 'Content-Type: application/json' -d '{json.dumps(ask.data)}'")
    url = f"http://{address}{ask.path}"
    return " ".join([*words, f"'{url}'" if "?" in url else url]).replace("[", "\\[")


def relay(stage: Stage) -> None:
    """A game mod sends a form, or a raw body, with the token that it shares with the server."""
    level = Thing("level.dat", "application/octet-stream", random.Random(1).randbytes(300_000))
    answer = stage.show(Ask("POST", "/upload?service=local", "SERVICE", form=(("file", level),)))
    stage.compare(level, answer["link"])
    greeting = Thing("Grüße.txt", "text/plain", "Grüße aus der Demo\n".encode())
    answer = stage.show(Ask("POST", f"/upload?fileName={quote(greeting.name)}", "SERVICE", raw=greeting))
    stage.compare(greeting, answer["link"])


def blobs(stage: Stage) -> None:
    """A user with a token of their own gets short links, and sees what is theirs."""
    notes = Thing("notes.md", "text/markdown", b"# Notes\n\nShort links are easy to pass on.\n")
    answer = stage.show(Ask("POST", "/upload", "TOKEN", form=(("file", notes),)))
    stage.compare(notes, answer["file_url"])
    stage.show(Ask("GET", "/list", "TOKEN"))


def gallery(stage: Stage) -> None:
    """A browser sends several images at once, without any token, and gets addresses to show them by."""
    images = [Thing("red.png", "image/png", image(200, 40, 40)), Thing("blue.png", "image/png", image(40, 40, 200))]
    answer = stage.show(Ask("POST", "/api/upload", form=tuple(("files", one) for one in images)))
    for one, shown in zip(images, answer["data"], strict=True):
        stage.compare(one, shown["preview_url"])


def chunks(stage: Stage) -> None:
    """Another service signs its users in; they send a long recording in pieces, in any order."""
    song = Thing("song.ogg", "audio/ogg", b"OggS" + random.Random(2).randbytes(2_500_000))
    pieces = [song.content[at : at + 1_000_000] for at in range(0, len(song.content), 1_000_000)]
    begin = {"main_service_file_id": 42, "original_file_name": song.name}
    session = stage.show(Ask("POST", "/upload/init", "JWT", data=begin))["data"]["upload_session_id"]
    for number in (2, 0, 1):
        piece = Thing(f"piece-{number}", "application/octet-stream", pieces[number])
        fields = (("upload_session_id", session), ("chunk_index", str(number)), ("chunk", piece))
        stage.show(Ask("POST", "/upload/chunk", "JWT", form=fields))
    end = {"upload_session_id": session, "total_chunks": len(pieces), "main_service_file_id": 42}
    stage.show(Ask("POST", "/upload/complete", "JWT", data=end))
    stage.compare(song, "/upload/download/42", sign="JWT")


def native(stage: Stage) -> None:
    """The native API takes everybody; here it keeps a file under a name, and shares it for three downloads."""
    report = Thing("report.csv", "text/csv", b"day,files\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(1000)))
    file = stage.show(Ask("PUT", "/v1/by-name/2026/report.csv", "TOKEN", raw=report), status=201)
    stage.compare(report, "/v1/by-name/2026/report.csv", sign="TOKEN")
    wish = {"max_downloads": 3}
    link = stage.show(Ask("POST", f"/v1/files/{file['id']}/links", "TOKEN", data=wish), status=201)
    stage.compare(report, link["url"])
    stage.show(Ask("GET", "/v1/me", "TOKEN"))


ACTS = {"relay": relay, "blobs": blobs, "gallery": gallery, "chunks": chunks, "/v1": native}


def image(red: int, green: int, blue: int) -> bytes:
    """Draw a PNG of 8 by 8 dots."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes((red, green, blue)) * 8) * 8
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main_service() -> tuple[str, str]:
    """Play the service that signs users in: give its public key, and a token for one of its users."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"sub": "carol", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600}
    token = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(private), algorithms=["RS256"])
    return public.decode(), token


def environment(folder: Path, public_key: str) -> dict[str, str]:
    """Give the settings of the demo's server, and none of yours."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "CARRYALL_DATA_DIR": str(folder / "data"),
        "MAIN_SERVICE_JWT_PUBLIC_KEY": public_key,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
    }


def carryall(*arguments: str, folder: Path, settings: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    """Start the command line in the demo's folder."""
    command = [sys.executable, "-m", "carryall", *arguments]
    return subprocess.Popen(command, cwd=folder, env=settings, text=True, stdin=subprocess.DEVNULL, **options)


@contextlib.contextmanager
def running_server(folder: Path, settings: dict[str, str]) -> Iterator[str]:
    """Run a server on a free port; give its address. Its stopping is a part of the show."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as lines:
        server = carryall("serve", "--port", str(port), folder=folder, settings=settings, stdout=lines, stderr=lines)
    try:
        wait_until_ready(server, port, log)
        yield f"127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        if server.wait(timeout=60) != 0:
            raise SystemExit(f"The server ended with status {server.returncode}:\n{log.read_text()}")
    finally:
        server.kill()
        server.wait()


def wait_until_ready(server: subprocess.Popen[str], port: int, log: Path) -> None:
    """Wait for the server's first answer."""
    until = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/ready")
                if connection.getresponse().status == 200:
                    return
        time.sleep(0.1)
    raise SystemExit(f"The server did not start:\n{log.read_text()}")


def user_token(folder: Path, settings: dict[str, str]) -> str:
    """Make a user on the running server's data, as an administrator would."""
    screen.print("\n[dim]$[/] [bold]TOKEN=$(carryall users token bob --add)[/]")
    asked = carryall(
        "users",
        "token",
        "bob",
        "--add",
        folder=folder,
        settings=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    token, said = asked.communicate(timeout=60)
    if asked.returncode != 0:
        raise SystemExit(said)
    return token.strip()


def main() -> None:
    """Play every act."""
    began = time.monotonic()
    public_key, token = main_service()
    with tempfile.TemporaryDirectory(prefix="carryall-demo-") as name:
        folder = Path(name)
        settings = environment(folder, public_key)
        with running_server(folder, settings) as address:
            screen.print(f"A server runs on http://{address}, for this demo only.")
            service = (folder / "data" / "secrets" / "service_token").read_text().strip()
            headers = {
                "SERVICE": ("X-Auth-Token", service),
                "TOKEN": ("Authorization", f"Bearer {user_token(folder, settings)}"),
                "JWT": ("Authorization", f"Bearer {token}"),
            }
            for title, act in ACTS.items():
                screen.print()
                screen.rule(f"[bold]{title}[/]", align="left")
                screen.print(f"[dim]{(act.__doc__ or '').strip()}[/]")
                act(Stage(address, headers))
    screen.print(
        f"Everything came back as it was sent, and the server stopped cleanly. {time.monotonic() - began:.1f} s."
    )


if __name__ == "__main__":
    main()
