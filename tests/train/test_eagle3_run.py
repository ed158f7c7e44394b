"""From a target to a published EAGLE-3 head, and a drafter that reads it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from speculatoviz.cli.app import app  # noqa: E402
from speculatoviz.config import Settings  # noqa: E402
from speculatoviz.core.rounds import Round  # noqa: E402
from speculatoviz.errors import HeadError, TrainError  # noqa: E402
from speculatoviz.heads import eagle3_folder, eagle3_published  # noqa: E402
from speculatoviz.heads.gguf_head import HeadTarget  # noqa: E402
from speculatoviz.models.base import PREFILL_TOKENS, Feed  # noqa: E402
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel  # noqa: E402
from speculatoviz.session.heads import published_head  # noqa: E402
from speculatoviz.targets.local import LocalTarget  # noqa: E402
from speculatoviz.train import export, fill, run  # noqa: E402
from speculatoviz.train import fit as fitting  # noqa: E402
from speculatoviz.train.data import TrainingData  # noqa: E402
from speculatoviz.train.dialogue import Recipe  # noqa: E402
from speculatoviz.train.fit import Schedule, TrainingResult, fit  # noqa: E402
from speculatoviz.train.job import TrainJob  # noqa: E402
from speculatoviz.train.reading import TextShards  # noqa: E402
from speculatoviz.train.score import HeldOutAnswers  # noqa: E402
from speculatoviz.train.store import Corpus, CorpusOrigin  # noqa: E402
from speculatoviz.train.texts import find  # noqa: E402
from support import tiny_layered  # noqa: E402
from support.departures import greedy_rounds  # noqa: E402
from support.letters import write_letters  # noqa: E402
from support.real_servers import lacking, llama_server  # noqa: E402

RECIPE = Recipe(question_tokens=(4, 12), answer_tokens=40, greedy_share=0.9, dialogue_tokens=90, second_turn=0.0)
DEPTH = 3


class Trained(NamedTuple):
    """folder: of the target, its data and the head. stages: what was reported."""

    folder: Path
    head: Path
    result: TrainingResult
    stages: list[str]


def order(folder: Path, **changes: Any) -> TrainJob:
    job = TrainJob(
        "eagle3",
        "tiny",
        folder / "tiny.gguf",
        tokens=8000,
        out=folder / "head",
        data=folder / "data",
        steps=60,
        vocabulary=200,
        threads=1,
        slots=8,
        write_with="llamacpp",
        device="cpu",
        unroll=DEPTH,
    )
    return replace(job, **changes)


def quick(monkeypatch: pytest.MonkeyPatch, every: int = 20) -> None:
    monkeypatch.setattr(fill, "RECIPE", RECIPE)
    monkeypatch.setattr(
        run, "Schedule", lambda steps, rate, seed: Schedule(steps, 300, 3 * rate, 10, seed=seed, every=every)
    )


def train(job: TrainJob) -> tuple[TrainingResult, list[str]]:
    model, stages = tiny_layered.opened(job.source), list[str]()
    try:
        return run.train(job, model.tokenizer, lambda stage, _share: stages.append(stage)), stages
    finally:
        model.close()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("train")
    tiny_layered.write_target(folder / "tiny.gguf")
    with pytest.MonkeyPatch.context() as patches:
        quick(patches)
        result, stages = train(order(folder))
    return Trained(folder, folder / "head", result, stages)


@pytest.fixture(scope="module")
def target(done: Trained) -> Iterator[LocalTarget]:
    model = tiny_layered.opened(done.folder / "tiny.gguf")
    yield LocalTarget(model, 256, lambda: 0.0)
    model.close()


def copied(done: Trained, folder: Path) -> Path:
    """The folder of the target and the data, without the head."""
    return Path(shutil.copytree(done.folder, folder / "copy", ignore=shutil.ignore_patterns("head*", "*.lock")))


def drafter_of(head: Path, target: LocalTarget, cache: Path) -> Any:
    settings = Settings(_env_file=None, head=str(head), cache_dir=str(cache), threads=1)
    return published_head(settings, target.window, lambda: 0.0)


@pytest.fixture(scope="module")
def answers(done: Trained, target: LocalTarget) -> list[tuple[list[int], int]]:
    """The greedy answers that the card's figures are of: the tokens before each, and its length."""
    fingerprint = target.tokenizer.fingerprint
    data = TrainingData.of(Corpus(done.folder / "data", CorpusOrigin("tiny", fingerprint, tiny_layered.WIDTH)))
    head = eagle3_folder.load(done.head, tiny_layered.head_target(target.window.model), fingerprint)
    texts = [*data.train, *data.held_out]
    known = tiny_layered.matrices(done.folder / "tiny.gguf", texts, head.vocabulary)
    exam = HeldOutAnswers.of(data.held_out, known)
    assert len(exam.answers) == done.result.score.answers
    return [(exam.texts[index][:first].tolist(), end - first) for index, first, end in exam.answers]


