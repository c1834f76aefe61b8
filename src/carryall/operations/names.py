"""The names that are unique per owner (/v1/by-name/): who may take one, and from which file."""

from datetime import datetime

from carryall.model.errors import Forbidden, PreconditionFailed
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared
from carryall.ports.catalog import Tx


def holder(tx: Tx, principal: Principal, declared: Declared, *, owner: str, now: datetime) -> File | None:
    """Give the file that an upload will replace, because it has the name that the upload is to get.

    Asked when the upload is opened, before a byte, and again in the transaction that makes it a file. A file whose
    time is up still has its name, but is as good as gone.

    Raises:
        Forbidden: that file isn't one of those that the credential is for.
        PreconditionFailed: the name had to be free, or to be another file's (If-None-Match, If-Match).
    """
    if declared.path is None:
        return None
    file = tx.files.by_path(owner, declared.path)
    if file is not None and not principal.sees(file.owner, file_id=file.id, external_id=file.external_id):
        raise Forbidden("This name is another file's than the one that the token is for.", code="scope_missing")
    present = file if file is not None and not file.is_over(now) else None
    if declared.must_be_new and present is not None:
        raise PreconditionFailed("A file of this name is there already.")
    if declared.must_replace is not None and (present is None or present.id != declared.must_replace):
        raise PreconditionFailed("This name has got another file meanwhile.")
    return file
