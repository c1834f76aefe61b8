"""Only genuine RS256 tokens from the one issuer, for us, and valid now, are believed (threat 7)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carryall.auth.jwks import JwksKeys, StaticKey
from carryall.auth.jwt import JwtVerifier
from carryall.model.errors import Malformed, Unauthenticated
from carryall.ports.verify import Claims
from carryall.subscribers.outbound import GuardedHttp

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def public_bytes(mint: Any, encoding: Encoding) -> bytes:
    return mint.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def payload(mint: Any, **claims: Any) -> bytes:
    return json.dumps(mint.claims | claims).encode()


async def refused(verifier: JwtVerifier, token: str) -> str:
    """Verify a token that has to be refused, and give the code."""
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    assert caught.value.message in {"Invalid token.", "The token has expired."}
    return caught.value.stable_code


@pytest.fixture
def verifier(mint: Any, clock: Any) -> JwtVerifier:
    keys = StaticKey(public_bytes(mint, Encoding.PEM).decode())
    return JwtVerifier(keys, issuer="main-service", audience="upload-service", leeway_s=30, clock=clock)


async def test_genuine_token_is_believed(verifier: JwtVerifier, mint: Any) -> None:
    """A token with everything in place gives its claims."""
    expected = Claims(subject="alice", file_id=None, expires_at=NOW + timedelta(seconds=300))
    assert expected == await verifier.verify(mint.token())


async def test_audience_may_be_a_list(verifier: JwtVerifier, mint: Any) -> None:
    """RFC 7519 §4.1.3: `aud` may name several."""
    assert (await verifier.verify(mint.token(aud=["other", "upload-service"]))).subject == "alice"


@pytest.mark.parametrize("header", [{"kid": "a"}, {"typ": "at+jwt"}, {"x5t": "abc"}, {"nonce": "unknown header"}])
async def test_harmless_headers_are_ignored(verifier: JwtVerifier, mint: Any, header: dict[str, Any]) -> None:
    """RFC 7515 §4: headers that aren't understood are ignored."""
    assert (await verifier.verify(mint.token(header))).subject == "alice"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "none ", " none", "", "no\u200bne"], ids=repr)
@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 256])
async def test_unsigned_tokens_are_refused(verifier: JwtVerifier, mint: Any, alg: str, signature: bytes) -> None:
    """`none` is no algorithm here, in no spelling, with and without something in the signature's place."""
    token = mint.signed(json.dumps({"alg": alg}).encode(), payload(mint), lambda _: signature)
    assert await refused(verifier, token) == "token_invalid"


async def test_unsigned_token_without_last_dot_is_refused(verifier: JwtVerifier, mint: Any) -> None:
    """Two parts are no token."""
    token = mint.signed(b'{"alg":"none"}', payload(mint), lambda _: b"")
    assert await refused(verifier, token.rstrip(".")) == "token_invalid"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS256"])
@pytest.mark.parametrize("form", ["pem", "stripped", "body", "der"])
async def test_public_key_is_no_hmac_secret(verifier: JwtVerifier, mint: Any, alg: str, form: str) -> None:
    """The public key, which everybody has, signs nothing, in whatever form it is used as a secret."""
    pem = public_bytes(mint, Encoding.PEM)
    secret = {
        "pem": pem,
        "stripped": pem.strip(),
        "body": b"".join(pem.splitlines()[1:-1]),
        "der": public_bytes(mint, Encoding.DER),
    }[form]
    token = mint.signed(json.dumps({"alg": alg}).encode(), payload(mint), hs256(secret))
    assert await refused(verifier, token) == "token_invalid"


async def test_other_rsa_algorithms_are_refused(verifier: JwtVerifier, mint: Any) -> None:
    """RS512 and PS256 with the right key are refused as well: the settings choose the algorithm, not the token."""
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    rs512 = mint.signed(
        b'{"alg":"RS512"}', payload(mint), lambda d: mint.key.sign(d, padding.PKCS1v15(), hashes.SHA512())
    )
    ps256 = mint.signed(b'{"alg":"PS256"}', payload(mint), lambda d: mint.key.sign(d, pss, hashes.SHA256()))
    assert [await refused(verifier, rs512), await refused(verifier, ps256)] == ["token_invalid"] * 2


