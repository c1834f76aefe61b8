"""One-shot uploads: open, receive and complete in one go, or nothing at all."""

import asyncio
from typing import Any

import pytest
from tests.operations.conftest import House, declared, sha256, user

from carryall.model.errors import (
    BodyStalled,
    BodyTruncated,
    CarryallError,
    DigestMismatch,
    Forbidden,
    Incomplete,
    Malformed,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    TooLarge,
    TypeRefused,
)
from carryall.model.principal import Principal, Scope
from carryall.testing.fakes import ScriptedBody, pattern

PNG = b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + bytes(100)


async def left_nothing(house: House, owner: str = "jwt:alice") -> None:
    """Check that a refused or broken upload has left no bytes, no room taken, no upload open, and no file."""
    usage = await house.usage(owner)
    assert (0, 0, 0) == (usage.reserved_bytes, usage.open_uploads, usage.files)
    assert ([], [], []) == (house.staged(), house.stored(), await house.all_files())


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 5_000_000])
@pytest.mark.parametrize("is_known", [True, False])
async def test_what_was_accepted_is_served(house: House, alice: Principal, size: int, is_known: bool) -> None:  # noqa: FBT001
    """The file has the client's bytes, their digest, and its room; staging is empty, the upload is closed."""
    content = pattern(size)
    chunks = [content[at : at + 100_000] for at in range(0, size, 100_000)]

    file = await house.door.accept(alice, declared(size if is_known else None, "ä b.txt"), ScriptedBody(*chunks))

    assert content == await house.content(file)
    assert (size, sha256(content), "ä b.txt", "jwt:alice") == (file.size, file.sha256, file.name, file.owner)
    usage = await house.usage()
    assert (size, 1, 0, 0) == (usage.stored_bytes, usage.files, usage.reserved_bytes, usage.open_uploads)
    assert [] == house.staged()
    assert [("v1", "stored", size)] == house.telemetry.uploads
    await house.is_tidy()


@pytest.mark.parametrize(
    "failure", [BodyTruncated("cut"), BodyStalled("slow"), Malformed("form"), ValueError("bug")], ids=repr
)
@pytest.mark.parametrize("size", [9_000_000, None])
async def test_a_broken_body_leaves_nothing(
    house: House, alice: Principal, failure: Exception, size: int | None
) -> None:
    """The room comes back at once, the bytes are gone, and the error is the one that happened (threat 14)."""
    body = ScriptedBody(*[b"x" * 1_000_000] * 3, failure)
    with pytest.raises(type(failure)):
        await house.door.accept(alice, declared(size), body)

    await left_nothing(house)
    outcome = "refused" if isinstance(failure, Malformed) else "broken"
    assert [("v1", outcome, 0)] == house.telemetry.uploads


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"size": 9}, Incomplete),
        ({"size": 11}, Incomplete),
        ({"digests": {"sha-256": "0" * 64}}, DigestMismatch),
        ({"digests": {"md5": "0" * 32}}, DigestMismatch),
        ({"name": "a.png", "only_extensions": ("png", "jpg")}, TypeRefused),
    ],
    ids=str,
)
async def test_what_isnt_as_announced_leaves_nothing(
    house: House, alice: Principal, what: dict[str, Any], error: type[CarryallError]
) -> None:
    """Length, digests and type are checked before anybody can read the file."""
    if what.get("size") == 9:
        error = TooLarge
    with pytest.raises(error):
        await house.door.accept(alice, declared(**what), ScriptedBody(b"ten bytes."))

    await left_nothing(house)


async def test_a_wrong_body_digest_leaves_nothing(house: House, alice: Principal) -> None:
    """Content-Digest and Content-MD5 are checked as the bytes come."""
    with pytest.raises(DigestMismatch):
        await house.door.accept(alice, declared(), ScriptedBody(b"x"), expect={"sha-256": sha256(b"y")})

    await left_nothing(house)


async def test_right_announcements_are_taken(house: House, alice: Principal) -> None:
    """Digests in any case; content that is what the name says."""
    announced = declared(
        len(PNG), "a.PNG", digests={"sha-256": sha256(PNG).upper()}, only_extensions=("png",), media_type="text/html"
    )

    file = await house.door.accept(alice, announced, ScriptedBody(PNG), expect={"sha-256": sha256(PNG)})

    assert ("image/png", "text/html") == (file.media_type, file.declared_type)


