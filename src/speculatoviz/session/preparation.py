"""Prepares runs: checks a start message against the models and limits of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from speculatoviz.config import PolicyName, Settings
from speculatoviz.core.chance import run_seed
from speculatoviz.core.constraint import Constraint, GrammarSource
from speculatoviz.core.types import Limits, Need, Penalties, Request, Sampling
from speculatoviz.drafters.about import READS_PREDICTION
from speculatoviz.drafters.base import Drafter
from speculatoviz.errors import BadRequestError, PromptTooLongError
from speculatoviz.models.base import Message, Tokenizer
from speculatoviz.models.grammar import GrammarCompiler
from speculatoviz.models.tokenizers.chat import encode_chat, encode_raw, encode_turn
from speculatoviz.session.drafters import Missing
from speculatoviz.session.planning import DEEPEST, candidates, policy_of
from speculatoviz.targets.base import Target
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.record import UNRECORDABLE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A checked request, ready to be decoded.

    prompt: the text by which a user recognises the run. seed: as the user gave it; the request's own seed follows from
    it and from the turn of the conversation. k: the depth, or the largest one if the policy chooses. nodes: of a draft.
    candidates: the drafters that `auto` chooses from. shadow: the drafters that are scored on the same rounds. turn:
    the answers that the conversation already contains. record_depth: of the drafts that are recorded after the run.
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
    turn: int = 0
    record_depth: int = 0

    def reseeded(self, seed: int) -> PreparedRun:
        """The same run with another seed."""
        return replace(self, seed=seed, request=replace(self.request, seed=run_seed(seed, self.turn)))


class RunPreparer:
    """Checks start messages. What a message leaves open has the default of the settings.

    drafters: by name. missing: the reason for each other drafter. default_drafter: for messages that name none.
    default_k: the depth for a drafter's name, for messages that give none.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        drafters: Mapping[str, Drafter],
        missing: Mapping[str, Missing],
        default_drafter: str,
        default_k: Callable[[str], int],
    ) -> None:
        self._settings, self._target, self._drafters, self._missing = settings, target, drafters, missing
        self._default_drafter, self._default_k = default_drafter, default_k
        self._grammars = GrammarCompiler(target.tokenizer)

    def prepare(self, message: Start, given: Sequence[int] | None = None) -> PreparedRun:
        """The run that a message asks for. given: the ids of the prompt, in place of the message's text.

        Raises BadRequestError for what is not allowed, with what is, and TargetError for a sampling that a remote
        target cannot verify.
        """
        settings = self._settings
        if message.target is not None:
            raise BadRequestError(
                "Only a run that is started over the page's socket can name another target.", "Leave out `target`."
            )
        named = message.drafter or (None if message.prediction is None else READS_PREDICTION[0])
        drafter, shadows = named or self._default_drafter, tuple(dict.fromkeys(message.shadow))
        for name in (drafter, *shadows):
            self.check_drafter(name)
        if given is None:
            ids, prompt = encode_prompt(self._target.tokenizer, message)
        else:
            ids, prompt = known_ids(self._target.tokenizer, given)
        self._check_length(ids)
        seed = _given(message.seed, settings.seed)
        depth, nodes = _given(message.k, settings.k), _given(message.nodes, settings.nodes)
        policy = policy_of(message.policy or settings.policy, depth, nodes)
        chosen = candidates(drafter, named or settings.drafter, tuple(self._drafters))
        used = {drafter, *shadows, *(chosen if policy == "auto" else ())}
        request = Request(
            tuple(ids),
            self._sampling(message),
            self._limits(message),
            seed=run_seed(seed, _turn(message)),
            rule=_given(message.rule, settings.rule),
            evidence=message.evidence and settings.evidence,
            overlap=settings.overlap and not shadows,  # a shadow may be the drafter that would draft ahead
            needs=frozenset[Need]().union(*(self._drafters[name].needs for name in used)),
            conversation=_conversation(message),
            certainty=policy == "auto" and any(not self._drafters[name].begins_at_no_cost for name in chosen),
            output_from=len(ids),
            constraint=self._constraint(message),
        )
        self._target.claim(request)
        k = self._depth(depth, policy, drafter)
        recorded = self._record_depth(message, drafter)
        run = PreparedRun(prompt, request, seed, drafter, k, nodes, policy, chosen, shadows, _turn(message), recorded)
        return run if message.prediction is None else self.predicting(run, message.prediction)

    def predicting(self, prepared: PreparedRun, text: str) -> PreparedRun:
        """The same run with a prediction of its output. Raises BadRequestError if the text cannot be tokenized.

        The prediction begins with the last tokens of the prompt, so that a match leads from the prompt into it.
        """
        request = prepared.request
        ids = self._target.tokenizer.encode(text, special=False)
        prediction = (*request.prompt[-self._settings.suffix_longest :], *ids)
        return replace(prepared, request=replace(request, prediction=prediction))

    def check_drafter(self, name: str) -> None:
        """Raises BadRequestError if there is no drafter of that name, with the reason and what to do."""
        if name in self._drafters:
            return
        reason, others = self._missing.get(name), ", ".join(self._drafters)
        if reason is None:
            raise BadRequestError(f"There is no drafter named {name!r}.", f"Choose one of: {others}.")
        raise BadRequestError(
            f"There is no drafter named {name!r} here: {reason.why}.",
            f"{reason.remedy} Or choose one of: {others}.",
        )

    def _depth(self, given: int | None, policy: PolicyName, drafter: str) -> int:
        """The given depth, else the default of the drafter, or of a policy that chooses."""
        if given is not None:
            return given
        return self._default_k(drafter) if policy == "fixed" else DEEPEST

    def _record_depth(self, message: Start, drafter: str) -> int:
        depth = _given(message.record_depth, self._settings.record_depth)
        if depth and drafter in UNRECORDABLE:
            raise BadRequestError(
                f"What {drafter} drafts cannot be recorded: it is a tree, or it depends on the rounds before.",
                "Choose another drafter, or leave out --record-depth.",
            )
        if depth and message.grammar is not None:
            raise BadRequestError(
                "A run under a grammar cannot be recorded: what the grammar forces is drafted by no drafter.",
                "Leave out --record-depth, or the grammar.",
            )
        return depth

    def _check_length(self, ids: list[int]) -> None:
        size = self._target.context_tokens
        if not ids:
            raise BadRequestError("The prompt has no tokens.", "Write a prompt.")
        if len(ids) >= size:
            raise PromptTooLongError(
                f"The prompt has {len(ids)} tokens and the context holds {size}.",
                "Shorten the prompt, or start with a larger --context-tokens.",
            )

    def _sampling(self, message: Start) -> Sampling:
        settings = self._settings
        return Sampling(
            temperature=_given(message.temperature, settings.temperature),
            top_k=_given(message.top_k, settings.top_k),
            top_p=_given(message.top_p, settings.top_p),
            min_p=_given(message.min_p, settings.min_p),
            penalties=self._penalties(message),
        )

    def _penalties(self, message: Start) -> Penalties:
        settings = self._settings
        bias = message.logit_bias or {}
        check_ids(self._target.tokenizer, tuple(bias))
        return Penalties(
            presence=_given(message.presence_penalty, settings.presence_penalty),
            frequency=_given(message.frequency_penalty, settings.frequency_penalty),
            repetition=_given(message.repetition_penalty, settings.repetition_penalty),
            last_n=message.repeat_last_n,
            bias=tuple(sorted((token, value) for token, value in bias.items() if value)),
        )

    def _constraint(self, message: Start) -> Constraint | None:
        asked = message.grammar
        if asked is None:
            return None
        if message.ignore_eos:
            raise BadRequestError(
                "A grammar needs the end token: without it a complete text could not end.", "Leave out ignore_eos."
            )
        return self._grammars.compile(GrammarSource(asked.kind, asked.text))

    def _limits(self, message: Start) -> Limits:
        return Limits(
            max_tokens=_given(message.max_tokens, self._settings.max_tokens),
            stop_ids=self._target.tokenizer.eos_ids,
            stop=tuple(message.stop),
            ignore_eos=message.ignore_eos,
        )


