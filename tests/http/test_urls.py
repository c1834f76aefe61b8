"""Public addresses: what a proxy may say of them, and who is believed."""

from ipaddress import ip_network

import pytest

from carryall.http.urls import base_url_of, scheme_of

PROXIES = (ip_network("127.0.0.1/32"),)


def scope(*, peer: str = "127.0.0.1", scheme: str = "http", **headers: str) -> dict[str, object]:
    """Give a request's scope; header names are written with _ for -."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": scheme, "client": (peer, 5000), "headers": [(b"host", b"inside:8000"), *lines]}


def base(of: dict[str, object]) -> str:
    """Give the public address without a setting."""
    return base_url_of(of, base_url=None, proxies=PROXIES)


def test_a_path_that_a_proxy_took_off() -> None:
    """Links begin with the path below which a trusted proxy serves us."""
    told = scope(x_forwarded_host="files.example.org", x_forwarded_proto="https", x_forwarded_prefix="/carry/all/")

    assert "https://files.example.org/carry/all" == base(told)


def test_a_stranger_says_nothing() -> None:
    """Whoever isn't a trusted proxy has no say in links."""
    told = scope(peer="192.0.2.1", x_forwarded_host="evil.example.org", x_forwarded_prefix="/evil")

    assert "http://inside:8000" == base(told)


@pytest.mark.parametrize("prefix", ["", "/", "carry", "//evil.example.org", "/a b", "/a?b", "/a\r\nb", "/" + "a" * 101])
def test_a_prefix_that_is_no_path(prefix: str) -> None:
    """What isn't a plain path is no prefix."""
    assert "http://inside:8000" == base(scope(x_forwarded_prefix=prefix))


def test_the_setting_says_it_all() -> None:
    """Where the address is set, no header changes it."""
    told = scope(x_forwarded_prefix="/carry")

    assert "https://a.example.org/b" == base_url_of(told, base_url="https://a.example.org/b", proxies=PROXIES)


def test_links_from_a_socket() -> None:
    """Over a WebSocket links are told that a browser can open."""
    assert "http://inside:8000" == base(scope(scheme="ws"))
    assert "https" == scheme_of(scope(scheme="wss", peer="192.0.2.1"), PROXIES)
