"""The sessions of a verifier: who may use a cache, what it holds, and when it goes to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from speculatoviz.core.types import Draft, Floats, Request, Verdict
from speculatoviz.errors import ContextFullError, SpeculatoVizError
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel
from speculatoviz.models.window import WindowFeed
from speculatoviz.server.verifier.passes import Job, Passes
from speculatoviz.targets.local import LocalTarget

_SHARED_CHUNK = 16  # prefill tokens in a pass while others wait for theirs


class BusyError(SpeculatoVizError):
    """More than a verifier takes on."""

    code = "busy"


class OutOfStepError(SpeculatoVizError):
    """A draft for another place than the session is at: it has to be opened again."""

    code = "out_of_step"


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The last round of a session: what was asked, behind how many ids, and what the verdict was."""

    asked: bytes
    before: tuple[int, ...]
    verdict: Verdict


@dataclass(slots=True, eq=False)
class Seat:
    """One session: its cache and the last thing it was asked.

    held: whether the cache is where `target` believes. owner: the connection that has it, None for none. lock: one
    request at a time. `take_up`, `take_back` and `judge` are called in the computing thread.
    """

    target: LocalTarget
    used_s: float
    owner: object | None = None
    request: Request | None = None
    answered: Answered | None = None
    held: bool = False
    closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take_up(self, request: Request) -> list[int]:
        """Begin a request, or go on with it; the ids that have to be fed before its first draft can be judged."""
        if self._resumes(request):
            self.request = request
            return []
        self.answered, self.request, self.held = None, request, False
        return self.target.take_up(request)

    def _resumes(self, request: Request) -> bool:
        """Whether the session already is where this prompt ends, or one answered round further."""
        same = self.request is not None and _terms(self.request) == _terms(request)
        behind = self.answered is not None and self.answered.before == request.prompt
        return self.held and same and (self.target.ids == request.prompt or behind)

    def known(self, asked: bytes, before: int) -> Verdict | None:
        """The verdict of a round that is asked for a second time, bit for bit."""
        last = self.answered
        return last.verdict if last and last.asked == asked and len(last.before) == before else None

    def is_beyond(self, before: int) -> bool:
        """Whether the last round has to be taken back for a draft behind so many ids. Raises OutOfStepError."""
        if not self.held:
            raise OutOfStepError("A draft came before the session was open.", "Open the session first.")
        if len(self.target.ids) == before:
            return False
        if self.answered is None or len(self.answered.before) != before:
            raise OutOfStepError(
                f"A draft came for {before} committed tokens, and the session has {len(self.target.ids)}.",
                "Open the session again.",
            )
        return True

    def take_back(self) -> None:
        assert self.request is not None
        assert self.answered is not None
        last, self.answered = self.answered, None
        self.target.take_up(replace(self.request, prompt=last.before))

    def judge(self, draft: Draft, asked: bytes, logits: Floats) -> Verdict:
        before = self.target.ids
        self.held = False  # a failure would leave the draft in the cache
        verdict = self.target.judge(draft, logits)
        self.answered, self.held = Answered(asked, before, verdict), True
        return verdict


