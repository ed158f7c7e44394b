"""A loaded target with its drafters, for programs and notebooks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict, Unpack

from pydantic import ValidationError

from speculatoviz.config import PolicyName, Settings, in_words, load_settings
from speculatoviz.core.progress import Progress, unreported
from speculatoviz.core.types import Exactness, Rule
from speculatoviz.errors import BadRequestError
from speculatoviz.lab import certificate
from speculatoviz.lab.certificate import Certificate
from speculatoviz.lab.questions import Source, given_texts, read_source
from speculatoviz.lab.run import Round, Run, rounds_of
from speculatoviz.lab.sweep import table
from speculatoviz.lab.sweep.cells import DEPTHS, POLICIES, Candidate, Grid
from speculatoviz.lab.sweep.measuring import Plan, Watch, measure
from speculatoviz.lab.sweep.records import TABLE, Folder
from speculatoviz.lab.swept import Sweep
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.messages import Start

Messages = Sequence[Mapping[str, str]]  # {"role": …, "content": …}, the last one of the user


class Options(TypedDict, total=False):
    """What a run may be given beside its prompt; what is left out has the value of the pair's settings.

    k: draft depth. nodes: of a draft tree. stop: strings that end the text. raw: no chat template. shadow: drafters
    that are scored on the same rounds. evidence: whether to compute entropies and alternatives; that takes time.
    record_depth: of drafts that are recorded after the run, for `speculatoviz whatif`.
    """

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    k: int
    nodes: int
    drafter: str
    policy: PolicyName
    rule: Rule
    stop: list[str]
    ignore_eos: bool
    raw: bool
    shadow: list[str]
    evidence: bool
    record_depth: int


def load(
    *,
    target: str | None = None,
    draft: str | None = None,
    drafter: str | None = None,
    profile: str | None = None,
    progress: Progress = unreported,
    **settings: Any,
) -> Pair:
    """Load a target with its drafters, and measure them.

    target, draft: models by name, as for `--target` and `--draft`. drafter: of runs that name none. profile: `qwen` or
    `smol`, which name both. settings: any other setting by name (docs/cli.md), such as max_tokens or runtime. What is
    left out comes from the environment, from `.env`, or has its default, as for the command line. progress: called with
    a stage, and the share of it that is done.

    Raises BadRequestError for a setting that there is not, and ModelError, TargetError, HeadError or
    VocabularyMismatchError if the models cannot be loaded or do not fit together.
    """
    named = {"target": target, "draft": draft, "drafter": drafter, "profile": profile}
    chosen = {name: value for name, value in named.items() if value is not None} | settings
    if unknown := sorted(chosen.keys() - Settings.model_fields.keys()):
        raise BadRequestError(f"There is no setting named {unknown[0]!r}.", "docs/cli.md lists the settings.")
    return Pair(Session.load(load_settings(**chosen), time.perf_counter, progress))


class Pair:
    """A target with its drafters, ready to run. One run at a time, in one thread. Close it, or use it with `with`.

    session: the models and what was measured of them.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def drafters(self) -> list[str]:
        """The names of the drafters that there are."""
        return list(self.session.drafters)

    @property
    def exactness(self) -> Exactness:
        """What is claimed of the output of a run with the pair's own sampling, and why."""
        return self.session.exactness

    def generate(self, prompt: str | Messages, **options: Unpack[Options]) -> Run:
        """Decode a prompt, one user turn or a conversation, to its end.

        Raises BadRequestError for what is not allowed, and what the target raises.
        """
        return Run(list(self._events(prompt, dict(options))))

    def rounds(self, prompt: str | Messages, **options: Unpack[Options]) -> Iterator[Round]:
        """Decode a prompt, and yield every round as soon as it is there. Closing the iterator ends the run.

        Errors as for `generate`.
        """
        return rounds_of(self._events(prompt, dict(options)))

    def plain(self, prompt: str | Messages, **options: Unpack[Options]) -> Run:
        """Decode a prompt with the target alone, at depth 0. Errors as for `generate`."""
        return Run(list(self._events(prompt, dict(options) | {"k": 0, "nodes": 0, "policy": "fixed"})))

    def sweep(
        self,
        prompts: Sequence[str] | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        drafters: Sequence[str] = (),
        k: Sequence[int] = DEPTHS,
        policies: Sequence[PolicyName] = POLICIES,
        temperatures: Sequence[float] = (0.0,),
        nodes: Sequence[int] = (0,),
        entropy: bool = True,
        traces: bool = True,
        progress: Progress = unreported,
    ) -> Sweep:
        """Measure every choice on every prompt against plain runs, as `speculatoviz bench sweep` does.

        prompts: texts, or a JSON Lines file. out: a folder; runs that it holds are not repeated. drafters: empty for
        the pair's own and `suffix`. k: depths of the policy `fixed`. nodes: of trees, 0 for chains. entropy: whether to
        read the target's entropies. traces: whether to keep the events of every run. The length of the texts and the
        other settings are those of the pair.

        Raises BadRequestError for a drafter that there is not, for a remote target, and if the folder holds runs that
        cannot be compared with these.
        """
        names = drafters or list(dict.fromkeys((self.session.drafter, "suffix")))
        candidates = tuple(map(Candidate.parse, names))
        if any(candidate.weights for candidate in candidates):
            raise BadRequestError(
                "A loaded pair has its weights already.", "Load one pair for each, or use `speculatoviz bench sweep`."
            )
        own = self.session.settings.drafter or ""  # of a pair that was loaded with one, `auto` has no other
        grid = Grid(candidates, tuple(k), tuple(policies), tuple(temperatures), tuple(nodes), own)
        plan = Plan(grid, _source(prompts), entropy=entropy, traces=traces)
        folder, watch = Folder(Path(out)), Watch(self.session.clock, progress, lambda line: progress(line, None))
        todo = folder.missing(plan.keys())
        if todo:
            watch.begin(len(plan.keys()), len(todo))
            measure(self.session, plan, grid.cells, folder, watch)
        found = Sweep(folder)
        if find_spec("pyarrow") is not None:
            table.write(folder.runs, folder.path / TABLE)
        return found

    def certify(
        self,
        prompts: Sequence[str] | os.PathLike[str],
        *,
        k: int | None = 4,
        max_tokens: int = 64,
        samples: int = 400,
        positions: int = 4,
        temperature: float = 1.0,
        seed: int = 0,
        progress: Progress = unreported,
    ) -> Certificate:
        """Test whether speculative and plain decoding agree, as `speculatoviz certify` does.

        prompts: texts, or a JSON Lines file. k: depth of the drafts; None for the pair's own policy. max_tokens: of a
        greedy text. samples: sampled runs of each kind, of the first prompt, which are compared over `positions`
        tokens. temperature: of these, above 0.

        Raises BadRequestError for a temperature of 0 and for what is not allowed, and what the target raises.
        """
        if temperature <= 0.0:
            raise BadRequestError("Sampled runs need a temperature above 0.", "Greedy texts are tested anyway.")
        asked = [prompt.text for prompt in _source(prompts).prompts]
        plan = certificate.Plan(k, max_tokens, samples, positions, temperature, seed)
        return certificate.certify(self.session, asked, plan, progress)

    def close(self) -> None:
        """Free the models."""
        self.session.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pair: {self.session.target.description.name}, drafters {', '.join(self.drafters)}>"

    def _events(self, prompt: str | Messages, options: dict[str, Any]) -> Iterator[Event]:
        asked = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        try:
            start = Start.model_validate({**options, **asked})
        except ValidationError as error:
            raise in_words(error) from error
        return self.session.run("python", self.session.prepare(start), lambda: False)


def _source(given: Sequence[str] | os.PathLike[str]) -> Source:
    if isinstance(given, str):
        raise BadRequestError("The prompts are one text.", "Give a list of texts, or a Path to a JSON Lines file.")
    return read_source(Path(given), None) if isinstance(given, os.PathLike) else given_texts(given)
