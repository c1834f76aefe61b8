"""When an unfinished upload is over: at its time, whether the expiry job came by or not; and what puts that off."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import append, begin, new_user

STREAM = {"Upload-Offset": "3", "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


def end_at(server: Any, url: str, moment_s: float) -> None:
    """Set when an upload ends, in seconds since 1970."""
    upload_id = urlsplit(url).path.rpartition("/")[2]
    assert 1 == server.change_catalog(
        "UPDATE uploads SET expires_at = $1 WHERE id = $2", int(moment_s * 1_000_000), upload_id
    )


def test_T_E3_past_its_time_an_upload_is_gone_at_once(server: Any, tus: Any) -> None:
    """HEAD, PATCH, DELETE and GET are 410 without an offset, before the expiry job came by."""
    url = tus.begin(6)
    tus.patch(url, 0, b"abc")
    end_at(server, url, time.time() - 1)

    answers = [tus.head(url), tus.http.patch(url, headers=STREAM, content=b"def"), tus.http.delete(url)]
    answers += [tus.http.get(url), tus.http.head(url)]

    assert [410] * 5 == [answer.status_code for answer in answers]
    assert all("upload-offset" not in answer.headers for answer in answers)
    assert "upload_gone" == answers[1].json()["code"]


def test_I_C2_past_its_time_an_upload_is_gone_at_once(server: Any, user: httpx2.Client) -> None:
    """The same by the draft; who asks for JSON still hears what there was."""
    at = begin(user, b"abc")
    end_at(server, at, time.time() - 1)

    answers = [user.head(at), append(user, at, b"def", offset=3, end=True), user.delete(at), user.get(at)]

    assert [410] * 4 == [answer.status_code for answer in answers]
    assert 200 == user.get(at, params={"output": "json"}).status_code
    assert 0 == user.get("/v1/me").json()["usage"]["files"]


def test_T_E2_a_final_waits_with_its_parts(server: Any, tus: Any) -> None:
    """While one part progresses, neither the final nor its other parts end; an upload beside them does."""
    parts = [tus.begin(3, Upload_Concat="partial") for _ in range(2)]
    tus.patch(parts[0], 0, b"abc")
    final = tus.begin(Upload_Concat=f"final;{' '.join(parts)}")
    beside = tus.begin(3)
    soon = time.time() + 600
    for url in (*parts, final, beside):
        end_at(server, url, soon)

    tus.patch(parts[1], 0, b"d")

    ends = [parsedate_to_datetime(tus.head(url).headers["Upload-Expires"]) for url in (*parts, final, beside)]
    assert all(end.timestamp() > soon + 3600 for end in ends[:3])
    assert ends[3].timestamp() <= soon
    tus.patch(parts[1], 1, b"ef")
    assert b"abcdef" == tus.file(final)
