"""One HTTP endpoint of a third party, over the official OpenAI SDK: calls, retries, usage, errors in words."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import httpx2
import openai

from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted import connection
from speculatoviz.targets.hosted.address import Credentials
from speculatoviz.targets.hosted.answers import Body, Completion, ErrorBody
from speculatoviz.targets.hosted.connection import Patience, RedirectError
from speculatoviz.targets.hosted.rate_limits import RateLimits, asked_to_wait_s
from speculatoviz.targets.hosted.usage import Answer

B = TypeVar("B", bound=Body)

_SHOWN_CHARACTERS = 400  # of an endpoint's own message
_NO_KEY = "none"  # the SDK requires a key; `connection.client` sends the real one
_FAILURES = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    OSError,
    ValueError,
    RecursionError,
)


class UnusableError(TargetError):
    """The endpoint cannot be used at all for now: no connection, a refused key, an exhausted limit."""


class ForbiddenError(TargetError):
    """The key does not allow this request; it may allow others."""


class Endpoint:
    """A base URL with credentials.

    The SDK repeats failed calls, after the time that a Retry-After header asks for. Each call raises TargetError with a
    message that contains no credentials. Cancelling the calling task ends the call, its waiting and its retries.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        patience: Patience | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """transport: what requests go through, for tests. Raises TargetError where the proxy cannot be used."""
        self.url, self.limits, self.waits = url.rstrip("/"), RateLimits(), 0
        self.probing = False  # then a failure of the server is an answer, and not repeated
        self._credentials, self._patience = credentials, patience or Patience()
        self._proxy = connection.proxy_for(httpx2.URL(self.url)) if transport is None else None
        http = connection.client(self.url, credentials, self._patience, self._proxy, self._look_at, transport)
        self._client = openai.AsyncOpenAI(
            api_key=_NO_KEY,
            base_url=self.url,
            timeout=http.timeout,
            max_retries=self._patience.retries,
            http_client=http,
        )

    async def complete(self, model: str, fields: Mapping[str, object]) -> Answer[Completion]:
        """POST /completions with these fields."""
        return await self.post("/completions", {"model": model, **fields}, Completion)

    async def post(self, path: str, body: Mapping[str, object], kind: type[B]) -> Answer[B]:
        """path: below the base URL, or a whole URL. kind: how the answer is read."""
        try:
            response = await self._client.post(path, cast_to=httpx2.Response, body=dict(body))
            return self._answer(response, kind)
        except _FAILURES as error:
            raise self._in_words(error) from None

    async def get(self, path: str, kind: type[B]) -> Answer[B]:
        try:
            return self._answer(await self._client.get(path, cast_to=httpx2.Response), kind)
        except _FAILURES as error:
            raise self._in_words(error) from None

    async def stream(self, path: str, body: Mapping[str, object], kind: type[B]) -> AsyncIterator[B]:
        """The events of a streaming answer, each read as `kind`."""
        try:
            stream = await self._client.post(
                path, cast_to=object, body={**body, "stream": True}, stream=True, stream_cls=openai.AsyncStream[object]
            )
            async with stream:
                async for event in stream:
                    yield kind.model_validate(event)
        except _FAILURES as error:
            raise self._in_words(error, " in the middle of a stream") from None

    async def close(self) -> None:
        await self._client.close()

    async def _look_at(self, response: httpx2.Response) -> None:
        """Note declared limits, and keep the SDK from waiting longer than allowed."""
        self.limits.note(response.headers)
        wait_s = asked_to_wait_s(response.headers)
        if self.probing and wait_s is None and response.status_code >= 500:
            response.headers["x-should-retry"] = "false"
        if wait_s is None or response.status_code < 400:
            return
        if wait_s > self._patience.longest_wait_s:
            response.headers["x-should-retry"] = "false"
        else:
            self.waits += 1

    def _answer(self, response: httpx2.Response, kind: type[B]) -> Answer[B]:
        try:
            body = kind.model_validate(response.json())
        except (ValueError, RecursionError):
            raise TargetError(
                f"{self.url} returned something that is not JSON.", "Check that the URL is that of the API."
            ) from None
        sent = response.request.headers
        calls = int(sent.get("x-stainless-retry-count", "0")) + 1
        usage = body.usage(calls, int(sent.get("content-length", "0")), response.num_bytes_downloaded)
        return Answer(body, usage, body.server_ms())

    # Errors in words.

    def _in_words(self, error: Exception, when: str = "") -> TargetError:
        match error:
            case RedirectError():
                return TargetError(f"{self.url} {error}.", "Use the URL that it redirects to, if you trust it.")
            case openai.APIStatusError():
                return self._status_in_words(error)
            case openai.APITimeoutError() | httpx2.TimeoutException():
                return UnusableError(f"{self.url} did not answer in time{when}{self._via}.", "Try again.")
            case openai.APIConnectionError() | httpx2.HTTPError() | OSError():
                return self._unreachable(error, when)
            case openai.APIError():
                return TargetError(f"{self.url} reported an error{when}: {self._message(error)}.", "Try again.")
        return TargetError(
            f"{self.url} returned something that cannot be read{when} ({type(error).__name__}).",
            "Check that the URL is that of the API.",
        )

    def _unreachable(self, error: Exception, when: str) -> TargetError:
        cause = error.__cause__ or error
        reason = self._shown(str(cause)) or type(cause).__name__
        if isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError):
            return TargetError(f"{self.url} closed the connection{when}{self._via} ({reason}).", "Try again.")
        if self._proxy is not None:
            return UnusableError(
                f"{self.url} cannot be reached through the proxy {self._proxy.url}{when} ({reason}).",
                "Check the proxy settings of the environment, or list the endpoint's host in NO_PROXY.",
            )
        return UnusableError(f"{self.url} cannot be reached{when} ({reason}).", "Check the URL and start the server.")

    def _status_in_words(self, error: openai.APIStatusError) -> TargetError:
        status, message = error.status_code, self._message(error)
        if status == 401:
            return UnusableError(
                f"{self.url} refuses the key (HTTP 401).",
                "Set the endpoint's API key (--target-api-key), or the user name and the password in its URL.",
            )
        if status == 403:
            return ForbiddenError(
                f"{self.url} refuses the key for this request (HTTP 403): {message}.", "Check what the key allows."
            )
        if status == 407:
            return UnusableError(
                f"The proxy {self._proxy.url if self._proxy else ''} asks for a user name and a password.",
                "Set them in the URL of the proxy, or list the endpoint's host in NO_PROXY.",
            )
        if status == 429:
            wait_s = asked_to_wait_s(error.response.headers)
            asked = "" if wait_s is None else f" and asks to wait {wait_s:.0f} s"
            return UnusableError(
                f"{self.url} allows no more requests for now{asked}: {message}.",
                "Wait, or choose an endpoint that allows a request per round.",
            )
        hint = "Check the model's name and the settings." if status < 500 else "Try again later."
        return TargetError(f"{self.url} answered HTTP {status}{self._via}: {message}.", hint)

    @property
    def _via(self) -> str:
        return f" through the proxy {self._proxy.url}" if self._proxy else ""

    def _message(self, error: openai.APIError) -> str:
        """The endpoint's own message, from whichever field holds it; the title of a page of HTML."""
        body = ErrorBody.model_validate(error.body if isinstance(error.body, dict) else {"message": error.body})
        return self._shown(body.text or str(error.body or error.message))

    def _shown(self, text: str) -> str:
        """One line without credentials and markup."""
        if title := re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL):
            text = html.unescape(title[1])
        elif text.lstrip().startswith("<"):
            text = html.unescape(re.sub(r"<[^>]*>", " ", text))
        if self._credentials is not None:
            text = self._credentials.redact(text)
        visible = "".join(character if character.isprintable() else " " for character in text)
        return " ".join(visible.split())[:_SHOWN_CHARACTERS].rstrip(". ")
