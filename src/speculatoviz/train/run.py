"""From a job to a file of heads: dialogues, training, the file and its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from speculatoviz.core.progress import Progress
from speculatoviz.heads.file import HeadFile, HeadKind, load, save
from speculatoviz.heads.rows import GgufRows
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.train.card import markdown
from speculatoviz.train.data import TrainingData
from speculatoviz.train.dialogue import Recipe
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape
from speculatoviz.train.fit import Schedule, StepReport, TrainableHead, TrainingResult, fast_dtype, fit
from speculatoviz.train.generate import RECIPE, write_dialogues
from speculatoviz.train.job import TrainJob
from speculatoviz.train.medusa import MedusaLoss, MedusaModule, MedusaShape
from speculatoviz.train.score import HeldOutAnswers
from speculatoviz.train.store import Corpus, CorpusOrigin, write_errors
from speculatoviz.train.target import TargetMatrices

_RATES: dict[HeadKind, float] = {"eagle": 3e-3, "medusa": 6e-3}
_TRAINED_RATE_SHARE = 0.5  # of the learning rate, for a head that is trained already
_SCORED_DIALOGUES = 100  # held-out dialogues of a score: enough to choose among steps
_REPORT_EVERY = 20  # steps between two lines of progress


def train(job: TrainJob, tokenizer: Tokenizer, report: Progress) -> TrainingResult:
    """Write the dialogues that are missing, train, and write the best head to job.out with a card beside it.

    After an interruption another call resumes. Raises TrainError if dialogues, head or card cannot be written or read,
    HeadError if job.begin_with does not fit the target.
    """
    rows = GgufRows(job.source, tokenizer.n_vocab)
    corpus = Corpus(job.data, CorpusOrigin(job.target, tokenizer.fingerprint, rows.hidden_size))
    begun = _begun(job, tokenizer, rows)
    _write(job, corpus, report)
    torch.set_num_threads(job.threads or usable_cores())
    report("reading the dialogues", None)
    data = TrainingData.of(corpus)
    vocabulary = begun.vocabulary if begun else data.vocabulary(job.vocabulary, sorted(tokenizer.eos_ids))
    target = TargetMatrices(rows, vocabulary, [*data.train, *data.held_out], fast_dtype())
    head = module(job.kind, target, job.seed)
    if begun:
        _copy_weights(head, begun)
    held_out = HeldOutAnswers.of(data.held_out[:_SCORED_DIALOGUES], target)
    rate = _RATES[job.kind] * (_TRAINED_RATE_SHARE if begun else 1.0)
    schedule = Schedule(job.steps, rate=rate, seed=job.seed)
    checkpoint = job.out.with_name(job.out.name + ".checkpoint")
    result = fit(head, data, held_out, schedule, checkpoint, _step_reports(job.steps, report))
    _finish(job, corpus, head, target, result, schedule, tokenizer.fingerprint)
    checkpoint.unlink(missing_ok=True)
    return result


def _begun(job: TrainJob, tokenizer: Tokenizer, rows: GgufRows) -> HeadFile | None:
    """The head to begin with, if any. Raises HeadError if it does not fit the target."""
    if job.begin_with is None:
        return None
    return load(job.begin_with, job.kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)


def _copy_weights(head: TrainableHead, file: HeadFile) -> None:
    """Begin with the weights of a file. Raises HeadError if they have other shapes."""
    file.require({name: tuple(weight.shape) for name, weight in head.weights.items()})
    with torch.no_grad():
        for name, weight in head.weights.items():
            weight.copy_(torch.from_numpy(file.tensors[name]))


def module(kind: HeadKind, target: TargetMatrices, seed: int) -> TrainableHead:
    """A new head of a size that fits the target's hidden states."""
    if kind == "medusa":
        return MedusaModule(target, MedusaShape(), MedusaLoss(), seed)
    width = 64
    heads = max(1, target.hidden_size // width)
    return EagleModule(target, EagleShape(heads, width, inner=8 * target.hidden_size // 3), EagleLoss(), seed)


def head_file(
    kind: HeadKind, name: str, fingerprint: str, head: TrainableHead, target: TargetMatrices, result: TrainingResult
) -> HeadFile:
    """The best weights as a head's file, with an empty card. name: the target's."""
    tensors = {name: weight.float().numpy() for name, weight in result.weights.items()}
    return HeadFile(kind, name, fingerprint, target.hidden_size, target.vocabulary, tensors, head.numbers)


def _write(job: TrainJob, corpus: Corpus, report: Progress) -> None:
    if corpus.counts().tokens >= job.tokens:
        return
    report("loading the target", None)
    model = _writing_model(job, RECIPE)
    pass_tokens = 2 * job.slots + 64 if job.write_with == "pytorch" else 64
    slots = job.slots if job.write_with == "pytorch" else min(job.slots, 16)

    def written(tokens: int) -> None:
        report("writing dialogues", min(1.0, tokens / job.tokens))

    try:
        write_dialogues(
            model,
            corpus,
            job.tokens,
            seed=job.seed,
            slots=slots,
            recipe=RECIPE,
            pass_tokens=pass_tokens,
            report=written,
        )
    finally:
        model.close()


def _writing_model(job: TrainJob, recipe: Recipe) -> LanguageModel:
    if job.write_with == "llamacpp":
        from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

        return LlamaCppModel(job.source, min(job.slots, 16) * recipe.dialogue_tokens, job.threads, job.target)
    from speculatoviz.train.batched import BatchedModel

    return BatchedModel(job.source, job.slots, recipe.dialogue_tokens, job.threads)


def _step_reports(steps: int, report: Progress) -> Callable[[StepReport], None]:
    def told(step: StepReport) -> None:
        if step.warning is not None:
            report(step.warning, step.step / steps)
        elif step.score is not None or step.step % _REPORT_EVERY == 0:
            held_out = f"held-out acceptance length {step.best:.2f}"
            report(f"step {step.step} of {steps}: loss {step.loss:.3f}, best {held_out}", step.step / steps)

    return told


def _finish(
    job: TrainJob,
    corpus: Corpus,
    head: TrainableHead,
    target: TargetMatrices,
    result: TrainingResult,
    schedule: Schedule,
    fingerprint: str,
) -> None:
    """Write the head and its card."""
    counts = corpus.counts()
    card = {
        "tokens": counts.tokens,
        "answer_tokens": counts.answer_tokens,
        "dialogues": counts.dialogues,
        "recipes": corpus.recipes(),
        "steps": result.step,
        "of_steps": schedule.steps,
        "batch_tokens": schedule.batch_tokens,
        "optimisers": result.optimisers,
        "loss": head.loss_words,
        "rate": schedule.rate,
        "seed": job.seed,
        "parameters": int(sum(np.prod(weight.shape) for weight in result.weights.values())),
        "held_out_answers": result.score.answers,
        "held_out_acceptance_length": round(result.score.mean_acceptance_length, 3),
        "held_out_conditional": [round(share, 3) for share in result.score.conditional],
        "depth": schedule.depth,
        "begun_with": job.begin_with.name if job.begin_with else None,
        "torch": torch.__version__,
    }
    file = replace(head_file(job.kind, job.target, fingerprint, head, target, result), card=card)
    with write_errors(job.out, "Free disk space, or name another file with --out; the checkpoint keeps the training."):
        save(file, job.out)
        job.out.with_suffix(".md").write_text(markdown(file, job.tokens), encoding="utf-8")
