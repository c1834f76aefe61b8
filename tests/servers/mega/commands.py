"""What each command of the API does. Numbers are MEGA's; where nobody knows the real one, it says so."""

import asyncio
import json
import secrets
import time
from typing import Any

import cipher
import proof
from world import FILE, FOLDER, INBOX, ROOT, RUBBISH, Account, Node, Refused, Session, Upload, World, new_handle

_CODE_S = 30
Told = dict[str, Any]


class Commands:
    """Does commands, one at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._public = {"us0": self._prelogin, "us": self._login, "g": self._download}
        self._own = {
            "ug": self._who,
            "uq": self._quota,
            "f": self._tree,
            "u": self._upload,
            "p": self._put,
            "d": self._delete,
            "m": self._move,
            "a": self._rename,
            "l": self._link,
            "sml": self._logout,
        }

    async def run(self, told: Told, session: Session | None) -> Any:
        """Do one command. Raises Refused."""
        name = told.get("a")
        if name in self._public:
            return await self._public[name](told, session)
        if name not in self._own:
            self._world.blame("unknown command", name, session and session.account)
            raise Refused(-2)
        if session is None:
            raise Refused(-15)
        return await self._own[name](told, session)

    # --- who ---

    async def _prelogin(self, told: Told, _: Session | None) -> Any:
        account = self._world.accounts.get(told.get("user", ""))
        if account is None:  # the real server gives strangers an answer, too
            self._world.blame("unknown account", told.get("user"))
            return {"v": 1}
        return {"v": 1} if account.version == 1 else {"v": 2, "s": cipher.encode(account.salt)}

    async def _login(self, told: Told, _: Session | None) -> Any:
        account = self._world.accounts.get(told.get("user", ""))
        if account is None or told.get("uh") != account.uh:
            raise Refused(-9)
        if account.mfa:
            self._check_code(account.mfa, told.get("mfa"))
        first = bytes([secrets.randbelow(255) + 1])  # a number has no zeros in front
        sid = first + secrets.token_bytes(15) + account.handle.encode() + secrets.token_bytes(16)
        session = Session(cipher.encode(sid), account)
        self._world.sessions[session.sid] = session
        numbers, public = account.rsa, account.rsa.public_numbers
        message = int.from_bytes(sid + secrets.token_bytes(255 - len(sid)), "big")
        blob = b"".join(cipher.mpi(part) for part in (numbers.p, numbers.q, numbers.d, pow(numbers.p, -1, numbers.q)))
        return {
            "u": account.handle,
            "k": cipher.encode(cipher.ecb(account.key, account.master)),
            "privk": cipher.encode(cipher.ecb(account.master, blob + bytes(-len(blob) % 16))),
            "csid": cipher.encode(cipher.mpi(pow(message, public.e, public.n))),
            "ach": 1,
        }

    @staticmethod
    def _check_code(secret: str, code: Any) -> None:
        if code is None:
            raise Refused(-26)
        moments = (time.time() + shift for shift in (-_CODE_S, 0, _CODE_S))
        if not isinstance(code, str) or code not in [cipher.totp(secret, moment) for moment in moments]:
            raise Refused(-5)

    async def _logout(self, _: Told, session: Session) -> Any:
        self._world.sessions.pop(session.sid, None)
        return 0

    async def _who(self, _: Told, session: Session) -> Any:
        account = session.account
        key = cipher.encode(cipher.ecb(account.key, account.master))
        return {"u": account.handle, "email": account.email, "name": account.email, "s": 1, "c": 1, "k": key}

    async def _quota(self, _: Told, session: Session) -> Any:
        account, used = session.account, session.account.used_bytes()
        per_root = {}
        for kind in (ROOT, INBOX, RUBBISH):
            below = account.below(account.root(kind).h)[1:]
            files = [node.s for node in below if node.t == FILE]
            per_root[account.root(kind).h] = [sum(files), len(files), len(below) - len(files), 0, 0]
        room = {"mstrg": account.quota_bytes, "cstrg": used, "cstrgn": per_root, "usl": 0, "uslw": 9000}
        plan = {"utype": 0, "subs": [], "plans": [], "features": [], "balance": [["0.00", "EUR"]]}
        return room | plan | {"mxfer": 0, "caxfer": 0, "csxfer": 0, "srvratio": 0.0, "bt": 3600}

    # --- the tree ---

    async def _tree(self, _: Told, session: Session) -> Any:
        account = session.account
        links = [{"h": node.h, "ph": node.link} for node in account.nodes.values() if node.link]
        users = [{"u": account.handle, "c": 2, "m": account.email}]
        nodes = [node.told() for node in account.nodes.values()]
        return {"f": nodes, "ok": [], "s": [], "ph": links, "u": users, "sn": str(len(account.events))}

    def _node(self, told: Told, session: Session, field: str = "n") -> Node:
        """Give the node that a command names. Raises Refused: -11 where it is somebody else's."""
        handle = told.get(field)
        node = session.account.nodes.get(str(handle))
        if node is not None:
            return node
        raise Refused(-11 if handle in [other.h for other in self._world.all_nodes()] else -9)

    async def _delete(self, told: Told, session: Session) -> Any:
        node = self._node(told, session)
        if node.t not in {FILE, FOLDER}:
            raise Refused(-11)
        self._world.forget(session.account, node)
        session.account.tell({"a": "d", "n": node.h, "i": told.get("i", "")})
        return 0

    async def _move(self, told: Told, session: Session) -> Any:
        node, into = self._node(told, session), self._node(told, session, "t")
        if node.t not in {FILE, FOLDER} or into.t == FILE:
            raise Refused(-11)
        if into in session.account.below(node.h):
            raise Refused(-10)
        node.p = into.h
        session.account.tell({"a": "d", "n": node.h, "i": told.get("i", "")})
        session.account.tell({"a": "t", "t": {"f": [node.told()]}, "i": told.get("i", "")})
        return 0

    async def _rename(self, told: Told, session: Session) -> Any:
        node = self._node(told, session)
        node.a = told.get("at") or told.get("attr") or ""
        proof.check_attributes(self._world, session.account, node)
        session.account.tell({"a": "u", "n": node.h, "at": node.a, "ts": node.ts, "i": told.get("i", "")})
        return 0

    async def _link(self, told: Told, session: Session) -> Any:
        node = self._node(told, session)
        if node.t not in {FILE, FOLDER} or node.is_taken_down:
            raise Refused(-11)
        if node.t == FOLDER:  # needs a share first, which we don't have
            raise Refused(-11)
        if told.get("d"):
            self._world.links.pop(node.link or "", None)
            node.link = None
            return 0
        node.link = node.link or new_handle()
        self._world.links[node.link] = node
        return node.link

    # --- bytes ---

    async def _upload(self, told: Told, session: Session) -> Any:
        size, account = told.get("s"), session.account
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Refused(-2)
        if account.used_bytes() + size > account.quota_bytes:
            raise Refused(-17)
        id = cipher.encode(secrets.token_bytes(24))
        path = self._world.folder / secrets.token_hex(12)
        path.touch()
        has_raw_token = told.get("v", 0) >= 2
        made = Upload(id, account, size, has_raw_token, path, secrets.token_bytes(36 if has_raw_token else 27))
        self._world.uploads[id] = made
        return {"p": f"{self._world.url}/ul/{id}"}

    async def _put(self, told: Told, session: Session) -> Any:
        into = self._node(told, session, "t")
        wanted = told.get("n")
        if into.t == FILE or not isinstance(wanted, list) or not wanted:
            raise Refused(-2)
        nodes = [await self._make(one, into, session.account) for one in wanted]
        for node in nodes:
            session.account.add(node)
        made = [node.told() for node in nodes]
        session.account.tell({"a": "t", "t": {"f": made}, "ou": session.account.handle, "i": told.get("i", "")})
        return {"f": made}

    async def _make(self, told: Told, into: Node, account: Account) -> Node:
        """Make a node out of what `p` says: a folder, a token's file, or a copy of a public one."""
        node = Node(new_handle(), into.h, told.get("t", -1), account.handle, ts=int(time.time()))
        node.a = str(told.get("a", ""))
        try:
            node.k = cipher.decode(str(told.get("k", "")))
        except ValueError:
            raise Refused(-2) from None
        if node.t not in {FILE, FOLDER} or len(node.k) != (32 if node.t == FILE else 16):
            self._world.blame("key", len(node.k), account)
            raise Refused(-2)
        if node.t == FILE and "ph" in told:
            public = self._world.find_link(str(told["ph"]))
            node.s, node.content = public.s, public.content
        elif node.t == FILE:
            self._take(str(told.get("h", "")), node, account)
        await asyncio.to_thread(proof.check, self._world, account, node)
        return node

    def _take(self, token: str, node: Node, account: Account) -> None:
        """Give a node the bytes that a token stands for, once. What the real server says of a used one isn't known."""
        upload = self._world.tokens.pop(token, None)
        if upload is None or upload.account is not account:
            self._world.blame("token", "used or unknown", account)
            raise Refused(-9)
        node.s, node.content = upload.size, upload.path
        self._world.uploads.pop(upload.id, None)

    async def _download(self, told: Told, session: Session | None) -> Any:
        if "p" in told:
            node = self._world.find_link(str(told["p"]))
        elif session is None:
            raise Refused(-15)
        else:
            node = self._node(told, session)
        if node.t != FILE:
            raise Refused(-11)
        if node.is_taken_down:
            return {"s": node.s, "at": node.a, "e": -16, "d": 1}
        answer: Told = {"s": node.s, "at": node.a, "msd": 1, "tl": 0}
        if told.get("g"):
            id = cipher.encode(secrets.token_bytes(24))
            self._world.downloads[id] = node
            answer["g"] = f"{self._world.url}/dl/{id}"
        return answer


def parse(raw: bytes) -> list[Told]:
    """Read a request's body. Raises Refused."""
    try:
        told = json.loads(raw)
    except ValueError:
        raise Refused(-2) from None
    if not isinstance(told, list) or not told or not all(isinstance(one, dict) for one in told):
        raise Refused(-2)
    return told
