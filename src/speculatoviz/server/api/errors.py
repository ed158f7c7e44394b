"""Errors of the HTTP routes in words, each with its status."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from speculatoviz.config import mistake_in_words
from speculatoviz.errors import (
    BadRequestError,
    BusyError,
    ModelError,
    SpeculatoVizError,
    StoreError,
    TargetError,
    UnknownRunError,
)
from speculatoviz.server.api.fields import UNSUPPORTED
from speculatoviz.server.refusals import is_openai, openai_error, refusal
from speculatoviz.server.stopping import StoppingError


class UnknownModelError(BadRequestError):
    """A request names a model that is not served."""

    code = "model_not_found"


_RETRY_S = {429: "1", 503: "5"}  # when to ask again: a run may have ended, the models may be loaded

# Below /api the other errors have status 400.
_OWN_STATUS = {
    BusyError.code: 429,
    ModelError.code: 503,
    StoppingError.code: 503,
    StoreError.code: 503,
    UnknownRunError.code: 404,
}

# The status of each error that is not a mistake of the client's; the status of the others is 400.
_STATUS = {
    UnknownModelError.code: 404,
    BusyError.code: 429,
    ModelError.code: 503,
    StoppingError.code: 503,
    TargetError.code: 502,
    SpeculatoVizError.code: 500,
}


def add_handlers(app: FastAPI) -> None:
    """Answer errors in the form of the path that was asked for."""
    app.add_exception_handler(SpeculatoVizError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_mistake)
    app.add_exception_handler(HTTPException, _answer_status)


def error_document(error: SpeculatoVizError) -> dict[str, object]:
    """The error as a document of a stream, which has begun with status 200."""
    return openai_error(_status(error), str(error), error.code)


def _status(error: SpeculatoVizError) -> int:
    return _STATUS.get(error.code, 400)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpeculatoVizError)
    own = not is_openai(str(request.scope["path"]))
    status = _OWN_STATUS.get(error.code, 400) if own else _status(error)
    headers = {"Retry-After": _RETRY_S[status]} if status in _RETRY_S else {}
    return refusal(request, status, error.code, error.message, error.hint, headers)


async def _answer_mistake(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if not is_openai(str(request.scope["path"])):
        return await request_validation_exception_handler(request, error)
    first: dict[str, Any] = dict(error.errors()[0])
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        message, hint, listed = f"The body is not JSON ({reason}).", "Send one JSON object.", "The body is not JSON."
        return refusal(request, 400, "bad_request", message, hint, listed=listed)
    first["loc"] = first["loc"][1:]
    if not first["loc"] and first["type"] != "value_error":
        hint = "Send one, with the header Content-Type: application/json."
        message = "The body is not a JSON object."
        return refusal(request, 400, "bad_request", message, hint, listed=message)
    words = mistake_in_words(first)
    code = "unsupported_parameter" if first["type"] == UNSUPPORTED else "invalid_value"
    param = str(first["loc"][0]) if first["loc"] else None
    return refusal(request, 400, code, words.message, words.hint, param=param)


async def _answer_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = str(request.scope["path"])
    openai = is_openai(path)
    if not openai and not path.startswith("/api/"):
        return await http_exception_handler(request, error)
    code, message = {
        404: ("not_found", "There is no such route."),
        405: ("method", f"This route does not answer {request.method}."),
    }.get(error.status_code, ("bad_request", f"{error.detail}."))
    hint = "Use /v1/models (GET), /v1/completions or /v1/chat/completions (POST)."
    if not openai:
        hint = "Send what `GET /api/openapi.json` describes."
    return refusal(request, error.status_code, code, message, hint, error.headers)
