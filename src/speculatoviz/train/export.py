"""Writes a trained head with its card: a file of heads (eagle, medusa), or a folder as heads are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from speculatoviz.core.types import Floats
from speculatoviz.heads import eagle3_folder
from speculatoviz.heads.eagle3_folder import Eagle3Head
from speculatoviz.heads.eagle3_published import bits, export, rounded
from speculatoviz.heads.file import HeadFile, HeadKind, save
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.files.gguf import GgufFile
from speculatoviz.train.card import markdown
from speculatoviz.train.eagle3 import Eagle3Module
from speculatoviz.train.fit import Schedule, TrainableHead, TrainingResult
from speculatoviz.train.job import LAYERED, TrainJob
from speculatoviz.train.kinds import copy_weights, file_tensors
from speculatoviz.train.p_eagle import PEagleModule
from speculatoviz.train.reading import TextShards
from speculatoviz.train.score import CategoryScores, HeldOutAnswers, Score
from speculatoviz.train.store import Corpus, write_errors
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.texts import Texts
from speculatoviz.train.validation import Validation

GGUF = "llama.cpp.gguf"  # in the folder of a head: the same head for llama.cpp's programs
_HINT = "Free disk space, or write to another place with --out; the checkpoint keeps the training."


@dataclass(frozen=True, slots=True)
class Trained:
    """A head at the end of its training. file: the target's. texts: the files that were read."""

    head: TrainableHead
    target: TargetMatrices
    result: TrainingResult
    schedule: Schedule
    corpus: Corpus
    file: GgufFile
    tokenizer: Tokenizer
    texts: Texts = field(default_factory=Texts)


def write(job: TrainJob, trained: Trained, held_out: HeldOutAnswers, validation: Validation | None = None) -> Score:
    """Write the best weights and the card to job.out. Returns the held-out score of the head as a drafter reads it.

    The module has the weights of the file afterwards. Raises TrainError if the head cannot be written.
    """
    tensors = {
        name: tensor.astype(np.float16).astype(np.float32)
        for name, tensor in file_tensors(trained.head, trained.result.weights).items()
    }
    score, depth = trained.result.score, trained.schedule.depth
    if isinstance(trained.head, Eagle3Module):
        copy_weights(trained.head, _as_read(tensors, trained.target.hidden_size), job.kind)
        score = held_out.score(trained.head, depth)
    else:
        copy_weights(trained.head, tensors, job.kind)
    scores = validation.score(trained.head, depth) if validation else None
    card = _card(job, trained, score) | {"validation": _validated(trained, validation, scores)}
    with write_errors(job.out, _HINT):
        if isinstance(trained.head, Eagle3Module):
            _write_folder(job, trained, trained.head, tensors, card)
        else:
            _write_file(job, trained, tensors, card)
    return score


def _as_read(tensors: Mapping[str, Floats], width: int) -> dict[str, Floats]:
    """The weights of an EAGLE-3 head rounded as the drafter's file has them."""
    names = eagle3_folder.NAMES
    read = rounded({names[name]: tensor for name, tensor in tensors.items()}, width)
    return {name: read[names[name]] for name in tensors}


def _write_folder(
    job: TrainJob, trained: Trained, module: Eagle3Module, tensors: Mapping[str, Floats], card: Mapping[str, Any]
) -> None:
    file, tokenizer = trained.file, trained.tokenizer
    head = Eagle3Head(
        target=job.target,
        fingerprint=tokenizer.fingerprint,
        n_vocab=tokenizer.n_vocab,
        layers=trained.corpus.layers,
        shape=module.shape,
        vocabulary=trained.target.vocabulary,
        tensors=tensors,
        context_tokens=file.integer(f"{file.architecture}.context_length") or 4096,
        card=card,
        masked=module.masked if isinstance(module, PEagleModule) else None,
    )
    blocks = file.integer(f"{file.architecture}.block_count") or 0
    target = HeadTarget(job.target, blocks, trained.target.hidden_size, tokenizer.n_vocab)
    text = markdown(job.kind, job.target, len(head.vocabulary), card, job.tokens)
    # llama.cpp's graph has no places with a mask.
    gguf = (lambda folder: export(folder, target, folder / GGUF)) if head.masked is None else (lambda _: None)
    eagle3_folder.save(head, job.out, text, gguf)


