"""llama.cpp's error lines, kept for the messages of errors instead of being printed."""

from __future__ import annotations

import ctypes
import sys

import llama_cpp.llama_cpp as lib

from speculatoviz.models.files.child import cause

_ERROR = 4  # GGML_LOG_LEVEL_ERROR, which the bindings do not export
_MOST_LINES = 8


class ErrorLog:
    """The first error lines since `capture_log` was called: the first one names the cause.

    echo: print every error line on stderr at once, so that it outlives a crash.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.echo = False
        self.callback = lib.llama_log_callback(self._add)

    def reason(self) -> str:
        """The cause in brackets, to follow a message; empty if there is none."""
        return f" ({found})" if (found := cause(self.lines)) else ""

    def _add(self, level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level != _ERROR or not (line := text.decode(errors="replace").strip()):
            return
        if self.echo:
            print(line, file=sys.stderr, flush=True)
        if len(self.lines) < _MOST_LINES:
            self.lines.append(line)


_logs: list[ErrorLog] = []


def capture_log() -> ErrorLog:
    """The process's log, emptied. llama.cpp has one, and its callback must outlive every call into the library."""
    if not _logs:
        _logs.append(ErrorLog())
        lib.llama_log_set(_logs[0].callback, None)
    _logs[0].lines = []
    return _logs[0]
