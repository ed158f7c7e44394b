"""This engine as a peer: one process with a loaded session for each runtime, and its ways to decode."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from speculatoviz.bench.outside import outside_passes
from speculatoviz.bench.peers.process import WorkerProcess
from speculatoviz.bench.peers.runs import ADAPTIVE, AUTO, OWN, PLAIN, Question, Timing, Way
from speculatoviz.config import Settings
from speculatoviz.drafters.about import WITH_HEAD
from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.measure.text import PROMPT
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.files.names import parse
from speculatoviz.models.load import gguf_file
from speculatoviz.session.session import Session
from speculatoviz.session.targets import draft_quantisation, draft_tokens, loading_options
from speculatoviz.telemetry.messages import Start

DEPTHS = (1, 2, 3, 5, 7)
DEEP = 8  # the depth at which the time outside forward passes is measured
_USUAL = ("suffix", "hybrid")  # beside the drafter of the pair


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What a loaded session reports of itself. drafter: of runs that name none. missing: why others are not there.

    target, draft: the names and quantisations of the models; empty without a draft model.
    target_path, draft_path: the GGUF files that other engines load, None for models that are none. end_ids: the tokens
    that end a text.
    """

    target: str
    draft: str
    drafter: str
    drafters: tuple[str, ...]
    missing: Mapping[str, str]
    target_path: Path | None
    draft_path: Path | None
    end_ids: tuple[int, ...]
    context_tokens: int


class SessionWorker:
    """A session, in a process of its own. Arguments and errors as for `Session.load`; progress: called with stages."""

    def __init__(self, settings: Settings, progress: Callable[[str], None]) -> None:
        self._session = Session.load(settings, time.perf_counter, lambda stage, _share: progress(stage))
        progress("measuring pass times")
        self._measure_passes()

    def facts(self) -> SessionFacts:
        session = self._session
        return SessionFacts(
            target=_named(session.opened.model),
            draft=_named(session.draft_model),
            drafter=session.drafter,
            drafters=tuple(session.drafters),
            missing={name: str(reason) for name, reason in session.missing.items()},
            target_path=session.opened.model.description.gguf if session.opened.model else None,
            draft_path=self._draft_path(),
            end_ids=tuple(sorted(session.target.tokenizer.eos_ids)),
            context_tokens=session.target.context_tokens,
        )

    def encode(self, text: str) -> list[int]:
        return self._session.encode_turn(text)

    def decode(self, start: Mapping[str, Any]) -> Timing:
        """Decode a start message."""
        drafter = self._session.drafters.get(start.get("drafter") or self._session.drafter)
        one_pass = drafter is not None and drafter.block is not None
        return replace(timing(decode_prompt(self._session, Start(**start))), one_pass=one_pass)

    def pass_ms(self) -> dict[int, float]:
        return dict(self._session.calibration.pass_ms)

    def outside_passes(self, max_tokens: int, temperature: float) -> float | None:
        """The share of a round's time that is not a forward pass, at depth 8 with the usual drafter, if known."""
        share = outside_passes(self._session, DEEP, max_tokens, temperature, PROMPT)["overhead_share"]
        return None if math.isnan(share) else share

    def close(self) -> None:
        self._session.close()

    def _draft_path(self) -> Path | None:
        """The draft model's file. One whose vocabulary is trimmed is of no use for other engines: the whole one."""
        settings, draft = self._session.settings, self._session.draft_model
        path = draft.description.gguf if draft else None
        pair = settings.resolved()
        if path is None or pair.draft is None or draft_tokens(pair) is None:
            return path
        how = loading_options(settings)
        quantisation = draft_quantisation(settings, lambda *_: None)
        return gguf_file(parse(pair.draft, how.runtime), how, quantisation, lambda *_: None)

    def _measure_passes(self) -> None:
        """All sizes: those that an earlier process measured may be of a busy machine."""
        calibration = self._session.calibration
        while calibration.measure_next():
            pass


