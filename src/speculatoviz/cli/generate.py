"""The commands that decode one prompt, and that print a recorded run again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from speculatoviz.cli.document import Document
from speculatoviz.cli.flags import (
    DRAFTING,
    EVIDENCE,
    MACHINE,
    MODEL,
    PROMPT_CACHE,
    RECORD,
    REMOTE,
    SAMPLING,
    STORE,
    StoreOption,
    settings_flags,
    settings_of,
)
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice
from speculatoviz.cli.recorded import RECORDED, recorded_content
from speculatoviz.cli.terminal import Transcript, progress
from speculatoviz.config import Settings, in_words
from speculatoviz.drafters.about import WITH_MODEL
from speculatoviz.errors import BadRequestError, OutputError
from speculatoviz.session.session import Session
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.parts import GrammarInfo

if TYPE_CHECKING:  # SQLAlchemy is loaded only where runs are kept
    from speculatoviz.lab.store.recorder import Recorder

ID_BYTES = 6  # of a run's id, in hexadecimal digits


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    add(app, generate)
    add(app, replay)


@settings_flags(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, PROMPT_CACHE, STORE, EVIDENCE, RECORD)
def generate(
    settings: Settings,
    prompt: Annotated[str, typer.Argument(help="what the model should answer", show_default=False)],
    plain: Annotated[bool, typer.Option("--plain", help="decode with the target alone")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="continue the prompt without the chat template")] = False,
    control_tokens: Annotated[
        bool,
        typer.Option("--control-tokens", help="read names of control tokens in a raw prompt as these tokens"),
    ] = False,
    shadow: Annotated[
        list[str] | None,
        typer.Option(
            "--shadow",
            metavar="<str>",
            help="score another drafter on the same rounds, unused and untimed; can be given several times",
        ),
    ] = None,
    json_schema: Annotated[
        Path | None,
        typer.Option("--json-schema", help="file with a JSON schema that the text follows", show_default=False),
    ] = None,
    regex: Annotated[
        str | None, typer.Option("--regex", help="regular expression that the text follows", show_default=False)
    ] = None,
    prediction: Annotated[
        Path | None,
        typer.Option("--prediction", help="file that the text repeats in part; `suffix` drafts it", show_default=False),
    ] = None,
    trace_file: Annotated[
        Path | None, typer.Option("--trace", help="write every event to this file", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of the text")] = False,
) -> None:
    """Decode a prompt speculatively and print the text.

    Each token has the colour of what happened to it: accepted, resampled, bonus or plain. Accepted tokens that a
    grammar forces, or that come from a prediction, have a colour of their own.

    The same seed, settings and files give the same tokens at a fixed depth on the same machine. A seeded sampled
    run need not equal a seeded plain run: only their distributions agree.

    The run is kept, with its prompt: `speculatoviz runs list` shows it, `--store none` switches that off.
    """
    from speculatoviz.lab.store.opening import recording

    shadows = shadow or []
    predicted = None if prediction is None else _read(prediction, "prediction")
    if predicted is not None and settings.drafter is None:
        settings = settings.model_copy(update={"drafter": "suffix"})  # it reads predictions
    start = _start(prompt, raw, control_tokens, plain, shadows, _grammar(json_schema, regex))
    with ExitStack() as stack:
        writer = None if trace_file is None else stack.enter_context(trace.create(trace_file, notice))
        recorder = stack.enter_context(recording(settings))
        session = load_session(settings, shadows)
        stack.callback(session.close)
        run = secrets.token_hex(ID_BYTES)
        prepared = session.prepare(start)
        if predicted is not None:
            prepared = session.predicting(prepared, predicted)
        events = session.run(run, prepared, lambda: False)
        assert isinstance(events, Generator)
        stack.callback(events.close)  # before the models that it holds
        if recorder is not None:
            stack.enter_context(recorder.ending(run))
            events = _recording(events, recorder)
        if as_json:
            document = Document()
            _show(events, document, writer)
            document.print()
        else:
            _show(events, Transcript(TextConsole()), writer)
        if writer is not None and not writer.open:
            raise typer.Exit(1)  # the text was printed, but not all that was asked for is there


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RECORDED, show_default=False)],
    copy: Annotated[
        Path | None,
        typer.Option(
            "--trace", help="also write the run to this file, as a trace of today's version", show_default=False
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Print a recorded run again.

    A trace that was cut off is read up to its last whole line. --trace writes it again without the incomplete line, in
    today's version; fields that this version does not know are kept.
    """
    data, name = recorded_content(run, lambda: settings_of({"store": store}))
    found = trace.parse(data, name)
    if copy is not None:
        trace.rewrite(data, name, copy)
    console = TextConsole()
    console.print(f"recorded {found.header.created} on {found.header.machine}", style="dim")
    _show(iter(found.events), Transcript(console), None)
    if found.warning is not None:
        notice(found.warning)


def _recording(events: Iterator[Event], recorder: Recorder) -> Generator[Event]:
    for event in events:
        recorder.add(event)
        yield event


def _grammar(json_schema: Path | None, regex: str | None) -> GrammarInfo | None:
    if json_schema is not None and regex is not None:
        raise BadRequestError("A text follows a schema or a regular expression.", "Give one of the two.")
    if json_schema is None:
        return None if regex is None else GrammarInfo(kind="regex", text=regex)
    return GrammarInfo(kind="json_schema", text=_read(json_schema, "schema"))


def _read(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise BadRequestError(f"The {what} {file} cannot be read ({reason}).", "Name another file.") from error


def _start(
    prompt: str, raw: bool, control_tokens: bool, plain: bool, shadows: list[str], grammar: GrammarInfo | None
) -> Start:
    try:
        prompt.encode()
        return Start(
            prompt=prompt,
            raw=raw,
            control_tokens=control_tokens,
            k=0 if plain else None,
            shadow=shadows,
            grammar=grammar,
        )
    except UnicodeEncodeError as error:  # bytes that Python could not decode
        raise BadRequestError("The prompt is not text in UTF-8.", "Check the encoding of the terminal.") from error
    except ValidationError as error:
        raise in_words(error) from error


def load_session(settings: Settings, shadows: Sequence[str] = ()) -> Session:
    """Load the models with a progress bar on stderr; a draft model that no drafter of the run uses stays on disk."""
    if not WITH_MODEL & {settings.resolved().drafter, *shadows}:
        settings = settings.model_copy(update={"draft": "none"})
    with progress() as report:
        return Session.load(settings, time.perf_counter, report, shadows)


def _show(events: Iterator[Event], shown: Document | Transcript, writer: trace.TraceWriter | None) -> None:
    """Show a run and trace it. A trace is finished even if standard output fails: the error is raised at the end."""
    lost: OutputError | None = None
    for event in events:
        if writer is not None:
            writer.write(event)
        try:
            shown.show(event)
        except OutputError as error:
            if writer is None or not writer.open:
                raise
            lost = error
    if lost is not None:
        raise lost