async def test_refusals_come_before_the_body(house: House) -> None:
    """Size, room, type, name and number of open uploads are decided before the first byte is asked for."""
    who = user(max_file_bytes=100, total_bytes=150, max_open_uploads=1, extensions=frozenset({"bin"}))
    await house.door.accept(who, declared(90, path="taken"), ScriptedBody(b"x" * 90))
    reader = Principal(who.id, "alice", who.kind, who.plan, frozenset({Scope.READ}))
    for principal, announced, error in (
        (who, declared(101), TooLarge),
        (who, declared(61), QuotaExceeded),
        (who, declared(1, "a.exe"), TypeRefused),
        (who, declared(1, "bin"), TypeRefused),
        (who, declared(1, "n" * 5000 + ".bin"), Malformed),
        (who, declared(1, path="taken", must_be_new=True), PreconditionFailed),
        (reader, declared(1), Forbidden),
    ):
        body = ScriptedBody(b"x")
        with pytest.raises(error):
            await house.door.accept(principal, announced, body)
        assert not body.is_started
    await house.door.open(who, declared(1))
    with pytest.raises(RateLimited) as raised:
        await house.door.open(who, declared(1))
    assert raised.value.retry_after_s
    assert ["jwt"] == house.telemetry.quota_refusals
    usage = await house.usage()
    assert (90, 1, 1) == (usage.stored_bytes, usage.reserved_bytes, usage.open_uploads)


@pytest.mark.parametrize("is_known", [True, False])
async def test_parallel_uploads_never_pass_the_quota(house: House, is_known: bool) -> None:  # noqa: FBT001
    """Threat 14: of 18 at once exactly the 2 that fit are taken; at no moment is more reserved than there is."""
    who, size = user(total_bytes=2_500_000), 1_000_000
    seen: list[int] = []

    async def upload() -> None:
        chunks = [b"x" * 50_000] * 20
        await house.door.accept(who, declared(size if is_known else None), ScriptedBody(*chunks))

    async def watch() -> None:
        while True:
            usage = await house.usage()
            seen.append(usage.stored_bytes + usage.reserved_bytes)

    watching = asyncio.ensure_future(watch())
    results = await asyncio.gather(*(upload() for _ in range(18)), return_exceptions=True)
    watching.cancel()

    refused = [result for result in results if isinstance(result, QuotaExceeded)]
    stored = [result for result in results if result is None]
    assert 18 == len(refused) + len(stored)
    assert max(seen) <= 2_500_000
    assert len(stored) == 2 if is_known else len(stored) <= 2
    usage = await house.usage()
    assert (len(stored) * size, 0, 0) == (usage.stored_bytes, usage.reserved_bytes, usage.open_uploads)
    await house.is_tidy()


async def test_a_quota_that_is_exactly_full(house: House) -> None:
    """Eight parallel uploads into room for eight: all fit, and the next byte doesn't."""
    who = user(total_bytes=8 * 1000)

    await asyncio.gather(*(house.door.accept(who, declared(1000), ScriptedBody(b"x" * 1000)) for _ in range(8)))

    with pytest.raises(QuotaExceeded) as raised:
        await house.door.accept(who, declared(1), ScriptedBody(b"x"))
    assert {"available": 0, "total": 8000} == raised.value.facts
    await house.door.accept(who, declared(0), ScriptedBody())


@pytest.mark.parametrize("size", [60_000, None])
async def test_cancelled_anywhere_nothing_is_left(house: House, alice: Principal, size: int | None) -> None:
    """At whichever step a request is cancelled, there is a whole file or nothing, and no room stays taken."""
    content = pattern(60_000)
    chunks = [content[at : at + 20_000] for at in range(0, len(content), 20_000)]
    stored = 0
    for steps in range(80):
        accepting = asyncio.ensure_future(house.door.accept(alice, declared(size), ScriptedBody(*chunks)))
        for _ in range(steps // 2):
            await asyncio.sleep(0.0003 if steps % 2 else 0)
        accepting.cancel()
        await asyncio.wait([accepting])
        await asyncio.sleep(0)
        files = await house.all_files()
        for file in files:
            assert content == await house.content(file)
            await house.files.delete(alice, file.id)
        stored += len(files)
        usage = await house.usage()
        assert (0, 0, 0) == (usage.reserved_bytes, usage.open_uploads, usage.stored_bytes)
    await house.run_jobs("erase")
    assert ([], []) == (house.staged(), house.stored())
    assert 0 < stored < 80
