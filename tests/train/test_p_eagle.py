"""What PyTorch trains of a P-EAGLE head is what the graph computes, from a target to a drafter that reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

torch = pytest.importorskip("torch")

from speculatoviz.config import Settings  # noqa: E402
from speculatoviz.drafters.p_eagle import PEagleDrafter  # noqa: E402
from speculatoviz.errors import HeadError  # noqa: E402
from speculatoviz.heads import eagle3_folder  # noqa: E402
from speculatoviz.heads.eagle3_file import read_gguf  # noqa: E402
from speculatoviz.heads.eagle3_folder import Masked  # noqa: E402
from speculatoviz.heads.eagle3_published import converted  # noqa: E402
from speculatoviz.heads.p_eagle import PEagleCache  # noqa: E402
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel  # noqa: E402
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3  # noqa: E402
from speculatoviz.session.heads import published_head  # noqa: E402
from speculatoviz.targets.local import LocalTarget  # noqa: E402
from speculatoviz.train import fill, run, unroll  # noqa: E402
from speculatoviz.train import fit as fitting  # noqa: E402
from speculatoviz.train.data import TrainingData, collate  # noqa: E402
from speculatoviz.train.dialogue import Recipe  # noqa: E402
from speculatoviz.train.eagle3 import Eagle3Loss  # noqa: E402
from speculatoviz.train.fit import Schedule, TrainingResult  # noqa: E402
from speculatoviz.train.job import TrainJob  # noqa: E402
from speculatoviz.train.kinds import copy_weights  # noqa: E402
from speculatoviz.train.p_eagle import PEagleModule  # noqa: E402
from speculatoviz.train.score import HeldOutAnswers  # noqa: E402
from speculatoviz.train.store import Corpus, CorpusOrigin, Dialogue  # noqa: E402
from support import tiny_layered  # noqa: E402
from support.departures import greedy_rounds  # noqa: E402

DEPTH, LENGTH, MASK, STEPS = 3, 20, 2, 60
NEAR = 0.06  # of logits of up to 12: llama.cpp's KV cache holds float16
RECIPE = Recipe(question_tokens=(4, 12), answer_tokens=40, greedy_share=0.9, dialogue_tokens=90, second_turn=0.0)


# --- the graph of a written head -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_layered.write_target(tmp_path_factory.mktemp("target") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[LlamaCppModel]:
    made = tiny_layered.opened(path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def text(model: LlamaCppModel) -> Dialogue:
    return tiny_layered.written(model, 0, LENGTH - tiny_layered.PROMPT)


@pytest.fixture(scope="module")
def written(path: Path, model: LlamaCppModel, text: Dialogue, tmp_path_factory: pytest.TempPathFactory) -> PEagleModule:
    """A module with the very weights of a folder, whose place is its attribute `folder`."""
    target = tiny_layered.matrices(path, [text], also=[MASK])
    module, generator = PEagleModule(target, tiny_layered.SHAPE, Eagle3Loss(DEPTH), 0, MASK), torch.Generator()
    with torch.no_grad():
        for weight in module.weights.values():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator.manual_seed(3)))
    folder = tmp_path_factory.mktemp("heads") / "head"
    eagle3_folder.save(tiny_layered.head_of(module, model), folder, "# card")
    stored = eagle3_folder.load(folder, tiny_layered.head_target(model), model.tokenizer.fingerprint)
    assert (stored.masked, stored.kind) == (Masked(MASK, DEPTH), "p-eagle")
    copy_weights(module, stored.tensors, "p-eagle")
    module.folder = folder
    return module


def largest_error(module: PEagleModule, model: LlamaCppModel, text: Dialogue) -> float:
    """Between training and graph, over drafts that begin in three places of the text."""
    target = tiny_layered.head_target(model)
    with torch.no_grad():
        trained = [module.logits(states).numpy() for states in module.unrolled(collate([text]), DEPTH)]
    file, features, errors = read_gguf(converted(module.folder, target, module.folder.parent, "F32"), target), None, []
    assert file.masks is not None
    for begin in (1, 5, LENGTH - DEPTH - 1):
        graph = LlamaCppEagle3(file.path, file.vocabulary, 64, 1, model)
        features = np.asarray(text.layers, np.float32)[:begin]
        logits, _ = PEagleCache(graph, file.masks).append(features, text.tokens[: begin + 1].tolist(), last=True)
        graph.close()
        assert len(logits) == DEPTH
        errors += [np.abs(row - trained[step][0, begin - 1 + step]).max() for step, row in enumerate(logits)]
    assert np.std(trained[0]) > 1, "logits that differ at all"
    return float(max(errors))


def test_the_graph_of_the_written_head_computes_what_was_trained(
    written: PEagleModule, model: LlamaCppModel, text: Dialogue
) -> None:
    assert largest_error(written, model, text) < NEAR


def test_another_pattern_of_attention_shows(
    written: PEagleModule, model: LlamaCppModel, text: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: masked places that do not see the ones before them."""
    attend = unroll.attend

    def apart(query, keys, values, window):  # type: ignore[no-untyped-def]
        hidden = [torch.full_like(key, -1e3) for key in keys[1:-1]]
        return attend(query, [keys[0], *hidden, *keys[1:][-1:]], values, window)

    monkeypatch.setattr(unroll, "attend", apart)
    assert largest_error(written, model, text) > 5 * NEAR


