"""Error lines of llama.cpp, or of a library with the same C API, kept for the messages of errors instead of printed."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from speculatoviz.models.files.child import cause

_ERROR = 4  # GGML_LOG_LEVEL_ERROR, which the bindings do not export
_MOST_LINES = 8


class ErrorLog:
    """The first error lines of a library since `capture_log` was called: the first one names the cause.

    echo: print every error line on stderr at once, so that it outlives a crash.
    """

    def __init__(self, lib: Any) -> None:
        self.lines: list[str] = []
        self.echo = False
        self._callback = lib.llama_log_callback(self._add)
        lib.llama_log_set(self._callback, None)

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


_logs: dict[Any, ErrorLog] = {}


def capture_log(lib: Any) -> ErrorLog:
    """The log of a library, emptied. It has one per process, whose callback must outlive every call into it."""
    if lib not in _logs:
        _logs[lib] = ErrorLog(lib)
    _logs[lib].lines = []
    return _logs[lib]
