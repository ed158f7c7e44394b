"""Client messages: from the text of a frame to a checked message, or an error in words."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import from_json

from speculatoviz.config import in_words
from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.telemetry.messages import CLIENT_MESSAGE, Cancel, Follow, Start, Update

MAX_MESSAGE_BYTES = 64 * 1024


def parse(text: str) -> Start | Update | Cancel | Follow:
    """The message in the text of a frame. A start message needs no `type`. Raises BadRequestError."""
    size = len(text.encode())
    if size > MAX_MESSAGE_BYTES:
        raise BadRequestError(
            f"The message has {size} bytes and {MAX_MESSAGE_BYTES} are allowed.", "Send a shorter prompt."
        )
    try:
        document = from_json(text)
    except ValueError as error:
        raise BadRequestError(
            f"The message is not JSON ({reason_of(error)}).", "Send one JSON object a frame."
        ) from error
    if not isinstance(document, dict):
        raise BadRequestError("The message is not a JSON object.", "Send one JSON object a frame.")
    try:
        return CLIENT_MESSAGE.validate_python({"type": "start"} | document, strict=False)
    except ValidationError as error:
        raise in_words(error) from error
