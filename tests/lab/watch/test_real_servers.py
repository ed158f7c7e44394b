"""llama.cpp's own server with its own speculation, watched: the same bytes, and the figures that it reports."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from speculatoviz.lab.watch.intervals import Interval
from speculatoviz.lab.watch.narration import WatchedRun
from speculatoviz.lab.watch.watching import Watching
from speculatoviz.telemetry.events import Done, Event, VerifyResult
from support.real_servers import PATIENCE_S, lacking, llama_server

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Count to ten."}], "max_tokens": 40, "temperature": 0}

pytestmark = [
    pytest.mark.smol,
    pytest.mark.full,
    pytest.mark.skipif(bool(lacking("xllamacpp")), reason=lacking("xllamacpp") or ""),
]


class Seen:
    """Keeps what is seen."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.intervals, self.events = list[Interval](), list[Event]()

    def listening(self, port: int) -> None:
        """It is not kept."""

    def interval(self, interval: Interval) -> None:
        self.intervals.append(interval)

    def unseen(self, error: Exception) -> None:
        raise error

    def event(self, run: WatchedRun, event: Event) -> None:
        del run
        self.events.append(event)
        if isinstance(event, Done):
            self.ended.set()


def asked(url: str, **more: Any) -> tuple[str, list[tuple[str, str]]]:
    """The text of an answer to a stream, and its headers."""
    response = httpx.post(f"{url}/v1/chat/completions", json=BODY | more, timeout=PATIENCE_S, trust_env=False)
    documents = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    texts = [c["delta"].get("content") or "" for d in documents for c in json.loads(d)["choices"]]
    changing = {"date", "keep-alive"}
    return "".join(texts), [(name, value) for name, value in response.headers.items() if name not in changing]


async def _watched(url: str, seen: Seen) -> tuple[object, object]:
    names = iter("abc")
    watching = Watching(
        httpx2.URL(f"{url}/metrics"), None, (seen,), asyncio.get_running_loop().time, lambda: next(names)
    )
    await watching.look()
    async with watching.proxy(0) as port:
        direct = await asyncio.to_thread(asked, url, stream=True)
        behind = await asyncio.to_thread(asked, f"http://127.0.0.1:{port}", stream=True)
        await asyncio.to_thread(seen.ended.wait, PATIENCE_S)
    interval = await watching.look()
    assert interval is not None
    seen.interval(interval)
    return direct, behind


def test_a_request_behind_the_proxy_has_the_same_answer_and_its_figures_are_read(smol_path: Path) -> None:
    seen = Seen()
    with llama_server(smol_path, smol_path) as url:
        direct, behind = asyncio.run(_watched(url, seen))
    done, [interval] = seen.events[-1], seen.intervals

    assert direct == behind
    assert isinstance(done, Done)
    assert "".join(event.text for event in seen.events if isinstance(event, VerifyResult)) == done.generated_text
    assert (done.generated_text, done.total_tokens) == (behind[0], 40)  # type: ignore[index]
    assert 0 < done.total_accepted <= done.total_drafted
    assert done.metrics.ttft_ms is not None
    assert interval.generated == 80  # of both requests
    [record] = interval.speculation
    assert record.accepted_tokens == 2 * done.total_accepted
    assert record.drafts is not None
