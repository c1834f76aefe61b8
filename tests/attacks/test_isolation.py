"""Other people's things: as missing as what never was, under ids that nobody guesses (threats 11, 12 and 13)."""

import base64
import hashlib
import math
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

DATA = b"for the owner's eyes only"


def owned_by_user(target: Any, doors: Any) -> SimpleNamespace:
    """Make everything that a user can own."""
    alice = target.user()
    sent = doors["v1-raw"](DATA, "mine.bin", who=alice.who)
    named = doors["by-name"](DATA, "folder/mine.bin", who=alice.who)
    about = target.ask("GET", f"/v1/files/{sent.id}", alice.who).json()
    link = target.send_json("POST", f"/v1/files/{sent.id}/links", alice.who, {"max_downloads": 5}).json()
    token = target.send_json("POST", "/v1/tokens", alice.who, {"label": "mine"}).json()
    return SimpleNamespace(
        name=alice.name,
        who=alice.who,
        file=sent.id,
        short=about["short_id"],
        named=named.id,
        link=link["id"],
        token=token["id"],
    )


def attempts_on_user(owned: Any) -> list[tuple[str, str, str, Any]]:
    """List requests for a user's things: method, path, the id in it, and a JSON body."""
    changes, link = {"name": "stolen.bin"}, {"expires_in": 60}
    return [
        ("GET", f"/v1/files/{owned.file}", owned.file, None),
        ("GET", f"/v1/files/{owned.file}/content", owned.file, None),
        ("HEAD", f"/v1/files/{owned.file}/content", owned.file, None),
        ("GET", f"/v1/files/{owned.file}/links", owned.file, None),
        ("POST", f"/v1/files/{owned.file}/links", owned.file, link),
        ("PATCH", f"/v1/files/{owned.file}", owned.file, changes),
        ("DELETE", f"/v1/files/{owned.file}/links/{owned.link}", owned.file, None),
        ("DELETE", f"/v1/files/{owned.file}", owned.file, None),
        ("DELETE", f"/v1/files/{owned.named}", owned.named, None),
        ("GET", "/v1/by-name/folder/mine.bin", "mine", None),
        ("DELETE", "/v1/by-name/folder/mine.bin", "mine", None),
        ("GET", f"/v1/uploads/{owned.file}", owned.file, None),
        ("DELETE", f"/v1/tokens/{owned.token}", owned.token, None),
        ("GET", f"/v1/users/{owned.name}", owned.name, None),
        ("PATCH", f"/v1/users/{owned.name}", owned.name, {"is_disabled": True}),
        ("DELETE", f"/v1/users/{owned.name}", owned.name, None),
        ("GET", f"/v1/users/{owned.name}/tokens", owned.name, None),
        ("POST", f"/v1/users/{owned.name}/tokens", owned.name, {}),
        ("GET", f"/v1/tokens?user={owned.name}", owned.name, None),
        ("POST", "/v1/tokens", owned.name, {"user": owned.name}),
        ("POST", "/v1/tokens", owned.file, {"file_id": owned.file}),
        ("DELETE", f"/delete/{owned.short}", owned.short, None),
        ("GET", f"/user/{owned.name}", owned.name, None),
        ("GET", f"/user/{owned.name}?function=change_token", owned.name, None),
        ("GET", f"/upload/download/{owned.file}", owned.file, None),
        ("GET", f"/api/uploads/{owned.file}", owned.file, None),
        ("GET", f"/uploads/{owned.file}", owned.file, None),
        ("GET", f"/d/{owned.file}", owned.file, None),
    ]


def said(target: Any, who: Any, attempt: Any, instead: str | None = None) -> tuple[int, str, str]:
    """Make a request, with another id if one is given; give what it was answered, without the id."""
    method, path, id, body = attempt
    if instead is not None:
        path = path.replace(id, instead)
        body = {name: instead if value == id else value for name, value in body.items()} if body else body
    answer = target.ask(method, path, who) if body is None else target.send_json(method, path, who, body)
    return answer.status, answer.text.replace(instead or id, "ID"), answer.one("ETag")


def random_like(id: str) -> str:
    """Give an id that nobody has, made like this one."""
    pool = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return re.sub(r"[A-Za-z0-9]", lambda _: secrets.choice(pool), id)