@pytest.mark.parametrize("header", [b'{"alg":["RS256"]}', b'{"alg":null}', b"{}", b'["alg"]', b'"alg"', b"{", b"\xff"])
async def test_broken_headers_are_refused(verifier: JwtVerifier, mint: Any, header: bytes) -> None:
    """A header that is no object with the text RS256 in `alg` is refused, although the signature is right."""
    assert await refused(verifier, mint.signed(header, payload(mint))) == "token_invalid"


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/proc/self/environ",
        "' UNION SELECT 'secret' --",
        "http://127.0.0.1/key",
        "",
        "\0",
        "a|id",
    ],
    ids=repr,
)
async def test_hostile_kids_find_no_key(jwks_verifier: JwtVerifier, mint: Any, kid: str) -> None:
    """A kid is compared and nothing else, so one that isn't published is refused, right signature or not."""
    assert await refused(jwks_verifier, mint.token({"kid": kid})) == "token_invalid"


@pytest.mark.parametrize("kid", [1, None, ["good"], {"good": 1}, True])
async def test_kid_has_to_be_text(jwks_verifier: JwtVerifier, mint: Any, kid: Any) -> None:
    """A kid of another type is refused and breaks nothing."""
    assert await refused(jwks_verifier, mint.token({"kid": kid})) == "token_invalid"


class SetOfOne:
    """An Outbound that gives a JWK set with one key, "good"."""

    def __init__(self, mint: Any, inner: GuardedHttp) -> None:
        numbers = mint.key.public_key().public_numbers()
        self.entry = {"kty": "RSA", "kid": "good", "n": number(numbers.n), "e": number(numbers.e)}
        self.inner = inner

    async def get(self, url: str, *, limit_bytes: int) -> bytes:
        if url != "https://issuer.example/jwks":
            return await self.inner.get(url, limit_bytes=limit_bytes)
        return json.dumps({"keys": [self.entry]}).encode()

    async def post(self, url: str, body: bytes, *, headers: Any) -> int:
        return await self.inner.post(url, body, headers=headers)


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@pytest.fixture
def jwks_verifier(mint: Any, clock: Any, listener: Any) -> JwtVerifier:
    """A verifier that could reach the listener, if it wanted to."""
    http = GuardedHttp(trusted=[f"127.0.0.1:{listener.port}"])
    keys = JwksKeys("https://issuer.example/jwks", SetOfOne(mint, http), clock=clock)
    return JwtVerifier(keys, issuer="main-service", audience="upload-service", leeway_s=30, clock=clock)


@pytest.mark.parametrize("signer", ["mint", "forger"])
@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
async def test_tokens_do_not_bring_their_keys(
    jwks_verifier: JwtVerifier, listener: Any, request: pytest.FixtureRequest, signer: str, name: str
) -> None:
    """Headers that name or carry a key are refused, and nobody connects to where they point."""
    mint = request.getfixturevalue(signer)
    numbers = mint.key.public_key().public_numbers()
    value: Any = f"http://127.0.0.1:{listener.port}/jwks.json"
    if name == "jwk":
        value = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if name == "x5c":
        value = [base64.b64encode(public_bytes(mint, Encoding.DER)).decode()]
    assert await refused(jwks_verifier, mint.token({"kid": "good", name: value})) == "token_invalid"
    assert listener.connections == 0


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "b64"}, {"b64": True}])
async def test_critical_extensions_are_refused(verifier: JwtVerifier, mint: Any, header: dict[str, Any]) -> None:
    """RFC 7515 §4.1.11: an extension that isn't understood must not be ignored; none is understood."""
    assert await refused(verifier, mint.token(header)) == "token_invalid"


async def test_unencoded_payload_is_refused(verifier: JwtVerifier, mint: Any) -> None:
    """RFC 7797: a payload that isn't base64 (b64=false), rightly signed, is refused."""
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","b64":false,"crit":["b64"]}').rstrip(b"=")
    for body in (payload(mint), b"plain"):
        data = head + b"." + body
        signature = base64.urlsafe_b64encode(mint.rs256(data)).rstrip(b"=")
        assert await refused(verifier, (data + b"." + signature).decode()) == "token_invalid"


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 100, 341])
async def test_cut_signatures_are_refused(verifier: JwtVerifier, mint: Any, cut: int) -> None:
    """A signature is whole or wrong."""
    assert await refused(verifier, mint.token()[:-cut]) == "token_invalid"


