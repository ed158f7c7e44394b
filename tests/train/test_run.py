"""From a target to a file of heads, its card, and a drafter that reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from speculatoviz.cli.app import app  # noqa: E402
from speculatoviz.errors import HeadError, TrainError  # noqa: E402
from speculatoviz.heads.eagle import EagleHead  # noqa: E402
from speculatoviz.heads.file import HeadFile, HeadKind, load, read, save  # noqa: E402
from speculatoviz.heads.medusa import MedusaHeads  # noqa: E402
from speculatoviz.heads.rows import GgufRows  # noqa: E402
from speculatoviz.train import export, fill, run, validation  # noqa: E402
from speculatoviz.train.dialogue import Recipe  # noqa: E402
from speculatoviz.train.eagle import EagleLoss  # noqa: E402
from speculatoviz.train.fit import Schedule, fit  # noqa: E402
from speculatoviz.train.job import Question, Questions, TrainJob  # noqa: E402
from speculatoviz.train.store import Corpus, CorpusOrigin  # noqa: E402
from support.letters import letters, write_letters  # noqa: E402
from support.stated_toy import StatedToy  # noqa: E402
from support.tiny_heads import HIDDEN  # noqa: E402

RECIPE = Recipe(question_tokens=(4, 12), answer_tokens=30, greedy_share=0.9, dialogue_tokens=100)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatedToy:
    """A target whose rows lie in a GGUF file, and a schedule of a few small steps."""
    model = StatedToy()
    every = np.arange(model.tokenizer.n_vocab, dtype=np.int32)
    writer = gguf.GGUFWriter(tmp_path / "toy.gguf", "llama")
    writer.add_tensor("token_embd.weight", model.rows.embed(every))
    writer.add_tensor("output.weight", model.rows.output(every))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    monkeypatch.setattr(fill, "writing_model", lambda *_: model)
    monkeypatch.setattr(fill, "RECIPE", RECIPE)
    monkeypatch.setattr(
        run, "Schedule", lambda steps, rate, seed: Schedule(steps, 300, rate, seed=seed, every=2, depth=3)
    )
    return model


def order(folder: Path, kind: HeadKind = "eagle", tokens: int = 9000) -> TrainJob:
    return TrainJob(
        kind, "toy", folder / "toy.gguf", tokens, folder / "head.safetensors", folder / "data", 4, 12, threads=1
    )


@pytest.mark.parametrize("kind", ["eagle", "medusa"])
def test_a_head_comes_of_nothing_but_its_target(kind: HeadKind, toy: StatedToy, tmp_path: Path) -> None:
    stages: list[str] = []
    fitted = run.train(order(tmp_path, kind), toy.tokenizer, lambda stage, _share: stages.append(stage))

    head = load(tmp_path / "head.safetensors", kind, toy.tokenizer.fingerprint, HIDDEN, toy.tokenizer.n_vocab)
    rows = GgufRows(tmp_path / "toy.gguf", toy.tokenizer.n_vocab)
    assert EagleHead(head, rows) if kind == "eagle" else MedusaHeads(head, rows)
    assert (head.target, len(head.vocabulary)) == ("toy", 12)
    assert toy.tokenizer.eos_ids <= set(head.vocabulary.tolist())
    assert head.card["tokens"] >= 9000
    assert head.card["held_out_acceptance_length"] == pytest.approx(fitted.score.mean_acceptance_length, abs=1e-3)
    for name, weight in fitted.weights.items():
        np.testing.assert_array_equal(head.tensors[name], weight.half().float().numpy())
    assert "writing dialogues" in stages
    assert any(stage.startswith("step 4 of 4: loss ") for stage in stages)
    assert not list(tmp_path.glob("*.checkpoint")), "a finished training needs none"


def test_its_card_says_how_it_was_made(toy: StatedToy, tmp_path: Path) -> None:
    run.train(order(tmp_path), toy.tokenizer, lambda *_: None)
    head: HeadFile = read(tmp_path / "head.safetensors")
    card = (tmp_path / "head.md").read_text()

    assert card.startswith("# eagle for toy\n")
    for value in (head.card["dialogues"], head.card["tokens"], f"{head.card['held_out_acceptance_length']:.2f}"):
        assert str(value) in card
    assert "speculatoviz train eagle --target toy --tokens 9000 --steps 4 --seed 0" in card
    assert json.dumps(dict(head.card))
    assert "AdamW for vectors and Muon for matrices" in card
    assert (
        f"KL divergence from the target's distributions over the head's vocabulary, plus {EagleLoss().state:g}" in card
    )
    assert f"at most {RECIPE.question_tokens[0]} to {RECIPE.question_tokens[1]} tokens" in card
    assert f"{RECIPE.greedy_share:.0%} are greedy" in card
    assert "No other text was used." in card
    assert "licences of the texts" not in card
    assert "| category |" not in card


def test_the_card_of_a_corpus_that_records_nothing_says_so(toy: StatedToy, tmp_path: Path) -> None:
    run.train(order(tmp_path), toy.tokenizer, lambda *_: None)
    corpus = Corpus(tmp_path / "data", CorpusOrigin("toy", toy.tokenizer.fingerprint, HIDDEN))
    writer = corpus.writer()
    writer.write(list(corpus.dialogues())[:1], writer.next_dialogue)
    writer.close()
    run.train(order(tmp_path), toy.tokenizer, lambda *_: None)

    card = (tmp_path / "head.md").read_text()
    assert f"{RECIPE.greedy_share:.0%} are greedy" in card
    assert "How the other dialogues were sampled is not recorded." in card


def test_a_head_that_cannot_be_written_keeps_its_training(
    toy: StatedToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save", full)
    with pytest.raises(TrainError, match="No space left") as refusal:
        run.train(order(tmp_path), toy.tokenizer, lambda *_: None)
    assert "--out" in refusal.value.hint
    monkeypatch.undo()
    assert (tmp_path / "head.safetensors.checkpoint").is_file()


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    toy: StatedToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr("speculatoviz.train.fit.torch.save", full)
    stages: list[str] = []
    run.train(order(tmp_path), toy.tokenizer, lambda stage, _share: stages.append(stage))
    assert (tmp_path / "head.safetensors").is_file()
    assert any("checkpoint could not be written" in stage for stage in stages)


def test_an_interrupted_training_goes_on(toy: StatedToy, tmp_path: Path) -> None:
    def stop(stage: str, _share: float | None) -> None:
        if stage.startswith("step 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(order(tmp_path), toy.tokenizer, stop)
    run.train(order(tmp_path), toy.tokenizer, stop_saying := lambda *_: None)
    passes = len(toy.passes)
    run.train(order(tmp_path, tokens=100), toy.tokenizer, stop_saying)

    assert len(toy.passes) == passes, "what is there is not written again"


def test_texts_and_prompts_of_the_user(toy: StatedToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts have their share of the tokens; prompts are scored by category as it goes; the card states both."""
    monkeypatch.setattr(validation, "writing_model", lambda *_: toy)
    folder, stages = tmp_path / "private" / "poems", list[str]()
    write_letters(folder, 40, 200)
    questions = tuple(Question(f"a|{place % 2}", (("user", letters(place, 9)),)) for place in range(8))
    asked = Questions("asked.jsonl", questions, 20)
    job = replace(order(tmp_path), texts=(folder,), text_share=0.3, validate=asked)
    result = run.train(job, toy.tokenizer, lambda stage, _share: stages.append(stage))
    head, card = read(tmp_path / "head.safetensors"), (tmp_path / "head.md").read_text()

    (texts,) = head.card["texts"]
    assert texts["folder"] == "poems"
    assert 2700 <= texts["tokens"] < 2700 + 4 * RECIPE.dialogue_tokens
    assert 9000 - 2700 <= head.card["tokens"] < 9000, "dialogues have the rest"
    assert f"{texts['tokens']} tokens of {texts['files']} files in the folder poems" in card
    assert "the licences of the texts" in card
    assert "private" not in card, "where the folder is stays here"

    scored = [stage for stage in stages if "; on asked.jsonl " in stage]
    assert len(scored) == len(result.validation) == 3, "before the first step, and every two"
    last = result.validation[-1][1]
    words = ", ".join(f"{name} {own.mean_acceptance_length:.2f}" for name, own in last.by_category.items())
    assert scored[-1].endswith(f"; on asked.jsonl {last.overall.mean_acceptance_length:.2f} ({words})")
    stated = head.card["validation"]
    assert [step for step, _, _ in stated["history"]] == [0, 2, 4]
    assert (stated["file"], stated["answer_tokens"], stated["left_out"]) == ("asked.jsonl", 20, 0)
    for name, count, length in stated["categories"]:
        assert f"| {name.replace('|', chr(92) + '|')} | {count} | {length:.2f} |" in card
    assert f"| all | {stated['all'][0]} | {stated['all'][1]:.2f} |" in card
    assert "--text poems --text-share 0.3 --validate asked.jsonl --validate-tokens 20 --seed 0" in card


