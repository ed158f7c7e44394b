"""What llama.cpp says, kept for error messages instead of being printed."""

from __future__ import annotations

import ctypes

import llama_cpp.llama_cpp as lib

_ERROR = 4  # GGML_LOG_LEVEL_ERROR, which the bindings do not export


class LogTail:
    """The last error lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.callback = lib.llama_log_callback(self._add)

    def reason(self) -> str:
        return f" ({self.lines[-1]})" if self.lines else ""

    def _add(self, level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level == _ERROR and (line := text.decode(errors="replace").strip()):
            self.lines = [*self.lines[-7:], line]


_log_tails: list[LogTail] = []


def capture_log() -> LogTail:
    """llama.cpp has one log for the process; the callback must outlive every call into the library."""
    if not _log_tails:
        _log_tails.append(LogTail())
        lib.llama_log_set(_log_tails[0].callback, None)
    _log_tails[0].lines = []
    return _log_tails[0]
