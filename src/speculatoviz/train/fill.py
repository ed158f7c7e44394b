"""Fills a corpus with what a training asks for: texts that the target reads, and dialogues that it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from speculatoviz.core.progress import Progress
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel, Tokenizer
from speculatoviz.train.generate import RECIPE, SHARD_TOKENS, write_dialogues
from speculatoviz.train.job import TrainJob
from speculatoviz.train.reading import TextShards, read_texts
from speculatoviz.train.store import Corpus, alone
from speculatoviz.train.texts import Piece, Span, Texts, pieces

_READ_AT_ONCE = 4  # pieces of a pass on PyTorch: with more a token takes as long
_LOCK = ".text.lock"


def fill(job: TrainJob, corpus: Corpus, texts: Texts, tokenizer: Tokenizer, report: Progress) -> None:
    """Read and write what is missing of job.tokens. Raises TrainError if the folder of the corpus cannot be used.

    The texts have job.text_share of them, or all their tokens if they are fewer; dialogues have the rest.
    """
    wanted = round(job.tokens * job.text_share) if texts.files else 0
    spans = TextShards(corpus).spans(texts.digests)
    if _tokens(spans) < wanted:
        read(job, corpus, texts, wanted, tokenizer, report)
        spans = TextShards(corpus).spans(texts.digests)
    _write(job, corpus, job.tokens - min(wanted, _tokens(spans)), report)


def read(job: TrainJob, corpus: Corpus, texts: Texts, wanted: int, tokenizer: Tokenizer, report: Progress) -> None:
    """Read texts until `wanted` tokens of them are in the corpus, or all are. Raises TrainError like `fill`."""
    shards = TextShards(corpus)
    with alone(corpus.folder / _LOCK, lambda: report("waiting: another process reads texts", None)):
        spans = shards.spans(texts.digests)
        held = _tokens(spans)
        todo = pieces(tokenizer, texts, spans, RECIPE.dialogue_tokens)
        first = next(todo, None)
        if held >= wanted or first is None:
            return
        report(_files(texts), None)
        at_once, most = _READ_AT_ONCE, _READ_AT_ONCE * RECIPE.dialogue_tokens
        if job.write_with == "llamacpp":
            at_once, most = 1, PREFILL_TOKENS
        model = writing_model(job, at_once, RECIPE.dialogue_tokens, bool(corpus.layers))

        def done(tokens: int) -> None:
            report("reading texts", min(1.0, (held + tokens) / wanted))

        try:
            left: Iterator[Piece] = chain([first], todo)
            read_texts(
                model,
                corpus,
                left,
                wanted - held,
                at_once=at_once,
                pass_tokens=most,
                shard_tokens=SHARD_TOKENS,
                report=done,
            )
        finally:
            model.close()


def _write(job: TrainJob, corpus: Corpus, tokens: int, report: Progress) -> None:
    """Write dialogues until the corpus holds `tokens` tokens of them."""
    if corpus.counts().tokens >= tokens:
        return
    report("loading the target", None)
    pass_tokens = 2 * job.slots + 64 if job.write_with == "pytorch" else 64
    slots = job.slots if job.write_with == "pytorch" else min(job.slots, 16)
    model = writing_model(job, slots, RECIPE.dialogue_tokens, bool(corpus.layers))

    def written(held: int) -> None:
        report("writing dialogues", min(1.0, held / tokens))

    try:
        write_dialogues(
            model,
            corpus,
            tokens,
            seed=job.seed,
            slots=slots,
            recipe=RECIPE,
            pass_tokens=pass_tokens,
            report=written,
        )
    finally:
        model.close()


def writing_model(job: TrainJob, slots: int, size: int, layers: bool) -> LanguageModel:
    """The target with `slots` contexts of `size` tokens. layers: whether the inputs of inner layers are recorded."""
    if job.write_with == "llamacpp":
        from speculatoviz.models.runtimes.llamacpp import LlamaCppModel

        return LlamaCppModel(job.source, slots * size, job.threads, job.target, layers=layers)
    from speculatoviz.train.batched import BatchedModel

    return BatchedModel(job.source, slots, size, job.threads, device=job.device)


def _tokens(spans: Mapping[str, Sequence[Span]]) -> int:
    return sum(span.tokens for own in spans.values() for span in own)


def _files(texts: Texts) -> str:
    found = f"{len(texts.files)} files of text"
    return f"{found}; {texts.left_out} more are no UTF-8 or larger than 1 MiB" if texts.left_out else found
