"""The time to the first token with the prompt cache and without it, in pairs, for chats and for shared documents."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.contexts import windows, without_prompt_cache
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Metrics
from speculatoviz.telemetry.messages import ChatMessage, Start

QUESTIONS = (
    "What is this about?",
    "Who is in it?",
    "Where does it take place?",
    "What happens first?",
    "What happens in the end?",
    "Which word would you change?",
    "Is it true?",
    "What would you ask its author?",
    "Write a title for it.",
    "Say it in one sentence.",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, run with the cache and then without it: times to the first token, and tokens computed before it."""

    prompt_tokens: int
    computed_tokens: int
    computed_without: int
    ttft_ms: float
    ttft_without_ms: float


def measure(session: Session, documents: Sequence[str], questions: Sequence[str], tokens: int) -> dict[str, object]:
    """A chat of these questions, the questions about the first document, and about both documents in turn.

    tokens: of each answer. Raises BadRequestError for a remote target.
    """
    first, in_turn = documents[0], [documents[turn % 2] for turn in range(len(questions))]
    return {
        "chat": summary(_chat(session, questions, tokens)),
        "one_document": summary(_documents(session, [first] * len(questions), questions, tokens)),
        "two_documents": summary(_documents(session, in_turn, questions, tokens)),
    }


def summary(pairs: Iterable[Pair]) -> dict[str, object]:
    """The pairs, and how many times longer the first token takes without the cache, where the cache had anything."""
    done = list(pairs)
    ratios = [pair.ttft_without_ms / pair.ttft_ms for pair in done if pair.computed_tokens < pair.prompt_tokens]
    found = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)} if ratios else None
    return {"pairs": [asdict(pair) for pair in done], "ratio": found}


def _chat(session: Session, questions: Sequence[str], tokens: int) -> Iterator[Pair]:
    _empty(session)
    messages: list[ChatMessage] = []
    for question in questions:
        messages.append(ChatMessage(role="user", content=question))
        pair, answer = _pair(session, messages, tokens)
        messages.append(ChatMessage(role="assistant", content=answer))
        yield pair


def _documents(session: Session, documents: Sequence[str], questions: Sequence[str], tokens: int) -> Iterator[Pair]:
    _empty(session)
    for document, question in zip(documents, questions, strict=True):
        yield _pair(session, [ChatMessage(role="user", content=f"{document}\n\n{question}")], tokens)[0]


def _pair(session: Session, messages: Sequence[ChatMessage], tokens: int) -> tuple[Pair, str]:
    """A run with the cache, then one without it, and the text of the first."""
    cached, answer = _run(session, messages, tokens)
    with without_prompt_cache(session):
        computed, _ = _run(session, messages, tokens)  # as many tokens: the next run finds what it would find
    size = computed.prompt_tokens
    pair = Pair(size, size - cached.hit_tokens, size - computed.hit_tokens, cached.ttft_ms, computed.ttft_ms)
    return pair, answer


@dataclass(frozen=True, slots=True)
class _Begun:
    prompt_tokens: int
    hit_tokens: int
    ttft_ms: float


def _run(session: Session, messages: Sequence[ChatMessage], tokens: int) -> tuple[_Begun, str]:
    start = Start(messages=list(messages), max_tokens=tokens, ignore_eos=True, evidence=False)
    begun: _Begun | None = None
    for event in session.run("bench", session.prepare(start), lambda: False):
        if isinstance(event, Metrics) and event.prompt_cache is not None and event.ttft_ms is not None:
            begun = _Begun(event.prompt_cache.prompt_tokens, event.prompt_cache.hit_tokens, event.ttft_ms)
        elif isinstance(event, Done) and begun is not None:
            return begun, event.generated_text
    raise BadRequestError("A remote target has no prompt cache here.", "Choose a target of this machine.")


def _empty(session: Session) -> None:
    """Empty contexts and caches, as after a start."""
    for window in windows(session):
        window.prefixes = None
        window.keep(0)
        window.prefixes = PrefixCache(session.settings.prompt_cache_tokens)
