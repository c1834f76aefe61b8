"""Tokens that nobody issued: forged JWTs, addresses in them, and how real ones are kept (threats 6, 7 and 8)."""

import base64
import hashlib
import hmac
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from carryall.auth import secrets as kept_secrets

FORGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# Each of these reads who asks and nothing else.
DOORS = ["/upload/files", "/v1/me", "/v1/files", "/upload/download/1"]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(target: Any, **more: Any) -> dict[str, Any]:
    """Give what a good token says, changed; a claim of None is left out."""
    now = int(time.time())
    said = {"sub": "mallory", "iss": target.issuer, "aud": target.audience, "iat": now, "exp": now + 600, **more}
    return {name: value for name, value in said.items() if value is not None}


def token(header: Any, payload: Any, signature: bytes = b"") -> str:
    """Put a token together from anything; bytes are taken as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join([*map(base64url, parts), base64url(signature)])


def with_hmac(target: Any, algorithm: str, key: bytes) -> str:
    """Sign a good token with a secret that is really the public key."""
    signed = token({"alg": algorithm, "typ": "JWT"}, claims(target)).removesuffix(".")
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return f"{signed}.{base64url(hmac.digest(key, signed.encode(), digest))}"


def public_keys(target: Any) -> dict[str, bytes]:
    """Give the public key in every form that a careless server might use as a secret."""
    public = target.key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = b"".join(pem.splitlines()[1:-1])
    forms = {"PEM": pem, "stripped PEM": pem.strip(), "one line": pem.replace(b"\n", b"\\n"), "PKCS1": pkcs1}
    return {**forms, "DER": der, "base64": body, "CRLF": pem.replace(b"\n", b"\r\n"), "empty": b""}


def statuses(target: Any, credential: str | bytes) -> set[int]:
    """Ask every door with a bearer credential."""
    value = b"Bearer " + (credential if isinstance(credential, bytes) else credential.encode())
    return {target.ask("GET", path, {"Authorization": value}).status for path in DOORS}


def test_a_good_token_is_taken(target: Any) -> None:
    """7: the tokens that the others forge would be good ones: this is what they are measured against."""
    assert {200, 404} == statuses(target, target.sign())


@pytest.mark.parametrize(
    "none", ["none", "None", "NONE", "nOnE", "none ", " none", "", "null", "no\u0144e", "RS256none"]
)
def test_none_is_no_algorithm(target: Any, none: str) -> None:
    """7: a token without a signature is refused in every spelling of `none`, with whatever stands for a signature."""
    for signature in (b"", b"\0", secrets.token_bytes(256)):
        forged = token({"alg": none, "typ": "JWT"}, claims(target), signature)
        assert {401} == statuses(target, forged)
        assert {401} == statuses(target, forged.rpartition(".")[0])


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret(target: Any, algorithm: str) -> None:
    """7: a token that is signed with the public key as if it were a secret is refused."""
    for form, key in public_keys(target).items():
        assert {401} == statuses(target, with_hmac(target, algorithm, key)), form


@pytest.mark.parametrize(
    "algorithm",
    ["RS512", "RS384", "PS256", "ES256", "EdDSA", "rs256", "RS256 ", "RSA-OAEP", None, 1, ["RS256"], {"a": 1}],
)
def test_only_the_configured_algorithm_counts(target: Any, algorithm: Any) -> None:
    """7: with the right key another algorithm than RS256 is refused, and RS256 under another name too."""
    kinds = {"RS512": hashes.SHA512(), "RS384": hashes.SHA384()}
    signed = token({"alg": algorithm}, claims(target)).removesuffix(".")
    padded = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if algorithm == "PS256" else padding.PKCS1v15()
    signature = target.key.sign(signed.encode(), padded, kinds.get(str(algorithm), hashes.SHA256()))

    assert {401} == statuses(target, f"{signed}.{base64url(signature)}")


def own_key() -> dict[str, str]:
    """Give the forger's public key as a JWK."""
    numbers = FORGER.public_key().public_numbers()
    return {"kty": "RSA", "n": base64url(numbers.n.to_bytes(256, "big")), "e": "AQAB", "alg": "RS256", "use": "sig"}


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": own_key()},
        {"jwk": own_key(), "kid": "1"},
        {"x5c": [base64.b64encode(b"a certificate").decode()]},
        {"kid": "../../../../../../dev/null"},
        {"kid": "/dev/null"},
        {"kid": "file:///etc/passwd"},
        {"kid": "' UNION SELECT 'key'--"},
        {"kid": "a\x00b"},
        {"kid": "$(id)|id"},
        {"kid": {"a": 1}},
        {"kid": "x" * 100_000},
    ],
    ids=lambda header: ",".join(header) + str(header.get("kid", ""))[:12],
)
def test_the_forger_brings_no_key(target: Any, header: dict[str, Any]) -> None:
    """7: a key, a certificate or the way to one inside the token doesn't count."""
    assert {401, 431} >= statuses(target, target.sign(header=header, key=FORGER))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "exp"},
        {"crit": ["nobody-knows-this"], "nobody-knows-this": 1},
        {"b64": False},
        {"alg": ["RS256", "none"]},
    ],
    ids=str,
)
def test_what_must_be_understood_is_refused(target: Any, header: dict[str, Any]) -> None:
    """7: a token whose header demands something that we don't do is refused (RFC 7515 §4.1.11, RFC 7797)."""
    assert {401} == statuses(target, target.sign(header=header))


