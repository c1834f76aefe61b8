"""Clients that send a file in one request: a form, a raw body, a name that is replaced, images in one form."""

import hashlib
import json
from urllib.parse import urlsplit

import httpx2
from tests.crash.victim import SERVICE
from tests.crash.wire import Kept, Lost, Wire

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
_EDGE = "crash-tests-form-edge"


def form(name: str, *contents: tuple[str, bytes]) -> tuple[dict[str, str], bytes]:
    """Write a form of files; give its headers and body."""
    parts = [
        f'--{_EDGE}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for file, data in contents
    ]
    body = b"".join([*parts, f"--{_EDGE}--\r\n".encode()])
    return {"Content-Type": f"multipart/form-data; boundary={_EDGE}", "Content-Length": str(len(body))}, body


def digest_of(data: bytes) -> str:
    """Give the sha-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def by_form(wire: Wire, data: bytes) -> Kept:
    """Send a form to the relay's address. A lost answer means another upload, of other bytes."""
    while True:
        digest = wire.told.sends("relay", data)
        headers, body = form("file", ("crash.bin", data))
        try:
            answer = wire.ask("POST", "/upload", content=wire.pieces(body), headers={**headers, **SERVICE}).json()
        except Lost:
            data = another(wire, data)
            continue
        assert (digest, len(data)) == (answer["sha256"], answer["size"])
        return Kept("relay", urlsplit(answer["link"]).path, digest, len(data), answer["file_id"])


def by_put(wire: Wire, data: bytes) -> Kept:
    """Send a raw body to /v1/files."""
    while True:
        digest = wire.told.sends("put", data)
        try:
            answer = wire.ask("POST", "/v1/files?name=crash.bin", **wire.body(data)).json()
        except Lost:
            data = another(wire, data)
            continue
        return _native("put", answer, digest, data)


def by_name(wire: Wire, data: bytes) -> Kept:
    """Put bytes under a name that had others before; those are gone when the answer has come."""
    path = "/v1/by-name/crash/replaced.bin"
    before = wire.under_name
    while True:
        digest = wire.told.sends("name", data)
        try:
            answer = wire.ask("PUT", path, **wire.body(data)).json()
        except Lost:
            if before:  # the new bytes may be there by now, and the ones before be gone
                wire.told.loses(before, is_sure=False)
            data = another(wire, data)
            continue
        if before:
            wire.told.loses(before, is_sure=True)
        wire.under_name = digest
        return _native("name", answer, digest, data)


def by_gallery(wire: Wire, data: bytes) -> Kept:
    """Send three images in one form, all or none; give the last one."""
    while True:
        images = [PNG + number.to_bytes() + data for number in range(3)]
        digests = [wire.told.sends("gallery", image) for image in images]
        headers, body = form("files", *((f"image{number}.png", image) for number, image in enumerate(images)))
        try:
            answer = wire.ask("POST", "/api/upload", content=wire.pieces(body), headers=headers, auth=_nobody).json()
        except Lost:
            data = another(wire, data)
            continue
        places = [urlsplit(one["preview_url"]).path for one in answer["data"]]
        kept = [
            Kept("gallery", place, digest, len(image))
            for place, digest, image in zip(places, digests, images, strict=True)
        ]
        for one in kept[:-1]:
            wire.told.keeps(one)
        return kept[-1]


def _nobody(request: httpx2.Request) -> httpx2.Request:
    """Take the token away: the gallery's visitors have none."""
    del request.headers["Authorization"]
    return request


def _native(door: str, answer: dict[str, object], digest: str, data: bytes) -> Kept:
    assert (digest, len(data)) == (answer["sha256"], answer["size"]), json.dumps(answer)
    return Kept(door, f"/v1/files/{answer['id']}/content", digest, len(data), str(answer["id"]))


def another(wire: Wire, data: bytes) -> bytes:
    """Wait for the server; give other bytes of the same number: the first ones may have become a file unheard."""
    wire.wait()
    seed = hashlib.sha256(data + wire.dice.randbytes(16)).digest()
    return wire.dice.randbytes(len(data)) if len(data) >= 32 else seed
