"""The log of a server, as text or as lines of JSON: without keys, prompts and paths unless they are asked for."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

# What every record has; all else was given with `extra` and is a field of the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_SECRET = re.compile(r"\bsv-[\w-]{16,}|(?i:\bbearer\s+)\S+|(?i:\b(?:api_?key|key|token)=)[^\s&]+")
_PATH = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"`,;:()]+[/\\]?)+")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_DEEPEST = 12  # frames of a traceback


class LogHandler(logging.Handler):
    """Hands each record to `write` as one line.

    details: also print what exceptions say, with whole tracebacks, and paths in messages; those can contain parts of
    prompts. Without them an exception is its type and the functions it passed through.
    """

    def __init__(self, write: Callable[[str], None], form: LogFormat, level: int, *, details: bool) -> None:
        super().__init__(level)
        self._write, self._form, self._details = write, form, details

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _as_json(self._fields(record)) if self._form == "json" else _as_text(self._fields(record))
        except Exception:  # a message whose arguments do not fit it must not end a request
            self.handleError(record)
            return
        self._write(line)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._shown(record.getMessage()),
        }
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields |= {name: _SECRET.sub("<key>", v) if isinstance(v, str) else v for name, v in given.items()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = self._error(record.exc_info[1])
        return fields

    def _shown(self, text: str) -> str:
        text = _SECRET.sub("<key>", text)
        return text if self._details else _PATH.sub("<path>", text)

    def _error(self, error: BaseException) -> str:
        if self._details:
            return _SECRET.sub("<key>", "".join(traceback.format_exception(error)))
        frames = list(traceback.walk_tb(error.__traceback__))[-_DEEPEST:]
        places = [f"{f.f_globals.get('__name__', '?')}.{f.f_code.co_name}:{line}" for f, line in frames]
        cause = error.__cause__
        from_cause = "" if cause is None else f" from {type(cause).__name__}"
        return f"{type(error).__name__}{from_cause} in {' > '.join(places)}"


def set_up(handler: LogHandler) -> None:
    """Make this handler that of the process, in place of those of the command line. For its entry point."""
    root = logging.getLogger()
    for other in tuple(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    logging.getLogger("speculatoviz").setLevel(handler.level)


def _as_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, default=str, allow_nan=False)


def _as_text(fields: dict[str, Any]) -> str:
    """Level and message, then the other fields; control characters are written out, but for those of a traceback."""
    own = {name: value for name, value in fields.items() if name not in {"time", "level", "logger", "message", "error"}}
    words = [f"{name}={value}" for name, value in own.items()]
    line = " ".join([fields["level"], fields["message"], *words]).translate(_CONTROLS)
    return f"{line}\n{fields['error']}" if "error" in fields else line
