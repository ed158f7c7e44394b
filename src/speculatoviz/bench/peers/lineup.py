"""Which engines a measurement compares, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import get_args

from speculatoviz.bench.peers.assisted import AssistedEngine, TransformersFiles
from speculatoviz.bench.peers.llamacpp_server import LlamaServer, RunningServers, require_xllamacpp, server_options
from speculatoviz.bench.peers.own import OwnEngine
from speculatoviz.bench.peers.runs import About, Peer, Shares
from speculatoviz.config import RuntimeSetting, Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.machine import available_bytes, describe, usable_cores
from speculatoviz.models.files.names import RUNTIMES
from speculatoviz.models.libraries import gguf_runtimes, require_installed
from speculatoviz.session.targets import is_remote


@dataclass(frozen=True, slots=True)
class Choice:
    """What is compared. runtimes: of this engine; plain decoding on the first one is the reference.

    drafters: empty for the usual ones. llamacpp, transformers: whether to compare llama.cpp's own server, and the
    assisted generation of transformers.
    """

    runtimes: Sequence[str]
    drafters: Sequence[str]
    depths: Sequence[int]
    temperatures: Sequence[float]
    llamacpp: bool = True
    transformers: bool = False


def check_runtimes(settings: Settings, asked: Sequence[str]) -> Sequence[str]:
    """The runtimes of a measurement: as asked, else those that are installed and load GGUF files.

    A target whose name fixes the runtime has that one only. Raises BadRequestError and ModelError.
    """
    pair = settings.resolved()
    if is_remote(pair.target):
        raise BadRequestError("The target is remote, and other engines load files.", "Name a model with --target.")
    fixed = pair.target.partition(":")[0] if ":" in pair.target else None
    if fixed in RUNTIMES and set(asked) - {fixed}:
        raise BadRequestError(
            f"The name {pair.target} fixes the runtime, and --runtimes asks for others.",
            f"Leave out `{fixed}:`, or --runtimes.",
        )
    unknown = [runtime for runtime in asked if runtime not in get_args(RuntimeSetting)]
    if unknown:
        raise BadRequestError(
            f"There is no runtime named {unknown[0]!r}.", f"Choose from: {', '.join(get_args(RuntimeSetting))}."
        )
    return asked or ([fixed] if fixed in RUNTIMES else gguf_runtimes())


class Lineup:
    """The engines of a measurement; `stack` ends their processes. progress: called with stages of loading.

    Raises BadRequestError for what cannot be compared, and what loading the models raises.
    """

    def __init__(self, settings: Settings, choice: Choice, stack: ExitStack, progress: Callable[[str], None]) -> None:
        self._settings, self._choice = settings, choice
        if choice.llamacpp:
            require_xllamacpp()
        if choice.transformers:
            require_installed("hf")
        self.engines = [
            stack.enter_context(closing(OwnEngine(runtime, settings, progress))) for runtime in choice.runtimes
        ]
        _check_drafters(self.engines, choice.drafters)
        own = [engine.ways(choice.drafters, choice.depths) for engine in self.engines]
        self.reference: Peer = own[0][0]
        self._peers: list[Peer] = [way for ways in own for way in ways]
        self._servers = [stack.enter_context(closing(server)) for server in self._llama_servers()]
        if choice.transformers:
            assisted = AssistedEngine(self._transformers_files(), progress)
            self._peers += stack.enter_context(closing(assisted)).ways()

    def ways(self, temperature: float) -> list[Peer]:
        """Those that decode at a temperature."""
        servers = [server for server in self._servers if temperature > 0.0 or not server.sampled]
        return [*self._peers, *servers]

    @property
    def facts(self) -> About:
        """The facts of the measurement, without the shares outside forward passes."""
        pass_ms = {engine.runtime: engine.pass_ms() for engine in self.engines}
        facts, tokens = self.engines[0].facts, self._settings.max_tokens
        return About(describe(), facts.target, facts.draft, tokens, self.reference.way, pass_ms, {})

    def outside_passes(self) -> Shares:
        """The share of a round at depth 8 that is spent outside forward passes."""
        tokens = self._settings.max_tokens
        return {
            engine.runtime: {
                temperature: engine.outside_passes(tokens, temperature) for temperature in self._choice.temperatures
            }
            for engine in self.engines
        }

    def _llama_servers(self) -> list[LlamaServer]:
        facts = self.engines[0].facts
        if not self._choice.llamacpp:
            return []
        if facts.target_path is None:
            raise BadRequestError("llama.cpp's server needs a GGUF target.", "Leave it out with --no-llamacpp.")
        target, draft = str(facts.target_path), str(facts.draft_path or "")
        sampled = max(self._choice.temperatures) > 0.0
        running = RunningServers(available_bytes)
        return [
            LlamaServer(options, running)
            for options in server_options(target, draft, facts.context_tokens, self._threads, sampled=sampled)
        ]

    def _transformers_files(self) -> TransformersFiles:
        facts, settings = self.engines[0].facts, self._settings
        if facts.target_path is None:
            raise BadRequestError("transformers needs a GGUF target here.", "Leave it out with --no-transformers.")
        return TransformersFiles(
            facts.target_path, facts.draft_path, facts.end_ids, self._threads, settings.device, settings.dtype
        )

    @property
    def _threads(self) -> int:
        return self._settings.threads or usable_cores()


def _check_drafters(engines: Sequence[OwnEngine], drafters: Sequence[str]) -> None:
    """Raises BadRequestError for a drafter that no runtime has."""
    for name in drafters:
        if not any(name in engine.facts.drafters for engine in engines):
            facts = engines[0].facts
            why = facts.missing.get(name, f"There is no drafter named {name!r}.")
            raise BadRequestError(why, f"Choose from: {', '.join(facts.drafters)}.")