@pytest.mark.parametrize("kind", ["eagle", "medusa"])
def test_a_training_can_begin_with_a_trained_head(
    kind: HeadKind, toy: StatedToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.train(order(tmp_path, kind), toy.tokenizer, lambda *_: None)
    begin = (tmp_path / "head.safetensors").rename(tmp_path / "first.safetensors")
    taken = {}

    def watched(trainee, *arguments):  # type: ignore[no-untyped-def]
        taken.update({name: weight.detach().numpy().copy() for name, weight in trainee.weights.items()})
        return fit(trainee, *arguments)

    monkeypatch.setattr(run, "fit", watched)
    run.train(replace(order(tmp_path, kind), vocabulary=5, begin_with=begin), toy.tokenizer, lambda *_: None)

    np.testing.assert_equal(taken, dict(read(begin).tensors))
    np.testing.assert_array_equal(read(tmp_path / "head.safetensors").vocabulary, read(begin).vocabulary)
    card = (tmp_path / "head.md").read_text()
    assert "The training began with the weights of first.safetensors." in card
    assert "--begin-with first.safetensors" in card


def test_a_head_that_does_not_fit_is_not_begun_with(toy: StatedToy, tmp_path: Path) -> None:
    run.train(order(tmp_path), toy.tokenizer, lambda *_: None)
    begin = (tmp_path / "head.safetensors").rename(tmp_path / "first.safetensors")
    with pytest.raises(HeadError, match="eagle heads, not medusa heads"):
        run.train(replace(order(tmp_path, "medusa"), begin_with=begin), toy.tokenizer, lambda *_: None)
    head = read(begin)
    save(replace(head, tensors={**head.tensors, "fc": head.tensors["fc"][:, :-1]}), begin)
    with pytest.raises(HeadError, match="fc is of shape"):
        run.train(replace(order(tmp_path), begin_with=begin), toy.tokenizer, lambda *_: None)
    passes = len(toy.passes)
    missing = replace(order(tmp_path, tokens=90_000), begin_with=tmp_path / "no.safetensors")
    with pytest.raises(HeadError, match="is not a file of draft heads"):
        run.train(missing, toy.tokenizer, lambda *_: None)
    assert len(toy.passes) == passes, "said before anything is written"


def test_commands_refuse_what_cannot_work(tmp_path: Path) -> None:
    (empty := tmp_path / "empty.jsonl").write_text("\n")
    refused = {
        "does not end in .safetensors": ["--out", "head.bin"],
        "There is no folder": ["--out", str(tmp_path / "no" / "head.safetensors")],
        "There is no folder of-texts": ["--out", str(tmp_path / "h.safetensors"), "--text", "of-texts"],
        "holds no text": ["--out", str(tmp_path / "h.safetensors"), "--text", str(tmp_path)],
        "holds no prompts": ["--out", str(tmp_path / "h.safetensors"), "--validate", str(empty)],
        "is not known": ["--out", str(tmp_path / "h.safetensors"), "--write-with", "pen"],
        "is not a GGUF file": ["--out", str(tmp_path / "h.safetensors"), "--target", "hf:some/model"],
    }
    for words, arguments in refused.items():
        result = CliRunner().invoke(app, ["train", "medusa", *arguments])
        assert result.exit_code == 1
        assert words in " ".join(result.output.split())
