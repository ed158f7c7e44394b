"""A loaded target with its drafters, measured and ready to run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path

from speculatoviz.config import Settings
from speculatoviz.core.chance import ChanceSource, seeded
from speculatoviz.core.digest import prompt_digest
from speculatoviz.core.planning import Plan
from speculatoviz.core.progress import Progress
from speculatoviz.core.types import Draft, Exactness, Limits, Penalties, Request, Sampling, Scores
from speculatoviz.drafters.about import WITH_HEAD
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.forced import ForcedDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.engine import Change, Step, speculate
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.calibration import Calibration, RemoteCalibration
from speculatoviz.measure.plain import PlainRun
from speculatoviz.measure.text import PROMPT
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.tokenizers.chat import encode_for_measuring, encode_turn
from speculatoviz.models.turns import Turns
from speculatoviz.models.window import Window
from speculatoviz.policies.base import Policy
from speculatoviz.session.drafters import make_drafters, missing
from speculatoviz.session.heads import check_head, head_cards
from speculatoviz.session.memory import RunMemory
from speculatoviz.session.places import fair_share, further_places, new_place, within_sessions
from speculatoviz.session.planning import LiveSettings, experience, make_policy
from speculatoviz.session.preparation import PreparedRun, RunPreparer
from speculatoviz.session.prompt_scores import prompt_scores
from speculatoviz.session.shared import Place, Shared
from speculatoviz.session.targets import OpenedTarget, open_models
from speculatoviz.telemetry.autopsy import followed
from speculatoviz.telemetry.events import Event, Started, Updated
from speculatoviz.telemetry.mapping import (
    exactness_info,
    grammar_info,
    model_info,
    pass_times,
    remote_info,
    sampling_info,
    sampling_of,
)
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import NoiseFloor, RecordInfo, RemoteInfo
from speculatoviz.telemetry.record import NotRecorded, Recorded, Recorder
from speculatoviz.telemetry.shadow import Shadowed, Shadows
from speculatoviz.telemetry.wiring import watched

log = logging.getLogger(__name__)


class Session:
    """The models of one process, and the runs on them: one at a time, in one thread, unless places are opened.

    Runs at the same time need a place each (`open_places`) and a thread each, which takes its turns (`turns`).

    opened: the target. draft_model: of the drafter `model`; None without one. clock: seconds. cheaper: the cheaper
    version of the target that `selfspec` drafts with.

    drafters: by name. missing: the reason for each drafter that there is not. drafter: of runs that name none.
    translated: whether the draft model has another vocabulary than the target. calibration: what is measured. places:
    for runs at the same time; the first one has `target` and `drafters`.

    Raises BadRequestError and TargetError if the settings ask for a drafter or a sampling that there is not,
    VocabularyMismatchError and HeadError if draft model or head do not fit the target.
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
        self.target.claim(self.default_request)  # refuses a sampling that the target cannot verify
        self.turns = Turns(clock)
        self._shared = Shared(settings, self.turns)
        if self.target.window is not None:
            self.target.window.passes = self.turns
        if opened.loop is not None:
            opened.loop.beside = self.turns
        self.drafters = make_drafters(settings, self.target, draft_model, cheaper, clock, self._shared)
        self.places = [Place(self.target, self.drafters)]
        self.missing = missing(settings, self.target, self.drafters)
        self.translated = isinstance(self.drafters.get("model"), TranslatedDrafter)
        self.drafter = self._default_drafter()
        self._preparer = RunPreparer(settings, self.target, self.drafters, self.missing, self.drafter, self.default_k)
        self.check_drafter(self.drafter)
        computing = self.drafters.get("selfspec" if self.drafter == "selfspec" else "model")
        self.calibration = self._calibration(computing.window if isinstance(computing, ModelDrafter) else None)
        known, turns = self.calibration, self.turns
        self._experience = experience(
            tuple(self.drafters),
            lambda: known.pass_ms,
            lambda: known.draft_ms,
            lambda: turns.runs,
            together=self.target.window is not None,
        )
        self._memory = RunMemory(self.calibration, self._remember)

    @classmethod
    def load(
        cls,
        settings: Settings,
        clock: Callable[[], float],
        progress: Progress,
        drafters: Container[str] = (),
        runs: int = 1,
    ) -> Session:
        """Fetch and load the models of the settings, and measure them.

        clock: seconds. drafters: that runs will use beside the settings' own. runs: at the same time. Raises
        ModelError, TargetError, HeadError and VocabularyMismatchError.
        """
        check_head(settings.head)
        opened, draft, cheaper = open_models(settings, clock, progress, drafters, runs)
        session = cls(settings, opened, draft, clock, cheaper)
        try:
            session.open_places(fair_share(session.target, runs) if settings.concurrency is None else runs)
            prompt = encode_for_measuring(session.target.tokenizer, PROMPT)
            session.calibration.measure(prompt, lambda: session.default_k(session.drafter), progress)
            session.calibration.measure_passes(settings.record_depth + 1, progress)
        except BaseException:
            session.close()
            raise
        return session

    def open_places(self, count: int) -> None:
        """Open places for `count` runs at the same time; fewer if models or verifier have no room."""
        make = partial(new_place, self._shared, self.target, self.draft_model, self._cheaper, self.clock)
        self.places += further_places(make, within_sessions(self.target, count) - len(self.places))
        if len(self.places) > 1:
            self.calibration.measure_joint_passes()

    def _remember(self, ids: Sequence[int]) -> None:
        """Let the drafters that match earlier outputs know a finished one."""
        if self.settings.corpus_tokens:
            for suffix in (place.suffix for place in self.places):
                if suffix is not None:
                    suffix.remember(ids)

    def _default_drafter(self) -> str:
        """The drafter of the settings, else that of the head that they name, else that of the pair.

        If the target's runtime gives too little for the pair's drafter, prompt lookup takes its place: a warning in the
        log states why.
        """
        if self.settings.drafter is not None:
            return self.settings.drafter
        heads = ("dflash", "eagle3", "p-eagle", "eagle", "medusa")
        given = [name for name in heads if self.settings.head and name in self.drafters]
        usual: str = next(iter(given), self.settings.resolved().drafter)
        if usual in self.drafters or usual not in WITH_HEAD:
            return usual
        log.warning("ngram drafts in place of %s: %s. %s", usual, *self.missing[usual])
        return "ngram"

    def default_k(self, drafter: str) -> int:
        """The depth of the settings or of their profile, or the one with the highest expected rate on this machine."""
        if self.settings.k is not None:
            return self.settings.k
        pair = self.settings.resolved()
        suited = pair.k if drafter == pair.drafter else None
        return self.calibration.best_depth(drafter) if suited is None else suited

    def check_drafter(self, name: str) -> None:
        """Raises BadRequestError if there is no drafter of that name, with the reason and what to do."""
        self._preparer.check_drafter(name)

    def prepare(self, message: Start, given: Sequence[int] | None = None) -> PreparedRun:
        """Check a start message against models and limits. Arguments and errors as for `RunPreparer.prepare`."""
        return self._preparer.prepare(message, given)

    def predicting(self, prepared: PreparedRun, text: str) -> PreparedRun:
        """The same run with a predicted output, which `suffix` reads. Errors as for `RunPreparer.predicting`."""
        return self._preparer.predicting(prepared, text)

    def run(
        self,
        run: str,
        prepared: PreparedRun,
        cancelled: Callable[[], bool],
        changes: Callable[[], Sequence[Change]] = tuple,
        place: Place | None = None,
    ) -> Iterator[Event]:
        """Decode a prepared run. Yields its events, `started` first and `done` last.

        run: its id. cancelled: called between forward passes; True ends the run. changes: called before each round, for
        the changes that were asked for meanwhile. place: of its contexts, by default the first. Raises what the target
        raises.
        """
        place = place or self.places[0]
        request = replace(prepared.request, cancelled=cancelled)
        verified = self.target.claim(request).label != "unverified"  # else no speedup is claimed
        known = self.calibration
        baselines = (_tps(known.baseline), _tps(known.per_call)) if verified else (None, None)
        narrator = Narrator(run, self.target.tokenizer, baselines[0], self.clock, baselines[1])
        started = self._started(narrator, prepared)
        policy = self.policy(prepared)
        chance = seeded(request.seed)
        live = LiveSettings(prepared.drafter, prepared.k, prepared.nodes)
        asked = partial(live.adopt, changes)
        drafters = _with_forced(place.drafters, request)
        steps = speculate(request, place.target, drafters, policy, chance, self.clock, asked)
        steps = place.meter.watch(steps)
        beside = {name: place.drafters[name] for name in prepared.shadow}
        shadows = Shadows(beside, request, lambda: place.target.drafting, chance, self.clock)
        shadowed: Iterator[Step | Shadowed] = shadows.follow(steps) if beside else steps
        events = narrator.events(self._recorded(shadowed, prepared, request, chance, place))
        events = place.meter.follow(events, len(request.prompt))
        events = watched(chain([started], events), narrator.stamp)
        events = followed(events) if request.evidence else events
        for event in self._memory.follow(events, request, verified):
            if isinstance(event, Updated):
                now = replace(request, sampling=sampling_of(event.sampling))
                event = event.model_copy(update={"remote": self.remote_info(now), **asdict(live)})  # noqa: PLW2901
            yield event

    def _recorded(
        self,
        steps: Iterator[Step | Shadowed],
        prepared: PreparedRun,
        request: Request,
        chance: ChanceSource,
        place: Place,
    ) -> Iterator[Step | Shadowed | Recorded | NotRecorded]:
        """The steps, and before the last one a draft for each token of the output, if the run is to be recorded."""
        if not prepared.record_depth:
            return steps
        drafter, depth = place.drafters[prepared.drafter], prepared.record_depth
        recorder = Recorder(drafter, depth, request, lambda: place.target.drafting, chance, self.clock)
        return recorder.follow(steps)

    def _record_info(self, prepared: PreparedRun) -> RecordInfo | None:
        drafter = self.drafters[prepared.drafter]
        by_prefix = isinstance(drafter, ModelDrafter) and not isinstance(drafter, TranslatedDrafter)
        depth = prepared.record_depth
        return RecordInfo(drafter=prepared.drafter, depth=depth, by_prefix=by_prefix) if depth else None

    def policy(self, prepared: PreparedRun) -> Policy:
        """The policy of one run. `auto` continues with what earlier runs of this session showed."""
        planned = (prepared.policy, prepared.drafter, prepared.k, prepared.nodes)
        return make_policy(*planned, self._experience, prepared.candidates)

    def draft_only(
        self, prepared: PreparedRun, depth: int, cancelled: Callable[[], bool], place: Place | None = None
    ) -> Draft:
        """Draft up to `depth` tokens after a prepared prompt at T=0, without verifying them.

        A drafter that needs the target's hidden states or probes makes the target compute the prompt first; any other
        one leaves the target alone. Raises CancelledError between forward passes.
        """
        place = place or self.places[0]
        drafter, ids = place.drafters[prepared.drafter], prepared.request.prompt
        limits = Limits(depth, self.target.tokenizer.eos_ids)
        request = Request(ids, Sampling(), limits, evidence=False, cancelled=cancelled, needs=drafter.needs)
        if drafter.needs:
            place.target.begin(request)
            request = replace(request, drafting=place.target.drafting)
        drafter.begin(request)
        return drafter.draft(list(ids), 0, Plan(prepared.drafter, depth), seeded(0)("draft", 0))

    def check_scores_prompts(self, place: Place | None = None) -> Window:
        """The context that scores prompts, by default the first place's. Raises BadRequestError for a remote target."""
        window = (place or self.places[0]).target.window
        if window is None:
            raise BadRequestError(
                "The target is remote, and does not score a prompt.",
                "Leave out echo or logprobs, or load the target on this machine.",
            )
        return window

    def score_prompt(self, request: Request, place: Place | None = None) -> list[Scores]:
        """The target's raw scores of each prompt token but the first, given the tokens before it.

        Raises BadRequestError for a remote target, and CancelledError between forward passes.
        """
        return prompt_scores(self.check_scores_prompts(place), request)

    def encode_turn(self, prompt: str) -> list[int]:
        """One user turn in the target's chat template; the bare text for a model without one."""
        return encode_turn(self.target.tokenizer, prompt)

    def end_renderings(self) -> None:
        """End the renderings of the target's chat template that have begun, from any thread."""
        self.target.tokenizer.close()

    def close(self) -> None:
        """Close the drafters, the target and the models."""
        for place in self.places[1:]:
            place.close()
        for drafter in self.drafters.values():
            drafter.close()
        self.opened.close()
        for model in (self.draft_model, self._cheaper):
            if model is not None:
                model.close()

    def _started(self, narrator: Narrator, prepared: PreparedRun) -> Started:
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
            grammar=grammar_info(request.constraint),
            max_tokens=request.limits.max_tokens,
            seed=prepared.seed,
            exactness=exactness_info(self.target.claim(request)),
            noise_floor=self.noise_info(prepared),
            baseline=self.calibration.baseline_info(),
            per_call_baseline=self.calibration.per_call_info(),
            remote=self.remote_info(request),
            translated=self.translated and prepared.drafter == "model",
            heads=head_cards(self.drafters),
            batch_invariant=self.calibration.batch_invariant,
            pass_times=pass_times(self.calibration.pass_ms),
            record=self._record_info(prepared),
            prompt_digest=prompt_digest(request.prompt),
        )

    @property
    def default_request(self) -> Request:
        """A request with the sampling and the rule of the settings, for `claim`; its prompt is one arbitrary token."""
        s = self.settings
        penalties = Penalties(s.presence_penalty, s.frequency_penalty, s.repetition_penalty)
        sampling = Sampling(s.temperature, s.top_k, s.top_p, s.min_p, penalties)
        return Request((0,), sampling, Limits(s.max_tokens), rule=s.rule)

    @property
    def exactness(self) -> Exactness:
        """The claim of a run with the settings' own sampling."""
        return self.target.claim(self.default_request)

    def remote_info(self, request: Request) -> RemoteInfo | None:
        """What is known of a remote target, with the mode that verifies `request`; None for a local target."""
        remote = self.target.remote
        return None if remote is None else remote_info(replace(remote.about(), mode=remote.strategy(request)))

    def noise_info(self, prepared: PreparedRun | None = None) -> NoiseFloor | None:
        """The noise floor of a prepared run, if known; without one, that of a run that fills the context."""
        if prepared is None:
            return self.calibration.noise_info(self.target.context_tokens, self.default_k(self.drafter) + 1)
        request = prepared.request
        context_tokens = min(self.target.context_tokens, len(request.prompt) + request.limits.max_tokens)
        return self.calibration.noise_info(context_tokens, max(prepared.k, prepared.nodes) + 1)

    def _calibration(self, draft: Window | None) -> Calibration | RemoteCalibration:
        window, remote = self.target.window, self.target.remote
        if window is not None:
            folder = Path(self.settings.cache_dir) / "pass_times"
            proof = self.opened.proof
            return Calibration(self.target, window, draft, folder, self.settings.threads, self.clock, proof)
        assert remote is not None
        return RemoteCalibration(remote, draft, self.clock, self.opened.noise)


def _with_forced(drafters: Mapping[str, Drafter], request: Request) -> Mapping[str, Drafter]:
    """The drafters of a run: under a grammar, each goes on after the tokens that the grammar forces."""
    constraint = request.constraint
    if constraint is None:
        return drafters
    return {name: ForcedDrafter(drafter, constraint) for name, drafter in drafters.items()}


def _tps(run: PlainRun | None) -> float | None:
    return run.tps if run and math.isfinite(run.tps) else None
