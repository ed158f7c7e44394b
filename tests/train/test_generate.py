"""A target writes dialogues with itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.types import Sampling
from speculatoviz.errors import BadRequestError, TrainError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel, ToyTokenizer
from speculatoviz.train.dialogue import DialogueInProgress, Recipe, TemplateParts, _words
from speculatoviz.train.generate import write_dialogues
from speculatoviz.train.store import AUTHORS, Corpus, CorpusOrigin, Dialogue
from support.stated_toy import StatedToy, TemplatedTokenizer
from support.tiny_heads import HIDDEN, state

RECIPE = Recipe(question_tokens=(4, 12), answer_tokens=20, dialogue_tokens=100, second_turn=0.5)


def corpus(folder: Path, model: ToyModel) -> Corpus:
    return Corpus(folder, CorpusOrigin("toy", model.tokenizer.fingerprint, HIDDEN))


def dialogues(folder: Path, tokens: int = 400, **options: object) -> tuple[StatedToy, list[Dialogue]]:
    model = StatedToy()
    fields: dict[str, object] = {"seed": 3, "slots": 4, "recipe": RECIPE, "shard_tokens": 150}
    write_dialogues(model, corpus(folder, model), tokens, **(fields | options))  # type: ignore[arg-type]
    return model, list(corpus(folder, model).dialogues())


def parts(dialogue: Dialogue) -> list[tuple[str, list[int]]]:
    found: list[tuple[str, list[int]]] = []
    for token, author in zip(dialogue.tokens.tolist(), dialogue.authors.tolist(), strict=True):
        if not found or found[-1][0] != AUTHORS[author]:
            found.append((AUTHORS[author], []))
        found[-1][1].append(token)
    return found


def test_both_sides_stand_in_the_template(tmp_path: Path) -> None:
    model, written = dialogues(tmp_path)
    opening, between, again = (model.tokenizer.encode(text, special=True) for text in ("u ", "\na ", "\nu "))
    turns = set()
    for dialogue in written:
        said = parts(dialogue)
        turns.add(len(said) // 4)
        assert [author for author, _ in said] == ["template", "question", "template", "answer"] * 2 or len(said) == 4
        assert [piece for author, piece in said if author == "template"] == [opening, between, again, between][
            : len(said) // 2
        ]
        assert all(piece for _, piece in said)
    assert turns == {1, 2}


def test_the_states_are_those_of_the_target_behind_every_token(tmp_path: Path) -> None:
    for dialogue in dialogues(tmp_path)[1]:
        tokens = dialogue.tokens.tolist()
        own = np.array([state(tokens[: end + 1]) for end in range(len(tokens))])
        np.testing.assert_array_equal(dialogue.states, own.astype(np.float16))


def test_every_written_token_is_one_the_target_could_have_said(tmp_path: Path) -> None:
    """And of greedy answers the one it says."""
    recipe = Recipe(question_tokens=(4, 12), answer_tokens=20, dialogue_tokens=100, greedy_share=1.0)
    model, written = dialogues(tmp_path, recipe=recipe)
    for dialogue in written:
        tokens = dialogue.tokens.tolist()
        for place, author in enumerate(dialogue.authors.tolist()):
            if AUTHORS[author] == "answer":
                assert tokens[place] == int(model.logits(tokens[:place]).argmax())


def test_bounds_are_kept(tmp_path: Path) -> None:
    for dialogue in dialogues(tmp_path)[1]:
        assert len(dialogue) <= RECIPE.dialogue_tokens
        for author, piece in parts(dialogue):
            assert len(piece) <= {"template": 99, "question": 12, "answer": 20}[author]


def test_a_pass_feeds_all_of_them_and_no_more_than_it_takes(tmp_path: Path) -> None:
    model, _ = dialogues(tmp_path, pass_tokens=6)
    assert {len(counts) for counts in model.passes} == {4}
    assert max(map(sum, model.passes)) == 6


def test_the_same_seed_writes_the_same_and_another_does_not(tmp_path: Path) -> None:
    texts = [
        [d.tokens.tolist() for d in dialogues(tmp_path / name, seed=seed)[1]]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    model = StatedToy()
    seen: list[int] = []

    def stop(tokens: int) -> None:
        seen.append(tokens)
        if tokens > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dialogues(
            model, corpus(tmp_path, model), 400, seed=3, slots=4, recipe=RECIPE, shard_tokens=150, report=stop
        )
    kept = [d.tokens.tolist() for d in corpus(tmp_path, model).dialogues()]
    assert kept, "a whole shard stays"
    _, written = dialogues(tmp_path)

    texts = [d.tokens.tolist() for d in written]
    assert texts[: len(kept)] == kept
    assert len({tuple(text) for text in texts}) == len(texts), "no dialogue twice"
    assert sum(map(len, texts)) >= 400
    assert seen[0] == 0


def test_enough_is_enough(tmp_path: Path) -> None:
    model, written = dialogues(tmp_path, 300)
    before = len(model.passes)
    write_dialogues(model, corpus(tmp_path, model), 300, seed=3, slots=4, recipe=RECIPE)
    assert len(model.passes) == before
    assert len(written) == corpus(tmp_path, model).counts().dialogues


class Looping(StatedToy):
    """Says the same letter for ever."""

    def forward(self, feeds):  # type: ignore[no-untyped-def]
        rows = super().forward(feeds)
        for row in rows:
            row.logits[:] = -50.0
            row.logits[:, 7] = 50.0
        return rows


def test_loops_end_early_and_questions_that_loop_are_dropped() -> None:
    model = Looping()
    script = TemplateParts.of(model.tokenizer)
    logits = np.full(model.tokenizer.n_vocab, -50.0)
    logits[7] = 50.0

    def feed(writing: DialogueInProgress, row: np.ndarray) -> None:
        writing.fed(len(writing.todo), np.zeros((len(writing.todo), HIDDEN)), row)

    long = Recipe(question_tokens=(90, 90), answer_tokens=90, dialogue_tokens=400, second_turn=0.0)
    asking = DialogueInProgress(script, long, 0, 0)
    while not asking.done:
        feed(asking, logits)
    assert asking.dropped
    end = np.full(model.tokenizer.n_vocab, -50.0)
    end[next(iter(model.tokenizer.eos_ids))] = 50.0
    other = np.random.default_rng(0)
    answering = DialogueInProgress(script, long, 0, 1)
    for _ in range(6):
        feed(answering, other.standard_normal(len(end)) - 99.0 * (end > 0))
    feed(answering, end)
    while not answering.done:
        feed(answering, logits)
    assert not answering.dropped
    assert 12 < answering.dialogue().answer_tokens < 30


def test_a_target_without_turns_is_refused() -> None:
    with pytest.raises(TrainError, match="no chat template"):
        TemplateParts.of(ToyModel(0).tokenizer)


def test_sampling_is_drawn_from_the_recipe() -> None:
    script = TemplateParts.of(StatedToy().tokenizer)
    questions = {DialogueInProgress(script, RECIPE, 0, number)._sampling for number in range(20)}
    assert len(questions) == 20
    assert all(isinstance(sampling, Sampling) and 0.7 <= sampling.temperature <= 1.0 for sampling in questions)


def test_words_are_those_of_the_vocabulary_as_they_stand_at_the_beginning_of_a_text() -> None:
    tokenizer = ToyTokenizer([piece.encode() for piece in ("a", "b", "C", "d", "Cd", " Ab", "A", "x y", "DEF")])
    assert _words(tokenizer) == ((6, 1), (2, 3))


def test_a_share_of_the_questions_begins_with_a_word() -> None:
    """As part of the question, at its own place after the template, in later turns too."""
    model = StatedToy()
    script = replace(TemplateParts.of(model.tokenizer), words=((2, 3), (4, 5)))
    recipe = replace(RECIPE, opening_word=0.5, unguided=0.0)
    some = [DialogueInProgress(script, recipe, 0, number) for number in range(200)]
    opened = [tuple(writing.todo[len(script.opening) :]) for writing in some]
    assert set(opened) == {(), (2, 3), (4, 5)}
    assert 70 < opened.count(()) < 130
    recipe = replace(RECIPE, opening_word=1.0, second_turn=1.0)
    writing = DialogueInProgress(script, recipe, 0, 1)
    letters = np.random.default_rng(1)
    while not writing.done:
        writing.fed(len(writing.todo), np.zeros((len(writing.todo), HIDDEN)), letters.standard_normal(29))
    questions = [piece for author, piece in parts(writing.dialogue()) if author == "question"]
    assert len(questions) == 2
    assert all(tuple(piece[:2]) in script.words for piece in questions)


def test_a_share_of_the_questions_is_asked_behind_no_system_message() -> None:
    """And answered after the template's own opening, as if it had been asked there."""
    model = StatedToy()
    script = replace(TemplateParts.of(model.tokenizer), words=((2, 3), (4, 5)))
    assert script.unguided == tuple(model.tokenizer.encode("s \nu ", special=True))
    recipe = replace(RECIPE, opening_word=1.0, unguided=0.5)
    some = [DialogueInProgress(script, recipe, 0, number) for number in range(200)]
    asked = [w for w in some if tuple(w.todo[: len(script.unguided)]) == script.unguided]
    assert 70 < len(asked) < 130

    writing, letters, said = asked[0], np.random.default_rng(1), list[int]()
    said += writing.todo[len(script.unguided) :]
    while writing.length or not said[2:]:
        writing.fed(len(writing.todo), np.zeros((len(writing.todo), HIDDEN)), letters.standard_normal(29))
        said += writing.todo if writing.length else []
    assert tuple(writing.todo) == (*script.opening, *said, *script.to_answer)
    assert tuple(said[:2]) in script.words
    while not writing.done:
        writing.fed(len(writing.todo), np.ones((len(writing.todo), HIDDEN)), letters.standard_normal(29))
    made = writing.dialogue()
    assert (made.states == 1).all(), "what was computed without a system message is forgotten"
    assert next(piece for author, piece in parts(made) if author == "question") == said


class Strict(TemplatedTokenizer):
    """Takes no system message."""

    def render_chat(self, messages):  # type: ignore[no-untyped-def]
        if messages[0]["role"] == "system":
            raise BadRequestError("No system message.", "Leave it out.")
        return super().render_chat(messages)


class Deaf(TemplatedTokenizer):
    """Leaves the system message out."""

    def render_chat(self, messages):  # type: ignore[no-untyped-def]
        return super().render_chat([message for message in messages if message["role"] != "system"])


@pytest.mark.parametrize("tokenizer", [Strict(ALPHABET), Deaf(ALPHABET)])
def test_where_a_template_has_no_system_message_all_is_asked_behind_its_opening(tokenizer: TemplatedTokenizer) -> None:
    script = TemplateParts.of(tokenizer)
    assert script.unguided == ()
    assert {tuple(DialogueInProgress(script, RECIPE, 0, number).todo) for number in range(20)} == {script.opening}
