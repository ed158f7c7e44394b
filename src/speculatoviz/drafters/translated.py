"""A draft model with a vocabulary of its own drafts for a target that has another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import covered_mass, scores
from speculatoviz.core.types import Draft, Floats, Plan, Request, Sampling, Scores, Support
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.vocabularies import Intersection, Reencoder


class TranslatedDrafter(ModelDrafter):
    """Works on the target's ids outside and on the draft's inside.

    What is committed is read as text in the draft's own ids; its q is restricted to what both vocabularies can say,
    summed by bytes, renormalised, and only then drawn from. Ordinary rejection sampling in the target's vocabulary is
    exact for any such q (Leviathan et al. 2023, section 2.3; Timor et al. 2025, "token-level intersection"). Where
    the committed bytes end inside a character, or nothing it would say can be said, it drafts nothing.
    Raises VocabularyMismatchError where the two vocabularies share no bytes.
    """

    intersection: Intersection
    _reencoder: Reencoder
    _kept: float
    _places: int

    @property
    def kept_mass(self) -> float | None:
        """The share of its own q that the target's vocabulary can say, mean over the places it drafted at so far.

        At T=0 its q is its argmax alone: the share of those that have a counterpart.
        """
        return self._kept / self._places if self._places else None

    def begin(self, request: Request) -> None:
        self._kept, self._places = 0.0, 0
        super().begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return replace(super().draft(prefix, round, plan, chance), kept_mass=self.kept_mass)

    def _fit(self, draft: Tokenizer, target: Tokenizer) -> int:
        self.intersection, self._reencoder = Intersection(draft, target), Reencoder(draft, target)
        self._kept, self._places = 0.0, 0
        return draft.n_vocab

    def _read(self, prefix: list[int]) -> list[int] | None:
        return self._reencoder.ids(prefix)

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        if self._deterministic:
            self._count(float(self.intersection.target_of(int(logits.argmax())) is not None))
            return self._best(logits), None
        translation = self.intersection.translate(self._support(logits, self._request.sampling))
        self._count(0.0 if translation is None else translation.kept)
        return None if translation is None else self._draw(translation.q, node, chance)

    def _said(self, logits: Floats, sampling: Sampling) -> Support | None:
        translation = self.intersection.translate(self._support(logits, sampling))
        return None if translation is None else translation.q

    def _count(self, kept: float) -> None:
        self._kept, self._places = self._kept + kept, self._places + 1

    def _best(self, logits: Floats) -> int:
        best = self.intersection.target_of(self.intersection.best(logits))
        assert best is not None
        return best

    def _fed(self, token: int, logits: Floats) -> int:
        return self.intersection.source(token, logits)

    def _scores(self, logits: Floats, token: int) -> Scores:
        """The draft's raw opinion of the bytes, as ids of the target; alternatives that it lacks are left out."""
        sources = self.intersection.sources(np.array([token], np.int32))
        fed = self.intersection.source(token, logits)
        own = scores(logits, fed, self._alternatives)
        others = float(np.log(np.exp(logits[sources] - logits[fed]).sum()))
        assert own.logprob is not None
        return replace(own, logprob=own.logprob + others, top=self.intersection.translate_top(own.top))

    def _covered(self, logits: Floats, q: Support) -> float:
        """The mass of every id of its own whose bytes q can say: what its support covers, times the share kept."""
        sources = self.intersection.sources(q.ids)
        return covered_mass(logits, Support(sources, np.empty(0)), self._request.sampling)
