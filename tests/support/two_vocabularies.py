"""Toy models whose vocabularies overlap, with pieces of several letters, pieces of a letter, and equal pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from speculatoviz.drafters.translated import TranslatedDrafter
from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import VocabularyEntry
from speculatoviz.models.runtimes.toy import ToyModel, ToyTokenizer
from support.toy_pair import no_clock

Pieces = tuple[Sequence[bytes], Sequence[bytes]]  # of the target, and of the draft

# The draft has other ids, "a" twice and "bb", which the target lacks; the target's "ab" is not among the draft's.
LETTERS: Pieces = ((b"a", b"b", b"ab"), (b"bb", b"b", b"a", b"a"))
# "é" is two tokens to the target; the draft has these two, and the whole.
ACCENTS: Pieces = ((b"\xc3", b"\xa9", b"a"), (b"\xa9", b"\xc3\xa9", b"\xc3", b"a"))


class LongestMatch(ToyTokenizer):
    """Reads the longest piece it has, of equal ones the first.

    Control tokens have the ids after those of the pieces, in the order of `names`; `ends` are those that end a text.
    beginning: ids that the model expects before a text. space: it puts a space before every text of its own accord.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        names: Sequence[str] = ("<end>",),
        ends: Sequence[str] = ("<end>",),
        beginning: Sequence[int] = (),
        space: bool = False,
    ) -> None:
        super().__init__(pieces)
        self._pieces = [*pieces, *(b"" for _ in names)]
        self._names = {len(pieces) + place: name for place, name in enumerate(names)}
        self.n_vocab = len(self._pieces)
        self.eos_ids = frozenset(token for token, name in self._names.items() if name in ends)
        self.beginning, self._space = tuple(beginning), space

    def encode(self, text: str, *, special: bool) -> list[int]:
        raw, ids = text.encode(), list[int]()
        if self._space and raw:
            raw = b" " + raw
        names = {name.encode(): token for name, token in self.control_names.items()} if special else {}
        while raw:
            if name := next(filter(raw.startswith, names), None):
                ids.append(names[name])
                raw = raw[len(name) :]
                continue
            fitting = [token for token, piece in enumerate(self._pieces) if piece and raw.startswith(piece)]
            if not fitting:
                raise BadRequestError(f"There is no token for {raw[:4]!r}.", "Use other letters.")
            ids.append(max(fitting, key=lambda token: len(self._pieces[token])))
            raw = raw[len(self._pieces[ids[-1]]) :]
        return ids

    def token_name(self, token: int) -> str:
        return self._names.get(token) or self._pieces[token].decode("utf-8", "backslashreplace")

    def entries(self) -> Iterator[VocabularyEntry]:
        for token, piece in enumerate(self._pieces):
            control = token in getattr(self, "_names", {})
            yield VocabularyEntry(token, self.token_name(token).encode() if control else piece, control)


def speaking(pieces: Sequence[bytes], seed: int, spread: float = 1.5) -> ToyModel:
    model = ToyModel(seed, pieces, spread)
    model.tokenizer = LongestMatch(pieces)
    return model


def two_vocabularies(pieces: Pieces = LETTERS) -> tuple[ToyModel, ToyModel]:
    """A target, and a draft that is not related to it: of the seeds one under which broken drafters show well."""
    return speaking(pieces[0], 1), speaking(pieces[1], 20)


def translated(draft: ToyModel, target: ToyModel, support_size: int = 64) -> TranslatedDrafter:
    return TranslatedDrafter(draft, target.tokenizer, 64, no_clock, support_size)
