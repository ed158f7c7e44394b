"""The runs of a sweep as answers in Spec-Bench's format, which its evaluation scripts read: a file for each choice.

Xia et al. 2024, "Unlocking Efficiency in Large Language Model Inference". One line a question, with one choice:
`turns` (the texts), and for each turn `decoding_steps` (rounds), `new_tokens` and `wall_time` (seconds, prompt
included); `accept_lengths` has the emitted tokens of every round.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean

from speculatoviz.errors import BadRequestError, TraceError
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import About, Folder, SweepRun, require_runs
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done

FOLDER = "spec-bench"
_LONGEST_NAME = 120  # characters; file systems take 255 bytes


def write_answers(folder: Folder, source: Source) -> list[Path]:
    """Write the answers of every choice and temperature, plain decoding included, below `spec-bench/`; returns them.

    source: the prompts of the sweep. A prompt without a `question_id` has its place in the file, from 1. Of several
    plain runs of a prompt, the mean time counts. Raises BadRequestError if the folder holds no runs, if it kept no
    traces, or if the prompts are others.
    """
    runs, about = require_runs(folder), folder.abouts[-1]
    if about.prompts_sha256 != source.sha256:
        raise BadRequestError(
            f"{folder.path} was measured on other prompts than {source.name}.", "Give the file that was measured."
        )
    groups: dict[tuple[Cell, float], list[SweepRun]] = {}
    for run in runs:
        groups.setdefault((run.cell, run.temperature), []).append(run)
    names, written = set[str](), list[Path]()
    try:
        (folder.path / FOLDER).mkdir(exist_ok=True)
        for (cell, temperature), group in groups.items():
            model = f"{about.target.name}, {cell.label}, temperature {temperature:g}"
            file = folder.path / FOLDER / _file_name(model, names)
            lines = [json.dumps(answer, ensure_ascii=False) for answer in _answers(folder, about, source, model, group)]
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise TraceError(
            f"{folder.path / FOLDER} cannot be written ({error.strerror or error}).", "Make room."
        ) from error
    return written


def _file_name(model: str, taken: set[str]) -> str:
    """A name of its own that every file system takes."""
    short = re.sub(r"[^A-Za-z0-9.=_]+", "-", model).strip("-")
    name = short
    if len(short) > _LONGEST_NAME or short in taken:
        name = f"{short[:_LONGEST_NAME]}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
    taken.add(name)
    return f"{name}.jsonl"


def _answers(
    folder: Folder, about: About, source: Source, model: str, runs: Sequence[SweepRun]
) -> Iterator[dict[str, object]]:
    """One object for each prompt that has a run, in the order of the prompts."""
    by_prompt: dict[tuple[str, int], list[SweepRun]] = {}
    for run in runs:
        by_prompt.setdefault((run.category, run.prompt), []).append(run)
    for place, prompt in enumerate(source.prompts, 1):
        own = by_prompt.get((prompt.category, prompt.number))
        if own:
            yield _answer(prompt, place, model, about, _text(folder, own[-1]), own)


def _answer(
    prompt: Prompt, place: int, model: str, about: About, text: str, runs: Sequence[SweepRun]
) -> dict[str, object]:
    question, last = place if prompt.question_id is None else prompt.question_id, runs[-1]
    return {
        "question_id": question,
        "category": prompt.category,
        "answer_id": hashlib.sha256(f"{model}\n{question}\n{about.created}".encode()).hexdigest()[:22],
        "model_id": model,
        "choices": [
            {
                "index": 0,
                "turns": [text],
                "decoding_steps": [len(last.emitted)],
                "new_tokens": [last.tokens],
                "wall_time": [fmean(map(wall_time_s, runs))],
                "accept_lengths": list(last.emitted),
            }
        ],
        "tstamp": datetime.fromisoformat(about.created).timestamp(),
    }


def wall_time_s(run: SweepRun) -> float:
    """From the start of the run to its last token: the time to the first token contains the first round."""
    return ((run.ttft_ms or 0.0) + sum(run.round_ms[1:])) / 1000.0


def _text(folder: Folder, run: SweepRun) -> str:
    if not run.trace:
        raise BadRequestError(
            f"{folder.path} was measured without traces, which hold the texts.", "Measure it again without --no-traces."
        )
    done = next(event for event in trace.read(folder.path / run.trace).events if isinstance(event, Done))
    return done.generated_text
