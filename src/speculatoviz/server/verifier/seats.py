"""The sessions of a verifier: who may use a cache, what it holds, and when it goes to another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from speculatoviz.core.types import Draft, Exactness, Floats, Request, Verdict
from speculatoviz.errors import ContextFullError, SpeculatoVizError
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel
from speculatoviz.server.verifier.passes import Job, Passes
from speculatoviz.targets.local import EXACT, LocalTarget

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
    request at a time. `prepare` and `judge` are called in the computing thread.
    """

    target: LocalTarget
    used_s: float
    owner: object | None = None
    request: Request | None = None
    answered: Answered | None = None
    held: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def resumes(self, request: Request) -> bool:
        """Whether the session already is where this prompt ends, or one answered round further."""
        same = self.request is not None and _terms(self.request) == _terms(request)
        behind = self.answered is not None and self.answered.before == request.prompt
        return self.held and same and (self.target.ids == request.prompt or behind)

    def prepare(self, asked: bytes, before: int) -> Verdict | None:
        """The verdict of a round that is asked for a second time, bit for bit; None once a new one can be judged.

        A draft for the place before the last round takes that round back. Raises OutOfStepError for another place.
        """
        last = self.answered
        if last is not None and last.asked == asked and len(last.before) == before:
            return last.verdict
        if self.request is None or not self.held:
            raise OutOfStepError("A draft came before the session was open.", "Open the session first.")
        if len(self.target.ids) != before:
            if last is None or len(last.before) != before:
                raise OutOfStepError(
                    f"A draft came for {before} committed tokens, and the session has {len(self.target.ids)}.",
                    "Open the session again.",
                )
            self.target.take_up(replace(self.request, prompt=last.before))
        return None

    def judge(self, draft: Draft, asked: bytes, logits: Floats) -> Verdict:
        before = self.target.ids
        verdict = self.target.judge(draft, logits)
        self.answered = Answered(asked, before, verdict)
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

    @property
    def taken(self) -> int:
        return len(self._seats)

    async def take(self, session: bytes, owner: object) -> Seat:
        """The session's seat, or a new one. Raises BusyError where all are in use."""
        await self.expire()
        seat = self._seats.get(session)
        if seat is None:
            if len(self._seats) >= self.most and not await self._give_up_one():
                raise BusyError(
                    f"All {self.most} sessions of this verifier are in use.",
                    "Try again later, or start it with more (--sessions).",
                )
            target = await self._passes.compute(lambda: LocalTarget(self._model, self.context_tokens, self._clock))
            # Another connection of the same session may have come first while the cache was opened.
            seat = self._seats.setdefault(session, Seat(target, self._clock()))
            if seat.target is not target:
                await self._passes.compute(target.close)
        seat.owner, seat.used_s = owner, self._clock()
        return seat

    def let_go(self, owner: object) -> None:
        """A connection is gone; its session may come back."""
        for seat in self._seats.values():
            if seat.owner is owner:
                seat.owner, seat.used_s = None, self._clock()

    async def close(self, session: bytes) -> None:
        if seat := self._seats.pop(session, None):
            await self._passes.compute(seat.target.close)

    async def expire(self) -> None:
        """Give up what nobody has used for long."""
        now = self._clock()
        for session in [
            s for s, seat in self._seats.items() if not seat.lock.locked() and now - seat.used_s > self.idle_s
        ]:
            await self.close(session)

    async def close_all(self) -> None:
        for session in list(self._seats):
            await self.close(session)

    async def open(self, seat: Seat, request: Request) -> tuple[Exactness, int]:
        """Hold the request's prompt; what may be claimed, and how many of its ids were held before.

        Raises ContextFullError, and CancelledError once the request is cancelled.
        """
        if len(request.prompt) >= self.context_tokens:
            raise ContextFullError(
                f"The prompt has {len(request.prompt)} tokens and a session holds {self.context_tokens}.",
                "Shorten the prompt, or start the verifier with a larger --context-tokens.",
            )
        async with seat.lock:
            seat.used_s = self._clock()
            if seat.resumes(request):
                seat.request = request
                return EXACT, len(request.prompt)
            seat.answered, seat.request, seat.held = None, request, False
            todo = await self._passes.compute(lambda: seat.target.take_up(request))
            held = len(request.prompt) - len(todo)
            while todo:
                size = PREFILL_TOKENS if self.taken == 1 else _SHARED_CHUNK
                chunk, todo = todo[:size], todo[size:]
                await self._passes.run(Job(seat.target.window, chunk, "last", lambda _rows: None))
            seat.held = True
            return EXACT, held

    async def verify(self, seat: Seat, draft: Draft, asked: bytes, before: int) -> tuple[Verdict, float | None]:
        """The verdict, and when its pass began (None where it was given before). asked: the draft as it was sent.

        Raises OutOfStepError and ContextFullError.
        """
        async with seat.lock:
            seat.used_s = self._clock()
            if (known := await self._passes.compute(lambda: seat.prepare(asked, before))) is not None:
                return known, None
            if before + len(draft) >= self.context_tokens:
                raise ContextFullError(
                    f"A session holds {self.context_tokens} tokens and the draft goes beyond.",
                    "Draft less, or end here.",
                )
            rows = seat.target.rows_for(draft)
            job = Job(seat.target.window, rows, "all", lambda logits: seat.judge(draft, asked, logits))
            return await self._passes.run(job), job.begun_s

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
    return request.sampling, request.seed, request.evidence
