"""How the drafts differ on the wire: one row for each interop version, and one for clients that name none.

Source: draft-ietf-httpbis-resumable-upload-01 to -13.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one interop version does its own way.

    Attributes:
        version: told back in answers; None where the client named none that is known.
        flag: the field that says whether an upload is at its end.
        is_inverted: the flag says "incomplete" instead of "complete".
        needs_type: an append has to be `application/partial-upload`.
        age_key: the key of Upload-Limit for the seconds that an upload is still kept; None: there is no such field.
        names_complete: an append to a complete upload has a problem type, and is 400; else it is 409 without one.
        names_length: sizes that disagree have a problem type.
        names_offset: a wrong offset has one.
        tells_progress: a 104 may tell how far an upload is. One with its address is part of every version.
    """

    version: int | None
    flag: str = "Upload-Complete"
    is_inverted: bool = False
    needs_type: bool = True
    age_key: str | None = "max-age"
    names_complete: bool = False
    names_length: bool = True
    names_offset: bool = True
    tells_progress: bool = True


NEWEST = Dialect(None)
_EARLY = Dialect(5, needs_type=False, age_key=None, names_length=False, names_offset=False)
DIALECTS: Mapping[int, Dialect] = {
    3: replace(_EARLY, version=3, flag="Upload-Incomplete", is_inverted=True, tells_progress=False),
    4: replace(_EARLY, version=4, tells_progress=False),
    5: _EARLY,
    6: Dialect(6, age_key="expires", names_complete=True, names_length=False),
    7: Dialect(7, names_complete=True),
    8: Dialect(8, names_complete=True),
    9: Dialect(9),
    10: Dialect(10),
}
