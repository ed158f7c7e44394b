"""What a command that serves prints on standard error: its log, and the stages of its start."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from speculatoviz.cli.output import notice
from speculatoviz.cli.terminal import progress
from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress

log = logging.getLogger(__name__)


class ServiceOutput:
    """Notices for a person, or the same as lines of a log in JSON. Sets up the log of the process."""

    def __init__(self, settings: Settings) -> None:
        from speculatoviz.server.logs import LogHandler, set_up

        self.terminal = sys.stderr.isatty()
        self._text = settings.log_format == "text"
        level = logging.getLevelNamesMapping()[settings.log_level.upper()]
        details = settings.log_details or (self._text and self.terminal)
        set_up(LogHandler(notice if self._text else _write, settings.log_format, level, details=details))

    def say(self, line: str, style: str = "") -> None:
        """Print a line, or log it at the level `info`."""
        if self._text:
            notice(line, style)
        else:
            log.info(line)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """The stages of loading: a bar on a terminal, else a line for each."""
        if self._text:
            with progress() as shown:
                yield shown
            return
        stages: list[str] = []

        def report(stage: str, _share: float | None) -> None:
            if [stage] != stages[-1:]:
                stages.append(stage)
                log.info(stage)

        yield report


def _write(line: str) -> None:
    """A line as it is: a console would wrap it."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
