"""The kinds of values that settings may have. Each refuses with a sentence that says what would be right."""

import ipaddress
import json
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BeforeValidator

from carryall.model.errors import Malformed
from carryall.model.target import Target

RESERVED_SEGMENTS = frozenset(
    {
        *("api", "auth", "d", "delete", "delete_all", "files", "list", "s", "user", "v1"),
        *("upload", "upload_batch", "upload_socket", "upload_tus"),
        *("health", "metrics", "ping", "ready", "status"),
        *("docs", "docs-assets", "favicon.ico", "openapi.json", "redoc", "static", "web"),
    }
)
"""First path segments that routes of the server have; the gallery's own may be none of them."""

TOLD_EVENTS = ("file.stored", "file.deleted", "file.damaged", "copy.stored", "copy.failed", "copy.damaged")
"""The events that another service may be told of: those about files."""

SHORTEST_TOKEN = 8
SHORTEST_KEY = 16
WEAKEST_RSA_BITS = 2048
_LONGEST_PREFIX = 200  # bytes; a key has room for 1,024, and ours may use most of them

PLACEHOLDER = re.compile(
    "(access|admin|api|auth|change|default|dev|example|here|insecure|it|jwt|key|me|my|password|placeholder|private|public|"
    "replace|sample|secret|service|super|test|the|this|token|user|webhook|with|your)+"
)
"""Values that examples and other people's defaults have published are made of these words and nothing else."""

_GENERATE = "leave it unset and one is generated, or make one with: openssl rand -hex 32"
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9!#$%&'()*+,/:;=?@._~\[\]-]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  what a server may listen on and nobody can call


