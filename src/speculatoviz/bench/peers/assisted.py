"""transformers' assisted generation as a peer: plain, with an assistant model, with prompt lookup.

The weights are those of the same GGUF files, dequantised. All ways share a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from speculatoviz.bench.peers.process import WorkerProcess
from speculatoviz.bench.peers.runs import PLAIN, Question, Timing, Way

ENGINE = "transformers"
LOOKUP_TOKENS = (3, 10)
ASSISTANT_TOKENS = (2, 3, 5)


@dataclass(frozen=True, slots=True)
class TransformersFiles:
    """What transformers loads, and how. draft: None without an assistant model. device, dtype: as in the settings.

    end_ids: the tokens that end a text.
    """

    target: Path
    draft: Path | None
    end_ids: tuple[int, ...]
    threads: int
    device: str
    dtype: str


class AssistedWorker:
    """The library's models, in a process of its own. Raises ModelError if they cannot be loaded."""

    def __init__(self, files: TransformersFiles, progress: Callable[[str], None]) -> None:
        import torch

        from speculatoviz.models.runtimes.torch_device import torch_device, torch_dtype
        from speculatoviz.models.runtimes.transformers import load_weights

        torch.set_num_threads(files.threads)
        device = torch_device(files.device)
        dtype = torch_dtype(files.dtype, device)
        progress("loading")
        self._end_ids, self._device = list(files.end_ids), device
        self._target: Any = load_weights(files.target, device, dtype)
        self._draft: Any = load_weights(files.draft, device, dtype) if files.draft else None

    def decode(self, question: Question, options: Mapping[str, int]) -> Timing:
        """Decode a prompt. options: `prompt_lookup_num_tokens`, or `num_assistant_tokens` for the assistant model.

        The first tokens come from the pass over the prompt. They do not count, and the time begins after them.
        """
        import torch

        arrivals = _Arrivals()
        torch.manual_seed(question.prompt.number)
        ids = torch.tensor([question.ids], device=self._device)
        sampled = question.temperature > 0.0
        drawn = {"temperature": question.temperature, "top_k": 0, "top_p": 1.0} if sampled else {}
        self._target.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=question.max_tokens,
            do_sample=sampled,
            eos_token_id=self._end_ids,
            pad_token_id=self._end_ids[0] if self._end_ids else 0,
            streamer=arrivals,
            **drawn,
            **self._drafting(options),
        )
        return arrivals.timing()

    def close(self) -> None:
        """Free the weights."""
        self._target = self._draft = None

    def _drafting(self, options: Mapping[str, int]) -> dict[str, Any]:
        """The arguments of `generate` that make it draft. The assistant drafts always as many tokens as given."""
        if "num_assistant_tokens" not in options:
            return dict(options)
        own = self._draft.generation_config
        own.num_assistant_tokens = options["num_assistant_tokens"]
        own.num_assistant_tokens_schedule, own.assistant_confidence_threshold = "constant", 0.0
        return {"assistant_model": self._draft}


class _Arrivals:
    """A streamer that notes how many tokens arrived, and when. The library gives it the prompt first."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._times_s: list[float] = []

    def put(self, tokens: Any) -> None:
        self._counts.append(tokens.numel())
        self._times_s.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to do."""

    def timing(self) -> Timing:
        """Tokens and milliseconds after the first ones."""
        if len(self._times_s) < 2:
            return Timing(0, 0.0)
        return Timing(sum(self._counts[2:]), (self._times_s[-1] - self._times_s[1]) * 1000.0)


class AssistedEngine:
    """transformers in a process of its own. Raises ModelError if the files cannot be loaded."""

    def __init__(self, files: TransformersFiles, progress: Callable[[str], None]) -> None:
        self._files = files
        self._process = WorkerProcess(ENGINE, AssistedWorker, (files,), lambda stage: progress(f"{ENGINE}: {stage}"))

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def decode(self, question: Question, options: Mapping[str, int]) -> Timing:
        return cast("Timing", self._process.call("decode", question, options))

    def ways(self) -> list[AssistedWay]:
        """Plain decoding, prompt lookup, and the assistant model if there is a draft model."""
        ways = [AssistedWay(self, Way(ENGINE, PLAIN), {})]
        for tokens in LOOKUP_TOKENS:
            way = Way(ENGINE, f"prompt lookup, {tokens} tokens")
            ways.append(AssistedWay(self, way, {"prompt_lookup_num_tokens": tokens}))
        for tokens in ASSISTANT_TOKENS if self._files.draft else ():
            way = Way(ENGINE, f"assistant, {tokens} tokens")
            ways.append(AssistedWay(self, way, {"num_assistant_tokens": tokens}))
        return ways

    def close(self) -> None:
        """End the process."""
        self._process.close()


@dataclass(frozen=True, slots=True)
class AssistedWay:
    """One way of transformers. options: as for `AssistedWorker.decode`."""

    engine: AssistedEngine
    way: Way
    options: Mapping[str, int]

    @property
    def pid(self) -> int | None:
        return self.engine.pid

    def decode(self, question: Question) -> Timing:
        return self.engine.decode(question, self.options)
