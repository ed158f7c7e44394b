"""The noise floor is measured at the contexts and rows that runs have, and a greedy text that parts says where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats
from speculatoviz.errors import CancelledError
from speculatoviz.measure.calibration import REFERENCE_CONTEXT, Calibration
from speculatoviz.measure.noise import Noise, NoiseTable, noise_floor
from speculatoviz.measure.text import PASSAGE
from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET
from speculatoviz.models.window import Window
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.events import Done, Started
from support import toy_session

NOISY_FROM = 64  # tokens of context
SHIFT = 0.2  # added to one logit


class Noisy(toy_session.ShortMemory):
    """Like quantised kernels: in long contexts a row of a larger pass differs from the row of a single step."""

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        starts = [feed.context.length for feed in feeds]
        results = super().forward(feeds)
        return [
            Rows(shifted(rows.logits), rows.hidden) if len(feed.tokens) > 1 and start >= NOISY_FROM else rows
            for feed, start, rows in zip(feeds, starts, results, strict=True)
        ]


def shifted(logits: Floats) -> Floats:
    """The second most probable token of each row gains a little."""
    result = logits.copy()
    second = np.argsort(-result, axis=1)[:, 1]
    result[np.arange(len(result)), second] += SHIFT
    return result


def text(count: int) -> list[int]:
    return [(7 * i + i // 5) % 20 for i in range(count)]


def test_a_short_context_hides_the_noise_of_a_long_one() -> None:
    window = Window(Noisy(3, ALPHABET), 512)
    short, long = noise_floor(window, text(48), 4), noise_floor(window, text(160), 4)
    assert (short.max_total_variation, short.argmax_agreement) == (0.0, 1.0)
    assert long.mean_total_variation > 0.01
    assert (long.context_tokens, long.rows, long.tokens) == (160, 4, 16)


def test_the_noise_is_the_total_variation_of_the_two_distributions() -> None:
    """Against the definition, written out: 1/2 sum |softmax(l) - softmax(l + shift)|, mean over 16 positions."""
    model = Noisy(3, ALPHABET)
    ids = text(160)
    variations = []
    for end in range(len(ids) - 16, len(ids)):
        row = model.logits(ids[: end + 1])
        a, b = (np.exp(r - r.max()) / np.exp(r - r.max()).sum() for r in (row, shifted(row[None])[0]))
        variations.append(0.5 * np.abs(a - b).sum())
    found = noise_floor(Window(model, 512), ids, 4)
    assert found.mean_total_variation == pytest.approx(np.mean(variations), rel=1e-12)
    assert found.max_total_variation == pytest.approx(max(variations), rel=1e-12)


def test_a_long_prefill_gives_way_to_a_run() -> None:
    with pytest.raises(CancelledError):
        noise_floor(Window(Noisy(3, ALPHABET), 512), text(400), 4, lambda: True)


def noise(context_tokens: int, rows: int) -> Noise:
    return Noise(0.0, 0.0, 1.0, 16, context_tokens, rows)


@pytest.mark.parametrize(
    ("context_tokens", "rows", "expected"),
    [(40, 5, (64, 5)), (64, 5, (64, 5)), (65, 5, (512, 5)), (600, 5, (512, 5)), (40, 2, (100, 2)), (70, 9, (100, 2))],
)
def test_a_run_is_shown_the_measurement_that_covers_it(
    context_tokens: int, rows: int, expected: tuple[int, int]
) -> None:
    table = NoiseTable()
    assert table.for_run(10, 2) is None
    for measured in (noise(512, 5), noise(64, 5), noise(100, 2)):
        table.add(measured)
    found = table.for_run(context_tokens, rows)
    assert found is not None
    assert (found.context_tokens, found.rows) == expected


def session(folder: Path) -> Session:
    settings = Settings(_env_file=None, target="toy:3", draft="toy:3~7", k=4, cache_dir=str(folder))
    target, draft = Noisy(3, ALPHABET), toy_session.ShortMemory(3, ALPHABET, mix=(7, 0.1))
    made = Session(settings, open_local(target, draft, time.perf_counter), draft, time.perf_counter)
    made.calibration.measure(text(24), lambda: 4, lambda _stage, _share: None)
    return made


def floors(session: Session, **start: object) -> tuple[Started, Done]:
    events = toy_session.run(session, "abcabc", k=4, ignore_eos=True, **start)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    return events[0], events[-1]


def test_the_floor_is_refreshed_as_runs_grow_longer(tmp_path: Path) -> None:
    own = session(tmp_path)
    first, _ = floors(own, max_tokens=150, temperature=0.9)
    assert first.noise_floor is not None
    assert (first.noise_floor.mean_total_variation, first.noise_floor.context_tokens) == (0.0, 40)

    own.calibration.measure_next()  # what the server does while nobody runs anything
    second, _ = floors(own, max_tokens=150, temperature=0.9)
    assert second.noise_floor is not None
    assert second.noise_floor.mean_total_variation > 0.01
    assert second.noise_floor.context_tokens == 156

    third, _ = floors(own, max_tokens=20, temperature=0.9)
    assert third.noise_floor is not None
    assert third.noise_floor.mean_total_variation == 0.0, "a short run is shown what holds for it"
    own.close()


def test_runs_that_are_no_longer_than_what_was_measured_change_nothing(tmp_path: Path) -> None:
    own = session(tmp_path)
    assert isinstance(own.calibration, Calibration)
    floors(own, max_tokens=20)
    assert own.calibration._next_noise() is None
    own.close()


def test_the_reference_text_is_long_enough_for_any_usual_vocabulary() -> None:
    """Vocabularies of 32,000 ids and more write 3 to 5 characters of English in a token."""
    assert len(PASSAGE) > 5 * REFERENCE_CONTEXT


def test_a_greedy_text_that_parts_from_the_plain_one_says_where_and_by_how_little(tmp_path: Path) -> None:
    own = session(tmp_path)
    _, speculative = floors(own, max_tokens=200)
    assert speculative.departure is None, "there is nothing yet to compare it with"
    plain = _plain(own)
    found = plain.departure
    assert found is not None
    position = next(i for i, (a, b) in enumerate(zip(plain.token_ids, speculative.token_ids, strict=True)) if a != b)
    tokens = own.target.tokenizer
    assert found.position == position
    assert found.plain_token == tokens.token_name(plain.token_ids[position])
    assert found.speculative_token == tokens.token_name(speculative.token_ids[position])
    assert found.margin is not None
    assert 0.0 < found.margin <= SHIFT, "only a near tie can turn"
    own.close()


def _plain(own: Session) -> Done:
    event = toy_session.run(own, "abcabc", k=0, ignore_eos=True, max_tokens=200)[-1]
    assert isinstance(event, Done)
    return event


def test_equal_texts_and_sampled_ones_part_nowhere(tmp_path: Path) -> None:
    own = toy_session.load(tmp_path)
    for start in ({"k": 0}, {"k": 3}, {"k": 0, "temperature": 0.8}, {"k": 3, "temperature": 0.8}):
        done = toy_session.run(own, **start)[-1]
        assert isinstance(done, Done)
        assert done.departure is None
    own.close()
