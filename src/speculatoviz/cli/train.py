"""The commands that train draft heads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from speculatoviz.cli.flags import ProfileFlag, SeedFlag, TargetFlag, ThreadsFlag, errors, settings_of
from speculatoviz.cli.terminal import progress
from speculatoviz.config import Settings
from speculatoviz.errors import TrainError
from speculatoviz.heads.file import HeadKind
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.names import parse
from speculatoviz.models.load import Loading, gguf_file
from speculatoviz.train.job import Report, TrainJob, WriteWith

TokensFlag = Annotated[
    int, typer.Option("--tokens", min=1000, help="tokens of dialogues to have; what is missing is written")
]
OutFlag = Annotated[Path, typer.Option("--out", help="the head's file, .safetensors", show_default=False)]
StepsFlag = Annotated[int, typer.Option("--steps", min=1, help="steps of training, of 2048 tokens each")]
DataFlag = Annotated[
    Path | None,
    typer.Option("--data", help="folder of the dialogues; default: in the cache, by target", show_default=False),
]
VocabularyFlag = Annotated[int, typer.Option("--vocabulary", min=16, help="most ids that the head can say")]
SlotsFlag = Annotated[int, typer.Option("--slots", min=1, max=1024, help="dialogues written at once")]
WriteWithFlag = Annotated[
    str,
    typer.Option("--write-with", help="what writes the dialogues: pytorch, or llamacpp (slower, the target itself)"),
]
BeginWithFlag = Annotated[
    Path | None, typer.Option("--begin-with", help="a trained head to go on from", show_default=False)
]


_OWN = ("out", "tokens", "steps", "data", "vocabulary", "slots", "write_with", "begin_with")


def register(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    train_app = typer.Typer(
        no_args_is_help=True, help="Train draft heads on a target's own text, with nothing but the target."
    )
    train_app.command("eagle")(eagle)
    train_app.command("medusa")(medusa)
    app.add_typer(train_app, name="train")


def eagle(
    out: OutFlag,
    target: TargetFlag = None,
    profile: ProfileFlag = None,
    tokens: TokensFlag = 1_500_000,
    steps: StepsFlag = 3000,
    data: DataFlag = None,
    seed: SeedFlag = None,
    threads: ThreadsFlag = None,
    vocabulary: VocabularyFlag = 8192,
    slots: SlotsFlag = 96,
    write_with: WriteWithFlag = "pytorch",
    begin_with: BeginWithFlag = None,
) -> None:
    """Train an EAGLE head: it goes on where the target's hidden states end. Interrupted, it resumes."""
    _train("eagle", dict(locals()))


def medusa(
    out: OutFlag,
    target: TargetFlag = None,
    profile: ProfileFlag = None,
    tokens: TokensFlag = 1_500_000,
    steps: StepsFlag = 3000,
    data: DataFlag = None,
    seed: SeedFlag = None,
    threads: ThreadsFlag = None,
    vocabulary: VocabularyFlag = 8192,
    slots: SlotsFlag = 96,
    write_with: WriteWithFlag = "pytorch",
    begin_with: BeginWithFlag = None,
) -> None:
    """Train Medusa heads: each guesses one of the tokens ahead. Interrupted, it resumes."""
    _train("medusa", dict(locals()))


def _train(kind: HeadKind, flags: dict[str, Any]) -> None:
    own = {name: flags.pop(name) for name in _OWN}
    settings = settings_of(flags)
    with errors(), progress() as report:
        _check(own["out"], own["write_with"])
        order, tokenizer = _order(kind, settings, own, report)
        try:
            from speculatoviz.train.run import train
        except ImportError as error:
            message = f"Training needs PyTorch ({error})."
            raise TrainError(message, "Run `pip install 'speculatoviz[train]'`.") from error
        fitted = train(order, tokenizer, report)
    typer.echo(f"{own['out']}: held-out acceptance length {fitted.score.mean_acceptance_length:.2f}")


def _check(out: Path, write_with: str) -> None:
    if out.suffix != ".safetensors":
        raise TrainError(f"{out} does not end in .safetensors.", "Heads are safetensors files: name one with --out.")
    if not out.absolute().parent.is_dir():
        raise TrainError(f"There is no folder {out.absolute().parent}.", "Make it, or name another file with --out.")
    if write_with not in get_args(WriteWith):
        raise TrainError(f"--write-with {write_with} is not known.", f"Choose {' or '.join(get_args(WriteWith))}.")


def _order(kind: HeadKind, settings: Settings, own: dict[str, Any], report: Report) -> tuple[TrainJob, Tokenizer]:
    """Finds the target's file, fetching it if need be."""
    chosen = settings.resolved()
    name = parse(chosen.target)
    if name.runtime != "llamacpp":
        raise TrainError(
            f"{chosen.target} is not a GGUF file: heads use its embedding and output rows.",
            "Choose a target that llama.cpp runs.",
        )

    def fetching(stage: str, done: int, total: int) -> None:
        report(stage, done / total if total else None)

    how = Loading(settings.context_tokens, Path(settings.cache_dir), settings.threads)
    source = gguf_file(name, how, chosen.target_quantisation, fetching)
    from speculatoviz.models.tokenizers.llamacpp import VocabularyFile

    label = name.place if name.place in CATALOGUE else source.stem
    folder = own.pop("data") or Path(settings.cache_dir) / "train" / re.sub(r"[^\w.-]+", "-", label)
    seed, threads_set = settings.seed, settings.threads
    order = TrainJob(kind, label, source, data=folder, seed=seed, threads=threads_set, **own)
    return order, VocabularyFile(source)