def test_damaged_signatures(target: Any) -> None:
    """7: a signature that is cut, zero, empty, longer, of another token or changed in a bit is refused."""
    good = target.sign()
    signed, _, signature = good.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    flipped = bytes([raw[0] ^ 1, *raw[1:]])
    other = target.sign(sub="somebody-else").rpartition(".")[2]
    broken = [raw[:-1], b"", bytes(256), b"\xff" * 256, raw + b"\0", flipped, raw[::-1], bytes(256 - 1) + b"\1"]

    assert {401} == {status for one in broken for status in statuses(target, f"{signed}.{base64url(one)}")}
    assert {401} == statuses(target, f"{signed}.{other}")


def test_damaged_tokens(target: Any) -> None:
    """7: what has more parts, fewer parts, other alphabets or other serialisations is refused."""
    good = target.sign()
    head, payload, signature = good.split(".")
    flattened = json.dumps({"protected": head, "payload": payload, "signature": signature})
    broken = [
        *(".", "..", "...", "a.b.c", f"{head}.{payload}", f"{head}..{signature}", f".{payload}.{signature}"),
        *(f"{good}.", f".{good}", f"{good}.{signature}", f"{head}.{payload}.{signature}=", f"{good}x"),
        *(f"{head}\n.{payload}.{signature}".replace("\n", ""), flattened, f"{good} {good}", f"{good},{good}"),
        *(f"{head}=.{payload}.{signature}", f"{head}.{payload}.+{signature[1:]}", f"{head}.{payload}.{signature}.a.b"),
    ]
    broken.remove(good)

    assert {} == {one: got for one in broken if not (got := statuses(target, one)) <= {400, 401}}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"sub"',
        b"{",
        b"\xff\xfe",
        b"[" * 3000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"sub":"a","sub":"b"}',
        b'{"exp":NaN}',
        b'{"exp":' + b"9" * 3000 + b"}",
    ],
    ids=lambda payload: repr(payload[:14]),
)
def test_payloads_that_are_no_claims(target: Any, payload: bytes) -> None:
    """7: a well signed payload that isn't an object of claims is refused, however deep it is."""
    with target.staying_awake():
        assert {401} == statuses(target, target.sign(payload))


def test_headers_that_are_no_header(target: Any) -> None:
    """7: the same for headers, which are read before any signature is."""
    headers = [b"", b"null", b"[]", b"{", b"\xff", b"[" * 3000, b'{"a":' * 1000, b'{"alg":"RS256","alg":"none"}']

    with target.staying_awake():
        for header in headers:
            assert {401} == statuses(target, target.sign(header=header)), header[:20]