@pytest.mark.parametrize("kind", ["user", "subject", "namesake", "service"])
def test_what_is_a_users_is_missing_for_others(target: Any, doors: Any, kind: str) -> None:
    """11: to anybody else a user's file, link, token and record are answered as an id that never was."""
    owned = owned_by_user(target, doors)
    strangers = {
        "user": target.user,
        "subject": target.subject,
        "namesake": lambda: target.subject(owned.name),
        "service": lambda: SimpleNamespace(who=target.service),
    }
    stranger = strangers[kind]()
    wrong = {}
    for attempt in attempts_on_user(owned):
        got = said(target, stranger.who, attempt)
        never = said(target, stranger.who, attempt, random_like(attempt[2]))
        if got != never or not 400 <= got[0] < 500:
            wrong[attempt[:2]] = (got, never)

    assert {} == wrong
    assert DATA == target.ask("GET", f"/v1/files/{owned.file}/content", owned.who).body
    assert DATA == target.ask("GET", "/v1/by-name/folder/mine.bin", owned.who).body
    assert "mine.bin" == target.ask("GET", f"/v1/files/{owned.file}", owned.who).json()["name"]
    assert 1 == len(target.ask("GET", f"/v1/files/{owned.file}/links", owned.who).json()["links"])


def test_a_links_id_alone_opens_nothing_signed(target: Any, doors: Any) -> None:
    """11: a signed link doesn't open with another's signature, a later end, or none."""
    owned = owned_by_user(target, doors)
    urls = [
        target.send_json("POST", f"/v1/files/{id}/links", owned.who, {"expires_in": 60}).json()["url"]
        for id in (owned.file, owned.named)
    ]
    one, other = map(urlsplit, urls)
    later = re.sub(r"expires=\d+", lambda found: f"expires={int(found[0][8:]) + 9999}", one.query)
    wrong = [
        one.path,
        f"{one.path}?{other.query}",
        f"{one.path}?{later}",
        f"{one.path}?{one.query[:-1]}",
        f"{one.path}?{one.query}A",
    ]
    wrong += [
        f"{one.path}?{re.sub('signature=.*', 'signature=', one.query)}",
        f"{one.path}?{re.sub('expires=[0-9]+', 'expires=', one.query)}",
    ]

    assert 200 == target.ask("GET", f"{one.path}?{one.query}").status
    assert [] == [path for path in wrong if target.ask("GET", path).status not in (401, 403, 404, 410, 422, 400)]


def test_what_is_a_subjects_is_missing_for_others(target: Any, doors: Any) -> None:
    """11: chunk sessions and files of a JWT's subject: the same for another subject, also one with a like name."""
    alice = target.subject()
    number = 4_000_000 + secrets.randbelow(1_000_000)
    doors["chunks"](DATA, "a.bin", who=alice.who)
    session = doors.begin(number, "mine.mp3", who=alice.who).json()["data"]["upload_session_id"]
    assert 200 == doors.chunk(session, 0, DATA, who=alice.who).status

    for other in (target.subject(), target.subject(alice.name.upper()), target.subject(alice.name + ".")):
        unknown = random_like(session)
        for method, path, body in (
            ("POST", "/upload/complete", {"total_chunks": 1, "main_service_file_id": number}),
            ("DELETE", "/upload/file", {}),
        ):
            attempt = (method, path, session, {"upload_session_id": session, **body})
            assert said(target, other.who, attempt) == said(target, other.who, attempt, unknown)
        got, never = doors.chunk(session, 0, b"evil", who=other.who), doors.chunk(unknown, 0, b"evil", who=other.who)
        assert (404, never.text.replace(unknown, "ID")) == (got.status, got.text.replace(session, "ID"))
        assert 404 == target.ask("GET", f"/v1/uploads/{session}", other.who).status
        assert [] == target.ask("GET", "/upload/files", other.who).json()["files"]
    done = doors.complete(session, 1, number, who=alice.who)

    assert 200 == done.status
    assert DATA == target.ask("GET", f"/upload/download/{number}", alice.who).body


def test_a_number_is_not_shared(target: Any, doors: Any) -> None:
    """11: two subjects may use the same main_service_file_id; neither reads, replaces or deletes the other's."""
    number = 5_000_000 + secrets.randbelow(1_000_000)
    owners = [target.subject(), target.subject()]
    for place, owner in enumerate(owners):
        session = doors.begin(number, "a.bin", who=owner.who).json()["data"]["upload_session_id"]
        doors.chunk(session, 0, b"of %d" % place, who=owner.who)
        assert 200 == doors.complete(session, 1, number, who=owner.who).status
    third = target.subject()

    assert 404 == target.ask("GET", f"/upload/download/{number}", third.who).status
    assert 200 == target.send_json("DELETE", "/upload/file", owners[0].who, {"file_id": number}).status
    assert 404 == target.ask("GET", f"/upload/download/{number}", owners[0].who).status
    assert b"of 1" == target.ask("GET", f"/upload/download/{number}", owners[1].who).body


