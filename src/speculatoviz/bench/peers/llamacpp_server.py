"""llama.cpp's own server (package xllamacpp) as a peer: plain, with a draft model, with its n-gram types.

Each way is a process of its own, because a server speculates in one way. A server starts with its first prompt. While
it waits it uses no processor, but memory: where that is short, the server that has waited longest ends, and starts
again when it is needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from speculatoviz.bench.peers.runs import PLAIN, Question, Timing, Way
from speculatoviz.errors import BadRequestError, TargetError, reason_of

ENGINE = "llama.cpp"
DRAFT_DEPTHS = (1, 2, 3, 4, 8)
NGRAM_TYPES = ("NGRAM_SIMPLE", "NGRAM_MAP_K", "NGRAM_MOD", "NGRAM_CACHE")
_ANSWER_S = 600.0
_MEMORY_OF_WEIGHTS = 2.0
_LEAVE_OUT = "Leave it out with --no-llamacpp."

# Runs in the child. Its one argument is JSON; it prints the server's address, and ends when its input does.
_SERVER = """
import json, sys, xllamacpp
asked = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.n_parallel = asked["target"], 0, asked["context_tokens"], 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
speculative = params.speculative
if asked["type"]:
    speculative.types = [getattr(xllamacpp.common_speculative_type, "COMMON_SPECULATIVE_TYPE_" + asked["type"])]
if asked["type"] == "DRAFT_SIMPLE":
    draft = speculative.draft
    draft.mparams.path, draft.n_max, draft.probabilistic = asked["draft"], asked["depth"], asked["probabilistic"]
    draft.cpuparams.n_threads = draft.cpuparams_batch.n_threads = asked["threads"]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one server decodes: the JSON that its process receives.

    target, draft: paths of GGUF files; no draft model if empty. type: of speculation, as llama.cpp names it; empty for
    none. depth: its n_max. probabilistic: whether drafts are drawn, instead of the most probable tokens.
    """

    way: str
    target: str
    draft: str
    context_tokens: int
    threads: int
    type: str = ""
    depth: int = 0
    probabilistic: bool = False


def server_options(
    target: str, draft: str, context_tokens: int, threads: int, *, sampled: bool
) -> Iterator[ServerOptions]:
    """Every way of llama.cpp's server. sampled: also with drafts that are drawn, for temperatures above 0."""
    common = (target, draft, context_tokens, threads)
    yield ServerOptions(PLAIN, *common)
    for depth in DRAFT_DEPTHS if draft else ():
        yield ServerOptions(f"draft model, n_max {depth}", *common, "DRAFT_SIMPLE", depth)
        if sampled:
            yield ServerOptions(f"draft model, n_max {depth}, probabilistic", *common, "DRAFT_SIMPLE", depth, True)
    for kind in NGRAM_TYPES:
        yield ServerOptions(kind.lower(), *common, kind)


def require_xllamacpp() -> None:
    """Raises BadRequestError if the package is not installed."""
    if find_spec("xllamacpp") is None:
        raise BadRequestError(
            "llama.cpp's server is not installed.", f"Install it: pip install xllamacpp. Or: {_LEAVE_OUT}"
        )


class RunningServers:
    """The servers that run at the same time. available_bytes: free memory, None if the system does not give it."""

    def __init__(self, available_bytes: Callable[[], int | None]) -> None:
        self._available_bytes = available_bytes
        self._servers: list[LlamaServer] = []  # the one that has waited longest first

    def use(self, server: LlamaServer) -> None:
        """Called before every prompt: ends other servers if there is no memory for this one."""
        if server in self._servers:
            self._servers.remove(server)
        elif server.pid is None:
            while self._servers and self._is_short(server.needed_bytes):
                self._servers.pop(0).stop()
        self._servers.append(server)

    def _is_short(self, needed_bytes: float) -> bool:
        available = self._available_bytes()
        return available is not None and available < needed_bytes


class LlamaServer:
    """One way of llama.cpp's server. Its process starts with the first prompt. running: the servers beside it."""

    def __init__(self, options: ServerOptions, running: RunningServers | None = None) -> None:
        self._running = running or RunningServers(lambda: None)
        self.way = Way(ENGINE, options.way)
        self.sampled = options.probabilistic  # makes no difference at T=0
        self._options = options
        self._client = httpx.Client(timeout=_ANSWER_S, trust_env=False)
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None before the first prompt."""
        return self._process.pid if self._process else None

    def decode(self, question: Question) -> Timing:
        """Raises TargetError if the server does not start, has ended, or answers with an error.

        llama.cpp draws the first token from the prompt's own pass, and its time begins after that token. So that token
        does not count.
        """
        self._running.use(self)
        if self._process is None:
            self._process = self._start()
        timings = self._answer(question)["timings"]
        return Timing(
            tokens=timings["predicted_n"] - 1,
            ms=timings["predicted_ms"],
            drafted=timings.get("draft_n", 0),
            accepted=timings.get("draft_n_accepted", 0),
        )

    @property
    def needed_bytes(self) -> float:
        """About the memory that the process will take: it rearranges weights, so they are there twice."""
        files = [Path(file) for file in (self._options.target, self._options.draft) if file]
        return _MEMORY_OF_WEIGHTS * sum(file.stat().st_size for file in files)

    def stop(self) -> None:
        """End the process; the next prompt starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """End the process and the connection."""
        self.stop()
        self._client.close()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, json.dumps(asdict(self._options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            process.kill()
            process.communicate()
            raise TargetError(f"llama.cpp's server did not start ({self.way.name}).", _LEAVE_OUT)
        self._client.base_url = httpx.URL(address)
        return process

    def _answer(self, question: Question) -> Any:
        body = {
            "prompt": list(question.ids),
            "n_predict": question.max_tokens,
            "temperature": question.temperature,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "samplers": ["temperature"],
            "seed": question.prompt.number,
            "cache_prompt": True,
        }
        try:
            answer = self._client.post("/completion", json=body)
        except httpx.HTTPError as error:
            raise TargetError(
                f"llama.cpp's server does not answer ({self.way.name}: {reason_of(error)}).", _LEAVE_OUT
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise TargetError(f"llama.cpp's server answered with status {answer.status_code}.", _LEAVE_OUT)
        return answer.json()
