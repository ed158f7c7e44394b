"""From a job to a trained head: dialogues, training, and the head with its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from speculatoviz.core.progress import Progress
from speculatoviz.heads.rows import GgufRows
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.runtimes.torch_device import torch_device
from speculatoviz.train import export, kinds
from speculatoviz.train.data import TrainingData
from speculatoviz.train.fill import fill
from speculatoviz.train.fit import Schedule, StepReport, TrainingResult, fast_dtype, fit
from speculatoviz.train.job import LAYERED, TrainJob
from speculatoviz.train.score import CategoryScores, HeldOutAnswers
from speculatoviz.train.store import Corpus, CorpusOrigin
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.texts import find
from speculatoviz.train.validation import Validation, answered

_TRAINED_RATE_SHARE = 0.5  # of the learning rate, for a head that is trained already
_SCORED_DIALOGUES = 100  # held-out dialogues of a score: enough to choose among steps
_CONTEXT_TOKENS = 4096  # of a target whose file does not state it
_REPORT_EVERY = 20  # steps between two lines of progress


def train(job: TrainJob, tokenizer: Tokenizer, report: Progress) -> TrainingResult:
    """Read the texts and write the dialogues that are missing, train, and write the best head to job.out with a card.

    The score of the result is that of the head as a drafter reads it. After an interruption another call resumes.
    Raises TrainError if dialogues, head or card cannot be written or read, or the target cannot be trained for,
    HeadError if job.begin_with does not fit the target, ModelError for a device that is not there.
    """
    texts = find(job.texts)
    file, rows = read(job.source), GgufRows(job.source, tokenizer.n_vocab)
    begun = kinds.begun(job, tokenizer, rows, file)
    layers = kinds.layers(job, file, begun)
    device = torch_device(job.device)
    corpus = Corpus(job.data, CorpusOrigin(job.target, tokenizer.fingerprint, rows.hidden_size, layers))
    asked = answered(job, corpus, tokenizer, _context_tokens(file), report)
    fill(job, corpus, texts, tokenizer, report)
    torch.set_num_threads(job.threads or usable_cores())
    report("reading the dialogues", None)
    data = TrainingData.of(corpus, texts.digests)
    vocabulary = begun.vocabulary if begun else data.vocabulary(job.vocabulary, sorted(tokenizer.eos_ids))
    mask = kinds.mask(job, tokenizer, begun)
    dialogues = [*data.train, *data.held_out, *(asked.dialogues if asked else ())]
    also = [] if mask is None else [mask]
    target = TargetMatrices(rows, vocabulary, dialogues, fast_dtype(device), device, also)
    head = kinds.module(job, target, begun, mask, data.train)
    held_out = HeldOutAnswers.of(data.held_out[:_SCORED_DIALOGUES], target)
    validation = Validation.of(asked, target) if asked else None
    rate = kinds.RATES[job.kind] * (_TRAINED_RATE_SHARE if begun else 1.0)
    schedule = Schedule(job.steps, rate=rate, seed=job.seed)
    if job.kind in LAYERED:
        schedule = replace(schedule, depth=job.unroll)
    checkpoint = job.out.with_name(job.out.name + ".checkpoint")
    reports = _step_reports(job, report)
    result = fit(head, data, held_out, schedule, checkpoint, reports, validation)
    report("writing the head", None)
    trained = export.Trained(head, target, result, schedule, corpus, file, tokenizer, texts)
    score = export.write(job, trained, held_out, validation)
    checkpoint.unlink(missing_ok=True)
    return replace(result, score=score)


def _context_tokens(file: GgufFile) -> int:
    return file.integer(f"{file.architecture}.context_length") or _CONTEXT_TOKENS


def _step_reports(job: TrainJob, report: Progress) -> Callable[[StepReport], None]:
    steps, name = job.steps, job.validate.name if job.validate else ""

    def told(step: StepReport) -> None:
        if step.warning is not None:
            report(step.warning, step.step / steps)
        elif step.score is not None or step.step % _REPORT_EVERY == 0:
            line = f"step {step.step} of {steps}: loss {step.loss:.3f}, best held-out acceptance length {step.best:.2f}"
            if step.validation is not None:
                line += f"; on {name} {_in_words(step.validation)}"
            report(line, step.step / steps)

    return told


def _in_words(scores: CategoryScores) -> str:
    """The acceptance length over all answers, then by category."""
    categories = [f"{name} {score.mean_acceptance_length:.2f}" for name, score in scores.by_category.items()]
    return f"{scores.overall.mean_acceptance_length:.2f} ({', '.join(categories)})"