def test_a_token_for_one_file_stays_with_it(target: Any, doors: Any) -> None:
    """11: a JWT with the claim file_id does nothing to another number, and 403 comes before any look-up."""
    sub, mine, other = target.subject().name, 6_000_001, 6_000_002
    whole = target.subject(sub)
    session = doors.begin(other, "other.bin", who=whole.who).json()["data"]["upload_session_id"]
    doors.chunk(session, 0, DATA, who=whole.who)
    doors.complete(session, 1, other, who=whole.who)
    held = doors.begin(other, "held.bin", who=whole.who).json()["data"]["upload_session_id"]
    for claim in (mine, str(mine)):
        scoped = target.subject(sub, file_id=claim)
        refused = [
            doors.begin(other, "x", who=scoped.who),
            doors.chunk(held, 0, b"evil", who=scoped.who),
            doors.complete(held, 1, other, who=scoped.who),
            doors.complete(held, 1, mine, who=scoped.who),
            target.send_json("DELETE", "/upload/file", scoped.who, {"file_id": other}),
            target.send_json("DELETE", "/upload/file", scoped.who, {"upload_session_id": held}),
            target.ask("GET", f"/upload/download/{other}", scoped.who),
            target.ask("GET", "/upload/download/999999", scoped.who),
            target.ask("POST", f"/v1/files?main_service_file_id={other}", scoped.who, b"x"),
            target.ask("PUT", f"/v1/by-name/x?main_service_file_id={other}", scoped.who, b"x"),
        ]
        assert [] == [answer.text for answer in refused if answer.status not in (403, 404)]
        assert [403, 403, 403] == [refused[place].status for place in (0, 6, 7)]
        assert [] == target.ask("GET", "/upload/files", scoped.who).json()["files"]
        listed = target.ask("GET", f"/v1/files?main_service_file_id={other}", scoped.who)
        assert listed.status == 403 or [] == listed.json()["files"]
    assert DATA == target.ask("GET", f"/upload/download/{other}", whole.who).body


def test_a_narrow_token_makes_no_wider_one(target: Any, doors: Any) -> None:
    """11: a token with few scopes, or for one file, gives itself neither more scopes nor another file nor a user."""
    alice = target.user()
    mine, other = (doors["v1-raw"](DATA, name, who=alice.who).id for name in ("mine", "other"))
    narrow = [
        target.send_json("POST", "/v1/tokens", alice.who, {"scopes": ["read"]}).json()["token"],
        target.send_json("POST", "/v1/tokens", alice.who, {"scopes": ["read"], "file_id": mine}).json()["token"],
    ]
    asked = [
        {"scopes": ["admin"]},
        {"scopes": ["read", "write"]},
        {"scopes": ["delete"]},
        {"user": target.user().name},
        {"user": None, "scopes": ["admin", "read"]},
    ]
    for token in narrow:
        who = target.bearer(token)
        assert [] == [
            body
            for body in asked
            if target.send_json("POST", "/v1/tokens", who, body).status not in (401, 403, 404, 422)
        ]
        for method, path in (
            ("DELETE", f"/v1/files/{mine}"),
            ("PUT", "/v1/by-name/x"),
            ("POST", "/v1/files?filename=x"),
            ("POST", "/upload"),
            ("DELETE", "/delete_all?confirm=yes"),
        ):
            assert target.ask(method, path, who, b"x" if method in ("PUT", "POST") else None).status in (
                401,
                403,
                404,
            ), path
    one_file = target.bearer(narrow[1])
    wider = target.send_json("POST", "/v1/tokens", one_file, {"scopes": ["read"]})

    assert 200 == target.ask("GET", f"/v1/files/{mine}/content", one_file).status
    assert 404 == target.ask("GET", f"/v1/files/{other}/content", one_file).status
    assert [mine] == [one["id"] for one in target.ask("GET", "/v1/files", one_file).json()["files"]]
    assert (
        wider.status in (401, 403)
        or 404 == target.ask("GET", f"/v1/files/{other}/content", target.bearer(wider.json()["token"])).status
    )


