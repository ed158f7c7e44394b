"""A tiny exact language model in float64, and the smallest complete runtime.

Its logits are a hash of the whole prefix, so a cache that is one token off gives visibly other logits: the double
for every test, and the pattern for a new runtime. `mix` blends in the logits of another seed, which makes a draft
that is related to its target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Description, Entry, Extra, Feed, Message, Rows, check, fingerprint
from speculatoviz.models.tree import ancestors, check_keep

ALPHABET = tuple(bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz \n")


class ToyTokenizer:
    """One id per piece, letters unless given; the last id ends the text."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [*pieces, b""]
        self.n_vocab = len(self._pieces)
        self.eos_ids = frozenset({self.n_vocab - 1})
        self.has_chat_template = True
        self.fingerprint = fingerprint(self.entries())

    def encode(self, text: str, *, special: bool) -> list[int]:
        del special
        try:
            return [self._pieces.index(character.encode()) for character in text]
        except ValueError:
            raise BadRequestError(
                "The toy model cannot read this text.", f"Use the letters {b''.join(self._pieces).decode()}."
            ) from None

    def token_bytes(self, token: int) -> bytes:
        return self._pieces[token]

    def token_name(self, token: int) -> str:
        return "<end>" if token in self.eos_ids else self._pieces[token].decode("utf-8", "backslashreplace")

    def entries(self) -> Iterator[Entry]:
        return (Entry(i, piece, i in self.eos_ids) for i, piece in enumerate(self._pieces))

    def render_chat(self, messages: Sequence[Message]) -> str:
        return "".join(message["content"] for message in messages)


class ToyContext:
    """The tokens themselves are the cache; those of a tree wait for `keep`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tokens: list[int] = []
        self.tree: Sequence[int] | None = None
        self.nodes: list[int] = []

    @property
    def length(self) -> int:
        return len(self.tokens)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        check_keep(self.length, length, self.tree, path)
        del self.tokens[length:]
        self.tokens += [self.nodes[node] for node in path]
        self.tree = None

    def close(self) -> None:
        self.tokens.clear()


class ToyModel:
    """V logits behind every prefix, float64, from (seed, prefix); `spread` scales them."""

    provides: frozenset[Extra] = frozenset({"trees", "hidden"})

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
        return ToyContext(size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        check(self, feeds)
        results = [self._extend(feed) for feed in feeds]
        # Its output matrix is the identity: the hidden states are the logits.
        return [Rows(rows, rows if feed.hidden else None) for feed, rows in zip(feeds, results, strict=True)]

    def logits(self, prefix: Sequence[int]) -> Floats:
        """float64[V] behind a prefix, by definition rather than by cache."""
        n = self.tokenizer.n_vocab
        own = _hashed(self._seed, tuple(prefix), n)
        if self._mix is not None:
            other, share = self._mix
            own = (1 - share) * own + share * _hashed(other, tuple(prefix), n)
        return own * self._spread

    def close(self) -> None:
        pass

    def _extend(self, feed: Feed) -> Floats:
        context = feed.context
        assert isinstance(context, ToyContext)
        before = list(context.tokens)
        if feed.parents is None:
            paths = [list(range(end + 1)) for end in range(len(feed.tokens))]
            context.tokens += feed.tokens
        else:
            paths = [ancestors(feed.parents, node) for node in range(len(feed.tokens))]
            context.tree, context.nodes = feed.parents, list(feed.tokens)
        wanted = paths if feed.rows == "all" else paths[-1:]
        return np.array([self.logits([*before, *(feed.tokens[node] for node in path)]) for path in wanted])


@lru_cache(maxsize=1 << 16)
def _hashed(seed: int, prefix: tuple[int, ...], n_vocab: int) -> Floats:
    digest = hashlib.blake2b(repr((seed, prefix)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(n_vocab)
