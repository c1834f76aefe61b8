"""Keys for the tests of settings, made once."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def _pem(key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """Give an RSA key pair that is strong enough."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def public_pem(rsa_key: rsa.RSAPrivateKey) -> str:
    """Give the public half as PEM text."""
    return _pem(rsa_key.public_key())


@pytest.fixture(scope="session")
def private_pem(rsa_key: rsa.RSAPrivateKey) -> str:
    """Give the private half as PEM text, as somebody pastes it by mistake."""
    return rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="session")
def weak_pem() -> str:
    """Give an RSA public key of 1024 bits."""
    return _pem(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key())  # noqa: S505  weak on purpose


@pytest.fixture(scope="session")
def curve_pem() -> str:
    """Give a public key that is no RSA key."""
    return _pem(ed25519.Ed25519PrivateKey.generate().public_key())