def test_old_tokens_end(target: Any) -> None:
    """11: a token that was changed, revoked or run out, or whose user is gone, opens nothing at once."""
    alice = target.user()
    made = target.send_json("POST", "/v1/tokens", alice.who, {"expires_in": 1}).json()
    second = target.send_json("POST", "/v1/tokens", alice.who, {}).json()
    assert 204 == target.ask("DELETE", f"/v1/tokens/{second['id']}", alice.who).status
    assert 401 == target.ask("GET", "/list", target.bearer(second["token"])).status

    changed = target.ask("GET", f"/user/{alice.name}?function=change_token", target.admin)
    new = target.bearer(changed.json()["token"])
    assert 200 == target.ask("GET", "/list", new).status
    deadline = time.monotonic() + 5
    while target.ask("GET", "/list", target.bearer(made["token"])).status != 401:
        assert time.monotonic() < deadline, "a token outlives its end"
    assert 200 == target.send_json("PATCH", f"/v1/users/{alice.name}", target.admin, {"is_disabled": True}).status
    assert target.ask("GET", "/list", new).status in (401, 403)


def test_strangers_see_only_strangers_lists(target: Any, doors: Any) -> None:
    """11, B2: of two users who take turns, neither ever sees the other's list, record or token."""
    pair = [target.user(), target.user()]
    for person in pair:
        doors["blobs-form"](DATA, f"{person.name}.bin", who=person.who)
    for turn in range(60):
        person = pair[turn % 2]
        listed = target.ask("GET", "/list", person.who).json()
        assert [(person.name, f"{person.name}.bin")] == [(one["user_id"], one["file_name"]) for one in listed]
        assert person.name == target.ask("GET", "/auth", person.who).json()["user"]


@pytest.mark.parametrize(
    "name", ["admin", "service", "anonymous", "user:admin", "jwt:admin", "system", "*", "null", "0"]
)
def test_a_name_makes_nobody_else_of_one(target: Any, doors: Any, name: str) -> None:
    """11: whoever is called like a principal of ours, as user or subject, is none, and sees nothing of theirs."""
    doors["relay-form"](DATA)
    doors["v1-raw"](DATA, who=target.admin)
    doors["gallery"](b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    path = f"/v1/users/{quote(name, safe='')}"
    people = [target.subject(name)] if re.fullmatch(r"[A-Za-z0-9._@-]+", name) else []
    if target.send_json("POST", "/v1/users", target.admin, {"name": name}).status == 201:
        token = target.send_json("POST", f"{path}/tokens", target.admin, {}).json()["token"]
        people.append(SimpleNamespace(who=target.bearer(token)))
    for person in people:
        assert [] == target.ask("GET", "/v1/files", person.who).json()["files"]
        assert "admin" not in target.ask("GET", "/v1/me", person.who).json()["scopes"]
        assert 403 == target.ask("GET", "/v1/users", person.who).status
        assert 403 == target.send_json("POST", "/v1/users", person.who, {"name": "b"}).status
        assert target.ask("GET", "/metrics", person.who).status in (401, 403)
    target.ask("DELETE", path, target.admin)


def test_a_name_that_comes_back_finds_nothing(target: Any, doors: Any) -> None:
    """11: who is removed takes all along: a later user of the same name starts with nothing, tokens included."""
    old = target.user()
    sent = doors["v1-raw"](DATA, "old.bin", who=old.who)
    doors["by-name"](DATA, "old.bin", who=old.who)
    link = urlsplit(target.send_json("POST", f"/v1/files/{sent.id}/links", old.who, {}).json()["url"])
    assert 204 == target.ask("DELETE", f"/v1/users/{old.name}", target.admin).status
    assert 404 == target.ask("GET", f"/v1/users/{old.name}/tokens", target.admin).status
    new = target.user(old.name)

    assert 401 == target.ask("GET", "/v1/me", old.who).status
    assert [] == target.ask("GET", "/v1/files", new.who).json()["files"]
    assert [404, 404] == [target.ask("GET", path, new.who).status for path in (sent.path, "/v1/by-name/old.bin")]
    assert 404 == target.ask("GET", f"{link.path}?{link.query}".rstrip("?")).status
    assert 0 == target.ask("GET", "/v1/me", new.who).json()["usage"]["stored_bytes"]


def test_a_link_gives_as_many_as_it_promises(target: Any, doors: Any) -> None:
    """11: of twelve who take a link for three downloads at once three get it, and later nobody any part of it."""
    sent = doors["v1-raw"](DATA * 4000)
    made = target.send_json("POST", f"/v1/files/{sent.id}/links", sent.who, {"max_downloads": 3}).json()
    link = urlsplit(made["url"])
    path = f"{link.path}?{link.query}".rstrip("?")
    takers = [target.elsewhere() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda taker: taker.ask("GET", path), takers))
    parts = ("bytes=1-", "bytes=-5", "bytes=0-0", "bytes=3-4,6-7")

    assert [200] * 3 + [410] * 9 == sorted(answer.status for answer in answers)
    assert [410] * 4 == [target.ask("GET", path, {"Range": part}).status for part in parts]
    assert 410 == target.ask("GET", path, {"If-None-Match": '"x"'}).status


