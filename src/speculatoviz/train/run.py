"""From a job to a trained head: dialogues, training, and the head with its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from speculatoviz.core.progress import Progress
from speculatoviz.heads.rows import GgufRows
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.models.files.gguf import read
from speculatoviz.models.runtimes.torch_device import torch_device
from speculatoviz.train import export, kinds
from speculatoviz.train.data import TrainingData
from speculatoviz.train.dialogue import Recipe
from speculatoviz.train.fit import Schedule, StepReport, TrainingResult, fast_dtype, fit
from speculatoviz.train.generate import RECIPE, write_dialogues
from speculatoviz.train.job import LAYERED, TrainJob
from speculatoviz.train.score import HeldOutAnswers
from speculatoviz.train.store import Corpus, CorpusOrigin
from speculatoviz.train.target import TargetMatrices

_TRAINED_RATE_SHARE = 0.5  # of the learning rate, for a head that is trained already
_SCORED_DIALOGUES = 100  # held-out dialogues of a score: enough to choose among steps
_REPORT_EVERY = 20  # steps between two lines of progress


def train(job: TrainJob, tokenizer: Tokenizer, report: Progress) -> TrainingResult:
    """Write the dialogues that are missing, train, and write the best head to job.out with a card.

    The score of the result is that of the head as a drafter reads it. After an interruption another call resumes.
    Raises TrainError if dialogues, head or card cannot be written or read, or the target cannot be trained for,
    HeadError if job.begin_with does not fit the target, ModelError for a device that is not there.
    """
    file, rows = read(job.source), GgufRows(job.source, tokenizer.n_vocab)
    begun = kinds.begun(job, tokenizer, rows, file)
    layers = kinds.layers(job, file, begun)
    device = torch_device(job.device)
    corpus = Corpus(job.data, CorpusOrigin(job.target, tokenizer.fingerprint, rows.hidden_size, layers))
    _write(job, corpus, report)
    torch.set_num_threads(job.threads or usable_cores())
    report("reading the dialogues", None)
    data = TrainingData.of(corpus)
    vocabulary = begun.vocabulary if begun else data.vocabulary(job.vocabulary, sorted(tokenizer.eos_ids))
    mask = kinds.mask(job, tokenizer, begun)
    dialogues, also = [*data.train, *data.held_out], [] if mask is None else [mask]
    target = TargetMatrices(rows, vocabulary, dialogues, fast_dtype(device), device, also)
    head = kinds.module(job, target, begun, mask)
    held_out = HeldOutAnswers.of(data.held_out[:_SCORED_DIALOGUES], target)
    rate = kinds.RATES[job.kind] * (_TRAINED_RATE_SHARE if begun else 1.0)
    schedule = Schedule(job.steps, rate=rate, seed=job.seed)
    if job.kind in LAYERED:
        schedule = replace(schedule, depth=job.unroll)
    checkpoint = job.out.with_name(job.out.name + ".checkpoint")
    result = fit(head, data, held_out, schedule, checkpoint, _step_reports(job.steps, report))
    report("writing the head", None)
    trained = export.Trained(head, target, result, schedule, corpus, file, tokenizer)
    score = export.write(job, trained, held_out)
    checkpoint.unlink(missing_ok=True)
    return replace(result, score=score)


def _write(job: TrainJob, corpus: Corpus, report: Progress) -> None:
    if corpus.counts().tokens >= job.tokens:
        return
    report("loading the target", None)
    model = _writing_model(job, RECIPE, bool(corpus.layers))
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


def _writing_model(job: TrainJob, recipe: Recipe, layers: bool) -> LanguageModel:
    """layers: whether the inputs of inner layers are recorded."""
    if job.write_with == "llamacpp":
        from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

        cells = min(job.slots, 16) * recipe.dialogue_tokens
        return LlamaCppModel(job.source, cells, job.threads, job.target, layers=layers)
    from speculatoviz.train.batched import BatchedModel

    return BatchedModel(job.source, job.slots, recipe.dialogue_tokens, job.threads, device=job.device)


def _step_reports(steps: int, report: Progress) -> Callable[[StepReport], None]:
    def told(step: StepReport) -> None:
        if step.warning is not None:
            report(step.warning, step.step / steps)
        elif step.score is not None or step.step % _REPORT_EVERY == 0:
            held_out = f"held-out acceptance length {step.best:.2f}"
            report(f"step {step.step} of {steps}: loss {step.loss:.3f}, best {held_out}", step.step / steps)

    return told
