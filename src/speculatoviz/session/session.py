"""A loaded target with its drafters, measured and ready to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from speculatoviz.config import PolicyName, Settings
from speculatoviz.core.chance import run_seed, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.progress import Progress
from speculatoviz.core.types import Draft, Exactness, Limits, Need, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.engine import Change, speculate
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.calibration import Calibration, RemoteCalibration
from speculatoviz.measure.plain import BASELINE_TOKENS, PlainRun
from speculatoviz.measure.text import PROMPT
from speculatoviz.models.base import LanguageModel, Message
from speculatoviz.models.tokenizers.chat import encode_chat, encode_for_measuring, encode_raw, encode_turn
from speculatoviz.models.window import Window
from speculatoviz.session.drafters import make_drafters, missing
from speculatoviz.session.greedy_texts import GreedyText, GreedyTexts
from speculatoviz.session.planning import DEEPEST, LiveSettings, candidates, experience, make_policy
from speculatoviz.session.targets import OpenedTarget, load_cheaper_target, load_named_model, open_target
from speculatoviz.telemetry.events import Departure, Done, Event, Metrics, Started, Updated
from speculatoviz.telemetry.mapping import exactness_info, model_info, remote_info, sampling_info
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import NoiseFloor, RemoteInfo
from speculatoviz.telemetry.shadow import Shadows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked request, ready to run.

    seed: as the user gave it; the request's own seed follows from it and from the turn of the conversation.
    k: the depth, or the largest one if the policy chooses. candidates: the drafters that `auto` chooses from.
    """

    prompt: str
    request: Request
    seed: int
    drafter: str
    k: int
    nodes: int
    policy: PolicyName
    candidates: tuple[str, ...]
    shadow: tuple[str, ...] = ()