def _lowered(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _uppered(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _listed(value: object) -> object:
    """Read "a, b" or '["a", "b"]' as a tuple without empty and repeated parts."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, (list, set, frozenset)) else value
    parts = _json_strings(value) if value.lstrip().startswith("[") else value.split(",")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _json_strings(value: str) -> list[str]:
    wanted = 'it must be a comma-separated list or a JSON list of strings like ["png","jpg"]'
    try:
        parts = json.loads(value)
    except ValueError:
        raise ValueError(wanted) from None
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(wanted)
    return list(parts)


def _path(value: Path) -> Path:
    try:
        return value.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # no such home directory, links in a circle, NUL
        raise ValueError("it must be a path that can be followed") from None


def _listen_host(value: str) -> str:
    if _is_address(value) or (_HOST_NAME.fullmatch(value) and "://" not in value):
        return value
    raise ValueError("it must be an IP address or a host name, without scheme and port: 127.0.0.1, 0.0.0.0, ::1")


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _split_url(value: str) -> SplitResult:
    wanted = "it must be a URL that begins with http:// or https:// and names a host"
    try:
        url = urlsplit(value)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets or a port that are none
        raise ValueError(wanted) from None
    if not usable or not _URL_CHARACTERS.fullmatch(value):
        raise ValueError(wanted)
    return url


def _outbound_url(value: str) -> str:
    _split_url(value)
    return value


def _database_url(value: str) -> str:
    wanted = (
        "it must look like postgresql://user:password@host/database or postgresql:///database?host=/folder/of/socket, "
        "with %2F for / and the like in a password"
    )
    try:
        url = urlsplit(value)
        usable = url.scheme in ("postgresql", "postgres") and bool(url.path.strip("/")) and url.port != 0
    except ValueError:
        raise ValueError(wanted) from None
    if not usable or not value.isprintable() or url.fragment:
        raise ValueError(wanted)
    return value


def _base_url(value: str) -> str:
    url = _split_url(value)
    if url.query or url.fragment or "?" in value or "#" in value or "@" in url.netloc:
        raise ValueError("it must be a URL without query, fragment, user name and password: https://files.example.org")
    if url.hostname in _EVERY_ADDRESS:
        raise ValueError(
            f"{url.hostname} is where a server listens, not an address that a client can call; "
            "give the name or address that clients use, or leave it unset"
        )
    return value.rstrip("/")


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == "*" else _origin(value) for value in values)


def _origin(value: str) -> str:
    try:
        url = _split_url(value)
    except ValueError:
        url = None
    if url is None or url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError(f"{value!r} is no origin; it must be * or look like https://app.example.org")
    return value.rstrip("/").lower()


def _user_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[^\s/\\\x00-\x1f\x7f]{1,128}", value) or value in (".", ".."):
            raise ValueError(f"{value!r} is no user name; it must have 1 to 128 characters, none a blank or a slash")
    return values


def _extensions(values: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(value.lower().removeprefix(".") for value in values))
    for value in found:
        if not re.fullmatch(r"[a-z0-9]{1,16}", value):
            raise ValueError(f"{value!r} is no file name ending; it must look like png,jpg")
    if not found:
        raise ValueError("it must name at least one file name ending, like png,jpg")
    return found


def _event_types(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in TOLD_EVENTS:
            raise ValueError(f"{value!r} is no event that can be told; those are {', '.join(TOLD_EVENTS)}")
    return values


def _url_path(value: str) -> str:
    path = value.rstrip("/")
    segments = path.split("/")[1:]
    plain = all(re.fullmatch(r"[A-Za-z0-9._~-]+", segment) and segment.strip(".") for segment in segments)
    if not path.startswith("/") or not plain:
        raise ValueError("it must begin with / and have only letters, digits and . _ ~ - between slashes: /uploads")
    if segments[0].lower() in RESERVED_SEGMENTS:
        raise ValueError(f"/{segments[0]} belongs to other routes of the server; choose another, like /uploads")
    return path


def _host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not (_is_address(value) or _HOST_NAME.fullmatch(value)):
            raise ValueError(f"{value!r} is neither a host name nor an IP address; leave out scheme and port")
    return tuple(value.lower() for value in values)


def _networks(values: object) -> object:
    if not isinstance(values, tuple):
        return values
    return tuple(_network(value) for value in values)


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, (IPv4Network, IPv6Network)):
        return value
    try:
        return ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is no IP address or network; it must look like 10.0.0.7 or 10.0.0.0/8") from None


def token(value: str) -> str:
    """Return a token that may guard something, or raise ValueError: no placeholder, long enough, fit for a header."""
    _refuse_guessable(value, shortest=SHORTEST_TOKEN)
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("it must have only visible ASCII characters and no blanks, because it travels in a header")
    return value


def signing_key(value: str) -> str:
    """Return a key that may sign something, or raise ValueError: no placeholder, long enough."""
    _refuse_guessable(value, shortest=SHORTEST_KEY)
    return value


def _refuse_guessable(value: str, *, shortest: int) -> None:
    if PLACEHOLDER.fullmatch(re.sub(r"[\W_]", "", value.lower())):
        raise ValueError(f"it is a placeholder that everybody can read in an example; {_GENERATE}")
    if len(value) < shortest:
        raise ValueError(f"it is shorter than {shortest} characters and can be guessed; {_GENERATE}")


def _rsa_public_key(value: str) -> str:
    """Return the PEM text with real line ends. A literal backslash-n is how one-line environments carry PEM."""
    text = value.strip().strip("\"'").replace("\\n", "\n").strip()
    if "PRIVATE KEY" in text:
        raise ValueError("it is a private key; only the public key belongs here")
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "it is no public key in PEM form (-----BEGIN PUBLIC KEY-----). In a .env file write it on one line, "
            "with \\n for its line ends, or name its file in MAIN_SERVICE_JWT_PUBLIC_KEY_FILE"
        ) from None
    if not isinstance(key, RSAPublicKey) or key.key_size < WEAKEST_RSA_BITS:
        raise ValueError(f"it must be an RSA public key of at least {WEAKEST_RSA_BITS} bits")
    return text + "\n"


def _rs256(value: str) -> str:
    if value != "RS256":
        raise ValueError("it must be RS256; tokens with any other algorithm are refused")
    return value


def _bucket_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", value):
        raise ValueError("it must be a bucket's name: 3 letters or more, with digits and . - _ between them")
    return value


def _key_prefix(value: str) -> str:
    prefix = value.strip("/")
    if not value.isprintable() or len(prefix.encode()) > _LONGEST_PREFIX or {".", ".."}.intersection(prefix.split("/")):
        raise ValueError("it must be a path like carryall/files")
    return prefix


def _email(value: str) -> str:
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", value):
        raise ValueError("it must be an e-mail address")
    return value


def _totp_secret(value: str) -> str:
    """Return the secret as it is computed with: people write it in groups, and in small letters."""
    secret = re.sub(r"[\s-]", "", value).upper().rstrip("=")
    if not re.fullmatch(r"[A-Z2-7]{16,}", secret):
        raise ValueError("it must be the secret itself, 16 or more of A to Z and 2 to 7; not a code of six digits")
    return secret


def _folder_name(value: str) -> str:
    if "/" in value or not value.isprintable() or value in (".", ".."):
        raise ValueError("it must be the name of one folder, without slashes")
    return value


def _remote(value: str) -> str:
    if ":" not in value or not value.isprintable() or value.startswith("-"):
        raise ValueError("it must be a remote of rclone's with a colon after its name, like drive:carryall")
    return value


def _target(value: str) -> str:
    try:
        return str(Target.parse(value))
    except Malformed as error:
        raise ValueError(error.message) from None


LowerCased = BeforeValidator(_lowered)
UpperCased = BeforeValidator(_uppered)
PathValue = Annotated[Path, AfterValidator(_path)]
ListenHost = Annotated[str, AfterValidator(_listen_host)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
OutboundUrl = Annotated[str, AfterValidator(_outbound_url)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_origins)]
UserNames = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_user_names)]
EventTypes = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_event_types)]
Extensions = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_extensions)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_host_names)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks), BeforeValidator(_listed)]
UrlPath = Annotated[str, AfterValidator(_url_path)]
Token = Annotated[str, AfterValidator(token)]
SigningKey = Annotated[str, AfterValidator(signing_key)]
RsaPublicKey = Annotated[str, AfterValidator(_rsa_public_key)]
TokenAlgorithm = Annotated[str, AfterValidator(_rs256), UpperCased]
BucketName = Annotated[str, AfterValidator(_bucket_name)]
KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
Email = Annotated[str, AfterValidator(_email)]
TotpSecret = Annotated[str, AfterValidator(_totp_secret)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
Remote = Annotated[str, AfterValidator(_remote)]
TargetText = Annotated[str, AfterValidator(_target)]
