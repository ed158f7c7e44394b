"""llama.cpp's own server (package xllamacpp) as a peer: plain, with a draft model, with its n-gram types.

Each way is a process of its own, because a server speculates in one way. Servers that wait use no processor.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

from speculatoviz.bench.drafters import Prompt
from speculatoviz.bench.peers import PLAIN, Timing
from speculatoviz.errors import BadRequestError, TargetError

ENGINE = "llama.cpp"
DRAFT_DEPTHS = (1, 2, 3, 4, 8)
NGRAM_TYPES = ("NGRAM_SIMPLE", "NGRAM_MAP_K", "NGRAM_MOD", "NGRAM_CACHE")
_ANSWER_S = 600.0

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
    """How one server decodes. type: of speculation, as llama.cpp names it; empty for none. depth: its n_max."""

    way: str
    target: Path
    draft: Path | None
    context_tokens: int
    threads: int
    type: str = ""
    depth: int = 0
    probabilistic: bool = False

    def as_json(self) -> str:
        """For the child process."""
        return json.dumps(
            {
                "target": str(self.target),
                "draft": str(self.draft or ""),
                "context_tokens": self.context_tokens,
                "threads": self.threads,
                "type": self.type,
                "depth": self.depth,
                "probabilistic": self.probabilistic,
            }
        )


def ways(target: Path, draft: Path | None, context_tokens: int, threads: int, *, sampled: bool) -> list[ServerOptions]:
    """Every way of llama.cpp's server. sampled: also with drafts that are drawn, for temperatures above 0."""
    made = [ServerOptions(PLAIN, target, None, context_tokens, threads)]
    for depth in DRAFT_DEPTHS if draft is not None else ():
        made.append(
            ServerOptions(f"draft model, n_max {depth}", target, draft, context_tokens, threads, "DRAFT_SIMPLE", depth)
        )
        if sampled:
            way = f"draft model, n_max {depth}, probabilistic"
            made.append(ServerOptions(way, target, draft, context_tokens, threads, "DRAFT_SIMPLE", depth, True))
    made += [ServerOptions(kind.lower(), target, None, context_tokens, threads, kind) for kind in NGRAM_TYPES]
    return made


class LlamaServer:
    """One server process. Raises BadRequestError if xllamacpp is missing, TargetError if the server does not start."""

    name = ENGINE

    def __init__(self, options: ServerOptions) -> None:
        if find_spec("xllamacpp") is None:
            raise BadRequestError("llama.cpp's server is not installed.", "Install it: pip install xllamacpp")
        self.way = options.way
        self._client = httpx.Client(timeout=_ANSWER_S, trust_env=False)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, options.as_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        if not address:
            self.close()
            raise TargetError(f"llama.cpp's server did not start ({options.way}).", "Leave it out with --no-llamacpp.")
        self._client.base_url = httpx.URL(address)

    def decode(self, prompt: Prompt, ids: Sequence[int], max_tokens: int, temperature: float) -> Timing:
        """Raises TargetError if the server answers with an error."""
        body = {
            "prompt": list(ids),
            "n_predict": max_tokens,
            "temperature": temperature,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "samplers": ["temperature"],
            "seed": prompt.number,
            "cache_prompt": True,
        }
        answer = self._client.post("/completion", json=body)
        if answer.status_code != httpx.codes.OK:
            raise TargetError(
                f"llama.cpp's server answered with status {answer.status_code}.", "Leave it out with --no-llamacpp."
            )
        timings = answer.json()["timings"]
        return Timing(
            tokens=timings["predicted_n"],
            ms=timings["predicted_ms"],
            drafted=timings.get("draft_n", 0),
            accepted=timings.get("draft_n_accepted", 0),
        )

    def close(self) -> None:
        """End the process."""
        self._client.close()
        self._process.kill()
        self._process.communicate()