def rounds_of(head: Path, target: LocalTarget, answers: list[tuple[list[int], int]], cache: Path) -> list[Round]:
    """The answers, decoded by the engine with the head as drafter."""
    drafter, rounds = drafter_of(head, target, cache), list[Round]()
    for prompt, length in answers:
        rounds += greedy_rounds(target, drafter, prompt, DEPTH, length)
    drafter.close()
    return rounds


def acceptance_length(rounds: list[Round]) -> float:
    return 1 + sum(round.accepted for round in rounds) / len(rounds)


def test_the_head_learns(done: Trained) -> None:
    untrained = done.result.history[0][1]
    assert done.result.score.mean_acceptance_length > untrained + 0.5
    assert "writing dialogues" in done.stages
    assert any(stage.startswith("step 60 of 60: loss ") for stage in done.stages)
    assert not list(done.folder.glob("*.checkpoint")), "a finished training needs none"


def test_what_it_drafts_is_accepted_as_its_card_states(
    done: Trained, target: LocalTarget, answers: list[tuple[list[int], int]], tmp_path: Path
) -> None:
    """PyTorch's score against the engine, with the target and the head on llama.cpp, on the same answers."""
    score = done.result.score
    rounds = rounds_of(done.head, target, answers, tmp_path)
    assert acceptance_length(rounds) == pytest.approx(score.mean_acceptance_length, abs=0.1)
    first = sum(round.accepted > 0 for round in rounds) / len(rounds)
    assert first == pytest.approx(score.conditional[0], abs=0.1)
    drafter = drafter_of(done.head, target, tmp_path)
    assert drafter.card.acceptance == tuple(round(share, 3) for share in score.conditional)
    assert (drafter.card.file, drafter.card.depth) == ("head", DEPTH)
    drafter.close()


def test_its_gguf_file_is_the_same_head(
    done: Trained, target: LocalTarget, answers: list[tuple[list[int], int]], tmp_path: Path
) -> None:
    drafts = []
    for head in (done.head / export.GGUF, done.head):
        rounds = rounds_of(head, target, answers, tmp_path)
        drafts.append([(round.accepted, round.draft.tokens.tolist()) for round in rounds])
    assert drafts[0] == drafts[1]


@pytest.mark.skipif(bool(lacking("xllamacpp")), reason=lacking("xllamacpp") or "")
def test_llama_cpp_s_own_server_drafts_with_it(
    done: Trained, answers: list[tuple[list[int], int]], tmp_path: Path
) -> None:
    """And far fewer tokens of its broken twin are accepted."""

    def accepted_share(head: Path) -> float:
        with llama_server(done.folder / "tiny.gguf", head, "eagle3") as url:
            asked = {"prompt": answers[0][0], "n_predict": 24, "temperature": 0.0, "ignore_eos": True}
            timings = httpx2.post(f"{url}/completion", json=asked, timeout=60).json()["timings"]
        assert timings["draft_n"] > 8
        return float(timings["draft_n_accepted"]) / float(timings["draft_n"])

    twin = Path(shutil.copytree(done.head, tmp_path / "twin"))
    rolled_ids(twin)
    eagle3_published.export(
        twin, HeadTarget("tiny", 8, tiny_layered.WIDTH, tiny_layered.VOCABULARY), tmp_path / "b.gguf"
    )
    share = accepted_share(done.head / export.GGUF)
    assert share > 0.5
    assert accepted_share(tmp_path / "b.gguf") < 0.5 * share


