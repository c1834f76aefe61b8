"""One session for everything: kept over restarts, opened again when it ended, never fought for."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.servers.mega.launch import FakeMega

from carryall.model.errors import StoreError
from carryall.stores.mega import api, session
from carryall.stores.mega.options import MegaOptions
from carryall.stores.mega.store import MegaStore
from carryall.stores.mega.wire import Wire
from carryall.system.keepsake import FileKeepsake
from carryall.testing.store_contract import source, stored_bytes

SECRET = "JBSWY3DPEHPK3PXP"

NewStore = Callable[..., MegaStore]


@pytest.fixture
def keepsake(tmp_path: Path) -> FileKeepsake:
    """Give every test a keepsake of its own: nobody has logged in yet."""
    return FileKeepsake(tmp_path / "secrets", "mega", "secret key")


async def refusal(store: MegaStore) -> StoreError:
    """Ask a store that can't be used; give its error."""
    with pytest.raises(StoreError) as caught:
        await store.ready()
    return caught.value


async def test_a_restart_doesn_t_log_in_again(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """The next process goes on with the session, finds the folder by its name, and reads what is there."""
    stored = await new_store().put("key", source(tmp_path, b"carried"))

    again = new_store()

    assert b"carried" == await stored_bytes(again, stored.location, 0, 7)
    await again.put("other", source(tmp_path, b"more", "more"))
    assert 1 == mega.count("us")
    assert {f"/{tmp_path.name}/source.txt", f"/{tmp_path.name}/more.txt"} <= set(mega.files("new@example.com"))


async def test_all_log_in_once(mega: FakeMega, new_store: NewStore) -> None:
    """However many ask at once, in however many processes, one of them logs in."""
    stores = [new_store() for _ in range(3)]

    await asyncio.gather(*[store.ready() for store in stores for _ in range(3)])

    assert 1 == mega.count("us")


async def test_an_account_is_named_as_people_write_it(mega: FakeMega, new_store: NewStore) -> None:
    """The e-mail's case and the address' last slash don't matter."""
    await new_store(email="New@Example.COM", api_url=f"{mega.url}/").ready()


async def test_an_ended_session_is_opened_again(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """MEGA's -15 costs one login, and what was asked is asked again."""
    stored = await store.put("key", source(tmp_path, b"carried"))
    mega.expire("sessions")

    found = await asyncio.gather(*[store.stat(stored.location) for _ in range(5)])

    assert {7} == {each.size for each in found}
    assert 2 == mega.count("us")


async def test_sessions_that_always_end_are_not_fought_for(mega: FakeMega, store: MegaStore) -> None:
    """After some logins in a row the store waits: MEGA locks accounts that log in too often."""
    mega.fault("cs", command="ug", answer=-15, is_bare=True, times=100)

    errors = [await refusal(store) for _ in range(6)]

    assert 3 == mega.count("us")
    assert {("store_busy", True)} == {(error.stable_code, error.retryable) for error in errors[2:]}
    assert (errors[-1].retry_after_s or 0) > 500


async def test_a_wrong_password_is_tried_once(mega: FakeMega, new_store: NewStore) -> None:
    """The error says what to correct, is remembered over restarts, and ends with a corrected setting."""
    for store in (new_store(password="wrong"), new_store(password="wrong")):
        for _ in range(2):
            error = await refusal(store)
            assert ("store_credentials", False) == (error.stable_code, error.retryable)
            assert "PASSWORD" in error.message
    assert 1 == mega.count("us")

    await new_store().ready()


async def test_a_refusal_is_remembered_for_minutes(
    mega: FakeMega, store: MegaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it is tried again: the account may have been unblocked."""
    monkeypatch.setattr(session, "REFUSED_S", 0)
    mega.fault("cs", command="us", answer=-16)
    assert "blocked" in (await refusal(store)).message

    await store.ready()


async def test_another_password_doesn_t_use_the_kept_session(mega: FakeMega, new_store: NewStore) -> None:
    """What was kept belongs to the settings it was kept for."""
    await new_store().ready()

    assert "PASSWORD" in (await refusal(new_store(password="wrong"))).message
    assert 2 == mega.count("us")


async def test_two_factors(mega: FakeMega, new_store: NewStore) -> None:
    """An account with a second factor is opened by its secret; the errors say which setting is wrong."""
    mega.account("mfa@example.com", mfa=SECRET)
    account = {"email": "mfa@example.com"}

    assert "Set the store's TOTP_SECRET" in (await refusal(new_store(**account))).message
    wrong = await refusal(new_store(**account, totp_secret="GEZDGNBVGY3TQOJQ"))
    assert "Correct the store's TOTP_SECRET" in wrong.message
    assert "isn't base32" in (await refusal(new_store(**account, totp_secret="123456"))).message
    await new_store(**account, totp_secret="jbsw y3dp ehpk 3pxp").ready()


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (-13, "store_credentials", "isn't confirmed"),
        (-16, "store_credentials", "blocked"),
        (-28, "store_credentials", "payment is due"),
        (-2, "store_failed", "-2"),
    ],
)
async def test_accounts_that_can_t_be_used(mega: FakeMega, store: MegaStore, number: int, code: str, text: str) -> None:
    """Each error says what is wrong with the account."""
    mega.fault("cs", command="us", answer=number)

    error = await refusal(store)

    assert (code, False) == (error.stable_code, error.retryable)
    assert text in error.message


@pytest.mark.parametrize(
    ("command", "fault"),
    [("us0", {"status": 500}), ("us", {"answer": -3}), ("us", {"cut": True}), ("us", {"drop": True})],
    ids=str,
)
async def test_a_login_is_repeated(mega: FakeMega, store: MegaStore, command: str, fault: dict[str, Any]) -> None:
    """A passing trouble is no refusal; the same request is sent again."""
    mega.fault("cs", command=command, times=2, **fault)

    await store.ready()

    numbers = [request["id"] for request in mega.state["requests"] if request["commands"] == [command]]
    assert (3, 1) == (len(numbers), len(set(numbers)))


@pytest.mark.parametrize("command", ["us0", "us", "f"])
async def test_proofs_of_work(mega: FakeMega, store: MegaStore, tmp_path: Path, command: str) -> None:
    """MEGA may ask for one anywhere, and for another one after it; it is given with the same request."""
    mega.fault("cs", command=command, hashcash=255, times=2)

    await store.put("key", source(tmp_path, b"x"))

    requests = [request for request in mega.state["requests"] if request["commands"] == [command]]
    assert requests[0]["id"] == requests[1]["id"]


async def test_endless_proofs_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three of them MEGA is taken for busy."""
    monkeypatch.setattr(api, "TRIES", 1)
    proofs: list[str] = []

    async def ask_for_another(request: web.Request) -> web.Response:
        proofs.append(request.headers.get("X-Hashcash", ""))
        return web.Response(status=402, headers={"X-Hashcash": f"1:255:1700000000:{'A' * 64}"})

    app = web.Application()
    app.router.add_post("/cs", ask_for_another)
    connections = Wire()
    async with TestServer(app) as server:
        with pytest.raises(StoreError, match="one proof of work after the other"):
            await api.Api(connections, str(server.make_url("/"))).ask({"a": "us0"}, sid=None)
        await connections.close()

    assert [False, True, True, True] == [bool(proof) for proof in proofs]


async def test_what_was_kept_may_be_damaged(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """A keepsake that can't be read costs a login, nothing more."""
    await new_store().ready()
    (tmp_path / "secrets" / "mega.keepsake").write_bytes(b"nonsense")

    await new_store().ready()

    assert 2 == mega.count("us")


async def test_secrets_are_not_kept_readable(new_store: NewStore, tmp_path: Path) -> None:
    """Neither the session nor the master key stands in the file, and no object shows them."""
    store = new_store()
    await store.ready()
    own = await store._session.identity()

    kept = (tmp_path / "secrets" / "mega.keepsake").read_bytes()

    assert own.sid.encode() not in kept
    assert own.sid not in repr(own)
    assert "open sesame" not in repr(MegaOptions(email="e", password="open sesame", totp_secret="open sesame"))


async def test_a_keepsake_that_can_t_be_written_is_told(new_store: NewStore, tmp_path: Path) -> None:
    """The error is a store's, as the contract has it."""
    (tmp_path / "secrets").write_text("not a folder")

    assert "secrets folder" in (await refusal(new_store())).message
