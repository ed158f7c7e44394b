"""Opens the target of the settings: a model of this process, our own verifier, or an endpoint of others."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from speculatoviz.config import REMOTE_SCHEMES, SELF_BY_DEFAULT, Profile, Settings
from speculatoviz.core.progress import Progress
from speculatoviz.drafters.about import WITH_HEAD, WITH_MODEL
from speculatoviz.errors import ModelError
from speculatoviz.measure.invariance import Proof
from speculatoviz.measure.noise import Noise
from speculatoviz.models.base import LanguageModel, LocalTokenizer
from speculatoviz.models.files.download import by_share
from speculatoviz.models.libraries import is_installed
from speculatoviz.models.load import Loading, load_cheaper, load_model, load_tokenizer
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.runtime_choice import TO_VERIFY, Use
from speculatoviz.models.window import Window
from speculatoviz.session.draft_choice import choose_draft
from speculatoviz.session.heads import is_published
from speculatoviz.session.invariance import batch_invariant
from speculatoviz.session.prompt_cache import open_prompt_cache
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import LocalTarget
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.names import without_credentials
from speculatoviz.targets.verifier.target import VerifierTarget


@dataclass(frozen=True, slots=True)
class OpenedTarget:
    """A target with what it was made of, which is closed after it.

    model: of a local target. loop: where a remote target's coroutines run. noise: the noise floor that a verifier
    reports. proof: that the logits of a local target do not depend on the shape of a pass, if that was asked for.
    """

    target: Target
    model: LanguageModel | None = None
    loop: LoopThread | None = None
    noise: Noise | None = None
    proof: Proof | None = None

    def close(self) -> None:
        """Close the target, then the model and the loop."""
        self.target.close()
        if self.model is not None:
            self.model.close()
        if self.loop is not None:
            self.loop.close()


def is_remote(name: str) -> bool:
    """Whether a target's name begins with the scheme of a remote target, as in `verifier:ws://host:port`."""
    return name.partition(":")[0] in REMOTE_SCHEMES


def loading_options(settings: Settings, use: Use = TO_VERIFY) -> Loading:
    """How models are loaded under these settings. use: what for."""
    cache_dir, runtime = Path(settings.cache_dir), None if settings.runtime == "auto" else settings.runtime
    return Loading(settings.context_tokens, cache_dir, settings.threads, settings.device, settings.dtype, runtime, use)


def with_room(settings: Settings, runs: int) -> Settings:
    """Settings under which a model has room for the contexts of several runs."""
    return settings.model_copy(update={"context_tokens": settings.context_tokens * runs})


def load_named_model(
    settings: Settings, name: str, quantisation: str | None, progress: Progress, use: Use = TO_VERIFY
) -> LanguageModel:
    """Load a model into this process. quantisation: to requantise it to. use: what for. Raises ModelError."""
    return load_model(name, loading_options(settings, use), quantisation, by_share(progress, name))


def load_target(settings: Settings, progress: Progress, use: Use = TO_VERIFY) -> tuple[LanguageModel, Proof | None]:
    """Load the target of the settings into this process, batch-invariant if they ask for it. Raises ModelError."""
    pair = settings.resolved()
    model = load_named_model(settings, pair.target, pair.target_quantisation, progress, use)
    return batch_invariant(model, Path(settings.cache_dir), progress) if settings.batch_invariant else (model, None)


def load_draft(settings: Settings, progress: Progress) -> LanguageModel | None:
    """Load the draft model of the settings; None if they name none. Raises ModelError."""
    pair = settings.resolved()
    if pair.draft is None:
        return None
    quantisation = draft_quantisation(settings, progress)
    options, report = loading_options(settings, Use(drafts=True)), by_share(progress, pair.draft)
    return load_model(pair.draft, options, quantisation, report, draft_tokens(pair))


