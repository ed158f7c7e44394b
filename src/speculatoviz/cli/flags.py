"""Flags of the commands, derived from `config.Settings`, and errors in words."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, get_args

import typer

from speculatoviz.cli.output import TextConsole
from speculatoviz.config import Settings, load_settings
from speculatoviz.errors import ReaderGoneError, SpeculatoVizError

P = ParamSpec("P")
_READER_GONE = 141  # as a shell reports a program that SIGPIPE ended
_INTERRUPTED = 130  # likewise SIGINT


@dataclass(frozen=True)
class Group:
    """Settings that commands take together. title: of their section in the help."""

    title: str
    fields: tuple[str, ...]


MODEL = Group("Target", ("profile", "target", "target_quantisation"))
DRAFTING = Group(
    "Drafting",
    ("draft", "draft_quantisation", "draft_vocabulary", "drafter", "policy", "k", "nodes", "rule", "head", "selfspec"),
)
_PENALTIES = ("presence_penalty", "frequency_penalty", "repetition_penalty")
SAMPLING = Group("Sampling", ("temperature", "top_p", "top_k", "min_p", *_PENALTIES, "seed", "max_tokens"))
REMOTE = Group(
    "Remote target",
    ("target_tokenizer", "target_mode", "target_api_key", "chat_template", "stop_tokens", "overlap"),
)
MACHINE = Group("Machine", ("context_tokens", "runtime", "batch_invariant", "threads", "device", "dtype"))
PROMPT_CACHE = Group("Prompt cache", ("prompt_cache_tokens", "prompt_cache"))
SERVER = Group("Server", ("host", "port", "api_key", "keys_file", "require_key", "tls_certificate", "tls_key"))
LOG = Group("Log", ("log_format", "log_level", "log_details"))
STOP = Group("Stopping", ("stop_s",))
QUOTA = Group("Limits of a key", ("key_runs", "key_requests"))
CONCURRENCY = Group("Runs at the same time", ("concurrency",))
RACE = Group("Race", ("race_targets",))
STORE = Group("Store of runs", ("store", "store_runs", "store_bytes"))
VERIFIER = Group("Verifier", ("sessions", "session_idle_s"))
EVIDENCE = Group("Display", ("evidence",))
RECORD = Group("Record", ("record_depth",))
GROUPS = (
    MODEL,
    DRAFTING,
    SAMPLING,
    REMOTE,
    MACHINE,
    PROMPT_CACHE,
    SERVER,
    CONCURRENCY,
    RACE,
    QUOTA,
    STOP,
    LOG,
    STORE,
    VERIFIER,
    EVIDENCE,
    RECORD,
)
_NAMES = {"k": ("--k", "-k")}


def settings_flags(
    *chosen: Group | str, **defaults: Any
) -> Callable[[Callable[Concatenate[Settings, P], None]], Callable[..., None]]:
    """Give a command flags for settings: whole groups, or single fields by name.

    The command's first parameter receives the validated Settings. Its other parameters stay flags and arguments of
    its own. A field that is named by keyword has that default in this command, whatever the environment says.
    """
    titles = {field: group.title for group in GROUPS for field in group.fields}
    fields = [field for choice in chosen for field in (choice.fields if isinstance(choice, Group) else (choice,))]
    flags = {field: titles[field] for field in (*fields, *defaults)}

    def decorate(command: Callable[Concatenate[Settings, P], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            values = {field: given.pop(field) for field in flags}
            chosen_values = {field: value for field, value in values.items() if value is not None}
            command(settings_of(defaults | chosen_values), **given)  # type: ignore[call-arg]  # typer passes what P names

        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [*own, *(_parameter(field, title, defaults.get(field)) for field, title in flags.items())]
        _describe(run, [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters])
        return run

    return decorate


def _describe(command: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """typer reads a command's parameters from its signature and its annotations."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def _parameter(field: str, title: str, default: Any) -> inspect.Parameter:
    """The flag of a settings field. It stays None if it is not given; Settings checks the value.

    default: the command's own, for the help; None for that of the settings.
    """
    value = _value_type(field)
    names = _NAMES.get(field) or (f"--{field.replace('_', '-')}",)
    if value is bool:
        names = (f"{names[0]}/--no-{names[0].removeprefix('--')}",)
    option = typer.Option(*names, help=_help(field, default), show_default=False, rich_help_panel=title)
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[value | None, option]
    )


def _value_type(field: str) -> type:
    """What a flag's text is converted to; whatever is no number and no switch stays text."""

    def parts(annotation: Any) -> set[Any]:
        return {annotation}.union(*map(parts, get_args(annotation)))

    found = parts(Settings.model_fields[field].annotation)
    if any(isinstance(part, str) for part in found):  # a word, perhaps beside numbers
        return str
    return next((kind for kind in (bool, int, float) if kind in found), str)


def _help(field: str, default: Any) -> str:
    info = Settings.model_fields[field]
    text = info.description or ""
    if default is None:
        default = info.default
    else:
        text = text.partition("; default: ")[0]
    if default is None or default == "":
        return text
    if isinstance(default, bool):
        default = f"{'' if default else 'no-'}{field.replace('_', '-')}"
    return f"{text}  [default: {default}]"


# For commands that read other settings only where the store is used: a file needs none.
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help=_help("store", None), show_default=False, rich_help_panel=STORE.title),
]


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """Settings from the flags that were given (None: not given), the environment and `.env`.

    Ends the command in words if a value is not allowed.
    """
    with errors():
        return load_settings(**{name: value for name, value in flags.items() if value is not None})


@contextmanager
def errors() -> Iterator[None]:
    """End a command in words, without a traceback. Exit codes: 1 for an error, 130 interrupted, 141 output unread."""
    try:
        yield
    except SpeculatoVizError as error:
        raise typer.Exit(report(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def report(error: SpeculatoVizError) -> int:
    """Print an error on standard error; returns the exit code. A reader that went away is no error to report."""
    if isinstance(error, ReaderGoneError):
        return _READER_GONE
    console = TextConsole(stderr=True, soft_wrap=True)
    console.print(error.code, style="red", end="")
    console.print(f": {error.message}")
    if error.hint:
        console.print(error.hint, style="dim")
    return 1
