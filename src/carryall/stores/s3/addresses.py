"""Where a bucket and its objects are: their URLs, encoded once, as they are signed and sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from carryall.stores.s3.options import S3Options

# A name that may stand in a host's name. With a dot in it, the wildcard certificate of https doesn't fit.
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's address.

    Attributes:
        url: without a slash at the end.
        links_url: the same for those who follow a link.
        prefix: "", or a folder's name with a slash at its end.
    """

    url: str
    links_url: str
    prefix: str

    @property
    def is_encrypted(self) -> bool:
        """Tell whether bytes go over TLS."""
        return self.url.startswith("https:")

    @property
    def host(self) -> str:
        """Name the server, for people."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def at(self, key: str | None, query: Mapping[str, str]) -> str:
        """Give the URL of an object, or of the bucket itself."""
        path = "/" if key is None else f"/{encoded(self.prefix + key)}"
        asked = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        return f"{self.url}{path}{'?' * bool(asked)}{asked}"

    def link(self, key: str) -> str:
        """Give the URL that people are told, unsigned."""
        return f"{self.links_url}/{encoded(self.prefix + key)}"


def encoded(key: str) -> str:
    """Encode a key for a URL. Source: SigV4, UriEncode: everything but A-Z a-z 0-9 - . _ ~ and the slash."""
    return quote(key, safe="/-._~")


def bucket_at(options: S3Options, region: str) -> Bucket:
    """Find a bucket's address."""
    endpoint = (options.endpoint_url or f"https://s3.{region}.{_domain(region)}").rstrip("/")
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if _is_virtual(options):
        scheme, _, rest = endpoint.partition("://")
        url = f"{scheme}://{options.bucket}.{rest}"
    else:
        url = f"{endpoint}/{quote(options.bucket, safe='')}"
    folder = options.prefix.strip("/")
    return Bucket(url, (options.public_url or url).rstrip("/"), f"{folder}/" if folder else "")


def _is_virtual(options: S3Options) -> bool:
    if options.addressing == "auto":
        return options.endpoint_url is None and _HOST_NAME.fullmatch(options.bucket) is not None
    return options.addressing == "virtual"


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
