"""A tiny exact language model in float64, and the smallest complete runtime: the model of most tests.

Its logits are a hash of the whole prefix, so a cache that is off by one token gives other logits. `mix` blends in the
logits of another seed, which makes a draft that is related to its target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import (
    Capability,
    Description,
    Feed,
    Message,
    Rows,
    VocabularyEntry,
    check_feeds,
    check_layers,
    fingerprint,
)
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.tokenizers.control import encode_rendered
from speculatoviz.models.tree import ancestors, check_keep

ALPHABET = tuple(bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz \n")


class ToyTokenizer:
    """One id per piece; the last id ends the text."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [*pieces, b""]
        self.n_vocab = len(self._pieces)
        self.eos_ids = frozenset({self.n_vocab - 1})
        self.has_chat_template = True
        self.beginning: tuple[int, ...] = ()
        self.chat_beginning: tuple[int, ...] = ()
        self.control_names: Mapping[str, int] = {}
        self.fingerprint = fingerprint(self.entries())

    def encode(self, text: str, *, special: bool) -> list[int]:
        """One id per character. Raises BadRequestError for a character without one."""
        del special
        try:
            return [self._pieces.index(character.encode()) for character in text]
        except ValueError:
            raise BadRequestError(
                "The toy model cannot read this text.", f"Use the letters {b''.join(self._pieces).decode()}."
            ) from None

    def encode_parts(self, parts: Sequence[str | int]) -> list[int]:
        """The ids of the texts, and those between them."""
        encoded = ([part] if isinstance(part, int) else self.encode(part, special=False) for part in parts)
        return [token for ids in encoded for token in ids]

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """See `Tokenizer.encode_chat`."""
        return encode_rendered(self, messages)

    def token_bytes(self, token: int) -> bytes:
        """Its piece; none for the end token."""
        return self._pieces[token]

    def token_name(self, token: int) -> str:
        """Its piece, or <end>."""
        return "<end>" if token in self.eos_ids else self._pieces[token].decode("utf-8", "backslashreplace")

    def entries(self) -> Iterator[VocabularyEntry]:
        """Every id."""
        return (VocabularyEntry(i, piece, i in self.eos_ids) for i, piece in enumerate(self._pieces))

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The contents, joined."""
        return "".join(message["content"] for message in messages)

    def close(self) -> None:
        """Nothing is held."""


class ToyContext:
    """The tokens themselves are the cache. Those of a tree are in `nodes` until `keep`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tokens: list[int] = []
        self.tree: Sequence[int] | None = None
        self.nodes: list[int] = []

    @property
    def length(self) -> int:
        """Tokens it holds."""
        return len(self.tokens)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`."""
        check_keep(self.length, length, self.tree, path)
        del self.tokens[length:]
        self.tokens += [self.nodes[node] for node in path]
        self.tree = None

    def snapshot(self) -> Snapshot:
        """The tokens, as bytes."""
        return np.array(self.tokens, np.int64).view(np.uint8)

    def restore(self, state: Snapshot, length: int) -> bool:
        """See `SnapshotContext.restore`."""
        tokens = state.view(np.int64).tolist()
        self.tokens = tokens if len(tokens) == length else []
        return len(tokens) == length

    def close(self) -> None:
        """Forget the tokens."""
        self.tokens.clear()


class ToyModel:
    """Logits float64[V] after every prefix: spread * ((1 - share) * h(seed, prefix) + share * h(other, prefix)).

    h(seed, prefix): standard normal numbers of a hash. mix: (other, share); without it the share is 0. The input of
    inner layer i is h(seed + 1000 i, prefix).
    """

    layer_count = 8

    provides: frozenset[Capability] = frozenset({"trees", "hidden", "layers"})

    def __init__(
        self,
        seed: int = 0,
        pieces: Sequence[bytes] = ALPHABET[:4],
        spread: float = 1.5,
        mix: tuple[int, float] | None = None,
    ) -> None:
        self.tokenizer = ToyTokenizer(pieces)
        self.description = Description(
            name=f"toy-{seed}" + (f"~{mix[0]}" if mix else ""),
            runtime="toy",
            quantisation="F64",
            parameters=0,
            size_bytes=0,
            context_tokens=4096,
            computes_on="Python",
        )
        self._seed, self._spread, self._mix = seed, spread, mix

    def open(self, size: int) -> ToyContext:
        """A new context; there is always room."""
        return ToyContext(size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        """The output matrix is the identity: hidden states are the logits."""
        check_feeds(self, feeds)
        for feed in feeds:
            check_layers(feed.layers, self.layer_count, self.description.name)
        inner = [self._inner(feed) for feed in feeds]
        results = [self._extend(feed) for feed in feeds]
        return [
            Rows(rows, rows if feed.hidden else None, layers=inputs)
            for feed, rows, inputs in zip(feeds, results, inner, strict=True)
        ]

    def layer_inputs(self, layers: Sequence[int], prefix: Sequence[int]) -> Floats:
        """float64[L * V]: the inputs of these inner layers after a prefix, without a cache."""
        n = self.tokenizer.n_vocab
        return np.concatenate([_hashed(self._seed + 1000 * layer, tuple(prefix), n) for layer in layers])

    def logits(self, prefix: Sequence[int]) -> Floats:
        """float64[V] after a prefix, by the definition above, without a cache."""
        n = self.tokenizer.n_vocab
        own = _hashed(self._seed, tuple(prefix), n)
        if self._mix is not None:
            other, share = self._mix
            own = (1 - share) * own + share * _hashed(other, tuple(prefix), n)
        return own * self._spread

    @property
    def layer_width(self) -> int:
        """V."""
        return self.tokenizer.n_vocab

    def snapshot_key(self) -> str:
        """See `StorableModel.snapshot_key`."""
        return f"{self.description.name} {self.tokenizer.fingerprint}"

    def close(self) -> None:
        """Nothing to free."""

    def _inner(self, feed: Feed) -> Floats | None:
        return np.array([self.layer_inputs(feed.layers, p) for p in _prefixes(feed)]) if feed.layers else None

    def _extend(self, feed: Feed) -> Floats:
        context, prefixes = feed.context, _prefixes(feed)
        assert isinstance(context, ToyContext)
        if feed.parents is None:
            context.tokens += feed.tokens
        else:
            context.tree, context.nodes = feed.parents, list(feed.tokens)
        return np.array([self.logits(prefix) for prefix in (prefixes if feed.rows == "all" else prefixes[-1:])])


def _prefixes(feed: Feed) -> list[list[int]]:
    """What each token of a feed ends, the token included."""
    assert isinstance(feed.context, ToyContext)
    before, ends = feed.context.tokens, range(len(feed.tokens))
    if feed.parents is None:
        return [[*before, *feed.tokens[: end + 1]] for end in ends]
    return [[*before, *(feed.tokens[node] for node in ancestors(feed.parents, end))] for end in ends]


@lru_cache(maxsize=1 << 16)
def _hashed(seed: int, prefix: tuple[int, ...], n_vocab: int) -> Floats:
    digest = hashlib.blake2b(repr((seed, prefix)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(n_vocab)