def draft_quantisation(settings: Settings, progress: Progress) -> str | None:
    """The type that the draft model is requantised to; None for its file as it is. `auto` chooses it here."""
    pair = settings.resolved()
    if pair.draft is None or pair.draft_quantisation != "auto":
        return pair.draft_quantisation
    choice = choose_draft(pair, loading_options(settings), draft_tokens(pair), by_share(progress, pair.draft))
    progress(choice.reason, None)
    return choice.quantisation


def draft_tokens(pair: Profile) -> int | None:
    """To how many tokens the draft model's vocabulary is trimmed; None for all of it."""
    return None if pair.draft_vocabulary == "all" else pair.draft_vocabulary


def load_cheaper_target(settings: Settings, progress: Progress) -> LanguageModel | None:
    """The cheaper version of the target that `selfspec` drafts with.

    None if the settings do not ask for one, or if it is a part of the loaded target: its first layers. Raises
    ModelError, also for a remote target.
    """
    pair = settings.resolved()
    by = settings.selfspec or (SELF_BY_DEFAULT if pair.drafter == "selfspec" else None)
    if by is None:
        return None
    if is_remote(pair.target):
        raise ModelError(
            "A remote target cannot draft for itself: its weights are not on this machine.", "Choose another drafter."
        )
    how = loading_options(settings, Use(drafts=True))
    return load_cheaper(pair.target, how, by, by_share(progress, pair.target))


def open_models(
    settings: Settings,
    clock: Callable[[], float],
    progress: Progress,
    drafters: Container[str] = (),
    runs: int = 1,
) -> tuple[OpenedTarget, LanguageModel | None, LanguageModel | None]:
    """The target, the draft model, and the cheaper version of the target; None for each that is not asked for.

    Arguments and errors as for `open_target`. Closes what it opened if one of them cannot be loaded.
    """
    room = with_room(settings, runs)
    with ExitStack() as opened:
        models: list[LanguageModel | None] = []
        for load in (load_draft, load_cheaper_target):
            models.append(model := load(room, progress))
            if model is not None:
                opened.callback(model.close)
        target = open_target(settings, models[0], clock, progress, drafters, runs)
        opened.pop_all()
    return target, models[0], models[1]


def open_target(
    settings: Settings,
    draft: LanguageModel | None,
    clock: Callable[[], float],
    progress: Progress,
    drafters: Container[str] = (),
    runs: int = 1,
) -> OpenedTarget:
    """Load the target of the settings, or connect to it. Raises ModelError and TargetError.

    draft: its tokenizer is used for an endpoint if the settings name no other. clock: seconds. drafters: that runs will
    use beside the settings' own. runs: at the same time, each with a context of its own in this process.
    """
    pair = settings.resolved()
    if not is_remote(pair.target):
        reader = _reads_hidden_states(settings, drafters)
        layers = reader is not None and is_published(settings.head)
        use = Use(draft_ms=_token_ms(draft), hidden_for=reader, layers=layers)
        model, proof = load_target(with_room(settings, runs), progress, use)
        prefixes = open_prompt_cache(settings, model)
        return open_local(model, draft, clock, prefixes, proof, settings.context_tokens)
    if settings.batch_invariant:
        raise ModelError(
            f"{without_credentials(pair.target)} is remote: how its passes are computed is decided where it is loaded.",
            "Start the verifier with --batch-invariant, and this program without.",
        )
    if pair.target_quantisation is not None:
        raise ModelError(
            f"{without_credentials(pair.target)} is remote: it cannot be requantised here.",
            "Requantise it on the machine that loads it.",
        )
    progress(f"connecting to {without_credentials(pair.target)}", None)
    return open_remote(settings, pair.target, lambda: None if draft is None else draft.tokenizer, clock, progress)


def _token_ms(draft: LanguageModel | None) -> float:
    """The milliseconds of one token of the draft model, as its runtime was chosen by; 0 if nothing was measured."""
    choice = draft.description.choice if draft is not None else None
    if draft is None or choice is None:
        return 0.0
    return choice.pass_ms.get(draft.description.runtime, {}).get(1, 0.0)


