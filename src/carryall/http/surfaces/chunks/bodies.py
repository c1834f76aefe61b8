"""The JSON bodies of the chunk sessions. Keys that aren't known are ignored, as the described system does."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DIGITS = re.compile(r"[0-9]{1,19}")
_MOST = 2**63 - 1
_ID = "Xh7Qd0vJ3kPz9sYb2LwNfA"
_URL = "http://127.0.0.1:8000/upload/download/123"


def _number(value: object) -> object:
    """Take a number that is written as text; clients that keep ids in forms send those."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


# Strict, since a lax integer would also be `true`, 1.0 and "1_000".
FileNumber = Annotated[int, BeforeValidator(_number), Field(strict=True, ge=0, le=_MOST)]
SessionId = Annotated[str, Field(min_length=1, max_length=200)]


def _shown(**example: str | int) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": {**example}})


class Begin(BaseModel):
    """What begins a session: which file of the main service it is for, and its name."""

    model_config = _shown(main_service_file_id=123, original_file_name="audio.mp3")

    main_service_file_id: FileNumber
    original_file_name: str = Field(min_length=1, max_length=4096)


class Complete(BaseModel):
    """What ends a session: how many chunks were sent, counted from 1."""

    model_config = _shown(upload_session_id=_ID, total_chunks=10, main_service_file_id=123)

    upload_session_id: SessionId
    total_chunks: Annotated[int, BeforeValidator(_number), Field(strict=True, ge=1, le=_MOST)]
    main_service_file_id: FileNumber


class Delete(BaseModel):
    """What is to go: a session with what it became, a file, or both."""

    model_config = _shown(upload_session_id=_ID)

    upload_session_id: SessionId | None = None
    file_id: FileNumber | None = Field(default=None, description="The `main_service_file_id`.")


class Done(BaseModel):
    """An answer that says no more than that it was done."""

    status: Literal["success"] = "success"
    message: str


class Session(BaseModel):
    """A session that was begun."""

    upload_session_id: str = Field(examples=[_ID])


class Begun(Done):
    """The answer to the beginning of a session."""

    message: str = "Upload session initialized."
    data: Session


class Stored(BaseModel):
    """A finished file: where it is, and what arrived."""

    file_path_on_upload_service: str = Field(examples=[_URL])
    file_download_url: str = Field(examples=[_URL])
    file_id: str = Field(description="Carryall's own id, as under /v1/files.", examples=["4fGhR2mP8sQ1tVx7Lb3Nc9"])
    size: int = Field(description="Bytes.", examples=[5242880])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])


class Completed(Done):
    """The answer to the end of a session."""

    message: str = "File upload completed and main service notified."
    data: Stored


class Listing(BaseModel):
    """The URLs of the user's files, sorted by the files' names."""

    status: Literal["success"] = "success"
    files: list[str] = Field(examples=[[_URL]])
