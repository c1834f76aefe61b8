"""Where a file's copies are to be: its target, the store that it lands in first, the keys it gets."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from carryall.model.errors import Forbidden, Malformed, Unavailable
from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Plan, Principal
from carryall.model.target import Target
from carryall.model.work import Job
from carryall.ports.catalog import Tx
from carryall.ports.ids import Ids
from carryall.ports.store import Store

HOME = "local"
"""The store that is always there: the built-in folder, where files wait that are on their way to other stores."""

DELIVER = "deliver"
MAX_ATTEMPTS = 24  # the waits double from 10 s to 1 h (operations/queue.py): the last try is most of a day later
_KEY_BYTES = 1024
_OWNER_BYTES = 300
_ID_BYTES = 200
_NAME_BYTES = 255  # what most file systems take, behind a remote
_ENDING_CHARACTERS = 16
_CUT = "%!"  # before the digest of a part that was cut; no encoding gives that
_DIGEST_BYTES = 16
_NOT_IN_PATHS = '/\\%:*?"<>|'


@dataclass(frozen=True, slots=True)
class Targets:
    """Decides where files go. Made once, by `wiring`."""

    stores: Mapping[str, Store]
    default: Target

    def of(self, principal: Principal, asked: str | None) -> Target:
        """Give the target that a request asked for, else the plan's, else the default.

        Raises Malformed (`target_malformed`, `service_unsupported`), or Forbidden (`store_forbidden`) for a store that
        the plan doesn't have, or Unavailable (`plan_store_unknown`) for a plan whose store was taken out.
        """
        if asked is None:
            return self._of_plan(principal.plan)
        target = self.known(asked)
        allowed = principal.plan.stores
        for store in target.stores:
            if allowed is not None and store not in allowed:
                raise Forbidden(
                    f"Your plan doesn't have the store {store}. It has: {', '.join(sorted(allowed)) or 'none'}.",
                    code="store_forbidden",
                    stores=sorted(allowed),
                )
        return target

    def _of_plan(self, plan: Plan) -> Target:
        target = plan.target or self.default
        unknown = [store for store in target.stores if store not in self.stores]
        if unknown:
            raise Unavailable(
                f"The plan {plan.name} sends files to {', '.join(unknown)}, which isn't set up. The administrator has "
                "to change the plan, or the settings.",
                code="plan_store_unknown",
            )
        return target

    def known(self, text: str) -> Target:
        """Read a target. Raises Malformed, also for stores that aren't in the settings."""
        try:
            stores = (target := Target.parse(text)).stores
        except Malformed:
            if "," in text or ":" in text:
                raise
            target, stores = None, (text.strip()[:200],)  # one word that can't be a store's name is no store of ours
        unknown = [store for store in stores if store not in self.stores]
        if target is None or unknown:
            names = list(self.stores)
            raise Malformed(
                f"Unsupported service: {', '.join(unknown)}. Supported services: {', '.join(names)}",
                code="service_unsupported",
                supported_services=names,
            )
        return target


def home_of(target: Target, stores: Mapping[str, Store]) -> str:
    """Give the store that a complete upload is adopted by: the target's first local one, else the built-in one."""
    local = (name for name in target.stores if name in stores and stores[name].capabilities.is_local)
    return next(local, HOME)


def key_in(store: Store, file: File) -> str:
    """Give the key that a store is asked to keep a file under."""
    if store.capabilities.keys == "generated":
        return file.upload_id or file.id
    # Users of another service have their bare names, as the chunk sessions promise; the others keep their prefix, whose
    # colon no such name has (threat 7).
    owner = file.owner.removeprefix("jwt:")
    if store.capabilities.keys == "encoded":
        return readable_key(owner, file.external_id or file.id, file.name, is_encoded=True)
    # Only an id of ours tells files apart where a remote takes Alice for alice.
    return readable_key(owner, file.id, file.name, is_encoded=False)


def fresh_key(store: Store, file: File, ids: Ids) -> str:
    """Give the key of a copy that a store gets later: one that no bytes which are to be erased there can have."""
    return ids.long() if store.capabilities.keys == "generated" else key_in(store, file)


def readable_key(owner: str, file_id: str, name: str, *, is_encoded: bool) -> str:
    """Give `owner/file id/name`, cut so that all fit 1,024 bytes and the name's ending stays (decision 21).

    Args:
        is_encoded: every character that isn't plain in a URL is percent-encoded; else only those that could be taken
            for something else in a path.
    """
    encode = _encoded if is_encoded else _escaped
    parts = [_short(owner, _OWNER_BYTES, encode), _short(file_id, _ID_BYTES, encode)]
    left = min(_NAME_BYTES, _KEY_BYTES - sum(len(part.encode()) + 1 for part in parts))
    stem, dot, ending = name.rpartition(".")
    if not stem or not ending or len(ending) > _ENDING_CHARACTERS:
        stem, ending = name, ""
    tail = encode(dot + ending) if ending else ""
    shown = _cut(stem, left - len(tail.encode()), encode) + tail
    return "/".join([*parts, shown if shown.strip(". ") else f"file{len(shown)}"])


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() and c not in _NOT_IN_PATHS else _encoded(c) for c in text)


def _short(text: str, most: int, encode: Callable[[str], str]) -> str:
    """Encode a part that tells keys apart: one that has to be cut gets its digest."""
    whole = encode(text)
    if len(whole.encode()) <= most:
        return whole
    digest = _CUT + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[: 2 * _DIGEST_BYTES]
    return _cut(text, most - len(digest), encode) + digest


def _cut(text: str, most: int, encode: Callable[[str], str]) -> str:
    """Encode as many characters as fit into so many bytes."""
    kept, length = [], 0
    for character in text:
        code = encode(character)
        length += len(code.encode())
        if length > most:
            break
        kept.append(code)
    return "".join(kept)


def copies_of(file: File, home: str, stored_key: str, stores: Mapping[str, Store]) -> tuple[Copy, ...]:
    """Give the copies that a new file begins with: one that lies in its home, one that is queued for each other store.

    Args:
        file: the new file, yet without copies.
        stored_key: where its home has it.
    """
    at_home = Copy(
        store=home,
        key=stored_key,
        location=stored_key,
        state=CopyState.STORED,
        stored_at=file.created_at,
        checked_at=file.created_at,
        is_cache=home not in file.target.stores,
    )
    others = (Copy(n, key_in(stores[n], file), CopyState.QUEUED) for n in file.target.stores if n != home)
    return (at_home, *others)


def queue_deliveries(tx: Tx, file: File, stores: Sequence[str], *, now: datetime) -> None:
    """Queue the delivery of a file to these stores, now; one that waits for its next try doesn't wait any more."""
    for store in stores:
        tx.jobs.put(
            Job(
                id=job_id(file.id, store),
                kind=f"{DELIVER}:{store}",
                payload={"file_id": file.id, "store": store},
                run_at=now,
                created_at=now,
                max_attempts=MAX_ATTEMPTS,
            )
        )


def lease_of(store: str, key: str) -> str:
    """Give the name of the lease over a key, or a location, of a store: who puts or erases there holds it.

    A file's readable key is the next one's that replaces it: the old one's erasing must not hit the new one.
    """
    return hashlib.sha256(f"{store}/{key}".encode(errors="surrogatepass")).hexdigest()[:32]


def job_id(file_id: str, store: str) -> str:
    """Give the id of the one job that brings a file to a store."""
    return f"{file_id}.{store}"