def encode_prompt(tokenizer: Tokenizer, message: Start) -> tuple[list[int], str]:
    """Token ids of a message's prompt, and the text by which a user recognises it. Raises BadRequestError."""
    if (message.prompt is None) == (message.messages is None):
        raise BadRequestError("A run needs either a prompt or messages.", "Send one of the two.")
    if message.control_tokens and (message.prompt is None or not message.raw):
        raise BadRequestError(
            "Names of control tokens can be meant in a raw prompt only: the chat template writes its own.",
            "Send the prompt raw (--raw), or without --control-tokens.",
        )
    if message.messages is not None:
        turns: list[Message] = [{"role": m.role, "content": m.content} for m in message.messages]
        return encode_chat(tokenizer, turns), turns[-1]["content"] if turns else ""
    prompt = message.prompt or ""
    if not prompt.strip():
        raise BadRequestError("The prompt is empty.", "Write what the model should answer.")
    if message.raw:
        return encode_raw(tokenizer, prompt, message.control_tokens), prompt
    return encode_turn(tokenizer, prompt), prompt


def known_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[list[int], str]:
    """Ids that a client sent, with their text. Raises BadRequestError for one outside the vocabulary."""
    check_ids(tokenizer, ids)
    return list(ids), b"".join(map(tokenizer.token_bytes, ids)).decode(errors="replace")


def check_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    """Raises BadRequestError for an id outside the vocabulary."""
    if strange := [token for token in ids if not 0 <= token < tokenizer.n_vocab]:
        raise BadRequestError(
            f"Token {strange[0]} is outside the vocabulary, which has {tokenizer.n_vocab} tokens.",
            "Use the ids of this model's own tokenizer.",
        )


def _conversation(message: Start) -> tuple[tuple[str, str], ...]:
    """The (role, text) of each turn; empty for a raw prompt."""
    if message.messages is not None:
        return tuple((turn.role, turn.content) for turn in message.messages)
    return () if message.raw else (("user", message.prompt or ""),)


def _turn(message: Start) -> int:
    """The number of answers that a conversation already contains: 0 for a prompt or a first question."""
    return sum(turn.role == "assistant" for turn in message.messages or ())


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
