"""Digest fields: RFC 9530 and its elders."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from carryall.http.digests import ExpectedDigests, expected_digests, repr_digest_header, wants_digest
from carryall.model.errors import Malformed

_HELLO = b'{"hello": "world"}'
_SHA256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"  # RFC 9530 §2, the example of the RFC itself
_SHA512 = f"sha-512=:{base64.b64encode(hashlib.sha512(_HELLO).digest()).decode()}:"
_MD5 = base64.b64encode(hashlib.md5(_HELLO, usedforsecurity=False).digest()).decode()


def _headers(*lines: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for name, value in lines])


def _digest(algorithm: str) -> str:
    return hashlib.new(algorithm, _HELLO, usedforsecurity=False).hexdigest()


_READ = {
    "nothing": ([], {}, {}),
    "content": ([("Content-Digest", _SHA256)], {"sha-256": _digest("sha256")}, {}),
    "representation": ([("Repr-Digest", _SHA256)], {}, {"sha-256": _digest("sha256")}),
    "two members": (
        [("Repr-Digest", f"{_SHA512}, {_SHA256}")],
        {},
        {"sha-256": _digest("sha256"), "sha-512": _digest("sha512")},
    ),
    "two lines": (
        [("Repr-Digest", _SHA512), ("Repr-Digest", _SHA256)],
        {},
        {"sha-256": _digest("sha256"), "sha-512": _digest("sha512")},
    ),
    "unknown members and parameters": (
        [("Repr-Digest", f"unixsum=:AAA=:, blake3=:AAAA:;v=1 , {_SHA256};x;y=?0")],
        {},
        {"sha-256": _digest("sha256")},
    ),
    "only unknown members": ([("Repr-Digest", 'new="text, with \\" comma", n=12, third, fourth=tok/en')], {}, {}),
    "without padding": ([("Repr-Digest", _SHA256[:-2] + ":")], {}, {"sha-256": _digest("sha256")}),
    "Content-MD5": ([("Content-MD5", _MD5)], {"md5": _digest("md5")}, {}),
    "Digest of RFC 3230": (
        [("Digest", f"SHA-256={_SHA256[9:-1]},unixsum=30637,MD5={_MD5}")],
        {},
        {"sha-256": _digest("sha256"), "md5": _digest("md5")},
    ),
    "old and new agree": (
        [("Digest", f"sha-256={_SHA256[9:-1]}"), ("Repr-Digest", _SHA256)],
        {},
        {"sha-256": _digest("sha256")},
    ),
}


@pytest.mark.parametrize(("lines", "content", "representation"), _READ.values(), ids=_READ.keys())
def test_announced_digests_are_read(
    lines: list[tuple[str, str]], content: dict[str, str], representation: dict[str, str]
) -> None:
    """Known algorithms are given in hexadecimal, unknown ones passed over (RFC 9530 §2, §3; RFC 3230; RFC 1864)."""
    assert expected_digests(_headers(*lines)) == ExpectedDigests(content=content, representation=representation)


@pytest.mark.parametrize(
    "line",
    [
        ("Content-Digest", "sha-256"),
        ("Content-Digest", "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
        ("Content-Digest", "sha-256=:X48E9q:"),
        ("Content-Digest", "sha-256=::"),
        ("Content-Digest", "sha-256=:====:"),
        ("Content-Digest", "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        ("Content-Digest", _SHA256 + ","),
        ("Content-Digest", "," + _SHA256),
        ("Content-Digest", _SHA256 + " " + _SHA512),
        ("Content-Digest", "sha-256=12"),
        ("Content-Digest", "=:AAAA:"),
        ("Content-Digest", "\xe9"),
        ("Repr-Digest", "sha-512=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        ("Content-MD5", "not base64"),
        ("Content-MD5", "AAAA"),
        ("Digest", "sha-256"),
        ("Digest", "sha-256=5f8f04f6a3a892aaabbddb6cf273894493773960d4a325b105fee46eef4304f1"),
    ],
    ids=lambda line: f"{line[0]} {line[1]}".encode("unicode_escape").decode(),
)
def test_a_malformed_digest_is_refused(line: tuple[str, str]) -> None:
    """An upload whose announced digest can't be understood doesn't pass as checked."""
    with pytest.raises(Malformed) as caught:
        expected_digests(_headers(line))
    assert caught.value.stable_code == "digest_malformed"


def test_contradicting_digests_are_refused() -> None:
    """Repr-Digest and Digest speak of the same bytes; two different values can't both be right."""
    other = base64.b64encode(bytes(32)).decode()
    with pytest.raises(Malformed):
        expected_digests(_headers(("Repr-Digest", _SHA256), ("Digest", f"SHA-256={other}")))


@given(st.binary(max_size=64))
def test_a_written_digest_can_be_read(data: bytes) -> None:
    """What we answer is what we would accept."""
    digest = hashlib.sha256(data).hexdigest()
    read = expected_digests(_headers(("Repr-Digest", repr_digest_header(digest))))
    assert read.representation == {"sha-256": digest}


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_any_field_is_read_or_refused(text: str) -> None:
    """Nothing but Malformed comes out of a digest field."""
    for name in ("content-digest", "repr-digest", "content-md5", "digest"):
        try:
            expected_digests(_headers((name, text)))
        except Malformed:
            continue
    wants_digest(_headers(("want-repr-digest", text)))


@pytest.mark.parametrize(
    ("line", "is_wanted"),
    [
        (None, True),
        ("sha-256=10", True),
        ("sha-512=3, sha-256=1, md5=0", True),
        ("sha-256=0", False),
        ("sha-512=10", False),
        ("sha-256=11", True),
        ("sha-256=high", True),
        ("sha-256=:AAAA:", True),
        ("???", True),
    ],
)
def test_wanted_digests_are_honoured(line: str | None, is_wanted: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    """Want-Repr-Digest is advice: 0 means no, and what can't be read says nothing (RFC 9530 §4)."""
    headers = _headers() if line is None else _headers(("Want-Repr-Digest", line))
    assert wants_digest(headers) is is_wanted