class Seats:
    """At most `most` sessions of `context_tokens` each. clock: seconds; idle_s: until an unused one is given up."""

    def __init__(
        self,
        model: LanguageModel,
        passes: Passes,
        context_tokens: int,
        most: int,
        idle_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._model, self._passes, self._clock = model, passes, clock
        self.context_tokens, self.most, self.idle_s = context_tokens, most, idle_s
        self._seats: dict[bytes, Seat] = {}
        self._taking = asyncio.Lock()

    @property
    def taken(self) -> int:
        return len(self._seats)

    async def take(self, session: bytes, owner: object) -> Seat:
        """The session's seat, or a new one. Raises BusyError where all are in use."""
        async with self._taking:  # or others would come in between while a cache is opened, and be too many
            await self.expire()
            seat = self._seats.get(session)
            if seat is None:
                if len(self._seats) >= self.most and not await self._give_up_one():
                    raise BusyError(
                        f"All {self.most} sessions of this verifier are in use.",
                        "Try again later, or start it with more (--sessions).",
                    )
                seat = await self._new(session)
            seat.owner, seat.used_s = owner, self._clock()
            return seat

    async def _new(self, session: bytes) -> Seat:
        """A client that goes meanwhile leaves no cache behind that nobody knows of: there is nothing in between."""
        target = await self._passes.compute(lambda: LocalTarget(self._model, self.context_tokens, self._clock))
        seat = self._seats[session] = Seat(target, self._clock())
        return seat

    def let_go(self, owner: object) -> None:
        """A connection is gone; its session may come back."""
        for seat in self._seats.values():
            if seat.owner is owner:
                seat.owner, seat.used_s = None, self._clock()

    async def close(self, session: bytes) -> None:
        if seat := self._seats.pop(session, None):
            with anyio.CancelScope(shield=True):  # what is begun is ended, or memory would be lost
                async with seat.lock:
                    seat.closed = True
                    await self._passes.compute(seat.target.close)

    async def expire(self) -> None:
        """Give up what nobody has used for long."""
        now = self._clock()
        for session in [
            s for s, seat in self._seats.items() if not seat.lock.locked() and now - seat.used_s > self.idle_s
        ]:
            await self.close(session)

    async def keep_expiring(self) -> None:
        """Memory goes back although nobody new comes."""
        while True:
            await asyncio.sleep(self.idle_s / 4)
            await self.expire()

    async def close_all(self) -> None:
        for session in list(self._seats):
            await self.close(session)

    async def open(self, seat: Seat, request: Request) -> int:
        """Hold the request's prompt; how many of its ids were held before.

        Raises ContextFullError, and OutOfStepError where the session was given up meanwhile.
        """
        if len(request.prompt) >= self.context_tokens:
            raise ContextFullError(
                f"The prompt has {len(request.prompt)} tokens and a session holds {self.context_tokens}.",
                "Shorten the prompt, or start the verifier with a larger --context-tokens.",
            )
        async with self._using(seat):
            todo = await self._passes.compute(lambda: seat.take_up(request))
            held = len(request.prompt) - len(todo)
            while todo:
                size = PREFILL_TOKENS if self.taken == 1 else _SHARED_CHUNK
                chunk, todo = todo[:size], todo[size:]
                await self._passes.run(Job(WindowFeed(seat.target.window, chunk, "last"), lambda _rows: None))
            seat.held = True
            return held

    async def verify(self, seat: Seat, draft: Draft, asked: bytes, before: int) -> Verdict:
        """The verdict; that of before where it is asked for again. asked: the draft as it was sent.

        Raises OutOfStepError and ContextFullError.
        """
        async with self._using(seat):
            if (known := seat.known(asked, before)) is not None:
                return known
            if seat.is_beyond(before):  # else nothing but the pass itself goes through the computing thread
                await self._passes.compute(seat.take_back)
            if before + len(draft) >= self.context_tokens:
                raise ContextFullError(
                    f"A session holds {self.context_tokens} tokens and the draft goes beyond.",
                    "Draft less, or end here.",
                )
            job = Job(seat.target.wish(draft), lambda logits: seat.judge(draft, asked, logits))
            return await self._passes.run(job)

    @asynccontextmanager
    async def _using(self, seat: Seat) -> AsyncIterator[None]:
        async with seat.lock:
            if seat.closed:
                raise OutOfStepError("The session was given up.", "Open it again.")
            seat.used_s = self._clock()
            yield

    async def _give_up_one(self) -> bool:
        """Give the session that is longest without a connection up."""
        free = [
            (seat.used_s, session)
            for session, seat in self._seats.items()
            if seat.owner is None and not seat.lock.locked()
        ]
        if not free:
            return False
        await self.close(min(free)[1])
        return True


def _terms(request: Request) -> tuple[object, ...]:
    return request.sampling, request.seed, request.evidence, request.rule
