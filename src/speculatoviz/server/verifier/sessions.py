"""The sessions of a verifier: their caches, the connections that use them, and when they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft, Floats, Request
from speculatoviz.errors import BusyError, ContextFullError, SpeculatoVizError
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel
from speculatoviz.models.joint_pass import SHARED_CHUNK
from speculatoviz.models.window import WindowFeed
from speculatoviz.server.verifier.batching import Job, PassBatcher
from speculatoviz.targets.local import LocalTarget


class OutOfStepError(SpeculatoVizError):
    """A draft for another position than the session's: the client has to open the session again."""

    code = "out_of_step"


@dataclass(frozen=True, slots=True, eq=False)
class LastRound:
    """The last round of a session. asked: hash of the draft as it was sent. before: the ids committed before it."""

    asked: bytes
    before: tuple[int, ...]
    verdict: Verdict


@dataclass(slots=True, eq=False)
class VerifierSession:
    """A cache of the target, with the request it is used for.

    used_s: when it was last used, on the clock of the sessions. owner: the connection that uses it, or None. intact:
    whether the cache holds what `target` assumes. lock: one client's request at a time. `begin`, `rewind` and `judge`
    are called in the computing thread.
    """

    target: LocalTarget
    used_s: float
    owner: object | None = None
    request: Request | None = None
    last: LastRound | None = None
    intact: bool = False
    closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, request: Request) -> list[int]:
        """Begin a request or resume it. Returns the ids to feed before its first draft can be judged."""
        if self._resumes(request):
            self.request = request
            return []
        self.last, self.request, self.intact = None, request, False
        return self.target.commit_prompt(request)

    def _resumes(self, request: Request) -> bool:
        """Whether the cache ends where this prompt ends, or one answered round later, under the same terms."""
        same = self.request is not None and _terms(self.request) == _terms(request)
        one_round_later = self.last is not None and self.last.before == request.prompt
        return self.intact and same and (self.target.ids == request.prompt or one_round_later)

    def repeated(self, asked: bytes, before: int) -> Verdict | None:
        """The last verdict, if the same draft after the same number of ids is sent again; else None."""
        last = self.last
        return last.verdict if last and last.asked == asked and len(last.before) == before else None

    def needs_rewind(self, before: int) -> bool:
        """Whether the last round has to be undone for a draft after `before` ids. Raises OutOfStepError."""
        if not self.intact:
            raise OutOfStepError("A draft came before the session was open.", "Open the session first.")
        if len(self.target.ids) == before:
            return False
        if self.last is None or len(self.last.before) != before:
            raise OutOfStepError(
                f"A draft came for {before} committed tokens, and the session has {len(self.target.ids)}.",
                "Open the session again.",
            )
        return True

    def rewind(self) -> None:
        """Undo the last round."""
        assert self.request is not None
        assert self.last is not None
        last, self.last = self.last, None
        self.target.commit_prompt(replace(self.request, prompt=last.before))

    def judge(self, draft: Draft, asked: bytes, logits: Floats) -> Verdict:
        """The verdict on a draft of n tokens. logits: float[n + 1, V]."""
        before = self.target.ids
        self.intact = False  # a failure would leave the draft in the cache
        verdict = self.target.judge(draft, logits)
        self.last, self.intact = LastRound(asked, before, verdict), True
        return verdict


