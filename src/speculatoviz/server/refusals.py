"""The form of an answer that is an error: OpenAI's below /v1, our own below /api, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error. param: the field that is wrong.

    listed: the reason for the list of refused requests, without anything of the request; "" for the usual words.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    listed: str = ""


def openai_error(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, object]:
    """The body of an error as OpenAI's clients read it. param: the field that is wrong."""
    usual = "invalid_request_error" if status < 500 else "server_error"
    kind = _OPENAI_TYPES.get(status, usual)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def is_openai(path: str) -> bool:
    """Whether a path belongs to the OpenAI-compatible API."""
    return path == "/v1" or path.startswith("/v1/")


def refusal(
    request: HTTPConnection,
    status: int,
    code: str,
    message: str,
    hint: str,
    headers: Mapping[str, str] | None = None,
    param: str | None = None,
    listed: str = "",
) -> Response:
    """The answer for an error, in the form of the path that was asked for. listed: as in `Refusal`.

    It is `refusal` in the state of the request's scope, for the list of refused requests.
    """
    request.scope.setdefault("state", {})["refusal"] = Refusal(status, code, message, param, listed)
    path, extra = str(request.scope["path"]), dict(headers or {})
    if is_openai(path):
        return JSONResponse(openai_error(status, f"{message} {hint}".strip(), code, param), status, extra)
    if path.startswith("/api/"):
        return JSONResponse({"code": code, "message": message, "hint": hint}, status, extra)
    return PlainTextResponse(f"{message} {hint}\n", status, extra)
