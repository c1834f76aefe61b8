"""GET /v1/events behind nginx as the example sets it up: events pass at once, and a stream that is left ends."""

import time
from typing import Any

import httpx2
import pytest
from tests.wire.sse import Source


@pytest.mark.parametrize("target", ["nginx", "sub-path"], indirect=True)
def test_events_pass_a_proxy_at_once(target: Any) -> None:
    """An event comes within seconds, whichever process took the file, and the id of the last one leads on."""
    source = Source(target.url, target.headers)
    ids, waits = [], []
    for name in ("a", "b", "c"):
        began = time.monotonic()
        answer = httpx2.post(
            f"{target.url}/v1/files?name={name}", content=b"x", headers=dict(target.headers), timeout=30
        )
        ids.append(answer.json()["id"])
        source.wait_for(len(ids))
        waits.append(time.monotonic() - began)
    source.close()
    again = Source(target.url, {**target.headers, "Last-Event-ID": source.events[0].id})
    again.wait_for(2)
    again.close()

    assert ids == source.subjects
    assert ids[1:] == again.subjects
    assert max(waits) < 5