class Sessions:
    """At most `limit` sessions of `context_tokens` each, by name. clock: seconds.

    idle_s: seconds without use until a session is closed.
    """

    def __init__(
        self,
        model: LanguageModel,
        batcher: PassBatcher,
        context_tokens: int,
        limit: int,
        idle_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._model, self._batcher, self._clock = model, batcher, clock
        self.context_tokens, self.limit, self.idle_s = context_tokens, limit, idle_s
        self._sessions: dict[bytes, VerifierSession] = {}
        self._acquiring = asyncio.Lock()

    @property
    def count(self) -> int:
        """Sessions that exist."""
        return len(self._sessions)

    @property
    def in_use(self) -> int:
        """Sessions that a connection uses. A new client can have the place of any other one."""
        return sum(session.owner is not None for session in self._sessions.values())

    async def acquire(self, name: bytes, owner: object) -> VerifierSession:
        """The session of that name, or a new one, for a connection. Raises BusyError if all are in use."""
        async with self._acquiring:  # while a cache is opened, no other connection may count the sessions
            await self.expire()
            session = self._sessions.get(name)
            if session is None:
                if self.count >= self.limit and not await self._close_unowned():
                    raise BusyError(
                        f"All {self.limit} sessions of this verifier are in use.",
                        "Try again later, or start it with more (--sessions).",
                    )
                session = await self._new(name)
            session.owner, session.used_s = owner, self._clock()
            return session

    async def _new(self, name: bytes) -> VerifierSession:
        """No await between opening the cache and storing it: a client that disconnects must not leave it unowned."""
        target = await self._batcher.compute(lambda: LocalTarget(self._model, self.context_tokens, self._clock))
        session = self._sessions[name] = VerifierSession(target, self._clock())
        return session

    def release(self, owner: object) -> None:
        """The connection is gone. Its sessions stay: the client may connect again."""
        for session in self._sessions.values():
            if session.owner is owner:
                session.owner, session.used_s = None, self._clock()

    async def close(self, name: bytes) -> None:
        """Close a session and free its cache, after the request in progress."""
        if session := self._sessions.pop(name, None):
            with anyio.CancelScope(shield=True):  # interrupted, the cache would never be freed
                async with session.lock:
                    session.closed = True
                    await self._batcher.compute(session.target.close)

    async def expire(self) -> None:
        """Close sessions that have not been used for `idle_s`."""
        now = self._clock()
        idle = [
            name
            for name, session in self._sessions.items()
            if not session.lock.locked() and now - session.used_s > self.idle_s
        ]
        for name in idle:
            await self.close(name)

    async def expire_regularly(self) -> None:
        """Free memory although no new client comes."""
        while True:
            await asyncio.sleep(self.idle_s / 4)
            await self.expire()

    async def close_all(self) -> None:
        """Close every session."""
        for name in list(self._sessions):
            await self.close(name)

    async def begin(self, session: VerifierSession, request: Request) -> int:
        """Bring the request's prompt into the cache. Returns how many of its ids were there already.

        Raises ContextFullError, and OutOfStepError if the session was closed meanwhile.
        """
        if len(request.prompt) >= self.context_tokens:
            raise ContextFullError(
                f"The prompt has {len(request.prompt)} tokens and a session holds {self.context_tokens}.",
                "Shorten the prompt, or start the verifier with a larger --context-tokens.",
            )
        async with self._using(session):
            missing = await self._batcher.compute(lambda: session.begin(request))
            present = len(request.prompt) - len(missing)
            while missing:
                size = PREFILL_TOKENS if self.count == 1 else SHARED_CHUNK
                chunk, missing = missing[:size], missing[size:]
                await self._batcher.run(Job(WindowFeed(session.target.window, chunk, "last"), lambda _rows: None))
            session.intact = True
            return present

    async def verify(self, session: VerifierSession, draft: Draft, asked: bytes, before: int) -> Verdict:
        """The verdict on a draft after `before` committed ids. A draft that is sent again gets its first verdict.

        asked: hash of the draft as it was sent. Raises OutOfStepError and ContextFullError.
        """
        async with self._using(session):
            if (verdict := session.repeated(asked, before)) is not None:
                return verdict
            if session.needs_rewind(before):
                await self._batcher.compute(session.rewind)
            if before + len(draft) >= self.context_tokens:
                raise ContextFullError(
                    f"A session holds {self.context_tokens} tokens and the draft goes beyond.",
                    "Draft less, or end here.",
                )
            job = Job(session.target.feed_of(draft), lambda logits: session.judge(draft, asked, logits))
            return await self._batcher.run(job)

    @asynccontextmanager
    async def _using(self, session: VerifierSession) -> AsyncIterator[None]:
        async with session.lock:
            if session.closed:
                raise OutOfStepError("The session was closed.", "Open it again.")
            session.used_s = self._clock()
            yield

    async def _close_unowned(self) -> bool:
        """Close the session that has been without a connection longest. False if every session has one."""
        free = [
            (session.used_s, name)
            for name, session in self._sessions.items()
            if session.owner is None and not session.lock.locked()
        ]
        if not free:
            return False
        await self.close(min(free)[1])
        return True


def _terms(request: Request) -> tuple[object, ...]:
    return request.sampling, request.output_start, request.seed, request.evidence, request.rule
