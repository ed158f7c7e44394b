"""Errors that a user can meet: one sentence about what happened, and one about what to do."""

from __future__ import annotations

import json
import os
import re


class SpeculatoVizError(Exception):
    """Base of every expected failure.

    message: what happened. hint: what to do about it. code: stable, for programs; one per class.
    """

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


_MOST_CHARACTERS = 300
_NUMBERED = re.compile(r"\[Errno (\d+)\]")  # as in an error of asyncio that names several addresses


def reason_of(error: BaseException) -> str:
    """Why something failed, as a clause for the message of an own error: one line, without path, number and full stop.

    The text of a library is kept where it is the only reason that is known; its type if there is no text.
    """
    match error:
        case UnicodeDecodeError():
            words = "it is not text in UTF-8"
        case RecursionError():
            words = "it is nested too deeply"
        case MemoryError():
            words = "there is not enough memory"
        case json.JSONDecodeError():
            words = f"{error.msg} at line {error.lineno}, column {error.colno}"
        case ModuleNotFoundError(name=str(name)):
            words = f"the package {name.partition('.')[0]} is not installed"
        case KeyError(args=(str(name),)):
            words = f"{name!r} is missing"
        case OSError():
            words = _reason_of_system(error)
        case _:
            words = _one_line(str(error))
    return words or type(error).__name__


def _reason_of_system(error: OSError) -> str:
    """In the system's words, without the file or the address that the error names."""
    number = error.errno
    if number is None and (found := _NUMBERED.search(str(error))):
        number = int(found[1])
    if number is not None and number > 0 and not (error.strerror or "").startswith("["):  # as those of TLS do
        return os.strerror(number)
    if isinstance(error, TimeoutError):
        return "it took too long"
    return _one_line(error.strerror or str(error))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS].rstrip(". ")


class ModelError(SpeculatoVizError):
    """A model cannot be found, loaded or fetched."""

    code = "model"


class NotFiniteError(ModelError):
    """A model computed scores that are not finite numbers."""

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(
            message or "The model computed scores that are not finite numbers.",
            hint
            or "Its weights are damaged, or too large for their number format: choose another file or quantisation.",
        )


class VocabularyMismatchError(SpeculatoVizError):
    """Draft and target do not share a vocabulary."""

    code = "vocabulary"


class TargetError(SpeculatoVizError):
    """A remote target cannot be reached, refuses a request, or sends an answer that cannot be used."""

    code = "target"


class ContextFullError(SpeculatoVizError):
    """A text has more tokens than a context holds."""

    code = "context"


class BadRequestError(SpeculatoVizError):
    """A setting, an argument or a message of a client is not allowed."""

    code = "bad_request"


class PromptTooLongError(BadRequestError):
    """A prompt leaves no room in the target's context. The code is OpenAI's."""

    code = "context_length_exceeded"


class BusyError(SpeculatoVizError):
    """A server has more to do than it takes on."""

    code = "busy"


class TraceError(SpeculatoVizError):
    """A trace file cannot be read or written."""

    code = "trace"


class StoreError(SpeculatoVizError):
    """The store of runs cannot be opened, read or written."""

    code = "store"


class UnknownRunError(StoreError):
    """There is no such run in the store."""

    code = "run_not_found"


class HeadError(SpeculatoVizError):
    """A file of draft heads cannot be read, or does not fit the target."""

    code = "head"


class TrainError(SpeculatoVizError):
    """Draft heads cannot be trained."""

    code = "train"


class OutputError(SpeculatoVizError):
    """Standard output cannot be written."""

    code = "output"


class ReaderGoneError(OutputError):
    """The program that reads standard output through a pipe has ended; not a failure of this one."""


class CancelledError(Exception):
    """A run was cancelled. Raised between forward passes; never reaches a user."""
