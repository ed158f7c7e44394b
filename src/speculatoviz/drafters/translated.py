"""A draft model with another vocabulary than the target's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import best_id, covered_mass, scores
from speculatoviz.core.types import Draft, Floats, Ints, Request, Sampling, Scores, Support
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.vocabularies import Intersection, Reencoder


class TranslatedDrafter(ModelDrafter):
    """Proposes the target's ids and computes with the draft model's ids.

    1. The committed text is re-encoded with the draft's tokenizer.
    2. The draft's q is restricted to ids whose bytes the target's vocabulary contains, summed by bytes, renormalised.
    3. The token is drawn from that q, which is what the draft declares.

    Rejection sampling in the target's vocabulary is exact for any such q (Leviathan et al. 2023, section 2.3; Timor et
    al. 2025, "token-level intersection"). The draft is empty if the committed bytes end inside a character, or if q has
    no mass in the target's vocabulary. Raises VocabularyMismatchError if the two vocabularies share no bytes.
    """

    intersection: Intersection
    _reencoder: Reencoder
    _kept_sum: float
    _positions: int

    @property
    def kept_mass(self) -> float | None:
        """The mean, over the positions drafted in this run, of the share of the draft's q that the target can express.

        At T=0 q is the argmax alone: the share of positions whose argmax has a counterpart. None before the first one.
        """
        return self._kept_sum / self._positions if self._positions else None

    def begin(self, request: Request) -> None:
        self._kept_sum, self._positions = 0.0, 0
        super().begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return replace(super().draft(prefix, round, plan, chance), kept_mass=self.kept_mass)

    def _usable_rows(self, draft: Tokenizer, target: Tokenizer) -> int:
        self.intersection, self._reencoder = Intersection(draft, target), Reencoder(draft, target)
        self._kept_sum, self._positions = 0.0, 0
        return draft.n_vocab

    def _draft_ids(self, prefix: list[int]) -> list[int] | None:
        return self._reencoder.ids(prefix)

    def _processed(self, logits: Floats, processor: LogitsProcessor, path: Sequence[int]) -> Floats:
        """The mask alone: penalties count the target's ids, and these logits are over the draft's."""
        allowed = processor.allowed(path)
        return logits if allowed is None else self.intersection.restricted(logits, allowed)

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None] | None:
        if self.deterministic:
            self._count(float(self.intersection.target_id(best_id(logits)) is not None))
            return self._best(logits), None
        translation = self.intersection.translate(self._own_q(logits, self.request.sampling))
        self._count(0.0 if translation is None else translation.kept)
        return None if translation is None else self._draw(translation.q, node, chance)

    def _target_q(self, logits: Floats, sampling: Sampling) -> Support | None:
        translation = self.intersection.translate(self._own_q(logits, sampling))
        return None if translation is None else translation.q

    def _count(self, kept: float) -> None:
        self._kept_sum, self._positions = self._kept_sum + kept, self._positions + 1

    def _best(self, logits: Floats) -> int:
        best_id(logits)  # raises for logits that are not finite
        best = self.intersection.target_id(self.intersection.best_draft_id(logits))
        assert best is not None
        return best

    def _expressible(self, logits: Floats) -> Ints:
        del logits
        return self.intersection.proposable

    def _draft_id(self, token: int, logits: Floats) -> int:
        return self.intersection.best_draft_id_of(token, logits)

    def _second(self, logits: Floats, token: int) -> None:
        del logits, token

    def _scores(self, logits: Floats, token: int) -> Scores:
        """The draft's raw scores of the token's bytes, over the target's ids; other alternatives are left out."""
        sources = self.intersection.draft_ids_of(np.array([token], np.int32))
        fed = self.intersection.best_draft_id_of(token, logits)
        own = scores(logits, fed, self._alternatives)
        others = float(np.log(np.exp(logits[sources] - logits[fed]).sum()))
        assert own.logprob is not None
        return replace(own, logprob=own.logprob + others, top=self.intersection.translate_top(own.top))

    def _covered_mass(self, logits: Floats, q: Support) -> float:
        """The draft's own mass on all ids whose bytes q can express."""
        sources = self.intersection.draft_ids_of(q.ids)
        return covered_mass(logits, Support(sources, np.empty(0)), self.request.sampling)