WRONG = {
    "no exp": {"exp": None},
    "no iss": {"iss": None},
    "no aud": {"aud": None},
    "no sub": {"sub": None},
    "other iss": {"iss": "attacked-issuer2"},
    "iss with space": {"iss": "attacked-issuer "},
    "iss list": {"iss": ["attacked-issuer"]},
    "other aud": {"aud": "attacked"},
    "aud list of others": {"aud": ["other", "another"]},
    "aud empty": {"aud": []},
    "aud object": {"aud": {"attacked-audience": 1}},
    "exp text": {"exp": "9999999999"},
    "exp true": {"exp": True},
    "exp huge": {"exp": 10**400},
    "exp infinite": {"exp": float("inf")},
    "exp NaN": {"exp": float("nan")},
    "exp negative": {"exp": -1},
    "exp list": {"exp": [9999999999]},
    "nbf text": {"nbf": "0"},
    "sub empty": {"sub": ""},
    "sub number": {"sub": 1},
    "sub list": {"sub": ["a"]},
    "sub long": {"sub": "a" * 129},
    "sub path": {"sub": "../../etc"},
    "sub slash": {"sub": "a/b"},
    "sub space": {"sub": "a b"},
    "sub line": {"sub": "a\n"},
    "sub NUL": {"sub": "a\x00"},
    "sub not ASCII": {"sub": "ünïcode"},
    "sub digits of others": {"sub": "٣"},
    "sub star": {"sub": "*"},
    "sub colon": {"sub": "user:alice"},
    "file_id list": {"file_id": [1]},
    "file_id object": {"file_id": {"a": 1}},
    "file_id true": {"file_id": True},
    "file_id text": {"file_id": "1 or 2"},
    "file_id part": {"file_id": 1.5},
}


@pytest.mark.parametrize("kind", WRONG)
def test_claims_are_checked(target: Any, kind: str) -> None:
    """7: exp, iss, aud and sub are required and typed; sub is [A-Za-z0-9._@-]{1,128}; file_id is a number."""
    assert {401} == statuses(
        target, target.sign(**WRONG[kind]) if None not in WRONG[kind].values() else target.sign(WRONG[kind])
    )


@pytest.mark.parametrize("late_s", [61, 3600])
def test_time_is_kept(target: Any, late_s: int) -> None:
    """7: a token is over 60 s after exp at the latest, and doesn't count that long before nbf."""
    now = int(time.time())

    assert {401} == statuses(target, target.sign(exp=now - late_s))
    assert {401} == statuses(target, target.sign(nbf=now + late_s + 2))


def test_a_token_for_a_later_day_stays_good(target: Any) -> None:
    """7: the counterpart: nbf in the past and several audiences are fine."""
    good = target.sign(nbf=int(time.time()) - 10, aud=["other", target.audience])

    assert {200, 404} == statuses(target, good)


