"""What leaves the house never comes back into it: no connection to inner addresses, in no spelling, by no detour."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from carryall.model.errors import CarryallError, Refused, Unavailable
from carryall.ports.sender import Outbound
from carryall.subscribers import outbound
from carryall.subscribers.outbound import GuardedHttp, address_of, is_public

INNER_HOSTS = (
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",  # noqa: S104  # nothing is bound
    "0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "ⓛocalhost",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
)


OTHER_URLS = (
    "file:///etc/passwd",
    "ftp://example.org/",
    "gopher://127.0.0.1:6379/",
    "unix:///run/x.sock",
    "//example.org/",
    "example.org",
    "",
    "http://",
    "http:///x",
    "http://a:b@example.org/",
    "http://a@example.org/",
    "javascript:1",
    "http://exa mple.org/",
    "http://[::1/",
    "http://example.org:99999/",
    "http://example.org:x/",
    "http://\0/",
)
INNER_ADDRESSES = (
    "127.0.0.1",
    "0.0.0.0",  # noqa: S104  # nothing is bound
    "10.1.2.3",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "100.127.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.251",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:1.1.1.1",
    "::1.1.1.1",
    "64:ff9b::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "",
    "localhost",
    "1.1.1",
)


async def refusal(call: Any) -> CarryallError:
    with pytest.raises(CarryallError) as caught:
        await call
    return caught.value


@pytest.fixture
async def http(receiver: Any) -> AsyncIterator[GuardedHttp]:
    """A client that trusts the receiver and nobody else."""
    client = GuardedHttp(trusted=[f"127.0.0.1:{receiver.port}"], timeout=timedelta(seconds=5))
    yield client
    await client.close()


@pytest.mark.parametrize("host", INNER_HOSTS)
async def test_inner_addresses_get_no_connection(http: GuardedHttp, listener: Any, host: str) -> None:
    """Every spelling of an inner address is refused, by GET and by POST (threat 6)."""
    url = f"http://{host}:{listener.port}/"
    began = time.monotonic()
    for call in (http.get(url, limit_bytes=10), http.post(url, b"x", headers={})):
        assert (await refusal(call)).stable_code == "address_refused"
    assert listener.connections == 0
    assert time.monotonic() - began < 1


async def test_the_guard_is_what_refuses(listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard the listener is reached: the test above would notice."""
    monkeypatch.setattr(outbound, "is_public", lambda _: True)
    http = GuardedHttp()
    for host in ("127.0.0.1", "localhost"):
        before = listener.connections
        with pytest.raises(Unavailable):
            await http.get(f"http://{host}:{listener.port}/", limit_bytes=10)
        assert listener.connections > before
    await http.close()


@pytest.mark.parametrize("url", OTHER_URLS)
async def test_other_urls_are_refused(http: GuardedHttp, url: str) -> None:
    """Only http and https URLs without credentials are asked."""
    assert (await refusal(http.get(url, limit_bytes=10))).stable_code == "address_refused"
    assert (await refusal(http.post(url, b"", headers={}))).stable_code == "address_refused"


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["::1"], ["10.0.0.7", "127.0.0.1"], ["::ffff:127.0.0.1", "::1"]])
async def test_names_that_resolve_inside_are_refused(
    http: GuardedHttp, listener: Any, monkeypatch: pytest.MonkeyPatch, answer: list[str]
) -> None:
    """A public name whose name server gives inner addresses reaches nothing."""

    def lookup(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        assert host == "rebound.example"
        v6, v4 = (socket.AF_INET6, socket.SOCK_STREAM, 6, ""), (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*v6, (ip, port, 0, 0)) if ":" in ip else (*v4, (ip, port)) for ip in answer]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    error = await refusal(http.get(f"http://rebound.example:{listener.port}/", limit_bytes=10))
    assert error.stable_code == "address_refused"
    assert listener.connections == 0