def _named(model: LanguageModel | None) -> str:
    return "" if model is None else f"{model.description.name} {model.description.quantisation}"


def timing(decoded: Decoded) -> Timing:
    """The figures of a run of this engine."""
    return Timing(
        tokens=decoded.tokens,
        ms=decoded.round_ms + decoded.draft_prefill_ms,
        drafted=decoded.drafted,
        accepted=decoded.accepted,
        draft_ms=decoded.draft_ms,
        drafts=_counts(round.drafted for round in decoded.rounds),
        paths=_counts(round.accepted for round in decoded.rounds),
        draft_prefill_ms=decoded.draft_prefill_ms,
    )


def _counts(values: Iterable[int]) -> tuple[int, ...]:
    """How often each of 0, 1, … up to the largest value occurs."""
    counted = Counter(values)
    return tuple(counted[value] for value in range(max(counted, default=-1) + 1))


class OwnEngine:
    """This engine on one runtime. runtime: as for --runtime. Raises what loading the models raises."""

    def __init__(self, runtime: str, settings: Settings, progress: Callable[[str], None]) -> None:
        self.runtime = runtime
        title = f"{OWN} on {runtime}"
        own = on_runtime(settings, runtime)
        self._process = WorkerProcess(title, SessionWorker, (own,), lambda stage: progress(f"{title}: {stage}"))
        self.facts: SessionFacts = self._process.call("facts")

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def encode(self, text: str) -> list[int]:
        """The ids of one user turn."""
        return cast("list[int]", self._process.call("encode", text))

    def decode(self, start: Mapping[str, Any]) -> Timing:
        return cast("Timing", self._process.call("decode", start))

    def pass_ms(self) -> dict[int, float]:
        """Milliseconds of a pass by its tokens."""
        return cast("dict[int, float]", self._process.call("pass_ms"))

    def outside_passes(self, max_tokens: int, temperature: float) -> float | None:
        """See `SessionWorker.outside_passes`."""
        return cast("float | None", self._process.call("outside_passes", max_tokens, temperature))

    def ways(self, drafters: Sequence[str], depths: Sequence[int]) -> list[OwnWay]:
        """Plain decoding first, then those of `drafters` that there are at fixed depths, `adaptive` and `auto`.

        drafters: empty for the pair's own, matches in the text, and both together.
        """
        wanted = drafters or (self.facts.drafter, *_USUAL)
        there = [name for name in dict.fromkeys(wanted) if name in self.facts.drafters]
        ways = [OwnWay(self, self._way(PLAIN), {"k": 0, "policy": "fixed"})]
        ways += [
            OwnWay(self, self._way(f"{name}, depth {k}", name, k), {"drafter": name, "k": k, "policy": "fixed"})
            for name in there
            for k in depths
        ]
        return [*ways, *(OwnWay(self, self._way(policy), {"policy": policy}) for policy in (ADAPTIVE, AUTO))]

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _way(self, name: str, drafter: str = "", depth: int = 0) -> Way:
        return Way(OWN, name, self.runtime, drafter, depth)


@dataclass(frozen=True, slots=True)
class OwnWay:
    """One way of this engine. start: the fields of a start message that make it."""

    engine: OwnEngine
    way: Way
    start: Mapping[str, Any]

    @property
    def pid(self) -> int | None:
        return self.engine.pid

    def decode(self, question: Question) -> Timing:
        return self.engine.decode(
            {
                "prompt": question.prompt.text,
                "max_tokens": question.max_tokens,
                "temperature": question.temperature,
                "seed": question.prompt.number,
                **self.start,
            }
        )


def on_runtime(settings: Settings, runtime: str) -> Settings:
    """The settings on another runtime. On ik, which has no hidden states for a trained head, `suffix` replaces it."""
    there = settings.model_copy(update={"runtime": runtime})
    if runtime == "ik" and settings.drafter is None and there.resolved().drafter in WITH_HEAD:
        return there.model_copy(update={"drafter": "suffix"})
    return there