@pytest.mark.parametrize("signature", [b"\0" * 256, b"\xff" * 256, b"\0", b"\x01" * 255])
async def test_made_up_signatures_are_refused(verifier: JwtVerifier, mint: Any, signature: bytes) -> None:
    """Zeros and ones sign nothing."""
    token = mint.signed(b'{"alg":"RS256"}', payload(mint), lambda _: signature)
    assert await refused(verifier, token) == "token_invalid"


async def test_signature_covers_header_and_claims(verifier: JwtVerifier, mint: Any) -> None:
    """Parts of two genuine tokens make no third, and another key's signature is none."""
    one, two = mint.token(sub="alice").split("."), mint.token({"kid": "x"}, sub="mallory").split(".")
    mixed = [".".join((one[0], two[1], one[2])), ".".join((two[0], one[1], one[2]))]
    assert [await refused(verifier, token) for token in mixed] == ["token_invalid"] * 2


async def test_other_keys_signatures_are_refused(verifier: JwtVerifier, forger: Any) -> None:
    """Only the configured key signs."""
    assert await refused(verifier, forger.token()) == "token_invalid"


@pytest.mark.parametrize("where", ["header", "claims", "unsigned"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
async def test_deep_json_is_refused(verifier: JwtVerifier, mint: Any, where: str, opening: str) -> None:
    """JSON that is nested deeper than the interpreter's stack is refused and breaks nothing."""
    deep = (opening * (5500 // len(opening))).encode()
    head, body = (deep, payload(mint)) if where == "header" else (b'{"alg":"RS256"}', deep)
    token = mint.signed(head, body, (lambda _: b"x") if where == "unsigned" else None)
    assert await refused(verifier, token) == "token_invalid"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "Bearer x", "é.é.é", "\ud800.a.b", "a.b.c\n", "=.=.=", "\0"],
    ids=repr,
)
async def test_nonsense_is_refused(verifier: JwtVerifier, token: str) -> None:
    """What isn't three base64url parts is refused."""
    assert await refused(verifier, token) == "token_invalid"


async def test_long_tokens_are_refused_unread(verifier: JwtVerifier, mint: Any) -> None:
    """16 KiB are taken, a byte more isn't, genuine or not."""
    fitting = mint.token(pad="x" * 11_500)
    assert (await verifier.verify(fitting)).subject == "alice"
    assert await refused(verifier, mint.token(pad="x" * 12_500)) == "token_invalid"


@pytest.mark.parametrize("missing", ["exp", "iss", "aud", "sub"])
async def test_claims_are_required(verifier: JwtVerifier, mint: Any, missing: str) -> None:
    """exp, iss, aud and sub have to be there."""
    assert await refused(verifier, mint.token(without=missing)) == "token_invalid"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "main-service2"),
        ("iss", ["main-service"]),
        ("iss", None),
        ("aud", "upload"),
        ("aud", []),
        ("aud", ["other", ["upload-service"]]),
        ("aud", {"upload-service": 1}),
        ("exp", str(int(NOW.timestamp()) + 300)),
        ("exp", None),
        ("exp", True),
        ("exp", [1]),
        ("exp", -1),
        ("exp", 10**13),
        ("exp", 10**400),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("nbf", "0"),
        ("nbf", None),
        ("nbf", float("nan")),
    ],
    ids=repr,
)
async def test_wrong_claims_are_refused(verifier: JwtVerifier, mint: Any, claim: str, value: Any) -> None:
    """Issuer, audience and times have to be exactly right, in type as in value."""
    assert await refused(verifier, mint.token(**{claim: value})) == "token_invalid"


@pytest.mark.parametrize("body", [b"[]", b"1", b'"alice"', b"null", b"{", b"\xff{}"])
async def test_claims_have_to_be_an_object(verifier: JwtVerifier, mint: Any, body: bytes) -> None:
    """A signed payload that is no JSON object is refused."""
    assert await refused(verifier, mint.signed(b'{"alg":"RS256"}', body)) == "token_invalid"


