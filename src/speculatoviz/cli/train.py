"""The commands that train draft heads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from speculatoviz.cli.flags import MODEL, settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import progress
from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import TrainError, reason_of
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.download import by_share
from speculatoviz.models.files.names import parse
from speculatoviz.models.gguf_trial import require_loadable
from speculatoviz.models.libraries import gguf_runtimes, require_installed
from speculatoviz.models.load import Loading, gguf_file
from speculatoviz.train.job import LAYERED, Question, Questions, TrainJob, TrainKind, WriteWith
from speculatoviz.train.texts import find

if TYPE_CHECKING:
    from speculatoviz.train.score import Score

TokensFlag = Annotated[
    int, typer.Option("--tokens", min=1000, help="size of the training text in tokens; what is missing is generated")
]
OutFlag = Annotated[Path, typer.Option("--out", help="file to write the head to, .safetensors", show_default=False)]
FolderFlag = Annotated[Path, typer.Option("--out", help="folder to write the head to", show_default=False)]
StepsFlag = Annotated[int, typer.Option("--steps", min=1, help="training steps, of 2048 tokens each")]
DataFlag = Annotated[
    Path | None,
    typer.Option(
        "--data", help="folder of the dialogues; default: one per target in the cache folder", show_default=False
    ),
]
VocabularyFlag = Annotated[int, typer.Option("--vocabulary", min=16, help="size of the head's output vocabulary")]
SlotsFlag = Annotated[
    int, typer.Option("--slots", min=1, max=1024, help="number of dialogues that are generated at the same time")
]
WriteWithFlag = Annotated[
    str,
    typer.Option("--write-with", help="what generates the dialogues: pytorch, or llamacpp (slower, the target itself)"),
]
BeginWithFlag = Annotated[
    Path | None, typer.Option("--begin-with", help="trained head to continue training from", show_default=False)
]
UnrollFlag = Annotated[
    int, typer.Option("--unroll", min=1, max=16, help="length of a draft in tokens that the head is trained for")
]
LayersFlag = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="the three inner layers whose inputs the head reads, as in 2,15,29; default: a low one, the middle one "
        "and the third from the end",
        show_default=False,
    ),
]
TextFlag = Annotated[
    list[Path],
    typer.Option(
        "--text",
        help="folder of texts or code that the target reads for the training, again for each further one; faster than "
        "generating",
        show_default=False,
    ),
]
TextShareFlag = Annotated[
    float, typer.Option("--text-share", min=0.01, max=0.9, help="share of --tokens that comes from --text, at most")
]
ValidateFlag = Annotated[
    Path | None,
    typer.Option(
        "--validate",
        help="JSON Lines of prompts, as Spec-Bench has them: each score also reports the acceptance on the target's "
        "greedy answers, by category",
        show_default=False,
    ),
]
ValidateTokensFlag = Annotated[
    int, typer.Option("--validate-tokens", min=8, max=1024, help="most tokens of an answer to a prompt of --validate")
]

_OPTIONS = ("seed", "threads", "device")
_RESUMED = "An interrupted training continues if it is started again."
_SEEDS = 2**32  # PyTorch's generators are seeded with a product of the seed


def register(app: typer.Typer) -> None:
    """Add the commands to the program, as `train eagle` and so on."""
    train = program("Train draft heads on the target's own text.")
    add(train, _command("eagle", "Train an EAGLE head: it continues from the target's hidden states."), "eagle")
    add(train, _command("medusa", "Train Medusa heads: each predicts one of the next tokens."), "medusa")
    add(train, _layered("eagle3", "Train an EAGLE-3 head: it reads three inner layers of the target."), "eagle3")
    summary = "Train a P-EAGLE head: it reads three inner layers of the target, and drafts all tokens in one pass."
    add(train, _layered("p-eagle", summary), "p-eagle")
    app.add_typer(train, name="train")


def _command(kind: TrainKind, summary: str) -> Callable[..., None]:
    def train(
        settings: Settings,
        out: OutFlag,
        tokens: TokensFlag = 1_500_000,
        steps: StepsFlag = 3000,
        data: DataFlag = None,
        vocabulary: VocabularyFlag = 8192,
        slots: SlotsFlag = 96,
        write_with: WriteWithFlag = "pytorch",
        begin_with: BeginWithFlag = None,
        text: TextFlag = [],  # noqa: B006  # read only
        text_share: TextShareFlag = 0.5,
        validate: ValidateFlag = None,
        validate_tokens: ValidateTokensFlag = 96,
    ) -> None:
        how = {"tokens": tokens, "steps": steps, "vocabulary": vocabulary, "slots": slots, "begin_with": begin_with}
        given = _given(text, text_share, validate, validate_tokens)
        _train(settings, kind, out, data, write_with, {**how, **given})

    train.__doc__ = f"{summary}\n\n{_RESUMED}"
    return settings_flags(MODEL, *_OPTIONS)(train)


def _layered(kind: TrainKind, summary: str) -> Callable[..., None]:
    def train(
        settings: Settings,
        out: FolderFlag,
        tokens: TokensFlag = 1_500_000,
        steps: StepsFlag = 3000,
        data: DataFlag = None,
        vocabulary: VocabularyFlag = 8192,
        unroll: UnrollFlag = 5,
        layers: LayersFlag = None,
        slots: SlotsFlag = 96,
        write_with: WriteWithFlag = "pytorch",
        begin_with: BeginWithFlag = None,
        text: TextFlag = [],  # noqa: B006  # read only
        text_share: TextShareFlag = 0.5,
        validate: ValidateFlag = None,
        validate_tokens: ValidateTokensFlag = 96,
    ) -> None:
        how = {"tokens": tokens, "steps": steps, "vocabulary": vocabulary, "slots": slots, "begin_with": begin_with}
        given = _given(text, text_share, validate, validate_tokens)
        _train(settings, kind, out, data, write_with, {**how, **given, "unroll": unroll, "layers": _numbers(layers)})

    train.__doc__ = f"{summary}\n\nIt is written as heads are published. {_RESUMED}"
    return settings_flags(MODEL, *_OPTIONS)(train)


def _given(text: list[Path], text_share: float, validate: Path | None, validate_tokens: int) -> dict[str, Any]:
    """The fields of TrainJob of what the user gives to read. Raises TrainError or BadRequestError if it is none."""
    find(text)  # refused before anything is fetched
    asked = None if validate is None else _questions(validate, validate_tokens)
    return {"texts": tuple(text), "text_share": text_share, "validate": asked}


def _numbers(layers: str | None) -> tuple[int, ...] | None:
    if layers is None:
        return None
    try:
        return tuple(int(number) for number in layers.split(","))
    except ValueError:
        raise TrainError(f"--layers {layers} is no list of numbers.", "Name three layers, as in 2,15,29.") from None


def _questions(file: Path, tokens: int) -> Questions:
    from speculatoviz.lab.questions import read_prompts

    questions = [
        Question(prompt.category, prompt.messages or (("user", prompt.text),))
        for prompt in read_prompts(file, None, conversations=True)
    ]
    return Questions(file.name, tuple(questions), tokens)


def _train(
    settings: Settings, kind: TrainKind, out: Path, data: Path | None, write_with: str, how: dict[str, Any]
) -> None:
    """Train, and print the held-out score. how: further fields of TrainJob."""
    with progress() as report:
        _check(settings, kind, out, write_with)
        source, label = _target_file(settings, report)
        folder = re.sub(r"[^\w.-]+", "-", label) + ("-layers" if kind in LAYERED else "")
        if how.get("layers"):
            folder += "-" + "-".join(map(str, how["layers"]))
        job = TrainJob(
            kind,
            label,
            source,
            out=out,
            data=data or Path(settings.cache_dir) / "train" / folder,
            seed=settings.seed,
            threads=settings.threads,
            device=settings.device,
            write_with=cast("WriteWith", write_with),
            **how,
        )
        score = _trained(job, report)
    console = TextConsole(soft_wrap=True)
    console.print(f"{out}: held-out acceptance length {score.mean_acceptance_length:.2f}")
    console.print(f"by position: {', '.join(f'{100 * share:.0f} %' for share in score.conditional)}")


def _check(settings: Settings, kind: TrainKind, out: Path, write_with: str) -> None:
    if kind in LAYERED:
        if out.suffix in {".safetensors", ".gguf"}:
            raise TrainError(f"{out} names a file.", "Such a head is a folder: name one with --out.")
        from speculatoviz.heads.eagle3_folder import require_own  # which imports the package gguf

        require_own(out)
    elif out.suffix != ".safetensors":
        raise TrainError(f"{out} does not end in .safetensors.", "Heads are safetensors files: name one with --out.")
    if not out.absolute().parent.is_dir():
        raise TrainError(f"There is no folder {out.absolute().parent}.", "Make it, or name another file with --out.")
    if write_with not in get_args(WriteWith):
        raise TrainError(f"--write-with {write_with} is not known.", f"Choose {' or '.join(get_args(WriteWith))}.")
    if not 0 <= settings.seed < _SEEDS:
        raise TrainError(f"A training cannot use the seed {settings.seed}.", "Choose one from 0 to 2^32 - 1.")


def _target_file(settings: Settings, report: Progress) -> tuple[Path, str]:
    """The target's GGUF file, fetched and requantised if needed, and its name."""
    chosen = settings.resolved()
    name = parse(chosen.target)
    if name.runtime == "ik":
        raise TrainError(
            "Heads are trained with llama.cpp, and the target is named for ik_llama.cpp.",
            f"Train for {name.place}, which llama.cpp runs: the file is the same.",
        )
    if name.runtime not in {"llamacpp", None}:
        raise TrainError(
            f"{chosen.target} is not a GGUF file: heads use its embedding and output rows.",
            "Choose a target that llama.cpp runs.",
        )
    how = Loading(settings.context_tokens, Path(settings.cache_dir), settings.threads)
    source = gguf_file(name, how, chosen.target_quantisation, by_share(report))
    verified = name.place in CATALOGUE and chosen.target_quantisation is None
    require_loadable(source, how.cache_dir, gguf_runtimes()[0], verified=verified)
    return source, name.place if name.place in CATALOGUE else source.stem


def _trained(job: TrainJob, report: Progress) -> Score:
    """Train; returns the score on held-out dialogues."""
    from speculatoviz.models.gguf_runtimes import open_vocabulary

    if job.write_with == "llamacpp":
        require_installed("llamacpp")
    tokenizer = open_vocabulary(gguf_runtimes()[0], job.source)
    try:
        from speculatoviz.train.run import train
    except ImportError as error:
        message = f"Training needs PyTorch ({reason_of(error)})."
        raise TrainError(message, "Run `pip install 'speculatoviz[train]'`.") from error
    return train(job, tokenizer, report).score