def test_one_of_many_may_be_the_first(target: Any, doors: Any) -> None:
    """11: of ten who create the same name at once, if it isn't there yet, one does; the others change nothing."""
    who = {**doors.user.who, "If-None-Match": "*"}
    name = f"/v1/by-name/first-{secrets.token_hex(4)}"
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: target.ask("PUT", name, who, b"by %d" % n), range(10)))
    winner = [n for n, answer in enumerate(answers) if answer.status == 201]

    assert [201] + [412] * 9 == sorted(answer.status for answer in answers)
    assert b"by %d" % winner[0] == target.ask("GET", name, doors.user.who).body


def test_a_cursor_opens_no_other_list(target: Any, doors: Any) -> None:
    """11: the cursor of one's list, given by somebody else, or changed, leads to nothing of the first."""
    alice, bob = target.user(), target.user()
    for number in range(3):
        doors["v1-raw"](DATA, f"alice{number}", who=alice.who)
    doors["v1-raw"](DATA, "bob", who=bob.who)
    cursor = target.ask("GET", "/v1/files?limit=1", alice.who).json()["next_cursor"]
    wrong = [cursor[:-1], cursor + "A", cursor[::-1], "A" * len(cursor), "%00", "eyJhIjoxfQ", "'--", "9" * 5000]
    answers = [target.ask("GET", f"/v1/files?cursor={one}", bob.who) for one in [cursor, *wrong]]

    assert {200, 400, 422} >= {answer.status for answer in answers}
    assert "alice" not in "".join(answer.text for answer in answers)


# --- ids ------------------------------------------------------------------------------------------------------------


def bits(ids: list[str]) -> float:
    """Give what an attacker has to guess of these ids: places that vary, times the alphabet that was seen."""
    alphabet = len(set("".join(ids)))
    places = sum(len(set(column)) > 1 for column in zip(*ids, strict=True))
    return places * math.log2(alphabet)


