"""What the commands share: flags, all of them fields of `config.Settings`, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from speculatoviz.config import Settings, in_words
from speculatoviz.errors import SpeculatoVizError


def option(field: str, *names: str) -> Any:
    """A flag for a settings field; the settings model checks its range."""
    flags = names or (f"--{field.replace('_', '-')}",)
    return typer.Option(
        *flags,
        help=Settings.model_fields[field].description,
        show_default=False,
    )


ProfileFlag = Annotated[str | None, option("profile")]
TargetFlag = Annotated[str | None, option("target")]
DraftFlag = Annotated[str | None, option("draft")]
DrafterFlag = Annotated[str | None, option("drafter")]
TargetQuantFlag = Annotated[str | None, option("target_quantisation")]
DraftQuantFlag = Annotated[str | None, option("draft_quantisation")]
ContextFlag = Annotated[int | None, option("context_tokens")]
ThreadsFlag = Annotated[int | None, option("threads")]
DeviceFlag = Annotated[str | None, option("device")]
DtypeFlag = Annotated[str | None, option("dtype")]
TargetTokenizerFlag = Annotated[str | None, option("target_tokenizer")]
TargetModeFlag = Annotated[str | None, option("target_mode")]
TargetKeyFlag = Annotated[str | None, option("target_api_key")]
StopTokensFlag = Annotated[str | None, option("stop_tokens")]
OverlapFlag = Annotated[
    bool | None, typer.Option("--overlap/--no-overlap", help=Settings.model_fields["overlap"].description)
]
TemplateFlag = Annotated[str | None, option("chat_template")]
HeadFlag = Annotated[str | None, option("head")]
SelfFlag = Annotated[str | None, option("selfspec")]
RuleFlag = Annotated[str | None, option("rule")]
NodesFlag = Annotated[int | None, option("nodes")]
KFlag = Annotated[int | None, option("k", "-k")]
TemperatureFlag = Annotated[float | None, option("temperature")]
TopPFlag = Annotated[float | None, option("top_p")]
TopKFlag = Annotated[int | None, option("top_k")]
MinPFlag = Annotated[float | None, option("min_p")]
MaxTokensFlag = Annotated[int | None, option("max_tokens")]
SeedFlag = Annotated[int | None, option("seed")]


def settings_of(flags: dict[str, Any]) -> Settings:
    with errors():
        try:
            return Settings(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            raise in_words(error) from error


@contextmanager
def errors() -> Iterator[None]:
    """What a user can mend is said in two sentences, without a traceback."""
    try:
        yield
    except SpeculatoVizError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[red]{error.code}[/red]: ", end="")
        console.print(error.message, markup=False)
        if error.hint:
            console.print(error.hint, style="dim", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
