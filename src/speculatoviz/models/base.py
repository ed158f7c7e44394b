"""What a runtime provides: a tokenizer, a loaded model, and contexts that grow and rewind.

V is the number of output rows of the model, D the length of its hidden states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypedDict, runtime_checkable

import numpy as np

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.errors import (
    BadRequestError,
    ContextFullError,
    ModelError,
    NotFiniteError,
    SpeculatoVizError,
    reason_of,
)

PREFILL_TOKENS = 64  # of one pass; a run can be cancelled between two passes

Capability = Literal["trees", "hidden", "layers", "attention"]  # of a runtime, beyond rows of logits for a chain
RowSelection = Literal["last", "all"]  # of the tokens of a feed: after which of them logits are computed


class Message(TypedDict):
    """One message of a conversation."""

    role: str
    content: str


UNKNOWN = "unknown"  # quantisation of a model whose file or endpoint does not report it


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """Why a model is on its runtime, if neither its name nor a setting decided.

    reason: a clause ("no other runtime for GGUF files is installed"). pass_ms: the milliseconds that were compared, by
    the title of a runtime and the rows of a pass; empty if nothing was measured.
    """

    reason: str
    pass_ms: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Description:
    """A loaded model as it is shown to users; None if the file or the endpoint does not report it.

    parameters: weights. size_bytes: of all files, or of the weights in memory. context_tokens: the longest context.
    gguf: the file, or its first part, if the weights were read from a GGUF file. choice: of the runtime; None if the
    model's name or a setting decided.
    """

    name: str
    runtime: str
    quantisation: str
    parameters: int | None
    size_bytes: int | None
    context_tokens: int
    computes_on: str
    gguf: Path | None = None
    choice: RuntimeChoice | None = None


class VocabularyEntry(NamedTuple):
    """A used token id. piece: its bytes; of a control token, which adds no text, the bytes of its name."""

    id: int
    piece: bytes
    control: bool


class Tokenizer(Protocol):
    """Text to token ids and back.

    n_vocab: V. eos_ids: the tokens that end a text or a turn. fingerprint: a hash of the used ids (`fingerprint`),
    equal for models that can draft for each other without translation. beginning: the ids that the model expects before
    a raw text, usually BOS or nothing.
    """

    @property
    def n_vocab(self) -> int: ...
    @property
    def eos_ids(self) -> frozenset[int]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def beginning(self) -> tuple[int, ...]: ...
    @property
    def has_chat_template(self) -> bool: ...
    def encode(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text, without a beginning or an end. `encode_raw` adds the beginning.

        special: names of control tokens in the text become these tokens; otherwise they are text. Raises
        BadRequestError for a text that cannot be tokenized (`tokenizers/limits.py`) or has characters without a token.
        """

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation up to the beginning of the answer. Use `encode_chat` of `tokenizers/chat.py`."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token adds to the text: none for control tokens."""

    def token_name(self, token: int) -> str:
        """The token for display, control tokens included."""

    def entries(self) -> Iterator[VocabularyEntry]:
        """Every used id in ascending order; padding and unused rows are left out."""

    def close(self) -> None:
        """End renderings in progress, from any thread, and free what rendering holds. It can be used afterwards."""


