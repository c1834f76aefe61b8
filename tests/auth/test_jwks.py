"""Published keys are found, kept, renewed and trusted no further than they should be."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import RSAKey

from carryall.auth.jwks import JwksKeys, StaticKey, read_jwks
from carryall.auth.jwt import JwtVerifier
from carryall.model.errors import Malformed, Unauthenticated, Unavailable
from carryall.subscribers.outbound import GuardedHttp


def entry(key: rsa.RSAPrivateKey, kid: Any, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(numbers.n), "e": number(numbers.e)} | more


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def modulus(key: RSAKey | None) -> int | None:
    return key.public_key.public_numbers().n if key else None


class Issuer:
    """A real HTTP server that publishes a JWK set, counts who asks, and can be broken or slow."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.asked = 0
        self.status = 200
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        del request
        self.asked += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return web.Response(status=self.status, body=json.dumps({"keys": self.keys}).encode())


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    published = Issuer()
    app = web.Application()
    app.router.add_get("/jwks", published.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    published.url = f"http://{host}:{port}/jwks"
    yield published
    published.may_answer.set()
    await runner.cleanup()


@pytest.fixture
async def keys(issuer: Issuer, clock: Any) -> AsyncIterator[JwksKeys]:
    http = GuardedHttp(trusted=[issuer.url.removeprefix("http://").removesuffix("/jwks")])
    yield JwksKeys(issuer.url, http, clock=clock)
    await http.close()


async def test_keys_are_found_by_kid(issuer: Issuer, keys: JwksKeys, key_pairs: list[rsa.RSAPrivateKey]) -> None:
    """Each kid gives its own key, an unknown one gives none, and all from one request."""
    issuer.keys = [entry(key_pairs[0], "one"), entry(key_pairs[1], "two")]
    found = [modulus(await keys.key(kid)) for kid in ("one", "two", "three", None)]
    assert found == [
        key_pairs[0].public_key().public_numbers().n,
        key_pairs[1].public_key().public_numbers().n,
        None,
        None,
    ]
    assert issuer.asked == 1


async def test_token_without_kid_gets_the_only_key(
    issuer: Issuer, keys: JwksKeys, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """Where there is one key, tokens need not name it."""
    issuer.keys = [entry(key_pairs[0], "one"), {"kty": "oct", "k": "AAAA"}]
    assert modulus(await keys.key(None)) == key_pairs[0].public_key().public_numbers().n


async def test_rotation_is_followed(issuer: Issuer, keys: JwksKeys, clock: Any, mint: Any, forger: Any) -> None:
    """A token of a new key is believed as soon as the key is published; the old key ends with its publication."""
    verifier = JwtVerifier(keys, issuer="main-service", audience="upload-service", leeway_s=0, clock=clock)
    issuer.keys = [entry(mint.key, "old")]
    assert (await verifier.verify(mint.token({"kid": "old"}))).subject == "alice"
    clock.advance(seconds=30)
    issuer.keys = [entry(forger.key, "new")]
    assert (await verifier.verify(forger.token({"kid": "new"}))).subject == "alice"
    assert issuer.asked == 2
    with pytest.raises(Unauthenticated):
        await verifier.verify(mint.token({"kid": "old"}))


async def test_keys_are_kept_for_five_minutes(
    issuer: Issuer, keys: JwksKeys, clock: Any, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """Known keys cost one request in five minutes; after that the old one answers while the set is fetched."""
    issuer.keys = [entry(key_pairs[0], "one")]
    await keys.key("one")
    clock.advance(seconds=299)
    await keys.key("one")
    assert issuer.asked == 1
    clock.advance(seconds=1)
    issuer.may_answer.clear()
    issuer.was_asked.clear()
    assert modulus(await keys.key("one")) == key_pairs[0].public_key().public_numbers().n
    await issuer.was_asked.wait()
    assert issuer.asked == 2


async def test_unknown_kids_ask_once_in_thirty_seconds(
    issuer: Issuer, keys: JwksKeys, clock: Any, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """Made-up kids can't be used to flood the issuer."""
    issuer.keys = [entry(key_pairs[0], "one")]
    for n in range(50):
        assert await keys.key(f"made-up-{n}") is None
    assert issuer.asked == 1
    clock.advance(seconds=30)
    for n in range(50):
        assert await keys.key(f"made-up-{n}") is None
    assert issuer.asked == 2


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": 1}, {"jku": "https://x"}], ids=repr)
async def test_hopeless_tokens_ask_for_no_keys(
    issuer: Issuer, keys: JwksKeys, clock: Any, mint: Any, header: dict[str, Any]
) -> None:
    """What can be refused by its header alone costs the issuer nothing."""
    verifier = JwtVerifier(keys, issuer="main-service", audience="upload-service", leeway_s=0, clock=clock)
    with pytest.raises(Unauthenticated):
        await verifier.verify(mint.token({"kid": "one"} | header))
    assert issuer.asked == 0


async def test_many_at_once_ask_once(
    issuer: Issuer, keys: JwksKeys, clock: Any, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """All who wait for the first answer share it, and one of them going away takes it from nobody."""
    issuer.keys = [entry(key_pairs[0], "one")]
    issuer.may_answer.clear()
    waiting = [asyncio.create_task(keys.key("one")) for _ in range(20)]
    await issuer.was_asked.wait()
    waiting[0].cancel()
    clock.advance(minutes=1)
    waiting += [asyncio.create_task(keys.key("one")) for _ in range(20)]
    issuer.may_answer.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(key, RSAKey) for key in found[1:])
    assert issuer.asked == 1


async def test_old_keys_go_on_while_the_issuer_is_down(
    issuer: Issuer, keys: JwksKeys, clock: Any, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """A broken answer never takes away keys; the issuer is asked again every 30 s."""
    issuer.keys = [entry(key_pairs[0], "one")]
    await keys.key("one")
    issuer.status = 503
    for minutes in range(1, 11):
        clock.advance(minutes=1)
        assert await keys.key("one") is not None, minutes
        assert await keys.key("two") is None
    assert issuer.asked == 11


async def test_no_keys_yet_is_not_the_tokens_fault(issuer: Issuer, keys: JwksKeys, clock: Any) -> None:
    """Before there ever were keys, a token can be neither believed nor refused: try later."""
    issuer.status = 500
    with pytest.raises(Unavailable) as caught:
        await keys.key("one")
    assert caught.value.retry_after_s == 30
    with pytest.raises(Unavailable):
        await keys.key("one")
    assert issuer.asked == 1
    clock.advance(seconds=30)
    with pytest.raises(Unavailable):
        await keys.key("one")
    assert issuer.asked == 2


async def test_clock_set_back_does_not_freeze_the_keys(
    issuer: Issuer, keys: JwksKeys, clock: Any, key_pairs: list[rsa.RSAPrivateKey]
) -> None:
    """After a jump of the clock the set is fetched anew (threat 30)."""
    issuer.keys = [entry(key_pairs[0], "one")]
    await keys.key("one")
    clock.advance(days=-2)
    await keys.key("one")
    assert await keys.key("two") is None
    assert issuer.asked == 2


async def test_oversized_set_is_refused(issuer: Issuer, keys: JwksKeys, key_pairs: list[rsa.RSAPrivateKey]) -> None:
    """A set of more than 256 KiB isn't read."""
    issuer.keys = [entry(key_pairs[0], "one"), "x" * 256 * 1024]
    with pytest.raises(Unavailable):
        await keys.key("one")


@pytest.mark.parametrize(
    "more",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"n": 5},
        {"n": "A" * 342},
        {"n": "_" * 2000},
        {"n": "é"},
        {"e": "AQ"},
        {"e": "!"},
        {"e": None},
    ],
    ids=repr,
)
def test_keys_for_other_uses_are_passed_over(key_pairs: list[rsa.RSAPrivateKey], more: dict[str, Any]) -> None:
    """Only sound RSA keys for RS256 signatures count, and a bad one beside them does no harm."""
    body = json.dumps({"keys": [entry(key_pairs[0], "bad", **more), entry(key_pairs[1], "good")]}).encode()
    assert set(read_jwks(body)) == {"good", None}


def test_short_keys_are_passed_over(key_pairs: list[rsa.RSAPrivateKey]) -> None:
    """1024 bits, also when written with leading zeros, are too few."""
    short = entry(rsa.generate_private_key(public_exponent=65537, key_size=1024), "short")  # noqa: S505  # the point
    raw = base64.urlsafe_b64decode(short["n"] + "==")
    padded = short | {"n": base64.urlsafe_b64encode(b"\0" * 128 + raw).rstrip(b"=").decode(), "kid": "padded"}
    body = json.dumps({"keys": [short, padded, entry(key_pairs[0], "good")]}).encode()
    assert set(read_jwks(body)) == {"good", None}


@pytest.mark.parametrize("kid", [1, ["a"], {"a": 1}, True])
def test_kids_that_are_no_text_name_nothing(key_pairs: list[rsa.RSAPrivateKey], kid: Any) -> None:
    """A kid is text; a key with another one can still be the only key."""
    assert set(read_jwks(json.dumps({"keys": [entry(key_pairs[0], kid)]}).encode())) == {None}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [1, null]}', b"\xff", b"[" * 100_000],
    ids=lambda body: repr(body[:16]),
)
def test_broken_sets_are_refused(body: bytes) -> None:
    """What is no JWK set with a usable key is an error, so that the keys at hand stay."""
    with pytest.raises(Malformed):
        read_jwks(body)


async def test_static_key_answers_every_kid(key_pairs: list[rsa.RSAPrivateKey]) -> None:
    """The key from the settings checks all tokens."""
    pem = key_pairs[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    source = StaticKey(pem)
    expected = key_pairs[0].public_key().public_numbers().n
    assert [modulus(await source.key(None)), modulus(await source.key("../x"))] == [expected, expected]


def test_wrong_static_keys_are_refused(key_pairs: list[rsa.RSAPrivateKey]) -> None:
    """Private, short, elliptic and broken keys are refused when the server starts, with the reason."""
    private = key_pairs[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505  # the point
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem, reason in (
        (private, "private key"),
        (short.public_bytes(*form).decode(), "2048 bits"),
        (curve.public_bytes(*form).decode(), "RSA public key"),
        ("your_jwt_public_key", "RSA public key"),
        ("", "RSA public key"),
    ):
        with pytest.raises(Malformed, match=reason):
            StaticKey(pem)
