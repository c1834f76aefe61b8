"""Which tokens and keys are strong enough, and whose tokens are believed."""

import pytest
from pydantic import ValidationError

from carryall.config import Settings, SettingsError, load_settings


def load(**environ: str) -> Settings:
    """Load from this environment alone."""
    return load_settings(environ, None)


def problem(**environ: str) -> str:
    """Return the one problem of this environment."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, None)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize(
    "value",
    [
        "default-secret-token",
        "your_secret_key",
        "your-secret-token",
        "changeme",
        "CHANGE-ME",
        "secret",
        "test",
        "your_jwt_public_key",
        "my-super-secret-key",
        "<your auth token here>",
        "Password",
        "replace this with your secret",
    ],
)
@pytest.mark.parametrize("name", ["AUTH_TOKEN", "CARRYALL_ADMIN_TOKEN", "SECRET_KEY", "CARRYALL_WEBHOOK_SECRET"])
def test_published_placeholders_are_refused(name: str, value: str) -> None:
    """A value that everybody can read in an example guards nothing (defect P5)."""
    told = problem(**{name: value})

    assert "it is a placeholder that everybody can read in an example; leave it unset and one is generated" in told


@pytest.mark.parametrize(
    "value", ["test-token-12345", "x7Kp2-mmQ", "correct-horse-battery", "s3cret-but-not-published"]
)
def test_real_tokens_are_taken(value: str) -> None:
    """The described C++ client's own test token is one of them."""
    assert load(AUTH_TOKEN=value).service_token == value


def test_tokens_have_a_least_length() -> None:
    """Eight characters for a token, sixteen for a signing key."""
    assert load(AUTH_TOKEN="12345678").service_token == "12345678"
    assert "shorter than 8 characters" in problem(AUTH_TOKEN="1234567")
    assert load(SECRET_KEY="0123456789abcdef").secret_key == "0123456789abcdef"
    assert "shorter than 16 characters" in problem(SECRET_KEY="0123456789abcde")
    assert "shorter than 16 characters" in problem(CARRYALL_WEBHOOK_SECRET="0123456789abcde")


@pytest.mark.parametrize("value", ["with a blank", "umlaut-\u00e4\u00f6\u00fc-12", "tab\tinside1"])
def test_tokens_fit_a_header(value: str) -> None:
    """A token that no client can send is a mistake."""
    assert "because it travels in a header" in problem(AUTH_TOKEN=value)


def test_administrator_and_services_have_different_tokens() -> None:
    """The same token for both would make every service an administrator."""
    told = problem(AUTH_TOKEN="one-for-both-77", CARRYALL_ADMIN_TOKEN="one-for-both-77")

    assert "they must differ" in told
    assert "one-for-both" not in told
    with pytest.raises(ValidationError, match="they must differ"):
        Settings(service_token="one-for-both-77", admin_token="one-for-both-77")


def test_the_public_key(public_pem: str) -> None:
    """PEM is taken with real line ends, with literal backslash-n, and in the quotes that some tools leave."""
    others = {"EXPECTED_JWT_ISSUER": "i", "EXPECTED_JWT_AUDIENCE": "a"}
    one_line = public_pem.replace("\n", "\\n")

    for text in (public_pem, one_line, f'"{one_line}"', public_pem.replace("\n", "\r\n")):
        key = load(MAIN_SERVICE_JWT_PUBLIC_KEY=text, **others).jwt_public_key
        assert key is not None
        assert key.splitlines() == public_pem.splitlines()


def test_keys_that_are_refused(private_pem: str, weak_pem: str, curve_pem: str) -> None:
    """A private, a weak, another kind of key and no key at all are refused, each with its reason."""

    def told(key: str) -> str:
        return problem(MAIN_SERVICE_JWT_PUBLIC_KEY=key, EXPECTED_JWT_ISSUER="i", EXPECTED_JWT_AUDIENCE="a")

    assert "it is a private key; only the public key belongs here" in told(private_pem)
    assert private_pem.splitlines()[1][:20] not in told(private_pem)
    assert "at least 2048 bits" in told(weak_pem)
    assert "it must be an RSA public key" in told(curve_pem)
    assert "it is no public key in PEM form" in told("your_jwt_public_key")
    assert "it is no public key in PEM form" in told(weak_pem[:100])


@pytest.mark.parametrize("value", ["HS256", "none", "RS512", "ES256", "RS256,HS256"])
def test_only_rs256(value: str) -> None:
    """Any other algorithm is refused at the start, not at the first token."""
    assert "it must be RS256" in problem(JWT_ALGORITHM=value)
    assert load(JWT_ALGORITHM="rs256").jwt_algorithm == "RS256"


def test_a_key_needs_issuer_and_audience(public_pem: str) -> None:
    """With a key or a JWKS address both are required, however the settings are built."""
    with pytest.raises(SettingsError) as caught:
        load(CARRYALL_JWKS_URL="https://main.example.org/jwks.json")
    assert [text.split()[0] for text in caught.value.problems] == ["CARRYALL_JWT_ISSUER", "CARRYALL_JWT_AUDIENCE"]
    assert "AUDIENCE" in problem(MAIN_SERVICE_JWT_PUBLIC_KEY=public_pem, EXPECTED_JWT_ISSUER="i")
    with pytest.raises(ValidationError, match="CARRYALL_JWT_ISSUER"):
        Settings(jwt_public_key=public_pem, jwt_audience="a")
    assert load(EXPECTED_JWT_ISSUER="i").jwt_issuer == "i"