def test_another_vector_at_the_masked_places_shows(
    written: PEagleModule, model: LlamaCppModel, text: Dialogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: the numbers of `mask_hidden` in another order."""
    folder = Path(shutil.copytree(written.folder, tmp_path / "twin"))
    tensors = load_file(folder / "model.safetensors")
    tensors["mask_hidden"] = np.roll(tensors["mask_hidden"], 17, axis=-1)
    save_file(tensors, folder / "model.safetensors")
    monkeypatch.setattr(written, "folder", folder)
    assert largest_error(written, model, text) > 5 * NEAR


def test_the_layout_is_the_published_one(written: PEagleModule) -> None:
    config = json.loads((written.folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLMEagle3"]
    assert (config["ptd_token_id"], config["para_depths"]) == (MASK, DEPTH)
    tensors = load_file(written.folder / "model.safetensors")
    assert tensors["mask_hidden"].shape == (1, 1, 3 * tiny_layered.WIDTH)
    assert tensors["midlayer.self_attn.k_proj.weight"].shape == (32, 64)


def test_a_step_reads_nothing_of_the_step_before(written: PEagleModule, text: Dialogue) -> None:
    """Other drafted tokens change no row: what stands after the place where a draft begins is not read."""
    batch, changed = collate([text]), collate([text])
    begin = 8
    changed.tokens[:, begin + 1 :] = 7
    with torch.no_grad():
        first, second = (written.unrolled(own, DEPTH) for own in (batch, changed))
    for step in range(DEPTH):
        place = begin - 1 + step
        torch.testing.assert_close(first[step][:, place], second[step][:, place])
    assert float((first[0][:, begin] - second[0][:, begin]).abs().max()) > 0.01, "a later draft reads them"


# --- from a target to a drafter ------------------------------------------------------------------------------


class Trained(NamedTuple):
    """folder: of the target, its data and the head. losses: of every step."""

    folder: Path
    head: Path
    result: TrainingResult
    losses: list[float]


def order(folder: Path, **changes: Any) -> TrainJob:
    fields: dict[str, Any] = {
        "tokens": 5000,
        "out": folder / "head",
        "data": folder / "data",
        "steps": STEPS,
        "vocabulary": 200,
        "threads": 1,
        "slots": 8,
        "write_with": "llamacpp",
        "device": "cpu",
        "unroll": DEPTH,
    }
    return TrainJob("p-eagle", "tiny", folder / "tiny.gguf", **(fields | changes))


def quick(patches: pytest.MonkeyPatch, report: Any) -> None:
    patches.setattr(fill, "RECIPE", RECIPE)
    patches.setattr(run, "_step_reports", lambda *_: report)
    patches.setattr(run, "Schedule", lambda steps, rate, seed: Schedule(steps, 300, 3 * rate, 10, seed=seed, every=20))


def train(job: TrainJob) -> TrainingResult:
    model = tiny_layered.opened(job.source)
    try:
        return run.train(job, model.tokenizer, lambda *_: None)
    finally:
        model.close()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, losses = tmp_path_factory.mktemp("train"), list[float]()
    tiny_layered.write_target(folder / "tiny.gguf")

    def note(step: fitting.StepReport) -> None:
        if step.score is None and step.warning is None:
            losses.append(step.loss)

    with pytest.MonkeyPatch.context() as patches:
        quick(patches, note)
        result = train(order(folder))
    return Trained(folder, folder / "head", result, losses)


@pytest.fixture(scope="module")
def target(done: Trained) -> Iterator[LocalTarget]:
    model = tiny_layered.opened(done.folder / "tiny.gguf")
    yield LocalTarget(model, 256, lambda: 0.0)
    model.close()


def drafter_of(head: Path, target: LocalTarget, cache: Path) -> PEagleDrafter:
    settings = Settings(_env_file=None, head=str(head), cache_dir=str(cache), threads=1)
    made = published_head(settings, target.window, lambda: 0.0)  # type: ignore[arg-type]
    assert isinstance(made, PEagleDrafter)
    return made


def acceptance_length(head: Path, done: Trained, target: LocalTarget, cache: Path) -> float:
    """Over the greedy answers that the card's figures are of, decoded by the engine with the head as drafter."""
    fingerprint, drafter = target.tokenizer.fingerprint, drafter_of(head, target, cache)
    data = TrainingData.of(Corpus(done.folder / "data", CorpusOrigin("tiny", fingerprint, tiny_layered.WIDTH)))
    own = eagle3_folder.load(done.head, tiny_layered.head_target(target.window.model), fingerprint)  # type: ignore[arg-type,union-attr]
    known = tiny_layered.matrices(done.folder / "tiny.gguf", [*data.train, *data.held_out], own.vocabulary)
    exam, rounds = HeldOutAnswers.of(data.held_out, known), []
    for index, first, end in exam.answers:
        rounds += greedy_rounds(target, drafter, exam.texts[index][:first].tolist(), DEPTH, end - first)
    drafter.close()
    return 1 + sum(round.accepted for round in rounds) / len(rounds)


def test_the_loss_falls_and_the_head_learns(done: Trained) -> None:
    assert len(done.losses) == STEPS
    # All places of a draft have joined at half of the training: from there on the losses are of one kind.
    half = done.losses[STEPS // 2 :]
    assert np.mean(half[-8:]) < 0.8 * np.mean(half[:8])
    assert done.result.score.mean_acceptance_length > done.result.history[0][1] + 0.4


def test_what_it_drafts_is_accepted_as_its_card_states(done: Trained, target: LocalTarget, tmp_path: Path) -> None:
    """PyTorch's score against the engine, with the target and the head on llama.cpp, on the same answers."""
    score = done.result.score
    assert acceptance_length(done.head, done, target, tmp_path) == pytest.approx(score.mean_acceptance_length, abs=0.1)
    drafter = drafter_of(done.head, target, tmp_path)
    assert drafter.card is not None
    assert drafter.card.acceptance == tuple(round(share, 3) for share in score.conditional)
    assert (drafter.card.depth, drafter.block) == (DEPTH, DEPTH)
    drafter.close()


def test_a_head_that_is_wired_wrong_is_accepted_far_less(done: Trained, target: LocalTarget, tmp_path: Path) -> None:
    """The broken twin: every draft id stands for the target's id of the one before."""
    folder = Path(shutil.copytree(done.head, tmp_path / "twin"))
    tensors = load_file(folder / "model.safetensors")
    ids = tensors["d2t"] + np.arange(len(tensors["d2t"]))
    tensors["d2t"] = np.roll(ids, 1) - np.arange(len(ids))
    save_file(tensors, folder / "model.safetensors")
    found = acceptance_length(folder, done, target, tmp_path)
    assert found < done.result.score.mean_acceptance_length - 0.3


def test_its_card_states_how_it_was_made(done: Trained) -> None:
    card = (done.head / "README.md").read_text()
    assert card.startswith("# p-eagle for tiny\n")
    for fact in (
        "A P-EAGLE head",
        "at the 3 places of a draft",
        "speculatoviz train p-eagle --target tiny --tokens 5000 --steps 60 --unroll 3 "
        "--layers 2,4,5 --seed 0 --out p-eagle",
    ):
        assert fact in card
    assert not list(done.head.glob("*.gguf")), "llama.cpp's programs compute no masked places"


def test_an_interrupted_training_gives_the_same_head(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(done.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("head*", "*.lock")))

    def stop(step: fitting.StepReport) -> None:
        if step.step == 31:
            raise KeyboardInterrupt

    quick(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        train(order(folder))
    assert (folder / "head.checkpoint").is_file()
    quick(monkeypatch, lambda _: None)
    train(order(folder))
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (folder / "head" / name).read_bytes() == (done.head / name).read_bytes()


def test_a_training_can_begin_with_a_head_of_its_kind(
    done: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch, lambda _: None)
    folder = Path(shutil.copytree(done.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("head*", "*.lock")))
    result = train(order(folder, begin_with=done.head, steps=1))
    assert result.score.mean_acceptance_length > done.result.history[0][1] + 0.4
    other = Path(shutil.copytree(done.head, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    del config["ptd_token_id"], config["para_depths"]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(HeadError, match="`speculatoviz train eagle3` wrote"):
        train(order(folder, begin_with=other))