def shifted_layers(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["eagle_aux_hidden_state_layer_ids"] = [3, 5, 6]
    (folder / "config.json").write_text(json.dumps(config))


def rolled_ids(folder: Path) -> None:
    """Every draft id stands for the target's id of the one before."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    ids = tensors["d2t"] + np.arange(len(tensors["d2t"]))
    tensors["d2t"] = np.roll(ids, 1) - np.arange(len(ids))
    save_file(tensors, folder / "model.safetensors")


def test_texts_are_read_on_llamacpp_in_passes_that_it_takes(
    done: Trained, target: LocalTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    write_letters(tmp_path / "texts", 3, 200)
    model, texts = target.window.model, find([tmp_path / "texts"])
    into = Corpus(
        tmp_path / "data",
        CorpusOrigin("tiny", model.tokenizer.fingerprint, tiny_layered.WIDTH, tiny_layered.LAYERS),
    )
    job = order(tmp_path, source=done.folder / "tiny.gguf", texts=(tmp_path / "texts",), tokens=400, text_share=0.9)
    fill.read(job, into, texts, 360, model.tokenizer, lambda *_: None)

    found = list(TextShards(into).dialogues(texts.digests))
    assert sum(map(len, found)) >= 360
    assert max(map(len, found)) == RECIPE.dialogue_tokens > PREFILL_TOKENS
    context, own = model.open(64), found[0]
    row = model.forward([Feed(context, own.tokens[:64].tolist(), hidden=True, layers=tiny_layered.LAYERS)])[0]
    np.testing.assert_allclose(own.states[:64], row.hidden, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(own.layers[:64], row.layers, rtol=0.02, atol=0.02)
    context.close()


@pytest.mark.parametrize("twin", [shifted_layers, rolled_ids])
def test_a_head_that_is_wired_wrong_is_accepted_far_less(
    twin: Any, done: Trained, target: LocalTarget, answers: list[tuple[list[int], int]], tmp_path: Path
) -> None:
    """The broken twins."""
    folder = Path(shutil.copytree(done.head, tmp_path / "twin"))
    twin(folder)
    found = acceptance_length(rounds_of(folder, target, answers, tmp_path))
    assert found < done.result.score.mean_acceptance_length - 0.3


def test_its_card_states_how_it_was_made(done: Trained) -> None:
    described, card = eagle3_folder.trained(done.head), (done.head / "README.md").read_text()
    assert described is not None
    assert card.startswith("# eagle3 for tiny\n")
    stated = described.card
    for fact in (
        f"{stated['dialogues']} dialogues, {stated['tokens']} tokens",
        "the inputs of the layers 2, 4, 5 of the target",
        f"Step {stated['steps']} of 60",
        "drafts of up\nto 3 tokens",
        f"acceptance length\n{done.result.score.mean_acceptance_length:.2f}",
        ", ".join(f"{100 * share:.0f} %" for share in stated["held_out_conditional"]),
        f"was {stated['acceptance_length_in_training']:.2f}",
        "the licence apache-2.0",
        "speculatoviz train eagle3 --target tiny --tokens 8000 --steps 60 --unroll 3 "
        "--layers 2,4,5 --seed 0 --out eagle3",
        "AdamW at 0.1 of the rate for output rows",
    ):
        assert fact in card
    assert stated["trained_depth"] == DEPTH


def test_an_interrupted_training_gives_the_same_head(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    folder, place = copied(done, tmp_path), 0

    def stop(step: fitting.StepReport) -> None:
        nonlocal place
        place = step.step
        if place == 31:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "_step_reports", lambda *_: stop)
    with pytest.raises(KeyboardInterrupt):
        train(order(folder))
    assert (folder / "head.checkpoint").is_file()
    assert not (folder / "head").exists()
    monkeypatch.setattr(run, "_step_reports", lambda *_: lambda _: None)
    train(order(folder))
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (folder / "head" / name).read_bytes() == (done.head / name).read_bytes()


def test_a_training_can_begin_with_a_trained_head(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    folder, taken = copied(done, tmp_path), dict[str, np.ndarray]()

    def watched(trainee: Any, *arguments: Any) -> TrainingResult:
        taken.update({name: weight.detach().numpy().copy() for name, weight in trainee.weights.items()})
        return fit(trainee, *arguments)

    monkeypatch.setattr(run, "fit", watched)
    result, _ = train(order(folder, begin_with=done.head, steps=1, vocabulary=5))
    assert result.score.mean_acceptance_length > done.result.history[0][1] + 0.5
    model = tiny_layered.opened(folder / "tiny.gguf")
    stored = eagle3_folder.load(done.head, tiny_layered.head_target(model), model.tokenizer.fingerprint)
    model.close()
    assert len(stored.vocabulary) > 5
    for name in ("output", "q", "output_norm"):
        np.testing.assert_array_equal(taken[name], stored.tensors[name])
    scale = taken["fc"] / stored.tensors["fc"]
    np.testing.assert_allclose(scale[:, :32], scale[0, 0], rtol=1e-4)
    assert "--begin-with head" in (folder / "head" / "README.md").read_text()
    (folder / "broken").mkdir()
    with pytest.raises(HeadError, match="holds no head that"):
        train(order(folder, begin_with=folder / "broken"))


def test_a_head_that_cannot_be_written_keeps_its_training(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    quick(monkeypatch)
    folder = copied(done, tmp_path)
    monkeypatch.setattr(eagle3_folder, "save_file", full)
    with pytest.raises(TrainError, match="No space left") as refusal:
        train(order(folder, steps=2))
    assert "--out" in refusal.value.hint
    monkeypatch.undo()
    assert (folder / "head.checkpoint").is_file()
    assert not (folder / "head").exists()
    assert not list(folder.glob("*.partial"))
    quick(monkeypatch)
    train(order(folder, steps=2))
    assert eagle3_folder.trained(folder / "head") is not None


def test_an_older_head_stays_if_the_new_one_cannot_be_written(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    quick(monkeypatch)
    folder = copied(done, tmp_path)
    shutil.copytree(done.head, folder / "head")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TrainError, match="No space left"):
        train(order(folder, steps=2))
    monkeypatch.undo()
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (folder / "head" / name).read_bytes() == (done.head / name).read_bytes()
    quick(monkeypatch)
    train(order(folder, steps=2))
    assert " of 2, 300 tokens a step" in (folder / "head" / "README.md").read_text()


def test_a_target_of_few_layers_is_refused(tmp_path: Path) -> None:
    tiny_layered.write_target(tmp_path / "tiny.gguf", layers=6)
    with pytest.raises(TrainError, match="tiny has 6 layers"):
        train(order(tmp_path))
    assert not (tmp_path / "data").exists(), "refused before anything is written"


def test_a_target_that_gives_no_inner_layers_is_refused(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    monkeypatch.setattr(LlamaCppModel, "provides", frozenset({"trees", "hidden"}))
    folder = copied(done, tmp_path)
    with pytest.raises(TrainError, match=r"llama\.cpp gives no inputs of inner layers of tiny") as refusal:
        train(order(folder, tokens=90_000))
    assert "eagle or medusa" in refusal.value.hint


def test_data_without_inner_layers_is_refused(done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    folder = copied(done, tmp_path)
    description = json.loads((folder / "data" / "corpus.json").read_text())
    (folder / "data" / "corpus.json").write_text(json.dumps({**description, "layers": []}))
    with pytest.raises(TrainError, match="inputs of no inner layers"):
        train(order(folder))


def test_a_head_for_another_vocabulary_is_refused(done: Trained, target: LocalTarget, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done.head, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    config["speculatoviz"] |= {"fingerprint": "0" * 16, "target": "another"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HeadError, match="other was trained for another, whose vocabulary"):
        drafter_of(folder, target, tmp_path)


def test_a_head_for_another_name_is_a_warning(
    done: Trained, target: LocalTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(done.head, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    config["speculatoviz"]["target"] = "larger"
    (folder / "config.json").write_text(json.dumps(config))
    with caplog.at_level(logging.WARNING):
        drafter_of(folder, target, tmp_path).close()
    assert "trained for larger, and the target is tiny" in caplog.text


def test_the_command_refuses_what_cannot_work(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "README.md").write_text("mine")
    refused = {
        "names a file": ["--out", str(tmp_path / "head.safetensors")],
        "There is no folder": ["--out", str(tmp_path / "no" / "head")],
        "holds other files": ["--out", str(tmp_path / "full")],
        "is not known": ["--out", str(tmp_path / "head"), "--write-with", "pen"],
        "is not a GGUF file": ["--out", str(tmp_path / "head"), "--target", "hf:some/model"],
    }
    for words, arguments in refused.items():
        result = CliRunner().invoke(app, ["train", "eagle3", *arguments])
        assert result.exit_code == 1
        assert words in " ".join(result.output.split())
    assert (tmp_path / "full" / "README.md").read_text() == "mine"


def test_without_pytorch_the_command_states_what_to_install(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "speculatoviz.train.run", None)
    target = str(done.folder / "tiny.gguf")
    arguments = ["--out", str(tmp_path / "head"), "--target", f"llamacpp:{target}", "--data", str(tmp_path / "data")]
    result = CliRunner().invoke(app, ["train", "eagle3", *arguments])
    assert result.exit_code == 1
    assert "Training needs PyTorch" in result.output
    assert "speculatoviz[train]" in result.output
