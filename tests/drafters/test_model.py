"""A draft model beside a target of another size or runtime: ids in common, and nothing of the draft's own text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter, check_vocabulary
from speculatoviz.engine import speculate
from speculatoviz.errors import VocabularyMismatchError
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget

PADDING = 3
GREEDY, SAMPLED = Sampling(), Sampling(1.0)


class Padded(ToyModel):
    """Rows after those of the used ids, as output matrices have; `loud` gives them the highest logits of all."""

    def __init__(self, seed: int, loud: bool) -> None:
        super().__init__(seed, ALPHABET)
        self.tokenizer.n_vocab += PADDING
        self.tokenizer._pieces += [b""] * PADDING
        self._extra = 50.0 if loud else -50.0

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        self.tokenizer.n_vocab -= PADDING
        used = self.tokenizer.n_vocab
        rows = super().forward([Feed(f.context, [min(t, used - 1) for t in f.tokens], f.rows) for f in feeds])
        self.tokenizer.n_vocab += PADDING
        padding = [np.full((len(r.logits), PADDING), self._extra) for r in rows]
        return [Rows(np.concatenate([r.logits, p], axis=1)) for r, p in zip(rows, padding, strict=True)]


class Mute(ToyModel):
    """Its tokenizer is for comparing vocabularies, and must not be asked for text."""

    def __init__(self) -> None:
        super().__init__(7, ALPHABET)
        for name in ("encode", "token_bytes", "token_name", "render_chat"):
            setattr(self.tokenizer, name, _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the draft's own text was asked for")


def test_what_is_held_of_a_prompt_is_not_counted_as_unread() -> None:
    """A policy weighs what reading a prompt costs, before the drafter begins."""
    target, prompt = ToyModel(3, ALPHABET), [(7 * i) % len(ALPHABET) for i in range(100)]
    drafter = ModelDrafter(ToyModel(5, ALPHABET), target.tokenizer, 128, lambda: 0.0, prefixes=PrefixCache(1000))
    other = [(5 * i + 1) % len(ALPHABET) for i in range(100)]

    def begin(ids: list[int]) -> None:
        drafter.begin(Request(tuple(ids), GREEDY, Limits(4)))

    assert drafter.unread(prompt) == 100
    begin(prompt)
    assert drafter.unread(prompt) == 1, "the last token of a prompt is read with the first draft"
    assert drafter.unread([*prompt, 1, 2, 3]) == 4
    begin(other)
    assert drafter.unread(prompt) == 1, "the cache of prefixes holds it"
    assert drafter.window.ids == other[:-1], "asking changes nothing"
    bare = ModelDrafter(ToyModel(5, ALPHABET), target.tokenizer, 128, lambda: 0.0)
    bare.begin(Request(tuple(other), GREEDY, Limits(4)))
    assert bare.unread(prompt) == 100


def run(target: ToyModel, draft: ToyModel, sampling: Sampling, prompt: Sequence[int] = (0, 1, 2)) -> list[Round]:
    drafter = ModelDrafter(draft, target.tokenizer, 128, lambda: 0.0)
    verifier = LocalTarget(target, 128, lambda: 0.0)
    request = Request(tuple(prompt), sampling, Limits(24, ignore_eos=True))
    steps = speculate(request, verifier, {"model": drafter}, FixedPolicy("model", 3), seeded(0), lambda: 0.0)
    return [step for step in steps if isinstance(step, Round)]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["T=0", "T=1"])
def test_a_draft_with_more_rows_drafts_ids_in_common(sampling: Sampling) -> None:
    target, draft = ToyModel(0, ALPHABET), Padded(0, loud=True)
    assert target.tokenizer.fingerprint == draft.tokenizer.fingerprint
    rounds = run(target, draft, sampling)
    drafted = [int(token) for round in rounds for token in round.draft.tokens]
    assert drafted
    assert max(drafted) < target.tokenizer.n_vocab
    accepted = sum(len(round.verdict.path) for round in rounds)
    assert accepted == len(drafted), "without the padding the draft is the target"


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["T=0", "T=1"])
def test_a_row_that_only_the_target_has_is_not_fed_to_the_draft(sampling: Sampling) -> None:
    target, draft = Padded(0, loud=True), ToyModel(0, ALPHABET)
    rounds = run(target, draft, sampling)
    emitted = [token for round in rounds for token in round.emitted]
    assert len(emitted) == 24
    assert max(emitted) >= draft.tokenizer.n_vocab
    assert all(not len(round.draft.tokens) for round in rounds[1:])
    assert run(target, draft, sampling, prompt=[0, draft.tokenizer.n_vocab])


def test_text_is_the_targets_alone() -> None:
    rounds = run(ToyModel(0, ALPHABET), Mute(), SAMPLED)
    assert sum(len(round.draft.tokens) for round in rounds) > 0


def test_another_template_or_end_does_not_matter_and_another_vocabulary_does() -> None:
    target, draft = ToyModel(0, ALPHABET), ToyModel(7, ALPHABET)
    draft.tokenizer.eos_ids, draft.tokenizer.has_chat_template = frozenset({0}), False
    check_vocabulary(draft.tokenizer, target.tokenizer)
    with pytest.raises(VocabularyMismatchError, match="is not the target's"):
        check_vocabulary(ToyModel(0).tokenizer, target.tokenizer)


def test_a_request_is_drafted_behind_its_own_prefix() -> None:
    target, draft = ToyModel(0, ALPHABET), ToyModel(0, ALPHABET)
    drafter = ModelDrafter(draft, target.tokenizer, 128, lambda: 0.0)
    drafter.begin(Request((0, 1, 2), GREEDY, Limits(8)))
    got = drafter.draft([0, 1, 2], 0, Plan("model", 3), seeded(0)("draft", 0))
    prefix = [0, 1, 2]
    for token in got.tokens:
        assert int(target.logits(prefix).argmax()) == int(token)
        prefix.append(int(token))