def _write_file(job: TrainJob, trained: Trained, tensors: Mapping[str, Floats], card: Mapping[str, Any]) -> None:
    target, vocabulary = trained.target, trained.target.vocabulary
    head = HeadFile(
        cast("HeadKind", job.kind),
        job.target,
        trained.tokenizer.fingerprint,
        target.hidden_size,
        vocabulary,
        tensors,
        trained.head.numbers,
        card,
    )
    save(head, job.out)
    text = markdown(job.kind, job.target, len(vocabulary), card, job.tokens)
    job.out.with_suffix(".md").write_text(text, encoding="utf-8")


def _card(job: TrainJob, trained: Trained, score: Score) -> dict[str, Any]:
    """The values of the card. score: of the head as it is read."""
    counts, result, schedule = trained.corpus.counts(), trained.result, trained.schedule
    return {
        "tokens": counts.tokens,
        "answer_tokens": counts.answer_tokens,
        "dialogues": counts.dialogues,
        "recipes": trained.corpus.recipes(),
        "texts": _texts(trained),
        "text_share": job.text_share,
        "layers": list(trained.corpus.layers) if job.kind in LAYERED else None,
        "steps": result.step,
        "of_steps": schedule.steps,
        "batch_tokens": schedule.batch_tokens,
        "optimisers": result.optimisers,
        "loss": trained.head.loss_words,
        "rate": schedule.rate,
        "seed": job.seed,
        "parameters": int(sum(np.prod(weight.shape) for weight in result.weights.values())),
        "held_out_answers": score.answers,
        "held_out_acceptance_length": round(score.mean_acceptance_length, 3),
        "held_out_conditional": [round(share, 3) for share in score.conditional],
        "bits": bits(trained.target.hidden_size),
        "acceptance_length_in_training": round(result.score.mean_acceptance_length, 3),
        "history": [[step, round(length, 3)] for step, length in result.history],
        "depth": schedule.depth,
        "trained_depth": trained.head.trained_depth,
        "begun_with": job.begin_with.name if job.begin_with else None,
        "licence": trained.file.text("general.license"),
        "torch": torch.__version__,
    }


def _texts(trained: Trained) -> list[dict[str, Any]]:
    """Of each folder of texts: its name, and the files and tokens of it that were read."""
    spans, folders = TextShards(trained.corpus).spans(trained.texts.digests), dict[str, dict[str, Any]]()
    for file in trained.texts.files:
        own = folders.setdefault(file.folder, {"folder": file.folder, "files": 0, "tokens": 0})
        if file.digest in spans:
            own["files"] += 1
            own["tokens"] += sum(span.tokens for span in spans[file.digest])
    return list(folders.values())


def _validated(trained: Trained, validation: Validation | None, scores: CategoryScores | None) -> dict[str, Any] | None:
    """What the card states of the prompts that the user named. scores: of the head as it is read."""
    if validation is None or scores is None:
        return None
    answered = validation.answered
    return {
        "file": answered.asked.name,
        "answer_tokens": answered.asked.tokens,
        "left_out": answered.left_out,
        "categories": [[name, own.answers, _length(own)] for name, own in scores.by_category.items()],
        "all": [scores.overall.answers, _length(scores.overall)],
        "history": [
            [step, _length(own.overall), {name: _length(score) for name, score in own.by_category.items()}]
            for step, own in trained.result.validation
        ],
    }


def _length(score: Score) -> float:
    return round(score.mean_acceptance_length, 3)
