"""The sessions of other targets than the server's own: each is loaded for the clients that use it, and no longer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from speculatoviz.core.progress import Progress
from speculatoviz.errors import BadRequestError, CancelledError, ModelError
from speculatoviz.session.other_targets import NoRoomError, OtherTarget
from speculatoviz.session.session import Session

# Called with a stage, the share of it that is done, and the seconds since the beginning. The last stage is "loaded".
LoadReport = Callable[[str, float | None, float], None]
LoadOther = Callable[[OtherTarget, Progress], Session]

_REPORT_S = 0.25  # between two reports of the same stage

log = logging.getLogger(__name__)


class OtherSessions:
    """Loads other targets beside the server's own, which stays loaded.

    `hold` and `leave` are called on the event loop; what loads and closes, in the models' thread. targets: those that a
    client may name. clock: seconds.
    """

    def __init__(self, targets: Sequence[OtherTarget], load: LoadOther, clock: Callable[[], float]) -> None:
        self.targets = tuple(targets)
        self._load, self._clock = load, clock
        self._clients: dict[str, set[object]] = {}
        self._sessions: dict[str, Session] = {}

    def find(self, name: str) -> OtherTarget:
        """The target of that name. Raises BadRequestError if the server has none, and ModelError if it is missing."""
        found = next((target for target in self.targets if target.name == name), None)
        if found is None:
            others = ", ".join(target.name for target in self.targets) or "none here"
            raise BadRequestError(
                f"This server has no other target named {name!r}.",
                f"Its other targets: {others}. Start the server with `--race-targets` to choose them.",
            )
        if found.missing is not None:
            raise ModelError(f"{name} cannot be loaded.", found.missing)
        return found

    def hold(self, target: OtherTarget, client: object) -> None:
        """Keep the target loaded until the client leaves."""
        self._clients.setdefault(target.name, set()).add(client)

    def leave(self, client: object) -> bool:
        """The client is gone. Returns whether a loaded target may now be unused."""
        held = [clients for clients in self._clients.values() if client in clients]
        for clients in held:
            clients.discard(client)
        return bool(held)

    def opened(self, target: OtherTarget, report: LoadReport, cancelled: Callable[[], bool]) -> Session:
        """The session of a target, loaded and measured first if need be. Others are closed if memory is short.

        cancelled: called between the steps of the loading; True ends it with CancelledError. Raises ModelError.
        """
        found = self._sessions.get(target.name)
        if found is not None:
            return found
        progress = _Reporting(report, cancelled, self._clock)
        try:
            session = self._load(target, progress)
        except NoRoomError:
            if not self._sessions:
                raise
            self.close()
            session = self._load(target, progress)
        self._sessions[target.name] = session
        progress.end()
        return session

    def close_unused(self) -> None:
        """Close the sessions that no client holds."""
        for name in [name for name in self._sessions if not self._clients.get(name)]:
            try:
                self._sessions.pop(name).close()
            except Exception:
                log.exception("closing another target failed")

    def close(self) -> None:
        """Close all sessions."""
        while self._sessions:
            self._sessions.popitem()[1].close()


class _Reporting:
    """Reports each new stage, and the same one again after a while, with the seconds since the beginning."""

    def __init__(self, report: LoadReport, cancelled: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._report, self._cancelled, self._clock = report, cancelled, clock
        self._began_s = clock()
        self._stage, self._reported_s = "", self._began_s

    def __call__(self, stage: str, share: float | None) -> None:
        if self._cancelled():
            raise CancelledError
        now = self._clock()
        if stage == self._stage and now - self._reported_s < _REPORT_S:
            return
        self._stage, self._reported_s = stage, now
        self._report(stage, share, now - self._began_s)

    def end(self) -> None:
        self._report("loaded", 1.0, self._clock() - self._began_s)