class LocalTokenizer(Tokenizer, Protocol):
    """A tokenizer whose vocabulary and chat template are in this process.

    chat_beginning: the ids that stand before a conversation; () if the chat template alone decides. control_names: the
    texts that `encode` with `special` reads as control tokens, and their ids.
    """

    @property
    def chat_beginning(self) -> tuple[int, ...]: ...
    @property
    def control_names(self) -> Mapping[str, int]: ...
    def encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        """The ids of a text that is given as plain texts and, between them, ids of control tokens.

        Equal to `encode` with `special` of the text with the names of these ids, if no plain text contains a name.
        """

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The conversation in the model's chat template, up to the beginning of the answer.

        Raises BadRequestError if the model has no template, or one that cannot render the conversation.
        """


class Context(Protocol):
    """A KV cache of one token sequence, which grows and can be rewound."""

    @property
    def length(self) -> int:
        """Tokens it holds; a tree that `keep` has not settled is not counted."""

    @property
    def size(self) -> int:
        """Tokens it can hold."""

    @property
    def tree(self) -> Sequence[int] | None:
        """The parents of the tree of the last pass until `keep` settles it; None otherwise."""

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Rewind to the first `length` tokens, then append the nodes of the last tree that `path` names.

        path: indices into the tree's tokens, from a first node downwards; only after the full length. After a pass
        over a tree `length` is unchanged, and `keep` has to be called before the next pass. Raises ValueError for any
        other length or path.
        """

    def close(self) -> None:
        """Free its memory. The context cannot be used afterwards; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens to append to a context in the next pass, and what to compute for them.

    tokens int[n]. rows: after which of them logits are wanted. parents int[n]: makes the tokens a tree; each one's
    parent is an index before its own, or -1 (ROOT) for the end of the context. hidden, attention: also wanted, for the
    same rows, from a runtime that has the capability. layers: inner layers whose inputs are also wanted, by their
    numbers from 1 to the last one; layer 0 reads the embeddings.
    """

    context: Context
    tokens: Sequence[int]
    rows: RowSelection = "all"
    parents: Sequence[int] | None = None
    hidden: bool = False
    attention: bool = False
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The results of one feed, r rows: views that are valid until the next pass of the same model.

    logits float[r, V]. hidden float[r, D]: the last layer's states as the output matrix multiplies them. attention
    float[layers, heads, r, length + n]: weights over the context before the pass, then over the n tokens. layers
    float[n, L * D]: the inputs of the L layers that were asked for, one after the other, of all n tokens of the feed.
    """

    logits: Floats
    hidden: Floats | None = None
    attention: Floats | None = None
    layers: Floats | None = None


class LanguageModel(Protocol):
    """A loaded causal language model, shared by the contexts that are open on it."""

    @property
    def tokenizer(self) -> LocalTokenizer: ...
    @property
    def description(self) -> Description: ...
    @property
    def provides(self) -> frozenset[Capability]:
        """What a feed may ask for beyond logits of a chain; anything else is refused."""

    def open(self, size: int) -> Context:
        """A new context for `size` tokens. Raises ContextFullError if there is no room."""

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """One forward pass: appends every feed to its context and returns its rows, in the order of the feeds.

        The feeds are checked (`check_feeds`) before anything is computed. A pass that fails later leaves every context
        as it was.
        """

    def close(self) -> None:
        """Free its memory."""


@runtime_checkable
class LayeredModel(Protocol):
    """A model that gives the inputs of its inner layers.

    layer_count: of its layers. layer_width: D, the length of a layer's input. description, tokenizer: of every model.
    """

    @property
    def layer_count(self) -> int: ...
    @property
    def layer_width(self) -> int: ...
    @property
    def description(self) -> Description: ...
    @property
    def tokenizer(self) -> LocalTokenizer: ...


@runtime_checkable
class MtpModel(Protocol):
    """A model that can carry layers that predict the token after the next one. mtp_layers: how many can be used."""

    @property
    def mtp_layers(self) -> int: ...


class ContextBudget:
    """Counts the tokens that all contexts of a model may still hold together."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    def reserve(self, size: int) -> None:
        """Take `size` tokens. Raises ContextFullError if fewer are left."""
        if size > self.left:
            raise ContextFullError(
                f"A context of {size} tokens was asked for and {self.left} are left.",
                "Close a context or load the model with more.",
            )
        self.left -= size

    def release(self, size: int) -> None:
        """Return `size` tokens."""
        self.left += size


def fingerprint(entries: Iterable[VocabularyEntry]) -> str:
    """Sixteen hexadecimal digits of a SHA-256 over (id, bytes, is-control) of the used ids, in ascending order."""
    digest = hashlib.sha256()
    for token, raw, control in entries:
        digest.update(f"{token}:{len(raw)}:{int(control)}:".encode() + raw)
    return digest.hexdigest()[:16]


def check_finite(logits: Floats, name: str) -> None:
    """Raises NotFiniteError if a row of logits float[..., V] gives no distribution: a NaN, +inf, or nothing but -inf.

    name: of the model, for the message. The maximum of a row tells all three apart from a usable row.
    """
    if not np.isfinite(logits.max(axis=-1)).all():
        raise NotFiniteError(f"{name} computes scores that are not finite numbers.")


@contextmanager
def load_errors(library: str, source: Path, hint: str) -> Iterator[None]:
    """Turns whatever a library raises while it loads `source` into ModelError, with the library's message."""
    try:
        yield
    except SpeculatoVizError:
        raise
    except Exception as error:
        reason = reason_of(error)
        raise ModelError(f"{library} could not load {source} ({reason}).", hint) from error


def check_feeds(model: LanguageModel, feeds: Sequence[Feed]) -> None:
    """What every runtime checks before it computes anything.

    Raises ContextFullError if a feed does not fit, BadRequestError for ids outside the vocabulary or a capability that
    the runtime lacks, ValueError for an empty feed, a context that is fed twice, parents that do not come before their
    children, or a tree that is not settled.
    """
    if len({id(feed.context) for feed in feeds}) < len(feeds):
        raise ValueError("expected every context once in a pass")
    for feed in feeds:
        _check(model, feed)


IN_WORDS: Mapping[Capability, str] = {
    "trees": "trees",
    "hidden": "hidden states",
    "layers": "inputs of inner layers",
    "attention": "attention weights",
}


def check_layers(layers: Iterable[int], count: int, name: str) -> None:
    """Raises BadRequestError unless all `layers` are inner ones of a model `name` with `count` layers."""
    if strange := [layer for layer in layers if not 0 < layer < count]:
        raise BadRequestError(
            f"{name} has {count} layers, and no inner layer {strange[0]}.", f"Name layers from 1 to {count - 1}."
        )


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
    wanted: dict[Capability, bool] = {
        "trees": feed.parents is not None,
        "hidden": feed.hidden,
        "layers": bool(feed.layers),
        "attention": feed.attention,
    }
    if lacking := [name for name, asked in wanted.items() if asked and name not in model.provides]:
        raise BadRequestError(
            f"{model.description.runtime} cannot give {' or '.join(IN_WORDS[name] for name in lacking)}.",
            "Choose another runtime, or do without.",
        )
    parents = feed.parents or ()
    if feed.parents is not None and len(parents) != len(feed.tokens):
        raise ValueError(f"expected {len(feed.tokens)} parents, got {len(parents)}")
    if any(not ROOT <= parent < node for node, parent in enumerate(parents)):
        raise ValueError("expected every parent before its children")
