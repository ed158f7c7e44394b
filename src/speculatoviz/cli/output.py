"""Everything that the command line prints goes through here: text stays text, and a failing stream loses no run.

Text from users, files, models and endpoints is never read as markup, and its control characters never reach the
terminal. What an encoding lacks is written as an escape such as `\\u8a9e`. A standard stream that is closed, full or
no longer read raises no OSError: `GuardedStream` defines what happens instead.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from speculatoviz.errors import OutputError, ReaderGoneError

# Of the control characters, only tab and line feed may act on a terminal. A carriage return is dropped.
_CONTROLS: dict[int, str | None] = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in {0x09, 0x0A}
} | {0x0D: None}


def plain(text: str) -> str:
    """`text` with its control characters written out (`\\x1b`). Tabs and line feeds stay, carriage returns go."""
    return text.translate(_CONTROLS)


class TextConsole(Console):
    """A console that prints every string as text: no markup, no emoji names, no control characters.

    A `rich.text.Text` is printed as it is, so build it from `plain` text only.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Called by rich for every string that it prints, table cells included."""
        return super().render_str(plain(text), **options)


def notice(message: str, style: str = "yellow") -> None:
    """Print a line on standard error."""
    TextConsole(stderr=True, soft_wrap=True).print(message, style=style)


class GuardedStream:
    """A standard stream that outlives its terminal, pipe or disk.

    Characters that the encoding lacks are written with backslashes. After the first failed write everything is
    dropped. That first failure raises OutputError, or ReaderGoneError if a pipe was closed; with `required=False` it
    is silent. All other attributes are those of `stream`; None stands for a stream that was closed at the start.
    """

    def __init__(self, stream: TextIO | None, *, required: bool = True) -> None:
        self._stream, self._required = stream, required
        self._failed = False

    def write(self, text: str) -> int:
        """Write all of `text`; returns its length, as if it had all been written."""
        if not isinstance(text, str):  # how typer's echo tells text from binary streams
            raise TypeError(f"a text stream cannot write {type(text).__name__}")
        if text:
            self._try(lambda stream: stream.write(_encodable(text, self.encoding)))
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered."""
        if self._stream is not None:  # nothing was written to a closed stream yet
            self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return self._stream is not None and not self._failed and self._stream.isatty()

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[TextIO], object]) -> None:
        if self._failed:
            return
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, "it is closed")
            action(self._stream)
        except OSError as error:
            self._failed = True
            if self._stream is not None:
                _discard(self._stream)
            if self._required:
                raise _in_words(error) from error


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _discard(stream: TextIO) -> None:
    """Send what is still buffered nowhere: the interpreter flushes it once more at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _in_words(error: OSError) -> OutputError:
    # Windows reports a closed pipe as an invalid argument.
    if isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL):
        return ReaderGoneError("The program that reads the output has ended.")
    return OutputError(
        f"Standard output cannot be written ({error.strerror or error}): the rest of the output is lost.",
        "Make room there, or redirect the output to another place.",
    )


class _LogHandler(logging.Handler):
    """Prints log records like every other text of the command line, a repeated one once."""

    _last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if text != self._last:
            notice(text)
        self._last = text


def prepare() -> None:
    """Guard the process's standard streams and its log. For the entry point of a program, once."""
    # Else the next file that is opened takes the number of a closed standard stream, and receives what C libraries
    # print there.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = cast("TextIO", GuardedStream(sys.stdout))
    sys.stderr = cast("TextIO", GuardedStream(sys.stderr, required=False))
    logging.raiseExceptions = False
    logging.getLogger().addHandler(_LogHandler(logging.WARNING))
