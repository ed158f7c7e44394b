"""Errors that a user can meet: one sentence about what happened, and one about what to do."""

from __future__ import annotations


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


def reason_of(error: BaseException) -> str:
    """What an error of others says; its type if it says nothing."""
    return str(error) or type(error).__name__


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
