"""What the server reports of its models and settings.

Everything is read from memory: no network, no template, no lock, so that an answer never waits for a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from speculatoviz.config import PROFILES, RANGES, Settings
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Draft
from speculatoviz.drafters.about import DRAFTERS, READS_PREDICTION, About
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.base import Tokenizer
from speculatoviz.server.info import (
    AloneText,
    DraftedToken,
    DrafterInfo,
    Health,
    ProfileInfo,
    RaceTargetInfo,
    RangeInfo,
    RuleInfo,
    SettingsInfo,
    TestDraft,
)
from speculatoviz.server.model_host import ModelHost
from speculatoviz.server.words import RULE_WORDS
from speculatoviz.session.other_targets import OtherTarget
from speculatoviz.session.planning import DEEPEST, candidates, policy_of
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.session.session import Session
from speculatoviz.telemetry.mapping import exactness_info, model_info, pass_times


def health(host: ModelHost) -> Health:
    """The state of the loading, the loaded models and their measurements."""
    session, failed = host.session, host.failure
    calibration = session.calibration if session else None
    return Health(
        status="failed" if failed else "ready" if session else "loading",
        stage="ready" if session else host.stage,
        progress=1.0 if session else host.progress,
        message=failed.message if failed else None,
        hint=failed.hint if failed else None,
        version=version("speculatoviz"),
        target_model=model_info(session.target) if session else None,
        draft_model=model_info(session.draft_model) if session and session.draft_model else None,
        target_loaded=session is not None,
        draft_loaded=session is not None and session.draft_model is not None,
        drafter=session.drafter if session else host.settings.resolved().drafter,
        default_k=session.default_k(session.drafter) if session else None,
        baseline=calibration.baseline_info() if calibration else None,
        noise_floor=session.noise_info() if session else None,
        exactness=exactness_info(session.exactness) if session else None,
        remote=session.remote_info(session.default_request) if session else None,
        batch_invariant=calibration is not None and calibration.batch_invariant,
        runs_waiting=host.queue.waiting,
    )


def settings_info(settings: Settings, session: Session | None, others: Sequence[OtherTarget] = ()) -> SettingsInfo:
    """Ranges, defaults, profiles, drafters and rules for the page's form, and the measured pass times.

    The default `k` is the depth of the policy `fixed`, `deepest` the largest depth of the others. others: the
    targets that a race can name.
    """
    drafter = session.drafter if session else settings.resolved().drafter
    times = session.calibration.pass_ms if session else {}
    return SettingsInfo(
        ranges={n: RangeInfo(min=r.minimum, max=r.maximum, step=r.step, help=r.help) for n, r in RANGES.items()},
        defaults={
            "k": session.default_k(drafter) if session else settings.k,
            "deepest": DEEPEST if settings.k is None else settings.k,
            "policy": policy_of(settings.policy, settings.k, settings.nodes),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            "presence_penalty": settings.presence_penalty,
            "frequency_penalty": settings.frequency_penalty,
            "repetition_penalty": settings.repetition_penalty,
            "max_tokens": settings.max_tokens,
            "seed": settings.seed,
            "drafter": drafter,
            "rule": settings.rule,
            "nodes": settings.nodes,
        },
        profiles=[
            ProfileInfo(name=p.name, title=p.title, target=p.target, draft=p.draft, drafter=p.drafter)
            for p in PROFILES.values()
        ],
        profile=settings.resolved().name,
        drafters=[_drafter_info(name, about, session) for name, about in DRAFTERS.items()],
        auto_drafters=list(candidates(drafter, settings.drafter, tuple(session.drafters))) if session else [],
        prediction_drafters=[name for name in READS_PREDICTION if session and name in session.drafters],
        rules=[
            RuleInfo(name=name, title=words.title, help=words.help, label=RULES[name].label, trees=RULES[name].trees)
            for name, words in RULE_WORDS.items()
        ],
        pass_times=pass_times(times),
        race_targets=[
            RaceTargetInfo(name=o.name, title=o.title, drafters=list(o.drafters), reason=o.missing) for o in others
        ],
    )


def draft_info(session: Session, prompt: str, draft: Draft) -> TestDraft:
    """A draft with the time of each token."""
    draft_ms = sum(draft.times_ms)
    return TestDraft(
        drafter=session.drafter,
        prompt=prompt,
        tokens=_drafted(session.target.tokenizer, draft),
        draft_ms=draft_ms,
        tps=1000 * len(draft) / draft_ms if draft_ms else None,
    )


def alone_text(session: Session, prepared: PreparedRun, draft: Draft) -> AloneText:
    """What a drafter wrote alone, as text and as tokens. An end token adds no text."""
    tokenizer, drafter = session.target.tokenizer, session.drafters[prepared.drafter]
    ids: list[int] = draft.tokens.tolist()
    ended = ids[-1] in prepared.request.limits.end_ids
    return AloneText(
        drafter=prepared.drafter,
        model=drafter.window.model.description.name if isinstance(drafter, ModelDrafter) else None,
        tokens=_drafted(tokenizer, draft),
        text=b"".join(map(tokenizer.token_bytes, ids[: len(ids) - ended])).decode(errors="replace"),
        ended=ended,
        draft_ms=sum(draft.times_ms),
    )


def _drafted(tokenizer: Tokenizer, draft: Draft) -> list[DraftedToken]:
    return [
        DraftedToken(
            token=tokenizer.token_name(token),
            token_id=token,
            draft_prob=q.prob(token) if q else 1.0,
            draft_time_ms=ms,
        )
        for token, q, ms in zip(draft.tokens.tolist(), draft.q, draft.times_ms, strict=True)
    ]


def _drafter_info(name: str, about: About, session: Session | None) -> DrafterInfo:
    reason = "The models are not loaded." if session is None else session.missing.get(name)
    return DrafterInfo(
        name=name,
        title=about.title,
        help=about.help,
        paper=about.paper,
        trees=about.trees,
        available=reason is None,
        reason=None if reason is None else str(reason),
    )
