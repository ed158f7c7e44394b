"""What the clients of one key may use together: runs at the same time, and requests a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from speculatoviz.errors import SpeculatoVizError
from speculatoviz.server.refusals import refusal

_MINUTE_S = 60.0


class QuotaError(SpeculatoVizError):
    """The clients of one key use more than they may. retry_s: seconds until another try can succeed."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, hint: str, retry_s: int = 1) -> None:
        super().__init__(message, hint)
        self.retry_s = retry_s


@dataclass(slots=True)
class Quotas:
    """Counts by the name of a key; clients without a key are not counted. For use in one event loop.

    runs: at the same time for one key. requests_per_minute: of one key, that many also in a burst. 0: no limit.
    """

    runs: int
    requests_per_minute: int
    _running: Counter[str] = field(default_factory=Counter)
    _limiters: dict[str, AsyncLimiter] = field(default_factory=dict)

    @contextmanager
    def run(self, holder: str | None) -> Iterator[None]:
        """Counts a run, from its request until its end. Raises QuotaError."""
        if holder is None:
            yield
            return
        if self.runs and self._running[holder] >= self.runs:
            raise QuotaError(
                f"This key has {self._running[holder]} runs at the same time, as many as it may.",
                "Wait until one has ended.",
            )
        self._running[holder] += 1
        try:
            yield
        finally:
            self._running[holder] -= 1

    async def request(self, holder: str | None) -> None:
        """Counts a request. Raises QuotaError."""
        if holder is None or not self.requests_per_minute:
            return
        if holder not in self._limiters:
            self._limiters[holder] = AsyncLimiter(self.requests_per_minute, _MINUTE_S)
        limiter = self._limiters[holder]
        if not limiter.has_capacity():
            raise QuotaError(
                f"This key has sent more than {self.requests_per_minute} requests in a minute.",
                "Send fewer, or wait a little.",
                retry_s=max(1, round(_MINUTE_S / self.requests_per_minute)),
            )
        await limiter.acquire()


@dataclass(frozen=True, slots=True)
class Quota:
    """The part of the quotas that is one client's. holder: the name of its key."""

    quotas: Quotas
    holder: str | None

    def begin(self) -> Callable[[], None]:
        """Counts a run until the returned function is called. Raises QuotaError."""
        counted = ExitStack()
        counted.enter_context(self.quotas.run(self.holder))
        return counted.close


def holder_of(connection: HTTPConnection) -> str | None:
    """The name of the key that a request came with; None if no key is needed."""
    holder: str | None = connection.scope.get("state", {}).get("holder")
    return holder


class WithinQuotas:
    """ASGI middleware that refuses POST requests beyond the quotas of their key. Sockets count their own runs."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self._app, self._quotas = app, quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        with ExitStack() as counted:
            try:
                await self._quotas.request(holder_of(request))
                counted.enter_context(self._quotas.run(holder_of(request)))
            except QuotaError as error:
                headers = {"Retry-After": str(error.retry_s)}
                await refusal(request, 429, error.code, error.message, error.hint, headers)(scope, receive, send)
                return
            await self._app(scope, receive, send)
