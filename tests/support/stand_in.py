"""A small HTTP endpoint that serves a toy model: what a test needs of vLLM, SGLang, Cerebras and the likes of them.

Answers are shaped as those of the real servers, as far as the targets read them: vLLM's as recorded from vLLM 0.32,
Cerebras' as in the types of its SDK, SGLang's as in its documentation of `/generate` and its tokenizer manager; no
SGLang server was run. Sampling follows the project's own order of filters, so that the truth is known.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Sampling
from speculatoviz.errors import BadRequestError
from speculatoviz.models.runtimes.toy import ToyModel
from support.stand_in_abilities import STANDARD, Abilities

Json = dict[str, Any]


@dataclass
class StandIn:
    """failures: answers to give first, as (status, headers), to requests for completions.

    change: called with each answer that is not an error; what it returns is sent instead.
    """

    model: ToyModel
    can: Abilities = field(default_factory=Abilities)
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    requests: list[Json] = field(default_factory=list)
    change: Callable[[Any], Any] = lambda answer: answer

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/generate", self._generate, methods=["POST"]),
                Route("/get_model_info", self._model_info),
            ]
        )

    # The routes.

    async def _completions(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if refusal := self._refused(request, body) or self._unable(body):
            return refusal
        prompts = self._prompts(body["prompt"])
        if isinstance(prompts, str):
            return self._error(400, prompts)
        if body.get("stream"):
            return StreamingResponse(self._stream(prompts[0], body), media_type="text/event-stream")
        count = body.get("n", 1) if self.can.several else 1
        choices = [self._choice(ids, body) for ids in prompts for _ in range(count)]
        usage = {"prompt_tokens": sum(map(len, prompts)), "completion_tokens": sum(c.pop("made") for c in choices)}
        usage["total_tokens"] = sum(usage.values())
        answer: Json = {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": i, **choice} for i, choice in enumerate(choices)],
            "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 0}},
        }
        if self.can.time_info:
            times = {"queue_time": 0.001, "prompt_time": 0.002, "completion_time": 0.001, "total_time": 0.005}
            answer["time_info"] = times
        return self._answer(answer)

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if refusal := self._refused(request, body):
            return refusal
        if not self.can.chats:
            return self._error(404, "Not Found")
        prompt = self.model.tokenizer.encode("".join(m["content"] for m in body["messages"]), special=True)
        return StreamingResponse(self._stream(prompt, body, chat=True), media_type="text/event-stream")

    async def _models(self, request: Request) -> Response:
        if refusal := self._refused(request, {}):
            return refusal
        entry = {"id": "toy", "object": "model", "created": 0, "owned_by": "test"}
        if self.can.max_model_len:
            entry["max_model_len"] = self.can.max_model_len
        return self._answer({"object": "list", "data": [entry]})

    async def _tokenize(self, request: Request) -> Response:
        if not self.can.tokenize:
            return self._error(404, "Not Found")
        text = (await request.json())["prompt"]
        try:
            tokens = self.model.tokenizer.encode(text, special=True)
        except BadRequestError as error:
            return self._error(400, str(error))
        return self._answer({"count": len(tokens), "max_model_len": self.can.max_model_len, "tokens": tokens})

    async def _model_info(self, request: Request) -> Response:
        return JSONResponse({"model_path": "toy", "is_generation": True})

    async def _generate(self, request: Request) -> Response:
        """SGLang's native route."""
        body = await request.json()
        self.requests.append(body)
        prompts = body["input_ids"]
        if body.get("stream"):
            return StreamingResponse(self._sglang_stream(prompts, body), media_type="text/event-stream")
        batch = isinstance(prompts[0], list)
        count = body["sampling_params"].get("n", 1)
        answers = [self._sglang(ids, body) for ids in (prompts if batch else [prompts]) for _ in range(count)]
        return self._answer(answers if batch or count > 1 else answers[0])

    def _answer(self, answer: Any) -> Response:
        body = json.dumps(self.change(answer))  # unlike JSONResponse, it writes NaN
        return Response(body, headers=self.headers, media_type="application/json")

    # What they are made of.

    def logprobs(self, prefix: Sequence[int], temperature: float = 1.0) -> np.ndarray[Any, np.dtype[np.float64]]:
        logits = self.model.logits(prefix) / temperature
        result: np.ndarray[Any, np.dtype[np.float64]] = logits - np.logaddexp.reduce(logits)
        return result

    def draw(self, prefix: Sequence[int], sampling: Sampling, rng: np.random.Generator) -> int:
        p = distribution(self.model.logits(prefix), sampling).dense(self.model.tokenizer.n_vocab)
        return int(rng.choice(len(p), p=p / p.sum()))

    def _sampling(self, body: Json) -> Sampling:
        top_k, min_p = (max(0, body.get("top_k") or 0), body.get("min_p") or 0.0) if self.can.filters else (0, 0.0)
        return Sampling(body.get("temperature", 1.0), top_k, body.get("top_p", 1.0), min_p)

    def _own_rng(self, body: Json) -> np.random.Generator:
        """As vLLM: a seed gives every prompt of a request the same noise."""
        return self._rng if body.get("seed") is None else np.random.default_rng(body["seed"])

    def _grow(self, prompt: Sequence[int], body: Json) -> list[int]:
        rng, ends, made = self._own_rng(body), self.model.tokenizer.eos_ids, list[int]()
        while len(made) < max(1, body.get("max_tokens", 16)):
            made.append(self.draw([*prompt, *made], self._sampling(body), rng))
            if made[-1] in ends and not body.get("ignore_eos"):
                break
        return made

    def _choice(self, prompt: Sequence[int], body: Json) -> Json:
        made = self._grow(prompt, body)
        echo = bool(body.get("echo"))
        choice: Json = {"text": self._text([*prompt, *made] if echo else made), "made": len(made)}
        choice["finish_reason"] = "stop" if made[-1] in self.model.tokenizer.eos_ids else "length"
        choice["logprobs"] = self._completion_logprobs(prompt, made, body) if body.get("logprobs") is not None else None
        if self.can.ids == "token_ids" or (self.can.ids and body.get("return_raw_tokens")):
            choice[self.can.ids] = made
        if body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = [self._entry(prompt, i, body) for i in range(len(prompt))]
        return choice

    def _completion_logprobs(self, prompt: Sequence[int], made: Sequence[int], body: Json) -> Json:
        ids = [*prompt, *made]
        first = 0 if body.get("echo") else len(prompt)
        by_id = bool(body.get("return_tokens_as_token_ids")) and self.can.ids is not None
        name = (lambda t: f"token_id:{t}") if by_id else (lambda t: self._text([t]))
        values, tops = list[float | None](), list[Json | None]()
        for place in range(first, len(ids)):
            row = self._scores(ids, place, body, prompt=place < len(prompt))
            values.append(None if row is None else float(row[ids[place]]))
            best = [] if row is None else np.argsort(-row)[: body["logprobs"]].tolist()
            shown = dict.fromkeys([*best, ids[place]])
            tops.append(None if row is None else {name(t): float(row[t]) for t in shown})
        return {"tokens": [name(t) for t in ids[first:]], "token_logprobs": values, "top_logprobs": tops}

    def _scores(self, ids: Sequence[int], place: int, body: Json, *, prompt: bool) -> Any:
        if prompt and self.can.shifted:
            place -= 1
        if place <= 0:
            return None
        temperature = body.get("temperature") or 1.0
        return self.logprobs(ids[:place], 1.0 if self.can.raw or not prompt else temperature)

    def _entry(self, prompt: Sequence[int], place: int, body: Json) -> Json | None:
        row = self._scores(prompt, place, body, prompt=True)
        if row is None:
            return None
        order = np.argsort(-row).tolist()
        count = len(order) if body["prompt_logprobs"] < 0 else body["prompt_logprobs"]
        shown = dict.fromkeys([prompt[place], *order[:count]])
        return {
            str(t): {"logprob": float(row[t]), "rank": order.index(t) + 1, "decoded_token": self._text([t])}
            for t in shown
        }

    async def _stream(self, prompt: Sequence[int], body: Json, *, chat: bool = False) -> AsyncIterator[str]:
        for token in self._grow(prompt, body):
            ended = token in self.model.tokenizer.eos_ids
            text = self._text([token])
            choice: Json = {"index": 0, "finish_reason": "stop" if ended else None}
            choice |= {"delta": {"content": text}} if chat else {"text": text}
            if self.can.ids and not chat:
                choice[self.can.ids] = [token]
            chunk = {"id": "1", "object": "x", "created": 0, "model": "toy", "choices": [choice]}
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    def _text(self, ids: Sequence[int]) -> str:
        return b"".join(self.model.tokenizer.token_bytes(t) for t in ids).decode()

    def _prompts(self, prompt: Any) -> list[list[int]] | str:
        """Token lists of a prompt in any of its forms, or what is wrong with it."""
        several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
        if several and not self.can.arrays:
            return "prompt must be a string or a list of tokens"
        items = prompt if several else [prompt]
        if any(isinstance(item, list) for item in items) and not self.can.token_prompts:
            return "prompt must be a string"
        if any(isinstance(item, str) for item in items) and not self.can.text_prompts:
            return "prompt must be tokens"
        return [self.model.tokenizer.encode(i, special=True) if isinstance(i, str) else list(i) for i in items]

    def _refused(self, request: Request, body: Json) -> Response | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.can.key is not None and request.headers.get("authorization") != f"Bearer {self.can.key}":
            return self._error(
                401, f"Wrong API Key: {request.headers.get('authorization', '').removeprefix('Bearer ')}"
            )
        if self.can.authorization not in {None, request.headers.get("authorization")}:
            return self._error(401, f"Wrong credentials: {request.headers.get('authorization')}")
        if self.failures and body:
            status, headers = self.failures.pop(0)
            return self._error(status, f"Too many requests for {key}" if status == 429 else "It broke", headers)
        if body and body.get("model") not in {None, "toy"}:
            return self._error(404, f"The model `{body['model']}` does not exist.")
        return None

    def _unable(self, body: Json) -> Response | None:
        can, wanted = self.can, max(body.get("logprobs") or 0, body.get("prompt_logprobs") or 0)
        unknown = sorted(set(body) - STANDARD)
        if not can.completions:
            return self._error(404, "Not Found")
        if not can.unknown_fields and unknown:
            return self._error(400, f"property '{unknown[0]}' is unsupported")
        if not can.echo and body.get("echo"):
            return self._error(400, "echo is not supported")
        if not can.prompt_logprobs:
            body.pop("prompt_logprobs", None)
        if not can.logprobs:
            body["logprobs"] = None
        if 0 <= can.most_logprobs < wanted or (min(wanted, body.get("prompt_logprobs") or 0) < 0 <= can.most_logprobs):
            return self._error(
                400, f"Requested logprobs of {wanted}, which is greater than max allowed: {can.most_logprobs}"
            )
        return None

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        error = {"message": message, "type": "error", "code": status}
        return JSONResponse({"error": error}, status, {**self.headers, **(headers or {})})

    # SGLang.

    def _sglang_body(self, body: Json) -> Json:
        params = body["sampling_params"]
        names = ("temperature", "top_p", "min_p", "ignore_eos")
        known = {name: params[name] for name in names if name in params}
        return {**known, "top_k": max(0, params.get("top_k", -1)), "max_tokens": params["max_new_tokens"]}

    def _sglang(self, prompt: list[int], body: Json) -> Json:
        own = self._sglang_body(body)
        made = self._grow(prompt, own)
        ended = made[-1] in self.model.tokenizer.eos_ids
        meta: Json = {
            "id": "1",
            "finish_reason": {"type": "stop", "matched": made[-1]}
            if ended
            else {"type": "length", "length": len(made)},
            "prompt_tokens": len(prompt),
            "completion_tokens": len(made),
            "cached_tokens": 0,
            "e2e_latency": 0.002,
        }
        if body.get("return_logprob"):
            meta |= self._sglang_logprobs(prompt, made, body, own["temperature"])
        return {"text": self._text(made), "output_ids": made, "meta_info": meta}

    def _sglang_logprobs(self, prompt: list[int], made: list[int], body: Json, temperature: float) -> Json:
        """Input scores are raw, output scores divided by the temperature; the first input score is null."""
        start = body.get("logprob_start_len", -1)
        first = len(prompt) - 1 if start < 0 else start
        count = body.get("top_logprobs_num", 0)

        def entry(row: Any, token: int) -> list[Any]:
            return [float(row[token]), token, None]

        def top(row: Any) -> list[Any]:
            return [entry(row, t) for t in np.argsort(-row)[:count].tolist()]

        inputs = [None, *(self._scores(prompt, i, {}, prompt=True) for i in range(first + 1, len(prompt)))]
        outputs = [self.logprobs([*prompt, *made[:i]], temperature or 1.0) for i in range(len(made))]
        given = zip(inputs, prompt[first:], strict=True)
        meta: Json = {
            "input_token_logprobs": [[None, t, None] if row is None else entry(row, t) for row, t in given],
            "output_token_logprobs": [entry(row, t) for row, t in zip(outputs, made, strict=True)],
        }
        if count:
            meta["input_top_logprobs"] = [None if row is None else top(row) for row in inputs]
            meta["output_top_logprobs"] = [top(row) for row in outputs]
        return meta

    async def _sglang_stream(self, prompt: list[int], body: Json) -> AsyncIterator[str]:
        """Every chunk holds all tokens so far, as SGLang's do unless it streams increments."""
        made = self._grow(prompt, self._sglang_body(body))
        for count in range(1, len(made) + 1):
            yield f"data: {json.dumps({'output_ids': made[:count], 'meta_info': {'completion_tokens': count}})}\n\n"
        yield "data: [DONE]\n\n"
