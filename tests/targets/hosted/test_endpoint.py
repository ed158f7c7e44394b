"""The HTTP client of third-party endpoints: retries, waiting, limits, usage, and errors without the key."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx2
import pytest

from speculatoviz.core.rounds import Usage
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.answers import Body, Completion
from speculatoviz.targets.hosted.connection import Patience
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.rate_limits import asked_to_wait_s
from speculatoviz.targets.hosted.usage import Answer, CallUsage
from support.hosted import endpoint, stand_in
from support.stand_in import StandIn

KEY = "sk-secret-1234567890"
SOON = {"retry-after-ms": "1"}
CEREBRAS = {
    "x-ratelimit-limit-requests-day": "1440",
    "x-ratelimit-limit-tokens-minute": "30000",
    "x-ratelimit-remaining-requests-day": "1439",
    "x-ratelimit-remaining-tokens-minute": "29000",
    "x-ratelimit-reset-requests-day": "33011.3",
}


async def ask(at: Endpoint, **fields: Any) -> Answer[Completion]:
    try:
        return await at.complete("toy", {"prompt": [0, 1], "max_tokens": 1, **fields})
    finally:
        await at.close()


def refusal(served: StandIn, key: str | None = KEY, patience: Patience | None = None) -> TargetError:
    with pytest.raises(TargetError) as refused:
        asyncio.run(ask(endpoint(served, key, patience)))
    assert refused.value.hint
    assert KEY not in str(refused.value)
    return refused.value


def test_a_limited_endpoint_is_asked_again_after_the_time_it_names() -> None:
    served = stand_in()
    served.failures = [(429, SOON), (503, SOON), (429, SOON)]
    at = endpoint(served)
    answer = asyncio.run(ask(at))

    assert answer.body.choices
    assert answer.usage.calls == 4
    assert len(served.requests) == 4
    assert at.waits == 3


def test_a_wait_that_is_too_long_is_drawn_and_not_waited_for() -> None:
    served = stand_in()
    served.failures = [(429, {"retry-after": "60"})] * 9

    assert "asks to wait 60 s" in refusal(served).message
    assert len(served.requests) == 1


def test_the_longest_wait_is_a_setting() -> None:
    served = stand_in()
    served.failures = [(429, {"retry-after-ms": "50"})] * 9

    refusal(served, patience=Patience(longest_wait_s=0.01))
    assert len(served.requests) == 1


def test_it_gives_up_after_as_many_retries_as_were_allowed() -> None:
    served = stand_in()
    served.failures = [(429, SOON)] * 9

    refusal(served, patience=Patience(retries=2))
    assert len(served.requests) == 3


def test_what_is_wrong_with_a_request_is_not_tried_again() -> None:
    served = stand_in(echo=False)
    at = endpoint(served)
    with pytest.raises(TargetError, match="echo is not supported"):
        asyncio.run(ask(at, echo=True))

    assert len(served.requests) == 1


def test_cancelling_ends_the_waiting_and_the_retries() -> None:
    served = stand_in()
    served.failures = [(429, {"retry-after": "15"})] * 9

    async def cancelled() -> None:
        task = asyncio.create_task(ask(endpoint(served)))
        while not served.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert len(served.requests) == 1


@pytest.mark.parametrize("status", [401, 429, 500])
def test_no_error_and_no_log_holds_the_key(status: int, caplog: pytest.LogCaptureFixture) -> None:
    served = stand_in(key="another" if status == 401 else KEY)
    served.failures = [] if status == 401 else [(status, {"retry-after": "99"})] * 9
    with caplog.at_level(logging.DEBUG):
        error = refusal(served, patience=Patience(retries=0))

    assert KEY not in caplog.text
    assert error.__cause__ is None
    if status == 401:
        assert "refuses the key" in error.message


def test_an_endpoint_that_is_not_there_is_named() -> None:
    at = Endpoint("http://127.0.0.1:9/v1", patience=Patience(connect_s=2.0, retries=0))
    with pytest.raises(TargetError, match=r"http://127.0.0.1:9/v1 cannot be reached"):
        asyncio.run(ask(at))


def test_an_answer_that_is_no_json_is_drawn() -> None:
    page = httpx2.MockTransport(lambda request: httpx2.Response(200, text="<html>hello</html>"))
    with pytest.raises(TargetError, match="not JSON"):
        asyncio.run(ask(Endpoint("http://toy/v1", transport=page)))


def test_declared_limits_are_put_into_words() -> None:
    served = stand_in()
    served.headers = CEREBRAS
    at = endpoint(served)
    asyncio.run(ask(at))

    words = "1440 requests per day (1439 left), 30000 tokens per minute (29000 left)"
    assert str(at.limits) == words
    assert at.limits.requests_per_minute() == 1.0


def test_an_endpoint_that_declares_no_limits_has_none() -> None:
    at = endpoint(stand_in())
    asyncio.run(ask(at))

    assert str(at.limits) == ""
    assert at.limits.requests_per_minute() is None


def test_retry_after_is_read_in_every_form() -> None:
    date = {"date": "Sun, 22 Nov 2026 10:00:00 GMT", "retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}

    assert asked_to_wait_s(httpx2.Headers({"retry-after-ms": "1500", "retry-after": "9"})) == 1.5
    assert asked_to_wait_s(httpx2.Headers({"retry-after": "2.5"})) == 2.5
    assert asked_to_wait_s(httpx2.Headers(date)) == 30.0
    for unusable in ("soon", "nan", "inf", "-3"):
        assert asked_to_wait_s(httpx2.Headers({"retry-after": unusable})) is None
    assert asked_to_wait_s(httpx2.Headers({})) is None


def test_usage_is_the_sum_of_what_is_reported() -> None:
    usage = CallUsage()
    usage.add([Answer(Body(), Usage(1, 10, 1, 4, 100, 200), 5.0), Answer(Body(), Usage(2, 20, 1, 0, 100, 200), 7.0)])

    assert usage.total == Usage(3, 30, 2, 4, 200, 400)
    assert usage.server_ms == 7.0
    usage.add([Answer(Body(), Usage(1, None, 1, 0, 1, 1), None)])
    assert usage.total.prompt_tokens is None
    assert usage.server_ms is None