async def test_expired_token_is_refused_after_the_leeway(verifier: JwtVerifier, mint: Any, clock: Any) -> None:
    """A token lives until its end plus the leeway, and then says that it has expired."""
    token = mint.token()
    clock.advance(seconds=329)
    assert (await verifier.verify(token)).subject == "alice"
    clock.advance(seconds=1)
    assert await refused(verifier, token) == "token_expired"


async def test_leeway_is_a_minute_at_most(mint: Any, clock: Any) -> None:
    """A longer leeway in the settings counts as 60 s."""
    keys = StaticKey(public_bytes(mint, Encoding.PEM).decode())
    verifier = JwtVerifier(keys, issuer="main-service", audience="upload-service", leeway_s=3600, clock=clock)
    clock.advance(seconds=300 + 59)
    assert (await verifier.verify(mint.token())).subject == "alice"
    clock.advance(seconds=1)
    assert await refused(verifier, mint.token()) == "token_expired"


async def test_forged_expired_token_is_just_invalid(verifier: JwtVerifier, forger: Any) -> None:
    """Nothing is told about a token that isn't genuine."""
    assert await refused(verifier, forger.token(exp=1)) == "token_invalid"


async def test_token_of_the_future_is_refused_until_then(verifier: JwtVerifier, mint: Any, clock: Any) -> None:
    """A token says by nbf when it begins; that is honoured, with the leeway."""
    token = mint.token(nbf=int(NOW.timestamp()) + 31)
    assert await refused(verifier, token) == "token_invalid"
    clock.advance(seconds=1)
    assert (await verifier.verify(token)).subject == "alice"


@pytest.mark.parametrize("subject", ["a", "A.b_c-d@e.example", "0" * 128])
async def test_subjects_are_kept(verifier: JwtVerifier, mint: Any, subject: str) -> None:
    """Every subject of the allowed characters is taken as it is."""
    assert (await verifier.verify(mint.token(sub=subject))).subject == subject


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "a b",
        "a/b",
        "../a",
        "a\\b",
        "a\n",
        "a\0",
        "ä",
        "٣",
        "a:b",
        "0" * 129,
        7,
        1.5,
        True,
        None,
        ["alice"],
        {"a": 1},
    ],
    ids=repr,
)
async def test_other_subjects_are_refused(verifier: JwtVerifier, mint: Any, subject: Any) -> None:
    """Other characters, other lengths and other types are refused."""
    assert await refused(verifier, mint.token(sub=subject)) == "token_invalid"


@pytest.mark.parametrize(
    ("claim", "expected"),
    [(7, "7"), (0, "0"), ("7", "7"), ("007", "7"), ("0", "0"), (10**19, "1" + "0" * 19)],
    ids=repr,
)
async def test_file_id_is_a_decimal(verifier: JwtVerifier, mint: Any, claim: Any, expected: str) -> None:
    """Numbers and numeric texts mean the same file (decision 17)."""
    assert (await verifier.verify(mint.token(file_id=claim))).file_id == expected


@pytest.mark.parametrize(
    "claim",
    [True, False, None, 7.0, -7, "-7", "+7", " 7", "7\n", "", "x", "7_0", "٣", "1" * 21, 10**20, [7], {"id": 7}],
    ids=repr,
)
async def test_other_file_ids_are_refused(verifier: JwtVerifier, mint: Any, claim: Any) -> None:
    """A scope that can't be read refuses the token: ignoring it would widen it."""
    assert await refused(verifier, mint.token(file_id=claim)) == "token_invalid"


@pytest.mark.parametrize(("issuer", "audience"), [("", "a"), ("i", "")])
def test_issuer_and_audience_are_needed(mint: Any, clock: Any, issuer: str, audience: str) -> None:
    """A verifier that would accept anybody's tokens can't be made."""
    keys = StaticKey(public_bytes(mint, Encoding.PEM).decode())
    with pytest.raises(Malformed, match="neither may be empty"):
        JwtVerifier(keys, issuer=issuer, audience=audience, leeway_s=0, clock=clock)
