"""What a runtime provides: a tokenizer, a loaded model, and contexts that grow and rewind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypedDict

import numpy as np

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.errors import BadRequestError, ContextFullError, ModelError, SpeculatoVizError

PREFILL_TOKENS = 64  # of one pass, and so between two looks at whether the run was cancelled

Extra = Literal["trees", "hidden", "attention"]  # what a runtime can give beyond rows of logits
Wanted = Literal["last", "all"]  # the rows of a feed


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a user is told of a loaded model; None where the file does not say."""

    name: str
    runtime: str
    quantisation: str
    parameters: int | None
    size_bytes: int | None
    context_tokens: int
    computes_on: str


class Entry(NamedTuple):
    """A used id of a vocabulary with its bytes; those of a control token are its name, and no part of any text."""

    id: int
    piece: bytes
    control: bool


class Tokenizer(Protocol):
    """fingerprint hashes (id, bytes, is-control) over used ids: padding and unused rows do not count."""

    @property
    def n_vocab(self) -> int: ...
    @property
    def eos_ids(self) -> frozenset[int]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def has_chat_template(self) -> bool: ...
    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids; `special` lets control tokens written out in the text be read as such."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token adds to the text: none for control tokens."""

    def token_name(self, token: int) -> str:
        """How to show a token, control tokens included."""

    def entries(self) -> Iterator[Entry]:
        """Every used id in ascending order: padding and unused rows have none."""

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The conversation in the model's own template, ready for the answer."""


class Context(Protocol):
    """One KV cache: a growing, rewindable token sequence."""

    @property
    def length(self) -> int: ...
    @property
    def size(self) -> int:
        """Tokens it can hold."""

    @property
    def tree(self) -> Sequence[int] | None:
        """The parents of the last pass while `keep` has not settled it; None where it was not a tree."""

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Rewind to the first `length` tokens, then append the nodes of the last tree that `path` names.

        A tree is not yet part of the sequence: after its pass `length` is what it was, and `keep` has to come before
        the next pass. path: indices into the tree's tokens, from a root downwards; only behind the full length.
        Raises ValueError for any other length or path.
        """

    def close(self) -> None:
        """Give the memory back; the context is unusable afterwards."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens to append to a context in the next pass, and the rows wanted of them.

    parents: makes the tokens a tree: each one's parent as an index into them, before it, or -1 (ROOT) for the end of
    the context. hidden, attention: further things wanted of the same rows, from a runtime that provides them.
    """

    context: Context
    tokens: Sequence[int]
    rows: Wanted = "all"
    parents: Sequence[int] | None = None
    hidden: bool = False
    attention: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Views, valid until the next forward pass of the same model.

    logits float[rows, V]. hidden float[rows, D]: the last layer's states as the output matrix sees them.
    attention float[layers, heads, rows, length + n]: weights over the context before the pass, then over the n tokens.
    """

    logits: Floats
    hidden: Floats | None = None
    attention: Floats | None = None


class LanguageModel(Protocol):
    """A loaded model, shared by the contexts opened on it."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def description(self) -> Description: ...
    @property
    def provides(self) -> frozenset[Extra]:
        """What a Feed may ask for beyond logits; the rest is refused."""

    def open(self, size: int) -> Context:
        """A new context for `size` tokens. Raises ContextFullError where there is no room."""

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """The one pass: appends every feed to its context and returns its rows.

        The feeds are checked (`check`) before anything is computed, and a pass that fails later leaves every context
        as it was: a refused or failed pass changes nothing.
        """

    def close(self) -> None: ...


class Room:
    """Tokens that the contexts of one model may hold together."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    def take(self, size: int) -> None:
        """Raises ContextFullError where there is not that much left."""
        if size > self.left:
            raise ContextFullError(
                f"A context of {size} tokens was asked for and {self.left} are left.",
                "Close a context or load the model with more.",
            )
        self.left -= size

    def give_back(self, size: int) -> None:
        self.left += size


def fingerprint(entries: Iterable[Entry]) -> str:
    """Sixteen hex digits over (id, bytes, is-control) of the used ids, in id order."""
    digest = hashlib.sha256()
    for token, raw, control in entries:
        digest.update(f"{token}:{len(raw)}:{int(control)}:".encode() + raw)
    return digest.hexdigest()[:16]


def check_finite(logits: Floats, name: str) -> None:
    """Raises ModelError if a row of logits float[rows, V] gives no distribution: a NaN, +inf, or nothing but -inf.

    name: the model's, for the message. A row's maximum tells all three apart from a usable row.
    """
    if not np.isfinite(logits.max(axis=-1)).all():
        raise ModelError(
            f"{name} computes scores that are not finite numbers.",
            "Its weights are damaged, or too large for their number format: choose another file or quantisation.",
        )


@contextmanager
def load_errors(library: str, source: Path, hint: str) -> Iterator[None]:
    """Whatever a library raises while it loads `source`, as ModelError with the library's message."""
    try:
        yield
    except SpeculatoVizError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        raise ModelError(f"{library} could not load {source} ({reason}).", hint) from error


def check(model: LanguageModel, feeds: Sequence[Feed]) -> None:
    """What every runtime asks of its feeds before it computes anything.

    Raises ContextFullError where one does not fit, BadRequestError for ids outside the vocabulary or things the runtime
    cannot give, ValueError for an empty feed, a context fed twice, parents that do not come before their children, or
    an unsettled tree.
    """
    if len({id(feed.context) for feed in feeds}) < len(feeds):
        raise ValueError("expected every context once in a pass")
    for feed in feeds:
        _check(model, feed)


def _check(model: LanguageModel, feed: Feed) -> None:
    if not feed.tokens:
        raise ValueError("expected at least one token in a feed")
    if feed.context.tree is not None:
        raise ValueError("expected keep() between a tree and the next pass")
    needed, size = feed.context.length + len(feed.tokens), feed.context.size
    if needed > size:
        raise ContextFullError(
            f"The context holds {size} tokens and {needed} were asked for.",
            "Shorten the prompt or raise the context size.",
        )
    n_vocab = model.tokenizer.n_vocab
    if any(not 0 <= token < n_vocab for token in feed.tokens):
        raise BadRequestError("A token id is outside the vocabulary.", f"Use ids from 0 to {n_vocab - 1}.")
    wanted = {"trees": feed.parents is not None, "hidden": feed.hidden, "attention": feed.attention}
    if lacking := [name for name, asked in wanted.items() if asked and name not in model.provides]:
        raise BadRequestError(
            f"{model.description.runtime} cannot give {' or '.join(lacking)}.",
            "Choose another runtime, or do without.",
        )
    parents = feed.parents or ()
    if feed.parents is not None and len(parents) != len(feed.tokens):
        raise ValueError(f"expected {len(feed.tokens)} parents, got {len(parents)}")
    if any(not ROOT <= parent < node for node, parent in enumerate(parents)):
        raise ValueError("expected every parent before its children")