def _reads_hidden_states(settings: Settings, drafters: Container[str]) -> str | None:
    """What reads the target's hidden states under these settings, in words; None if nothing does.

    Without llama.cpp nothing does: its kernels compute heads.
    """
    if not is_installed("llamacpp"):
        return None
    if settings.head is not None:
        return "the head"
    own = settings.resolved()
    if found := next((name for name in sorted(WITH_HEAD) if name == own.drafter or name in drafters), None):
        return f"the drafter {found}"
    # An EAGLE head takes the place of a draft model.
    return f"the EAGLE head of {own.drafter}" if own.draft is None and own.drafter in WITH_MODEL else None


def open_local(
    model: LanguageModel,
    draft: LanguageModel | None,
    clock: Callable[[], float],
    prefixes: PrefixCache | None = None,
    proof: Proof | None = None,
    most_tokens: int | None = None,
) -> OpenedTarget:
    """A target in this process. Its context is the shorter one of the two models'. clock: seconds.

    prefixes: earlier prompts of the target, None to keep only the last one. proof: of its batch invariance.
    most_tokens: of its context, if the models have room for several contexts.
    """
    models = [model] if draft is None else [model, draft]
    size = min(m.description.context_tokens for m in models)
    size = size if most_tokens is None else min(size, most_tokens)
    return OpenedTarget(LocalTarget(model, size, clock, window=Window(model, size, prefixes)), model, proof=proof)


def open_remote(
    settings: Settings,
    name: str,
    tokenizer: Callable[[], LocalTokenizer | None],
    clock: Callable[[], float],
    progress: Progress,
    *,
    full: bool = False,
) -> OpenedTarget:
    """Connect to a remote target by its name. Raises ModelError and TargetError.

    tokenizer: called for an endpoint's tokenizer if the settings name none. clock: seconds. full: whether to probe an
    endpoint in full.
    """
    loop = LoopThread()
    try:
        scheme, _, address = name.partition(":")
        if scheme == "verifier":
            key = _secret(settings.target_api_key)
            verifier = VerifierTarget(address, loop, clock, Path(settings.cache_dir), key)
            return OpenedTarget(verifier, None, loop, None if verifier.noise is None else Noise(*verifier.noise))
        chosen = _named_tokenizer(settings, progress) or tokenizer()
        return OpenedTarget(_endpoint(settings, name, chosen, loop, clock, full), None, loop)
    except BaseException:
        loop.close()
        raise


def _endpoint(
    settings: Settings,
    name: str,
    tokenizer: LocalTokenizer | None,
    loop: LoopThread,
    clock: Callable[[], float],
    full: bool,
) -> Target:
    """Probe an endpoint of others. Raises TargetError."""
    from speculatoviz.targets.hosted.address import parse
    from speculatoviz.targets.hosted.open import EndpointSettings, open_endpoint

    environ = {
        "CEREBRAS_API_KEY": _secret(settings.cerebras_api_key) or "",
        "CEREBRAS_TARGET_MODEL": settings.cerebras_target_model or "",
        "OPENAI_API_KEY": _secret(settings.openai_api_key) or "",
    }
    stated = EndpointSettings(
        parse(name, _secret(settings.target_api_key), environ),
        mode=settings.target_mode,
        context_tokens=settings.context_tokens,
        family=settings.chat_template,
        stops=tuple(stop.strip() for stop in settings.stop_tokens.split(",") if stop.strip()),
    )
    return open_endpoint(stated, tokenizer, loop, clock, full=full)


def _named_tokenizer(settings: Settings, progress: Progress) -> LocalTokenizer | None:
    name = settings.target_tokenizer
    return None if name is None else load_tokenizer(name, loading_options(settings), by_share(progress, name))


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
