"""What PyTorch trains is what llama.cpp's graph of a written head computes, and the loss is what it is said to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")

from speculatoviz.heads import eagle3_folder  # noqa: E402
from speculatoviz.heads.eagle3 import Eagle3Cache  # noqa: E402
from speculatoviz.heads.eagle3_file import read_gguf  # noqa: E402
from speculatoviz.heads.eagle3_folder import Eagle3Shape  # noqa: E402
from speculatoviz.heads.eagle3_published import converted  # noqa: E402
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel  # noqa: E402
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3  # noqa: E402
from speculatoviz.train import unroll  # noqa: E402
from speculatoviz.train.data import Batch, collate  # noqa: E402
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module  # noqa: E402
from speculatoviz.train.kinds import copy_weights  # noqa: E402
from speculatoviz.train.store import Dialogue  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from support import tiny_layered  # noqa: E402
from support.tiny_heads import HIDDEN, VOCABULARY, TinyRows  # noqa: E402
from support.tiny_training import dialogue  # noqa: E402

DEPTH, LENGTH = 4, 20
NEAR = 0.03  # of logits of about 4: llama.cpp's KV cache holds float16
DRAFTED = np.arange(0, tiny_layered.VOCABULARY, 3)


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


def shaken(module: Eagle3Module) -> Eagle3Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in module.weights.values():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return module


@pytest.fixture(scope="module")
def written(path: Path, model: LlamaCppModel, text: Dialogue, tmp_path_factory: pytest.TempPathFactory) -> Eagle3Module:
    """A module with the very weights of a folder, whose place is its attribute `folder`."""
    module = shaken(Eagle3Module(tiny_layered.matrices(path, [text], DRAFTED), tiny_layered.SHAPE, Eagle3Loss(), 0))
    folder = tmp_path_factory.mktemp("heads") / "head"
    eagle3_folder.save(tiny_layered.head_of(module, model), folder, "# card")
    stored = eagle3_folder.load(folder, tiny_layered.head_target(model), model.tokenizer.fingerprint)
    assert stored.vocabulary.tolist() == DRAFTED.tolist()
    assert (stored.layers, stored.shape) == (tiny_layered.LAYERS, tiny_layered.SHAPE)
    copy_weights(module, stored.tensors, "eagle3")
    module.folder = folder
    return module


def graph_logits(folder: Path, model: LlamaCppModel, text: Dialogue, begin: int) -> list[np.ndarray]:
    """Of each step of a draft after `begin` committed pairs: the logits that llama.cpp computes from the folder."""
    file = read_gguf(
        converted(folder, tiny_layered.head_target(model), folder.parent, "F32"), tiny_layered.head_target(model)
    )
    assert file.layers == tiny_layered.LAYERS
    graph = LlamaCppEagle3(file.path, file.vocabulary, 64, 1, model)
    cache, features = Eagle3Cache(graph), np.asarray(text.layers, np.float32)
    logits, state = cache.append(features[:begin], text.tokens[: begin + 1].tolist(), last=True)
    found = [logits[0]]
    for step in range(DEPTH - 1):
        logits, state = cache.grow(state, [int(text.tokens[begin + 1 + step])], [step - 1])
        found.append(logits[0])
    graph.close()
    return found


def largest_error(module: Eagle3Module, model: LlamaCppModel, text: Dialogue) -> float:
    """Between training and graph, over drafts that begin in three places of the text."""
    with torch.no_grad():
        trained = [module.logits(states).numpy() for states in module.unrolled(collate([text]), DEPTH)]
    errors = []
    for begin in (1, 5, LENGTH - DEPTH - 1):
        for step, row in enumerate(graph_logits(module.folder, model, text, begin)):
            errors.append(np.abs(row - trained[step][0, begin - 1 + step]).max())
    assert np.std(trained[0]) > 1, "logits that differ at all"
    return float(max(errors))


def test_the_graph_of_the_written_head_computes_what_was_trained(
    written: Eagle3Module, model: LlamaCppModel, text: Dialogue
) -> None:
    assert largest_error(written, model, text) < NEAR


def one_state_too_many(query, keys, values, window):  # type: ignore[no-untyped-def]
    """The broken twin: a draft that sees target states which are not there yet."""
    return unroll_attend(query, [keys[0], *keys[2:]], [values[0], *values[2:]], window)


def the_same_position(x, by):  # type: ignore[no-untyped-def]
    """The broken twin: no positions."""
    return x


unroll_attend = unroll.attend


@pytest.mark.parametrize(("name", "twin"), [("attend", one_state_too_many), ("rotated", the_same_position)])
def test_another_pattern_of_attention_shows(
    name: str,
    twin: object,
    written: Eagle3Module,
    model: LlamaCppModel,
    text: Dialogue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unroll, name, twin)
    assert largest_error(written, model, text) > 5 * NEAR


def test_the_layout_is_that_of_specforge(written: Eagle3Module) -> None:
    config = json.loads((written.folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLMEagle3"]
    assert config["eagle_config"]["eagle_aux_hidden_state_layer_ids"] == [1, 3, 4], "SGLang counts by outputs"
    assert config["eagle_aux_hidden_state_layer_ids"] == [2, 4, 5], "vLLM counts by inputs"
    assert (config["vocab_size"], config["draft_vocab_size"]) == (tiny_layered.VOCABULARY, len(DRAFTED))
    tensors = load_file(written.folder / "model.safetensors")
    assert (tensors["d2t"] + np.arange(len(DRAFTED))).tolist() == DRAFTED.tolist()
    assert np.flatnonzero(tensors["t2d"]).tolist() == DRAFTED.tolist()
    assert "embed_tokens.weight" not in tensors
    assert tensors["midlayer.self_attn.k_proj.weight"].shape == (32, 64)
    assert not list(written.folder.parent.glob("*.partial"))


# --- the loss ---------------------------------------------------------------------------------------------

DIALOGUES = [dialogue(0), dialogue(1, 9), dialogue(2, 12)]


def small(**loss: float) -> Eagle3Module:
    target = TargetMatrices(TinyRows(), VOCABULARY, DIALOGUES)
    return shaken(Eagle3Module(target, Eagle3Shape(HIDDEN, 2, 1, 4, 12), Eagle3Loss(**loss), 0))  # type: ignore[arg-type]


def logs(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def test_the_loss_is_the_divergence_from_the_target_after_what_it_wrote() -> None:
    module, batch = small(steps=2, decay=0.5, share=1.0), collate(DIALOGUES[:2])
    loss, parts = module.loss(batch, torch.Generator(), 0.99)
    with torch.no_grad():
        steps = [module.logits(states).numpy() for states in module.unrolled(batch, 2)]
    rows = TinyRows().output(VOCABULARY).astype(np.float64)
    for step in range(2):
        sums = [0.0, 0.0]
        for row, own in enumerate(DIALOGUES[:2]):
            for pair in range(step, len(own) - 1):
                share = float(batch.weight[row, pair + 1])
                p = logs(rows @ np.asarray(own.states[pair + 1 : pair + 2], np.float64)[0])
                sums[0] += share * float((np.exp(p) * (p - logs(steps[step][row, pair]))).sum())
                sums[1] += share
        assert parts[f"kl_{step + 1}"] == pytest.approx(sums[0] / sums[1], rel=1e-3)
    assert float(loss.detach()) == pytest.approx(parts["kl_1"] + 0.5 * parts["kl_2"], rel=1e-5)


def test_padding_changes_nothing() -> None:
    made = small(share=1.0)
    alone, padded = collate(DIALOGUES[1:2]), collate(DIALOGUES[:2])
    assert padded.layers is not None
    padded = Batch(padded.tokens[1:], padded.states[1:], padded.weight[1:], padded.layers[1:])
    assert padded.tokens.shape != alone.tokens.shape
    first, second = (made.loss(batch, torch.Generator(), 0.99)[0].detach() for batch in (alone, padded))
    assert float(first) == pytest.approx(float(second), rel=1e-5)


def test_every_step_has_joined_at_half_of_the_training() -> None:
    module, batch = small(steps=4), collate(DIALOGUES)
    taken = [len(module.loss(batch, torch.Generator(), done)[1]) for done in (0.0, 0.1, 0.3, 0.5, 1.0)]
    assert taken == [1, 2, 3, 4, 4]


def test_the_first_guess_is_the_last_of_the_layers() -> None:
    """Before any training: its state is the input of the last layer, in the size of the target's states."""
    target = TargetMatrices(TinyRows(), VOCABULARY, DIALOGUES)
    module, batch = Eagle3Module(target, Eagle3Shape(HIDDEN, 2, 1, 4, 12), Eagle3Loss(), 0), collate(DIALOGUES)
    with torch.no_grad():
        state = module.unrolled(batch, 1)[0]
    assert batch.layers is not None
    inputs = batch.layers[:, :-1, -HIDDEN:]
    assert float(torch.nn.functional.cosine_similarity(state, inputs, dim=-1)[batch.weight[:, :-1] > 0].min()) > 0.7


def test_dialogues_without_layers_are_not_trained_on() -> None:
    plain = [Dialogue(own.tokens, own.authors, own.states) for own in DIALOGUES]
    with pytest.raises(ValueError, match="record the inputs"):
        Eagle3Module(TargetMatrices(TinyRows(), VOCABULARY, plain), Eagle3Shape(HIDDEN, 2, 1, 4, 12), Eagle3Loss(), 0)
