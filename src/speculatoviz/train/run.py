"""From a target's name to a file of heads: dialogues, training, the file and its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from speculatoviz.errors import TrainError
from speculatoviz.heads.file import HeadFile, HeadKind, load, save
from speculatoviz.heads.rows import GgufRows
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.train.card import markdown
from speculatoviz.train.data import Data
from speculatoviz.train.dialogue import Recipe
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape
from speculatoviz.train.fit import Fitted, Schedule, Told, Trainee, fast_dtype, fit
from speculatoviz.train.generate import RECIPE, write
from speculatoviz.train.medusa import MedusaLoss, MedusaModule, MedusaShape
from speculatoviz.train.order import Order, Report
from speculatoviz.train.score import Exam
from speculatoviz.train.store import Corpus, Origin
from speculatoviz.train.target import TargetMatrices

_RATES: dict[HeadKind, float] = {"eagle": 3e-3, "medusa": 6e-3}
_RATE_WHERE_TRAINED = 0.5  # of it, for a head that is trained already
_EXAMINED = 100  # dialogues that a score is taken on: enough to choose among steps by
_SAID_EVERY = 20  # steps between two lines of where the training is


def train(order: Order, tokenizer: Tokenizer, report: Report) -> Fitted:
    """Write what dialogues are missing, train, and leave the best head at order.out with a card beside it.

    Interrupted, it goes on where it was when it is called again. Raises TrainError.
    """
    rows = GgufRows(order.source, tokenizer.n_vocab)
    corpus = Corpus(order.data, Origin(order.target, tokenizer.fingerprint, rows.hidden_size))
    begun = _begun(order, tokenizer, rows)
    _write(order, corpus, report)
    torch.set_num_threads(order.threads or usable_cores())
    report("reading the dialogues", None)
    data = Data.of(corpus)
    vocabulary = begun.vocabulary if begun else data.vocabulary(order.vocabulary, sorted(tokenizer.eos_ids))
    target = TargetMatrices(rows, vocabulary, [*data.train, *data.held_out], fast_dtype())
    trainee = module(order.kind, target, order.seed)
    if begun:
        _take(trainee, begun)
    exam = Exam.of(data.held_out[:_EXAMINED], target)
    rate = _RATES[order.kind] * (_RATE_WHERE_TRAINED if begun else 1.0)
    schedule = Schedule(order.steps, rate=rate, seed=order.seed)
    checkpoint = order.out.with_name(order.out.name + ".checkpoint")
    fitted = fit(trainee, data, exam, schedule, checkpoint, _told(order.steps, report))
    _finish(order, corpus, trainee, target, fitted, schedule, tokenizer.fingerprint)
    checkpoint.unlink(missing_ok=True)
    return fitted


def _begun(order: Order, tokenizer: Tokenizer, rows: GgufRows) -> HeadFile | None:
    """The head to go on from. Raises HeadError where it is none for this target."""
    if order.begin_with is None:
        return None
    return load(order.begin_with, order.kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)


def _take(trainee: Trainee, head: HeadFile) -> None:
    """Its weights as those to begin with. Raises HeadError where they are of another shape."""
    head.require({name: tuple(weight.shape) for name, weight in trainee.weights.items()})
    with torch.no_grad():
        for name, weight in trainee.weights.items():
            weight.copy_(torch.from_numpy(head.tensors[name]))


def module(kind: HeadKind, target: TargetMatrices, seed: int) -> Trainee:
    """A head to be trained, as large as its target's layers are wide."""
    if kind == "medusa":
        return MedusaModule(target, MedusaShape(), MedusaLoss(), seed)
    width = 64
    heads = max(1, target.hidden_size // width)
    return EagleModule(target, EagleShape(heads, width, inner=8 * target.hidden_size // 3), EagleLoss(), seed)


def head_file(
    kind: HeadKind, name: str, fingerprint: str, trainee: Trainee, target: TargetMatrices, fitted: Fitted
) -> HeadFile:
    """The best weights, with an empty card."""
    tensors = {name: weight.float().numpy() for name, weight in fitted.weights.items()}
    return HeadFile(kind, name, fingerprint, target.hidden_size, target.vocabulary, tensors, trainee.numbers)


def _write(order: Order, corpus: Corpus, report: Report) -> None:
    if corpus.counts().tokens >= order.tokens:
        return
    report("loading the target", None)
    model = _writing_model(order, RECIPE)
    pass_tokens = 2 * order.slots + 64 if order.write_with == "pytorch" else 64
    slots = order.slots if order.write_with == "pytorch" else min(order.slots, 16)

    def told(tokens: int) -> None:
        report("writing dialogues", min(1.0, tokens / order.tokens))

    try:
        write(model, corpus, order.tokens, seed=order.seed, slots=slots, pass_tokens=pass_tokens, report=told)
    finally:
        model.close()


def _writing_model(order: Order, recipe: Recipe) -> LanguageModel:
    if order.write_with == "llamacpp":
        from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

        return LlamaCppModel(order.source, min(order.slots, 16) * recipe.dialogue_tokens, order.threads, order.target)
    from speculatoviz.train.batched import BatchedModel

    return BatchedModel(order.source, order.slots, recipe.dialogue_tokens, order.threads)


def _told(steps: int, report: Report) -> Callable[[Told], None]:
    def told(step: Told) -> None:
        if step.score is not None or step.step % _SAID_EVERY == 0:
            held_out = f"held-out acceptance length {step.best:.2f}"
            report(f"step {step.step} of {steps}: loss {step.loss:.3f}, best {held_out}", step.step / steps)

    return told


def _finish(
    order: Order,
    corpus: Corpus,
    trainee: Trainee,
    target: TargetMatrices,
    fitted: Fitted,
    schedule: Schedule,
    fingerprint: str,
) -> None:
    counts = corpus.counts()
    card = {
        "tokens": counts.tokens,
        "answer_tokens": counts.answer_tokens,
        "dialogues": counts.dialogues,
        "steps": fitted.step,
        "of_steps": schedule.steps,
        "batch_tokens": schedule.batch_tokens,
        "rate": schedule.rate,
        "seed": order.seed,
        "parameters": int(sum(np.prod(weight.shape) for weight in fitted.weights.values())),
        "held_out_answers": fitted.score.answers,
        "held_out_acceptance_length": round(fitted.score.mean_acceptance_length, 3),
        "held_out_conditional": [round(share, 3) for share in fitted.score.conditional],
        "depth": schedule.depth,
        "begun_with": order.begin_with.name if order.begin_with else None,
        "torch": torch.__version__,
    }
    head = replace(head_file(order.kind, order.target, fingerprint, trainee, target, fitted), card=card)
    try:
        save(head, order.out)
        order.out.with_suffix(".md").write_text(markdown(head, order.tokens), encoding="utf-8")
    except OSError as error:
        raise TrainError(
            f"{order.out} cannot be written ({error.strerror}).", "Name another file with --out."
        ) from error
