"""What a store in a bucket is told."""

from dataclasses import dataclass, field
from typing import Literal

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class S3Options:
    """The settings of one bucket.

    Attributes:
        bucket: its name.
        endpoint_url: the server; None is AWS in the region.
        region: None is the profile's, or else us-east-1.
        access_key: None looks where every AWS tool looks: environment, profiles, web identity, the machine's own role.
        secret_key: belongs to the access key.
        session_token: belongs to a temporary access key.
        profile: of the AWS configuration files.
        addressing: "virtual" puts the bucket into the host's name, "path" into the path; "auto" is virtual for AWS and
            path for others.
        prefix: the folder in the bucket that is this store's; "" is the whole bucket.
        part_bytes: a file up to this is sent by one request; of a larger one these are the parts. At least 5 MiB.
        parallel_parts: how many parts are on their way at a time, of all files together.
        links: "none", "signed" (they expire) or "public" (the bucket must let everybody read).
        link_days: how long signed links live, at most 7.
        public_url: under which links are made, with the bucket where it belongs; None is the endpoint's.
        checksum: "crc32" is checked by the provider; "none" is for providers that refuse checksums they don't know.
    """

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    prefix: str = ""
    part_bytes: int = 8 * MEBIBYTE
    parallel_parts: int = 4
    links: Literal["none", "signed", "public"] = "none"
    link_days: int = 7
    public_url: str | None = None
    checksum: Literal["crc32", "none"] = "crc32"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the provider may take, in seconds."""

    connect_s: float = 10.0
    """Until there is a connection."""
    idle_s: float = 60.0
    """Without any progress: 512 KiB sent, or a byte received."""
    closing_s: float = 20.0
    """For what has to be finished although its caller is gone: beginning or giving up a multipart upload."""
