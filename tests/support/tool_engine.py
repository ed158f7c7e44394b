"""An engine that answers chats with a tool call, and counts what its prefix cache holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from support.stand_in import Json
from support.two_engines import Engine

ARGUMENTS = '{"origin": "Lisbon", "destination": "Paris", "passengers": ["Anna", "Jürgen"], "window_seat": true}'


@dataclass
class ToolEngine(Engine):
    """arguments, streamed: of its tool call; streamed ones come `step` characters at a time. finish: why it ended.

    by_name: whether it obeys the choice of a function by its name.

    hits: cached tokens of a prompt that was sent before, in its usage and in its counters. metrics: whether it has any.
    """

    arguments: str = ARGUMENTS
    streamed: str | None = None
    step: int = 1
    finish: str = "stop"
    by_name: bool = True
    hits: int = 32
    metrics: bool = True
    counter: float = field(default=0.0, init=False)
    _sent: set[str] = field(default_factory=set, init=False)

    def app(self) -> Starlette:
        app = super().app()
        app.routes.append(Route("/metrics", self._metrics))
        return app

    async def _metrics(self, request: Request) -> Response:
        name = "vllm:prefix_cache_hits"
        text = f'# TYPE {name} counter\n{name}_total{{model_name="toy"}} {self.counter}\n'
        return PlainTextResponse(text if self.metrics else "", 200 if self.metrics else 404)

    async def _completions(self, request: Request) -> Response:
        prompt = json.dumps((await request.json())["prompt"])
        known = prompt in self._sent
        self._sent.add(prompt)
        cached = self.hits if known else 0
        self.counter += cached
        change = self.change

        def with_hits(answer: Json) -> Json:
            answer = change(answer)
            answer.get("usage", {})["prompt_tokens_details"] = {"cached_tokens": cached}
            return answer

        self.change = with_hits
        try:
            return await super()._completions(request)
        finally:
            self.change = change

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        if "tools" not in body:
            return await super()._chat(request)
        if isinstance(body["tool_choice"], dict) and not self.by_name:
            return self._answer({"choices": [{"index": 0, "message": {"content": "no"}, "finish_reason": "stop"}]})
        name = body["tools"][0]["function"]["name"]
        if body.get("stream"):
            return StreamingResponse(self._call_stream(name), media_type="text/event-stream")
        call = {"id": "1", "type": "function", "function": {"name": name, "arguments": self.arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return self._answer({"choices": [{"index": 0, "message": message, "finish_reason": self.finish}]})

    async def _call_stream(self, name: str) -> AsyncIterator[str]:
        text = self.arguments if self.streamed is None else self.streamed
        parts = [{"name": name, "arguments": ""}]
        parts += [{"arguments": text[at : at + self.step]} for at in range(0, len(text), self.step)]
        for part in parts:
            choice: Json = {
                "index": 0,
                "delta": {"tool_calls": [{"index": 0, "function": part}]},
                "finish_reason": None,
            }
            yield f"data: {json.dumps({'choices': [choice]})}\n\n"
        end: Json = {"index": 0, "delta": {}, "finish_reason": self.finish}
        yield f"data: {json.dumps({'choices': [end]})}\n\ndata: [DONE]\n\n"