async def test_the_checked_address_is_the_one_connected_to(
    http: GuardedHttp, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is looked up once for each request, so a second, other answer is never asked for."""
    answers = iter(["192.0.2.1", "127.0.0.1", "127.0.0.1"])

    def lookup(_: str, port: int, *__: Any, **___: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    await refusal(http.get(f"http://rebound.example:{listener.port}/", limit_bytes=10))
    assert next(answers) == "127.0.0.1"
    assert listener.connections == 0


async def test_trust_is_for_host_and_port(http: GuardedHttp, receiver: Any, listener: Any) -> None:
    """A trusted host isn't trusted on other ports, nor by other names."""
    assert await http.get(receiver.url, limit_bytes=10) == b"ok"
    for url in (f"http://127.0.0.1:{listener.port}/", f"http://localhost:{receiver.port}/"):
        assert (await refusal(http.get(url, limit_bytes=10))).stable_code == "address_refused"
    assert (len(receiver.requests), listener.connections) == (1, 0)


async def test_trusted_host_without_port_is_trusted_on_all(receiver: Any, listener: Any) -> None:
    """A host that the operator names by itself may be asked on any port, by that name only."""
    http = GuardedHttp(trusted=["127.0.0.1", "::1"], timeout=timedelta(seconds=5))
    assert await http.get(receiver.url, limit_bytes=10) == b"ok"
    assert (
        await refusal(http.get(f"http://localhost:{receiver.port}/", limit_bytes=10))
    ).stable_code == "address_refused"
    assert (await refusal(http.get(f"http://[::1]:{listener.port}/", limit_bytes=10))).stable_code == "outbound_failed"
    await http.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_inside_are_refused(http: GuardedHttp, receiver: Any, listener: Any, status: int) -> None:
    """A trusted server can't send us on to an inner address that isn't trusted."""
    where = f"http://127.0.0.1:{listener.port}/"
    receiver.answers = [web.Response(status=status, headers={"Location": where})]
    assert (await refusal(http.get(receiver.url, limit_bytes=10))).stable_code == "address_refused"
    assert listener.connections == 0


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://a:b@127.0.0.1/", "http://[::1/"])
async def test_redirects_to_other_urls_are_refused(http: GuardedHttp, receiver: Any, where: str) -> None:
    """Every hop is checked like the first."""
    receiver.answers = [web.Response(status=302, headers={"Location": where})]
    assert (await refusal(http.get(receiver.url, limit_bytes=10))).stable_code == "address_refused"


async def test_three_redirects_are_followed(http: GuardedHttp, receiver: Any) -> None:
    """Three hops are followed, the fourth isn't."""
    hops = [web.Response(status=302, headers={"Location": f"/{n}"}) for n in range(4)]
    receiver.answers = hops[:3]
    assert await http.get(receiver.url, limit_bytes=10) == b"ok"
    assert [request.path for request, _ in receiver.requests] == ["/", "/0", "/1", "/2"]
    receiver.answers = [web.Response(status=302, headers={"Location": "/x"}) for _ in range(9)]
    assert (await refusal(http.get(receiver.url, limit_bytes=10))).stable_code == "outbound_failed"
    assert len(receiver.answers) == 5


async def test_redirects_do_not_leave_https() -> None:
    """What began encrypted doesn't go on in clear."""
    with pytest.raises(Refused, match="https"):
        outbound._next_hop(outbound.URL("https://example.org/a"), "http://example.org/a")


async def test_posts_are_not_redirected(http: GuardedHttp, receiver: Any) -> None:
    """A redirect is the answer to a POST: its body goes nowhere else."""
    receiver.answers = [web.Response(status=307, headers={"Location": "/elsewhere"})]
    assert await http.post(receiver.url, b"x", headers={}) == 307
    assert len(receiver.requests) == 1


async def test_post_sends_body_and_headers(http: GuardedHttp, receiver: Any) -> None:
    """What is given is what arrives; any status is given back."""
    receiver.answers = [web.Response(status=503)]
    assert await http.post(receiver.url + "/hook?x=1", b'{"a":1}', headers={"X-A": "b"}) == 503
    request, body = receiver.requests[0]
    assert (request.method, request.path_qs, body, request.headers["X-A"]) == ("POST", "/hook?x=1", b'{"a":1}', "b")


async def test_nothing_is_kept_between_requests(http: GuardedHttp, receiver: Any) -> None:
    """Cookies that one answer sets aren't sent with the next request."""
    answer = web.Response(text="ok")
    answer.set_cookie("track", "1")
    receiver.answers = [answer]
    await http.get(receiver.url, limit_bytes=10)
    await http.get(receiver.url, limit_bytes=10)
    assert "Cookie" not in receiver.requests[1][0].headers


async def test_long_answers_are_refused(http: GuardedHttp, receiver: Any) -> None:
    """The limit is exact, and an answer that announces nothing is cut off as well."""
    receiver.answers = [web.Response(body=b"x" * 1000), web.Response(body=b"x" * 1001)]
    assert len(await http.get(receiver.url, limit_bytes=1000)) == 1000
    assert (await refusal(http.get(receiver.url, limit_bytes=1000))).stable_code == "outbound_failed"


async def test_answers_are_not_unpacked(http: GuardedHttp, receiver: Any) -> None:
    """A packed answer, which nobody asked for, can't grow past the limit."""
    packed = gzip.compress(b"\0" * 10_000_000)
    receiver.answers = [web.Response(body=packed, headers={"Content-Encoding": "gzip"})]
    assert await http.get(receiver.url, limit_bytes=100_000) == packed
    assert receiver.requests[0][0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [201, 204, 304, 400, 404, 500])
async def test_other_statuses_are_failures(http: GuardedHttp, receiver: Any, status: int) -> None:
    """Only a 200 has a body to give."""
    receiver.answers = [web.Response(status=status)]
    assert (await refusal(http.get(receiver.url, limit_bytes=10))).stable_code == "outbound_failed"


async def test_silence_ends(receiver: Any) -> None:
    """A server that doesn't answer holds nobody for longer than the time-out."""
    receiver.may_answer.clear()
    http = GuardedHttp(trusted=[f"127.0.0.1:{receiver.port}"], timeout=timedelta(milliseconds=100))
    for call in (http.get(receiver.url, limit_bytes=10), http.post(receiver.url, b"", headers={})):
        async with asyncio.timeout(3):
            error = await refusal(call)
        assert isinstance(error, Unavailable)
        assert "in time" in error.message
    await http.close()


async def test_nobody_there(http: GuardedHttp, receiver: Any) -> None:
    """A refused connection is a failure that may pass; its text hides the path and the query, which may be secret."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    other = GuardedHttp(trusted=[f"127.0.0.1:{port}"])
    error = await refusal(other.post(f"http://127.0.0.1:{port}/hook/s3cret?key=s3cret", b"", headers={}))
    await other.close()
    assert isinstance(error, Unavailable)
    assert "127.0.0.1" in error.message
    receiver.answers = [web.Response(status=500)]
    told = await refusal(http.get(receiver.url + "/s3cret?key=s3cret", limit_bytes=10))
    assert "s3cret" not in error.message + told.message


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Example.org/hook?x=1", "example.org:443"),
        ("http://example.org", "example.org:80"),
        ("http://127.0.0.1:9000/", "127.0.0.1:9000"),
        ("http://[::1]:9000/", "[::1]:9000"),
    ],
)
def test_address_of(url: str, expected: str) -> None:
    """An address is host and port, as they are compared."""
    assert address_of(url) == expected


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_public_addresses(address: str) -> None:
    """The open internet may be asked."""
    assert is_public(address)


@pytest.mark.parametrize("address", INNER_ADDRESSES)
def test_inner_addresses(address: str) -> None:
    """Everything else may not."""
    assert not is_public(address)


def test_the_class_is_an_outbound() -> None:
    """The plug fits its port."""
    plug: Outbound = GuardedHttp()
    assert plug is not None