def test_ids_cannot_be_guessed(target: Any, doors: Any) -> None:
    """12: ids have 96 bits where they are the secret (links, gallery, sessions, tokens), and 44 where they aren't."""
    files = [doors["v1-raw"](b"x", "x").answer.json() for _ in range(24)]
    links = [
        target.send_json("POST", f"/v1/files/{files[0]['id']}/links", doors.user.who, {}).json() for _ in range(24)
    ]
    images = [doors["gallery"](b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").id.removesuffix(".png") for _ in range(24)]
    sessions = [doors.begin(7_000_000 + n, "x").json()["data"]["upload_session_id"] for n in range(24)]
    tokens = [target.send_json("POST", "/v1/tokens", doors.user.who, {}).json()["token"] for _ in range(24)]
    relayed = [urlsplit(doors["relay-form"](b"x").url).path for _ in range(24)]

    assert bits([one["id"] for one in files]) >= 96
    assert bits([one["short_id"] for one in files]) >= 44
    for kind in ([one["id"] for one in links], images, sessions, tokens, relayed):
        assert bits(kind) >= 96
        assert 24 == len(set(kind))


def test_guessing_at_short_links_is_slow(target: Any, doors: Any) -> None:
    """12, 24: who misses again and again is asked to wait, by address; somebody elsewhere isn't."""
    sent = doors["blobs-form"](b"data")
    guesser, other = target.elsewhere(), target.elsewhere()
    statuses = [guesser.ask("GET", f"/s/{random_like(sent.id)}").status for _ in range(75)]
    limited = guesser.ask("GET", f"/s/{random_like(sent.id)}")

    assert statuses[0] == 404
    assert {404, 429} == set(statuses)
    assert limited.status == 429
    assert int(limited.one("Retry-After")) >= 1
    assert 200 == other.ask("GET", sent.path).status
    assert {404, 429} == {guesser.ask("GET", f"/d/{secrets.token_hex(11)}").status for _ in range(75)} | {404}
    assert 200 == guesser.ask("GET", "/list", doors.user.who).status, "who has a token isn't held up"


def test_guessing_at_passwords_is_slow(target: Any, doors: Any) -> None:
    """12, 24: wrong passwords of a link are counted by address, and the right one then waits, too."""
    sent = doors["v1-raw"](b"data")
    link = target.send_json("POST", f"/v1/files/{sent.id}/links", sent.who, {"password": "1234"}).json()
    parts = urlsplit(link["url"])
    path = parts.path + ("?" + parts.query if parts.query else "")
    guesser = target.elsewhere()
    with target.staying_awake():
        statuses = [guesser.ask("GET", path, {"Authorization": "Basic dTp3cm9uZw=="}).status for _ in range(70)]

    assert 401 == statuses[0]
    assert 429 in statuses
    assert 200 == target.elsewhere().ask("GET", path, {"Authorization": "Basic dToxMjM0"}).status


def test_short_links_can_be_closed(make_target: Callable[..., Any], doors_of: Any) -> None:
    """12: CARRYALL_SHORT_LINKS=bearer gives nothing to nobody, other users included, in every output."""
    target = make_target(CARRYALL_SHORT_LINKS="bearer")
    doors = doors_of(target)
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + DATA
    sent, stranger = doors["blobs-form"](image, "a.png", media_type="image/png"), target.user()
    for output in ("", "?output=file", "?output=html", "?output=json", "?output=download"):
        assert 401 == target.ask("GET", sent.path + output).status
        assert 404 == target.ask("GET", sent.path + output, stranger.who).status
        assert 200 == target.ask("GET", sent.path + output, sent.who).status
    page = target.ask("GET", sent.path + "?output=html", sent.who).text
    shown = urlsplit(re.search(r'src="([^"]+)"', page)[1].replace("&amp;", "&"))  # type: ignore[index]

    assert image == target.ask("GET", f"{shown.path}?{shown.query}").body
    assert target.ask("GET", f"{shown.path}?{shown.query}x").status in (401, 403, 404)


# --- the same bytes twice -------------------------------------------------------------------------------------------


def test_the_same_bytes_are_two_files(target: Any, doors: Any) -> None:
    """13: two owners' same bytes have nothing in common but their hash; deleting one leaves the other."""
    data = secrets.token_bytes(50_000)
    people = [target.user(), target.user()]
    sent = [doors["v1-raw"](data, "same.bin", who=person.who) for person in people]
    abouts = [one.answer.json() for one in sent]

    assert hashlib.sha256(data).hexdigest() == abouts[0]["sha256"] == abouts[1]["sha256"]
    for key in ("id", "short_id", "url", "created_at"):
        assert abouts[0][key] != abouts[1][key]
    etags = [target.ask("HEAD", one.path, one.who).one("ETag") for one in sent]
    assert etags[0] != etags[1]
    assert 204 == target.ask("DELETE", f"/v1/files/{sent[0].id}", people[0].who).status
    assert 404 == target.ask("GET", sent[0].path, people[0].who).status
    assert data == target.ask("GET", sent[1].path, people[1].who).body


def test_announced_bytes_must_be_sent(target: Any, doors: Any) -> None:
    """13: a digest of bytes that somebody else holds opens no shortcut: without the bytes there is no file."""
    data = secrets.token_bytes(2000)
    doors["v1-raw"](data, "secret.bin")
    thief = target.user()
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
    for name in ("Content-Digest", "Repr-Digest", "If-None-Match", "X-Content-SHA256"):
        answer = target.ask("POST", "/v1/files?filename=a", {**thief.who, name: digest}, b"")
        assert answer.status in (201, 400, 409, 412, 422)
        assert answer.status != 201 or answer.json()["size"] == 0
    found = target.ask("GET", f"/v1/files?name={hashlib.sha256(data).hexdigest()}", thief.who).json()["files"]
    assert [] == found
    assert all(one["size"] == 0 for one in target.ask("GET", "/v1/files", thief.who).json()["files"])


def test_quota_doesnt_tell_what_others_hold(target: Any, doors: Any) -> None:
    """13: bytes that somebody else holds count in full."""
    data = secrets.token_bytes(30_000)
    doors["v1-raw"](data, "held.bin")
    person = target.user()
    doors["v1-raw"](data, "held.bin", who=person.who)
    used = target.ask("GET", "/v1/me", person.who).json()["usage"]

    assert (30_000, 0, 1) == (used["stored_bytes"], used["reserved_bytes"], used["files"])
