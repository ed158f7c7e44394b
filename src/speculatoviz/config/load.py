"""Reads the settings: explicit choices, environment variables and `.env`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from speculatoviz.config.settings import ENV_FILE, Settings, variables
from speculatoviz.config.words import in_words
from speculatoviz.errors import BadRequestError

log = logging.getLogger(__name__)


def load_settings(**chosen: Any) -> Settings:
    """Settings from `chosen` (flags or arguments), the environment and `.env`, in this order of precedence.

    Raises BadRequestError, which names the setting or variable that is wrong, or what is wrong with `.env`.
    """
    try:
        folder = Path(ENV_FILE)
        if folder.is_dir() and not (folder / "pyvenv.cfg").exists():  # some name a virtual environment so
            log.warning("%s is a folder: no settings are read from it.", ENV_FILE)
        with _odd_lines_in_words():
            try:
                return Settings(**chosen)
            except ValidationError as error:
                raise in_words(error, lambda field: _source(field, chosen)) from error
    except UnicodeDecodeError as error:
        raise BadRequestError(f"{ENV_FILE} is not text in UTF-8.", "Save it in UTF-8.") from error
    except OSError as error:
        message = f"{ENV_FILE} cannot be read ({error.strerror or error})."
        raise BadRequestError(message, "Make it readable, or start in another folder.") from error


def _source(field: str, chosen: Mapping[str, Any]) -> str:
    """How a setting was given: its own name, the variable's, or the variable's in `.env`."""
    names = variables(field)
    present = {name.upper(): name for name in os.environ}
    in_file = {name.upper() for name in DotEnvSettingsSource(Settings).env_vars}
    if field in chosen:
        return field
    for name in names:
        if name in present:
            return present[name]
    return next((f"{name} in {ENV_FILE}" for name in names if name in in_file), field)


class _OddLines(logging.Filter):
    """Words for python-dotenv's warning about a line that it cannot read; each line once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[object] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        first = record.args not in self._seen
        self._seen.add(record.args)
        record.msg = f"The statement that begins in line %s of {ENV_FILE} is not NAME=VALUE and is ignored."
        return first


@contextmanager
def _odd_lines_in_words() -> Iterator[None]:
    reader, words = logging.getLogger("dotenv.main"), _OddLines()
    reader.addFilter(words)
    try:
        yield
    finally:
        reader.removeFilter(words)
