"""A target behind our own verifier: one round trip a round, exact at any sampling.

The verifier applies the same rule with the same random numbers as a target in this process. q is quantised before a
token is drawn from it, so the verifier receives exactly the q that was used.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from speculatoviz.core.rounds import Usage, Verdict
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Draft, Drafting, Exactness, Ints, Request
from speculatoviz.errors import SpeculatoVizError, TargetError, reason_of
from speculatoviz.models.base import Description, Message, VocabularyEntry, fingerprint
from speculatoviz.targets.base import Remote, refuse_constraint, refuse_needs
from speculatoviz.targets.local import claim, committed
from speculatoviz.targets.loop import LoopThread, RemotePending
from speculatoviz.targets.names import shown_url
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import unpack
from speculatoviz.targets.verifier.connection import ConnectionLostError, ConnectionTimeouts, ReconnectingConnection
from speculatoviz.targets.verifier.evidence import vocabulary_of
from speculatoviz.targets.verifier.frames import entries_of, open_frame, submit_frame, verdict_of
from speculatoviz.targets.verifier.table_tokenizer import TableTokenizer

F = TypeVar("F", bound=wire.Frame)

SUPPORT_SIZE = 64  # ids of a q; a round of depth 8 then takes about 3 KiB
_GOODBYE_S = 1.0


class VerifierTarget:
    """A session with a verifier. Connects when it is made.

    clock: seconds. cache_dir: of the vocabularies that were fetched before. fingerprint: of the vocabulary that the
    verifier must have; None for any. tokenizer: of another session with the same verifier. Raises TargetError if the
    verifier cannot be reached, refuses the key, or has another vocabulary or version of the protocol.
    """

    def __init__(
        self,
        url: str,
        loop: LoopThread,
        clock: Callable[[], float],
        cache_dir: Path,
        api_key: str | None = None,
        fingerprint: str | None = None,
        timeouts: ConnectionTimeouts | None = None,
        tokenizer: TableTokenizer | None = None,
    ) -> None:
        self._url, self._loop, self._clock = shown_url(url, "verifier"), loop, clock
        timeouts = timeouts or ConnectionTimeouts()
        self._connection = ReconnectingConnection(url, api_key, fingerprint, timeouts)
        self._again = partial(VerifierTarget, url, loop, clock, cache_dir, api_key, timeouts=timeouts)
        self._session = secrets.token_bytes(16)
        self._begun: Request | None = None
        self._ids: list[int] = []
        self._vocabulary: Ints | None = None  # of the drafts of this request, once one has stated it
        self._pending: RemotePending | None = None
        self.window = None
        self._welcome = loop.call(self._connection.connect)
        try:
            self.tokenizer = tokenizer or self._load_tokenizer(cache_dir)
        except BaseException:
            loop.call(self._connection.close)
            raise
        self.description = _described(self._welcome)

    @property
    def remote(self) -> VerifierTarget:
        return self

    @property
    def request(self) -> Request:
        """The request of the last `begin`. Raises RuntimeError before it."""
        if self._begun is None:
            raise RuntimeError("begin() must be called before submit()")
        return self._begun

    @property
    def context_tokens(self) -> int:
        return self._welcome.limit.context_tokens

    @property
    def drafting(self) -> Drafting:
        trees = self._welcome.trees and RULES[self.request.rule].trees
        most = self._welcome.limit.draft_tokens
        return Drafting(support_size=SUPPORT_SIZE, quantised=True, tokens=most, trees=trees)

    @property
    def most_runs(self) -> int:
        return self._welcome.limit.sessions

    @property
    def noise(self) -> tuple[float, float, float, int, int, int] | None:
        """The verifier's noise floor, with the fields of `measure.noise.Noise`; None if it was not measured."""
        return self._welcome.noise

    @property
    def connections(self) -> int:
        """The number of connections made so far."""
        return self._connection.connections

    def claim(self, request: Request) -> Exactness:
        refuse_needs(request)
        refuse_constraint(request)
        return claim(request, "at the other end, with exactly the q it was drawn from")

    def begin(self, request: Request) -> Exactness:
        self._cancel_pending()
        self._begun, self._ids, self._vocabulary = request, list(request.prompt), None
        self._loop.call(self._open, request.cancelled)
        return self.claim(request)

    def submit(self, draft: Draft) -> RemotePending:
        frame, vocabulary = submit_frame(0, draft, len(self._ids), self._vocabulary), vocabulary_of(draft)
        if vocabulary is not None:
            self._vocabulary = vocabulary
        ids = self._ids
        self._pending = self._loop.pending(lambda: self._round(draft, frame, ids), self.request.cancelled)
        return self._pending

    def stream(self, request: Request) -> Iterator[int]:
        self.begin(request)
        return self._loop.iterate(lambda: self._tokens(request.limits.max_tokens), request.cancelled)

    def strategy(self, request: Request) -> str:
        del request
        return "verifier"

    def about(self) -> Remote:
        limit = self._welcome.limit
        return Remote(
            url=self._url,
            mode="verifier",
            rtt_ms=self._connection.rtt_ms,
            calls_per_round=1.0,
            findings=(
                ("protocol version", str(self._welcome.version)),
                ("vocabulary", f"{self._welcome.fingerprint}, {self._welcome.n_vocab} tokens"),
                ("context", f"{limit.context_tokens} tokens"),
                ("sessions", str(limit.sessions)),
                ("draft", f"up to {limit.draft_tokens} tokens"),
            ),
        )

    def another(self) -> VerifierTarget:
        """A session of its own, over a connection of its own."""
        return self._again(fingerprint=self._welcome.fingerprint, tokenizer=self.tokenizer)

    def held(self, prompt: Sequence[int]) -> int:
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._ids, prompt, strict=False)))

    def close(self) -> None:
        self._cancel_pending()
        with suppress(SpeculatoVizError, TimeoutError):
            self._loop.start(self._leave).result(_GOODBYE_S + 1)

    def _cancel_pending(self) -> None:
        """Cancel a round whose verdict was never asked for: its ids do not belong to the next prompt."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    # ---- on the loop ----

    async def _open(self) -> wire.Opened:
        answer = await self._connection.ask(self._open_frame)
        return _expected(answer.frame, wire.Opened)

    async def _reopen(self) -> None:
        """Open the session on a new connection, with all committed ids. The verifier computes those it has lost."""
        _expected((await self._connection.exchange(self._open_frame)).frame, wire.Opened)

    async def _round(self, draft: Draft, frame: wire.Submit, ids: list[int]) -> Verdict:
        begun_s = self._clock()
        answer = await self._connection.ask(
            lambda number: wire.numbered(frame, number),
            self._reopen,
        )
        judged = _expected(answer.frame, wire.Judged)
        flight_ms = (self._clock() - begun_s) * 1000
        if judged.round != draft.round:
            raise TargetError(f"The verifier answered round {judged.round} instead of {draft.round}.", "Try again.")
        verdict = replace(
            verdict_of(judged, draft),
            exactness=RULES[self.request.rule].label,
            flight_ms=flight_ms,
            network_ms=max(0.0, flight_ms - judged.server_ms),
            usage=Usage(calls=1, sent_bytes=answer.sent_bytes, received_bytes=answer.received_bytes),
        )
        ids += committed(draft, verdict)
        return verdict

    async def _tokens(self, count: int) -> AsyncIterator[int]:
        try:
            answer = await self._connection.ask(lambda number: wire.Plain(number, count), self._reopen)
            frame = answer.frame
            while not isinstance(frame, wire.Finished):
                yield _expected(frame, wire.Token).token
                frame = await self._connection.more()
        except ConnectionLostError as error:
            raise TargetError(
                f"The connection to {self._url} was lost ({reason_of(error)}).", "Start the run again."
            ) from error
        except asyncio.CancelledError:
            await self._connection.drop()
            raise

    async def _leave(self) -> None:
        with suppress(SpeculatoVizError, ConnectionLostError):
            await self._connection.exchange(wire.Bye)
        await self._connection.close()

    def _open_frame(self, number: int) -> wire.Open:
        return open_frame(number, self._session, self.request, self._ids, self._vocabulary)

    # ---- the tokenizer ----

    def _load_tokenizer(self, cache_dir: Path) -> TableTokenizer:
        welcome = self._welcome
        entries = self._entries(cache_dir / "vocabularies" / f"{welcome.fingerprint}.bin")
        return TableTokenizer(
            entries,
            welcome.n_vocab,
            frozenset(unpack(welcome.eos)),
            tuple(unpack(welcome.beginning)),
            self._encode,
            self._encode_chat if welcome.has_chat_template else None,
        )

    def _entries(self, file: Path) -> list[VocabularyEntry]:
        """The vocabulary, from the cache or from the verifier. Its fingerprint is checked either way."""
        with suppress(OSError, SpeculatoVizError):
            frame = wire.server_frame(file.read_bytes())
            if isinstance(frame, wire.Vocabulary):
                entries = entries_of(frame)
                if fingerprint(entries) == self._welcome.fingerprint:
                    return entries
        fetched = self._ask(wire.AskVocabulary, wire.Vocabulary)
        entries = entries_of(fetched)
        if fingerprint(entries) != self._welcome.fingerprint:
            raise TargetError(
                "The verifier's vocabulary is not the one it declares.", "Use the same version on both sides."
            )
        with suppress(OSError):  # then it is fetched again next time
            _store(file, wire.encode(fetched))
        return entries

    def _encode(self, text: str, special: bool) -> list[int]:
        return unpack(self._ask(lambda number: wire.Encode(number, text, special), wire.Ids).ids)

    def _encode_chat(self, messages: Sequence[Message]) -> list[int]:
        turns = [(message["role"], message["content"]) for message in messages]
        return unpack(self._ask(lambda number: wire.EncodeChat(number, turns), wire.Ids).ids)

    def _ask(self, make: Callable[[int], wire.Frame], kind: type[F]) -> F:
        answer = self._loop.call(lambda: self._connection.ask(make))
        return _expected(answer.frame, kind)


def _expected(frame: wire.ServerFrame, kind: type[F]) -> F:
    if not isinstance(frame, kind):
        raise TargetError(
            f"The verifier answered {type(frame).__name__} instead of {kind.__name__}.",
            "Use the same version of SpeculatoViz on both sides.",
        )
    return frame


def _store(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        part = file.with_suffix(".part")
        part.write_bytes(content)
        part.replace(file)


def _described(welcome: wire.Welcome) -> Description:
    return Description(
        name=welcome.name,
        runtime=f"{welcome.runtime}, remote",
        quantisation=welcome.quantisation,
        parameters=welcome.parameters,
        size_bytes=welcome.size_bytes,
        context_tokens=welcome.limit.context_tokens,
        computes_on=welcome.computes_on,
    )
