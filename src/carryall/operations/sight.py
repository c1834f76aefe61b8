"""Which uploads a principal sees, which of them are still there, and which stored bytes somebody needs."""

from datetime import datetime

from carryall.model.errors import Missing
from carryall.model.principal import Principal
from carryall.model.upload import State, Upload
from carryall.ports.catalog import Tx

_GONE = (State.ABORTED, State.EXPIRED)


def seen(principal: Principal, upload: Upload | None) -> Upload:
    """Give an upload. Raises Missing for one that isn't there or is somebody else's, alike."""
    if upload is None or not principal.sees(upload.owner, external_id=upload.declared.external_id):
        raise Missing("No such upload.", code="upload_not_found")
    return upload


def is_needed(tx: Tx, store: str, key: str) -> bool:
    """Tell whether stored bytes are somebody's: a file has its copy under this key, or an open upload is about to."""
    upload = tx.uploads.get(Upload.id_of(key))
    return tx.files.holds_key(store, key) or (upload is not None and upload.state is State.OPEN)


def alive(upload: Upload, now: datetime) -> Upload:
    """Give an upload. Raises Missing (`upload_gone`) for one that was given up or has expired (T-E3, T-X1, I-C2).

    One whose time is up counts as expired, also before `Expire` comes by.
    """
    is_over = upload.state is State.OPEN and upload.expires_at <= now
    if upload.state in _GONE or is_over:
        state = State.EXPIRED if is_over else upload.state
        raise Missing(f"This upload is {state.value}. Begin a new one.", code="upload_gone")
    return upload