class Session:
    """Holds the models of one process. Not thread-safe: one run at a time, in one thread.

    clock: seconds. Raises VocabularyMismatchError where draft and target do not go together.
    """

    def __init__(
        self,
        settings: Settings,
        opened: OpenedTarget,
        draft_model: LanguageModel | None,
        clock: Callable[[], float],
        cheaper: LanguageModel | None = None,
    ) -> None:
        self.settings, self.clock, self._cheaper = settings, clock, cheaper
        self.opened, self.target, self.draft_model = opened, opened.target, draft_model
        self.size = self.target.context_tokens
        self.target.claim(self.usual)  # a sampling that cannot be had there is refused now
        self.drafters = make_drafters(settings, self.target, draft_model, cheaper, clock)
        self.missing = missing(settings, self.target, self.drafters)
        self.translated = isinstance(self.drafters.get("model"), TranslatedDrafter)
        self.drafter = self._usual_drafter()
        self.check_drafter(self.drafter)
        computing = self.drafters.get("selfspec" if self.drafter == "selfspec" else "model")
        self._greedy_texts = GreedyTexts()
        self.calibration = self._calibration(computing.window if isinstance(computing, ModelDrafter) else None)
        known = self.calibration
        self._experience = experience(tuple(self.drafters), lambda: known.pass_ms, lambda: known.draft_ms)

    @classmethod
    def load(cls, settings: Settings, clock: Callable[[], float], progress: Progress) -> Session:
        """Fetch and load the models of the settings, and measure them.

        clock: seconds. Raises ModelError, TargetError, HeadError and VocabularyMismatchError.
        """
        pair = settings.resolved()
        draft = load_named_model(settings, pair.draft, pair.draft_quantisation, progress) if pair.draft else None
        cheaper = load_cheaper_target(settings, progress)
        session = cls(settings, open_target(settings, draft, clock, progress), draft, clock, cheaper)
        try:
            prompt = encode_for_measuring(session.target.tokenizer, PROMPT)
            session.calibration.measure(prompt, lambda: session.default_k(session.drafter), progress)
        except BaseException:
            session.close()
            raise
        return session

    def _usual_drafter(self) -> str:
        """The one that was chosen, else the head that was given, else what suits the pair."""
        given = [name for name in ("eagle", "medusa") if self.settings.head and name in self.drafters]
        return self.settings.drafter or next(iter(given), self.settings.resolved().drafter)

    def default_k(self, drafter: str) -> int:
        """The depth of the settings or of their profile, or the one that pays best on this machine."""
        if self.settings.k is not None:
            return self.settings.k
        pair = self.settings.resolved()
        suited = pair.k if drafter == pair.drafter else None
        return self.calibration.best_depth(drafter) if suited is None else suited

    def check_drafter(self, name: str) -> None:
        """Raises BadRequestError where there is no drafter of that name, saying why."""
        if name in self.drafters:
            return
        reason, others = self.missing.get(name), ", ".join(self.drafters)
        if reason is None:
            raise BadRequestError(f"There is no drafter named {name!r}.", f"Choose one of: {others}.")
        raise BadRequestError(
            f"There is no drafter named {name!r} here: {reason.why}.",
            f"{reason.remedy} Or choose one of: {others}.",
        )

    def prepare(self, message: Start) -> Prepared:
        """Check a start message against models and limits. Raises BadRequestError, naming what is allowed.

        Raises TargetError for a sampling that a remote target cannot verify.
        """
        settings = self.settings
        drafter = message.drafter or self.drafter
        self.check_drafter(drafter)
        seed = _given(message.seed, settings.seed)
        ids, prompt = self._prompt(message)
        if not 0 < len(ids) < self.size:
            raise BadRequestError(
                f"The prompt has {len(ids)} tokens and the context holds {self.size}.",
                "Shorten the prompt, or start with a larger --context-tokens." if ids else "Write a prompt.",
            )
        limits = Limits(
            max_tokens=_given(message.max_tokens, settings.max_tokens),
            stop_ids=self.target.tokenizer.eos_ids,
            stop=tuple(message.stop),
            ignore_eos=message.ignore_eos,
        )
        sampling = Sampling(
            temperature=_given(message.temperature, settings.temperature),
            top_k=_given(message.top_k, settings.top_k),
            top_p=_given(message.top_p, settings.top_p),
            min_p=_given(message.min_p, settings.min_p),
        )
        request = Request(
            tuple(ids),
            sampling,
            limits,
            seed=run_seed(seed, _turn(message)),
            rule=_given(message.rule, settings.rule),
            evidence=message.evidence and settings.evidence,
            overlap=settings.overlap and not message.shadow,  # a shadow may be the drafter that would draft ahead
            conversation=_conversation(message),
        )
        for name in message.shadow:
            self.check_drafter(name)
        shadows = tuple(name for name in dict.fromkeys(message.shadow))
        policy = message.policy or settings.policy
        chosen = candidates(drafter, message.drafter or settings.drafter, tuple(self.drafters))
        used = {drafter, *shadows, *(chosen if policy == "auto" else ())}
        needs = frozenset[Need]().union(*(self.drafters[name].needs for name in used))
        nodes = _given(message.nodes, settings.nodes)
        given = settings.k if message.k is None else message.k
        k = given if given is not None else self.default_k(drafter) if policy == "fixed" else DEEPEST
        request = replace(request, needs=needs)
        self.target.claim(request)
        return Prepared(prompt, request, seed, drafter, k, nodes, policy, chosen, shadows)

    def run(
        self,
        run: str,
        prepared: Prepared,
        cancelled: Callable[[], bool],
        changes: Callable[[], Sequence[Change]] = tuple,
    ) -> Iterator[Event]:
        """Decode a prepared request; the events of the wire, `started` first and `done` last."""
        request = replace(prepared.request, cancelled=cancelled)
        verified = self.target.claim(request).label != "unverified"  # else there is no speedup to speak of
        known = self.calibration
        baselines = (_tps(known.baseline), _tps(known.per_call)) if verified else (None, None)
        narrator = Narrator(run, self.target.tokenizer, baselines[0], self.clock, baselines[1])
        yield self._started(narrator, prepared)
        planned = (prepared.policy, prepared.drafter, prepared.k, prepared.nodes)
        policy = make_policy(*planned, self._experience, prepared.candidates)
        chance = seeded(request.seed)
        live = LiveSettings(prepared.drafter, prepared.k, prepared.nodes)
        asked = partial(live.adopt, changes)
        steps = speculate(request, self.target, self.drafters, policy, chance, self.clock, asked)
        beside = {name: self.drafters[name] for name in prepared.shadow}
        shadows = Shadows(beside, request, lambda: self.target.drafting, chance, self.clock)
        text, rows, greedy = GreedyText(), 1, request.sampling.greedy
        for event in text.follow(narrator.events(shadows.follow(steps) if beside else steps)):
            match event:
                case Metrics():
                    rows = max(rows, event.round_drafted + 1)
                    yield event
                case Updated():
                    greedy = greedy and event.sampling.temperature == 0.0
                    now = replace(request, sampling=Sampling(**event.sampling.model_dump()))
                    yield event.model_copy(update={"remote": self.remote_info(now), **asdict(live)})
                case Done():
                    self._learn(event, request, verified)
                    self.calibration.record_run([*request.prompt, *event.token_ids], rows)
                    departure = self._departure(event, request, text) if greedy else None
                    yield event.model_copy(update={"departure": departure})
                case _:
                    yield event

    def draft_only(self, prepared: Prepared, depth: int, cancelled: Callable[[], bool]) -> Draft:
        """Draft up to `depth` tokens after a prepared prompt at T=0, without verifying them.

        A drafter that needs the target's hidden states or probes makes the target compute the prompt first; any other
        one leaves the target alone. Raises CancelledError between forward passes.
        """
        drafter, ids = self.drafters[prepared.drafter], prepared.request.prompt
        limits = Limits(depth, self.target.tokenizer.eos_ids)
        request = Request(ids, Sampling(), limits, evidence=False, cancelled=cancelled, needs=drafter.needs)
        if drafter.needs:
            self.target.begin(request)
            request = replace(request, drafting=self.target.drafting)
        drafter.begin(request)
        return drafter.draft(list(ids), 0, Plan(prepared.drafter, depth), seeded(0)("draft", 0))

    def encode_turn(self, prompt: str) -> list[int]:
        """One user turn in the target's chat template; the bare text for a model without one."""
        return encode_turn(self.target.tokenizer, prompt)

    def end_renderings(self) -> None:
        """End the renderings of the target's chat template that have begun, from any thread."""
        self.target.tokenizer.close()

    def close(self) -> None:
        for drafter in self.drafters.values():
            drafter.close()
        self.opened.close()
        for model in (self.draft_model, self._cheaper):
            if model is not None:
                model.close()

    def _prompt(self, message: Start) -> tuple[list[int], str]:
        """Token ids of the prompt, and the text a user would recognise it by."""
        if (message.prompt is None) == (message.messages is None):
            raise BadRequestError("A run needs either a prompt or messages.", "Send one of the two.")
        if message.control_tokens and (message.prompt is None or not message.raw):
            raise BadRequestError(
                "Names of control tokens can be meant in a raw prompt only: the chat template writes its own.",
                "Send the prompt raw (--raw), or without --control-tokens.",
            )
        tokenizer = self.target.tokenizer
        if message.messages is not None:
            turns: list[Message] = [{"role": m.role, "content": m.content} for m in message.messages]
            shown = turns[-1]["content"] if turns else ""
            return encode_chat(tokenizer, turns), shown
        prompt = message.prompt or ""
        if not prompt.strip():
            raise BadRequestError("The prompt is empty.", "Write what the model should answer.")
        if message.raw:
            return encode_raw(tokenizer, prompt, message.control_tokens), prompt
        return self.encode_turn(prompt), prompt

    def _started(self, narrator: Narrator, prepared: Prepared) -> Started:
        request = prepared.request
        run, seq, t_ms = narrator.stamp()
        return Started(
            run=run,
            seq=seq,
            t_ms=t_ms,
            prompt=prepared.prompt,
            prompt_tokens=len(request.prompt),
            target_model=model_info(self.target),
            draft_model=model_info(self.draft_model) if self.draft_model else None,
            drafter=prepared.drafter,
            k=prepared.k,
            policy=prepared.policy,
            rule=request.rule,
            nodes=prepared.nodes,
            sampling=sampling_info(request.sampling),
            max_tokens=request.limits.max_tokens,
            seed=prepared.seed,
            exactness=exactness_info(self.target.claim(request)),
            noise_floor=self.noise_info(prepared),
            baseline=self.calibration.baseline_info(),
            per_call_baseline=self.calibration.per_call_info(),
            remote=self.remote_info(request),
            translated=self.translated and prepared.drafter == "model",
        )

    @property
    def usual(self) -> Request:
        """A request with the settings' own sampling."""
        s = self.settings
        sampling = Sampling(s.temperature, s.top_k, s.top_p, s.min_p)
        return Request((0,), sampling, Limits(s.max_tokens), rule=s.rule)

    @property
    def exactness(self) -> Exactness:
        """What can be claimed of a run with the settings' own sampling."""
        return self.target.claim(self.usual)

    def remote_info(self, request: Request) -> RemoteInfo | None:
        """What was found out about a remote target; None for one in this process."""
        remote = self.target.remote
        return None if remote is None else remote_info(replace(remote.about(), mode=remote.strategy(request)))

    def noise_info(self, prepared: Prepared | None = None) -> NoiseFloor | None:
        """The noise floor known for a run; without one, for the longest run that was measured."""
        if prepared is None:
            return self.calibration.noise_info(self.size, self.default_k(self.drafter) + 1)
        request = prepared.request
        context_tokens = min(self.size, len(request.prompt) + request.limits.max_tokens)
        return self.calibration.noise_info(context_tokens, max(prepared.k, prepared.nodes) + 1)

    def _calibration(self, draft: Window | None) -> Calibration | RemoteCalibration:
        window, remote = self.target.window, self.target.remote
        if window is not None:
            folder = Path(self.settings.cache_dir) / "pass_times"
            return Calibration(self.target, window, draft, folder, self.settings.threads, self.clock)
        assert remote is not None
        return RemoteCalibration(remote, draft, self.clock, self.opened.noise)

    def _learn(self, done: Done, request: Request, verified: bool) -> None:
        """What a finished run is good for: text to match in later ones, and a baseline."""
        suffix = self.drafters["suffix"]
        if isinstance(suffix, SuffixDrafter) and self.settings.corpus_tokens:
            suffix.remember(done.token_ids)
        if verified:
            self._learn_baseline(done, len(request.prompt))

    def _departure(self, done: Done, request: Request, text: GreedyText) -> Departure | None:
        """Where a greedy text parts from that of a run of the other kind with the same prompt."""
        return self._greedy_texts.add(request.prompt, text, plain=done.metrics.drafted == 0)

    def _learn_baseline(self, done: Done, context_tokens: int) -> None:
        values = done.metrics
        if values.plain == values.tokens >= BASELINE_TOKENS and values.drafted == 0 and values.overall_tps:
            self.calibration.record_plain_run(values.overall_tps, values.tokens, context_tokens)


def _conversation(message: Start) -> tuple[tuple[str, str], ...]:
    """The (role, text) of each turn; empty for a raw prompt."""
    if message.messages is not None:
        return tuple((turn.role, turn.content) for turn in message.messages)
    return () if message.raw else (("user", message.prompt or ""),)


def _tps(run: PlainRun | None) -> float | None:
    return run.tps if run and math.isfinite(run.tps) else None


def _turn(message: Start) -> int:
    """The answers that a conversation already holds: 0 for a prompt or a first question."""
    return sum(turn.role == "assistant" for turn in message.messages or ())


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