def test_unsigned_words_about_oneself_count_nothing(target: Any) -> None:
    """7: no claim makes an administrator or another service's subject a user of ours."""
    name = target.user().name
    said = {"admin": True, "scope": "admin", "scopes": ["admin"], "role": "admin", "kind": "admin", "plan": "none"}
    forged = target.bearer(target.sign(sub=name, **said))

    assert 403 == target.ask("GET", "/v1/users", forged).status
    assert "admin" not in target.ask("GET", "/v1/me", forged).json()["scopes"]
    assert 401 == target.ask("GET", f"/user/{name}", forged).status


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port where nobody may call, and who did."""
    calls: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        waiting.settimeout(0.05)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    peer, address = waiting.accept()
                except TimeoutError:
                    continue
                calls.append(address)
                peer.close()

        ear = threading.Thread(target=listen)
        ear.start()
        yield waiting.getsockname()[1], calls
        over.set()
        ear.join()


def addresses(port: int) -> list[str]:
    """Spell our own address in the ways that guards overlook."""
    hosts = ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"]  # noqa: S104
    hosts += ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "①②⑦.⓪.⓪.①", "127。0。0。1", "a@127.0.0.1"]
    return [f"http://{host}:{port}/keys" for host in hosts] + [
        f"https://127.0.0.1:{port}/",
        f"gopher://127.0.0.1:{port}/",
    ]


def test_no_token_makes_the_server_call(target: Any, listener: tuple[int, list[Any]]) -> None:
    """6: an address in a token (jku, x5u, kid, jwk, iss) is never called, whatever it is spelled like."""
    port, calls = listener
    for url in addresses(port):
        headers = [
            {"jku": url, "kid": "1"},
            {"x5u": url},
            {"kid": url},
            {"jwk": {"kty": "RSA", "jku": url, "x5u": url}},
        ]
        for header in headers:
            assert {401} == {target.ask("GET", "/v1/me", target.bearer(target.sign(header=header, key=FORGER))).status}
        target.ask("GET", "/v1/me", target.bearer(target.sign({"iss": url, "jku": url}, {"jku": url}, key=FORGER)))

    assert [] == calls


def test_no_name_and_no_header_makes_the_server_call(target: Any, doors: Any, listener: tuple[int, list[Any]]) -> None:
    """6: addresses in names, contents, Host, Origin, Referer, Forwarded and targets are data too."""
    port, calls = listener
    for url in addresses(port):
        doors["v1-raw"](f'<svg><image href="{url}"/></svg>'.encode(), url + ".svg", media_type="image/svg+xml")
        names = [
            "Origin",
            "Referer",
            "X-Forwarded-Host",
            "Forwarded",
            "X-Callback-URL",
            "Content-Location",
            "Upload-Concat",
        ]
        target.ask(
            "POST",
            f"/upload?url={url}&fileName=x".encode(),
            {**target.service, **dict.fromkeys(names, url.encode())},
            b"x",
        )
        target.ask("GET", url.encode(), {}, host=f"127.0.0.1:{port}")
    sent = doors["blobs-form"](f'<svg><image href="http://127.0.0.1:{port}/"/></svg>'.encode(), "a.svg")
    target.ask("GET", sent.path + "?output=html")

    assert [] == calls


def test_keys_by_address_are_the_operators_only(
    make_target: Callable[..., Any], listener: tuple[int, list[Any]]
) -> None:
    """6, 7: a stranger's kid makes the server ask the operator's JWKS address now and then, and no other."""
    port, calls = listener
    target = make_target(CARRYALL_JWKS_URL=f"http://127.0.0.1:{port}/keys", MAIN_SERVICE_JWT_PUBLIC_KEY="-")
    for number in range(40):
        header = {"kid": f"k{number}", "jku": f"http://localhost:{port}/theirs"}
        assert 401 == target.ask("GET", "/v1/me", target.bearer(target.sign(header=header, key=FORGER))).status

    assert len(calls) <= 5, (
        "each unknown kid makes a request: strangers could drive the server against the other service"
    )


# --- how tokens are kept ----------------------------------------------------------------------------------------------


def test_tokens_are_compared_by_their_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """8: what is compared are digests of equal length, by a comparison whose time doesn't depend on them."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    known = kept_secrets.new_token()
    results = [kept_secrets.same(given, known) for given in (known, known[:-1], "", known + "x", known.upper())]

    assert [True, False, False, False, False] == results
    assert {32} == {len(side) for pair in compared for side in pair}
    assert 5 == len(compared)


def test_passwords_are_stretched_and_compared_the_same_way() -> None:
    """8: a link's password is salted and stretched; the same one twice looks different."""
    one, other = kept_secrets.hash_password("pass"), kept_secrets.hash_password("pass")

    assert one != other
    assert "pass" not in one
    assert [True, False, False] == [kept_secrets.check_password(given, one) for given in ("pass", "Pass", "")]


def test_no_token_lies_in_the_catalog(target: Any) -> None:
    """8: what the catalog keeps of a token and a password can't be turned back: neither stands in any of its files."""
    user = target.user()
    made = target.send_json("POST", "/v1/tokens", user.who, {"label": "second"}).json()
    sent = target.ask("POST", "/v1/files?filename=a", user.who, b"x").json()
    password = secrets.token_hex(12)
    link = target.send_json("POST", f"/v1/files/{sent['id']}/links", user.who, {"password": password})
    catalog = b"".join(path.read_bytes() for path in target.data_dir.glob("catalog.db*"))
    if not catalog:
        pytest.skip("the catalog is in PostgreSQL")
    secret = [user.token, made["token"], password, target.admin_token, target.service_token]

    assert 201 == link.status
    assert [] == [one for one in secret if one.encode() in catalog]
    assert hashlib.sha256(user.token.encode()).hexdigest().encode() in catalog, "where else would it be?"


def test_secrets_are_the_servers_alone(make_target: Callable[..., Any]) -> None:
    """8: secrets that the server made, and its catalog, lie in files that nobody else on the machine may read."""
    target = make_target(AUTH_TOKEN="-", CARRYALL_ADMIN_TOKEN="-")
    made = list((target.data_dir / "secrets").iterdir())

    assert {"admin_token", "service_token"} <= {path.name for path in made}
    assert {0o600} == {path.stat().st_mode & 0o777 for path in [*made, *target.data_dir.glob("catalog.db*")]}
    assert {0o700} == {path.stat().st_mode & 0o777 for path in target.data_dir.rglob("*") if path.is_dir()}
