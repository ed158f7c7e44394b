"""`POST /api/statistics`: what another engine reports of its speculation, by the definitions used here."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import Field

from speculatoviz.lab.engines import reading
from speculatoviz.lab.engines.statistics import Speculation
from speculatoviz.server.info import Refusal
from speculatoviz.telemetry.parts import Strict

_LONGEST_TEXT = 1 << 20  # characters; the body is limited as well


class StatisticsText(Strict):
    """What an engine answered: one answer, one a line, a recorded stream, or the text of /metrics."""

    text: str = Field(max_length=_LONGEST_TEXT)


class EngineStatistics(Strict):
    """What one source shows. Counts are the engine's, rates are computed from them; null where a count is missing.

    `drafts`: rounds with a draft. `generated`: tokens of the answers. `per_position_acceptance_rate`: of all drafts.
    `conditional_acceptance_rate`: of the drafts that reached a position. `reported_rate`, `reported_length`: the
    engine's own acceptance rate and mean acceptance length. `cannot_show`: what this source cannot show.
    `disagreements`: where its figures contradict each other. `docs/metrics.md` defines the figures.
    """

    source: str
    scope: str
    answers: int
    drafts: int | None
    draft_tokens: int | None
    accepted_tokens: int | None
    generated: int | None
    acceptance_rate: float | None
    mean_acceptance_length: float | None
    tokens_per_pass: float | None
    per_position_acceptance_rate: list[float] | None
    conditional_acceptance_rate: list[float | None] | None
    reported_rate: float | None
    reported_length: float | None
    cannot_show: list[str]
    disagreements: list[str]


class StatisticsFound(Strict):
    """`POST /api/statistics`: one entry for each source in the text; answers of one source are added up."""

    statistics: list[EngineStatistics]


def statistics_router() -> APIRouter:
    """The route. It reads the text that it is sent, and asks no other server."""
    router = APIRouter(responses={400: {"model": Refusal}})

    @router.post("/api/statistics")
    async def statistics(sent: StatisticsText) -> StatisticsFound:
        found = await asyncio.to_thread(reading.read, sent.text, "The text")
        return StatisticsFound(statistics=[_info(record) for record in found])

    return router


def _info(record: Speculation) -> EngineStatistics:
    return EngineStatistics(
        source=record.source,
        scope=record.scope,
        answers=record.answers,
        drafts=record.drafts,
        draft_tokens=record.draft_tokens,
        accepted_tokens=record.accepted_tokens,
        generated=record.generated,
        acceptance_rate=record.acceptance_rate,
        mean_acceptance_length=record.mean_acceptance_length,
        tokens_per_pass=record.tokens_per_pass,
        per_position_acceptance_rate=record.unconditional,
        conditional_acceptance_rate=record.conditional,
        reported_rate=record.reported_rate,
        reported_length=record.reported_length,
        cannot_show=list(record.cannot),
        disagreements=list(record.disagreements),
    )
