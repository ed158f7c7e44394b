"""What every runtime promises. A check takes a loaded model and its stated noise, and raises AssertionError."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest

from speculatoviz.errors import BadRequestError, CancelledError, ContextFullError
from speculatoviz.models.base import IN_WORDS, PREFILL_TOKENS, Capability, Feed, LanguageModel
from speculatoviz.models.prefix_cache import SnapshotContext
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.window import Window
from support.conformance_trees import (
    NEEDS_TREES,
    a_layer_that_is_not_there_is_refused,
    inputs_of_layers_belong_to_their_tokens,
)
from support.passes import SIZE, TEXT, assert_close, ids_of, one_by_one, opened, other_ids, rows_of

Check = Callable[[LanguageModel, float], None]

SPLIT = "naïve café 你好 🚀"  # characters that byte-level tokenizers split
CYCLES = 50  # of opening and closing
MOST_GROWTH_BYTES = 16 << 20


# --- sequences ----------------------------------------------------------------------------------------


def batches_give_the_rows_of_single_passes(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    with opened(model) as [context]:
        single = one_by_one(model, context, ids)
        context.keep(0)
        assert_close(rows_of(model, context, ids), single, noise)
        context.keep(0)
        in_threes = np.concatenate([rows_of(model, context, ids[i : i + 3]) for i in range(0, len(ids), 3)])
        assert_close(in_threes, single, noise)
        assert context.length == len(ids)


def the_last_row_alone_is_given_when_asked(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    with opened(model) as [context]:
        every = rows_of(model, context, ids)
        context.keep(0)
        last = rows_of(model, context, ids, rows="last")
        assert every.shape == (len(ids), model.tokenizer.n_vocab)
        assert_close(last, every[-1:], noise)


def rewinding_leaves_no_trace(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    with opened(model) as [context]:
        single = one_by_one(model, context, ids)
        rows_of(model, context, other_ids(model, 5))
        for length in (len(ids), 7, 4, 1, 0):
            context.keep(length)
            assert context.length == length
            assert_close(one_by_one(model, context, ids[length:]), single[length:], noise) if length < len(
                ids
            ) else None
            rows_of(model, context, other_ids(model, 3))


def a_rewind_to_zero_is_a_new_beginning(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    with opened(model, 2) as [used, fresh]:
        rows_of(model, used, other_ids(model, 9))
        used.keep(0)
        assert_close(rows_of(model, used, ids), rows_of(model, fresh, ids), noise)


def logits_depend_on_the_whole_prefix(model: LanguageModel, noise: float) -> None:
    """A cache that is one token off must show."""
    ids = ids_of(model)
    with opened(model) as [context]:
        right = one_by_one(model, context, ids)[-1]
        context.keep(0)
        wrong = one_by_one(model, context, ids[1:])[-1]
        given = np.isfinite(right)
        assert np.abs(right[given] - wrong[given]).max() > noise


def two_sequences_do_not_meet(model: LanguageModel, noise: float) -> None:
    """Grown in turn and in one pass, one of them rewound in between."""
    ids, others = ids_of(model), other_ids(model, 8)
    with opened(model, 2) as [first, second]:
        alone = rows_of(model, first, ids)
        first.keep(0)
        other_alone = rows_of(model, second, others)
        second.keep(0)
        together = [
            [np.array(rows.logits) for rows in model.forward([Feed(first, ids[:4]), Feed(second, others[:6])])],
            [np.array(rows.logits) for rows in model.forward([Feed(second, others[6:]), Feed(first, ids[4:6])])][::-1],
        ]
        second.keep(3)
        last = rows_of(model, first, ids[6:])
        assert_close(np.concatenate([together[0][0], together[1][0], last]), alone, noise)
        assert_close(np.concatenate([together[0][1], together[1][1]]), other_alone, noise)
        assert_close(rows_of(model, second, others[3:5]), other_alone[3:5], noise)


def a_snapshot_brings_back_what_was_held(model: LanguageModel, noise: float) -> None:
    """Of a runtime that makes snapshots: also into another context, and after other tokens have been there."""
    ids = ids_of(model)
    with opened(model, 2) as [first, second]:
        state = first.snapshot() if isinstance(first, SnapshotContext) else None
        if state is None or not isinstance(first, SnapshotContext) or not isinstance(second, SnapshotContext):
            return
        rows_of(model, first, ids[:6])
        state = first.snapshot()
        assert state is not None
        assert first.length == 6
        right = rows_of(model, first, ids[6:])
        rows_of(model, second, other_ids(model, 9))
        first.keep(2)
        rows_of(model, first, other_ids(model, 3))
        for context in (first, second):
            assert context.restore(state, 6)
            assert context.length == 6
            assert_close(rows_of(model, context, ids[6:]), right, noise)
            context.keep(6)
            context.keep(4)
            assert_close(rows_of(model, context, ids[4:])[2:], right, noise)


# --- refusals -----------------------------------------------------------------------------------------


def a_full_context_says_so_and_stays_usable(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    window = Window(model, 16)
    try:
        right = np.array(window.feed(ids))
        with pytest.raises(ContextFullError, match="holds 16 tokens"):
            window.catch_up(ids, lambda: False)
        window.keep(4)
        assert_close(np.array(window.feed(ids[4:])), right[4:], noise)
    finally:
        window.close()


def an_unknown_id_is_refused_and_changes_nothing(model: LanguageModel, noise: float) -> None:
    ids = ids_of(model)
    with opened(model, 2) as [first, second]:
        right = rows_of(model, first, ids)
        first.keep(4)
        for unknown in (model.tokenizer.n_vocab, -1):
            with pytest.raises(BadRequestError, match="outside the vocabulary"):
                model.forward([Feed(first, ids[:2]), Feed(second, [ids[0], unknown])])
        assert (first.length, second.length) == (4, 0)
        assert_close(rows_of(model, first, ids[4:]), right[4:], noise)


def a_pass_that_makes_no_sense_is_refused(model: LanguageModel, _: float) -> None:
    ids = ids_of(model)
    with opened(model, 2) as [first, second]:
        for feeds in (
            [Feed(first, [])],
            [Feed(first, ids[:2]), Feed(second, [])],
            [Feed(first, ids[:2]), Feed(first, ids[2:4])],
        ):
            with pytest.raises(ValueError, match="expected"):
                model.forward(feeds)
        assert (first.length, second.length) == (0, 0)


def what_a_runtime_cannot_give_is_refused_in_words(model: LanguageModel, _: float) -> None:
    ids = ids_of(model)[:3]
    wanted: dict[Capability, dict[str, Any]] = {
        "trees": {"parents": [-1, 0, 0]},
        "hidden": {"hidden": True},
        "layers": {"layers": (1,)},
        "attention": {"attention": True},
    }
    with opened(model) as [context]:
        for extra, feed in wanted.items():
            if extra in model.provides:
                rows = model.forward([Feed(context, ids, **feed)])[0]
                given = (rows.hidden is not None, rows.layers is not None, rows.attention is not None)
                assert given == (extra == "hidden", extra == "layers", extra == "attention")
                if rows.attention is not None:
                    assert rows.attention.shape[2:] == (len(ids), len(ids))
                if rows.hidden is not None:
                    assert rows.hidden.shape[0] == len(ids)
            else:
                with pytest.raises(BadRequestError, match=IN_WORDS[extra]):
                    model.forward([Feed(context, ids, **feed)])
            context.keep(0)


def a_prefill_is_cancelled_between_passes(model: LanguageModel, _: float) -> None:
    ids = (ids_of(model) * SIZE)[: PREFILL_TOKENS + 4]
    window = Window(model, SIZE)
    try:
        looks = iter([False, True])
        with pytest.raises(CancelledError):
            window.prefill(ids, lambda: next(looks))
        assert len(window.ids) == window.context.length == PREFILL_TOKENS
        window.prefill(ids[:-1], lambda: False)
        assert window.context.length == len(ids) - 1
    finally:
        window.close()


# --- rooms and texts ----------------------------------------------------------------------------------


def closing_gives_the_memory_back(model: LanguageModel, noise: float) -> None:
    """Closed twice does no harm; a closed context leaves the others as they are."""
    ids = ids_of(model)

    def cycle() -> None:
        with opened(model) as [context]:
            model.forward([Feed(context, ids[:1], "last")])
            context.close()

    with opened(model, 2) as [closed, other]:
        right = rows_of(model, other, ids[:3])
        rows_of(model, closed, ids[:2])
        other.keep(1)
        closed.close()
        with opened(model) as [heir]:
            rows_of(model, heir, ids[:2])
            closed.close()
            assert_close(rows_of(model, heir, ids[2:3]), right[2:], noise)
        assert_close(rows_of(model, other, ids[1:3]), right[1:], noise)
    for _cycle in range(5):
        cycle()
    before = _resident_bytes()
    for _cycle in range(CYCLES):
        cycle()
    growth = _resident_bytes() - before
    assert growth < MOST_GROWTH_BYTES, f"{growth >> 20} MiB more after {CYCLES} times"


def _resident_bytes() -> int:
    """Without what was freed and not yet given back: a leak could hide in it."""
    gc.collect()
    with suppress(AttributeError):  # glibc's alone
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def end_tokens_are_no_text(model: LanguageModel, _: float) -> None:
    tokenizer = model.tokenizer
    assert tokenizer.eos_ids
    for token in tokenizer.eos_ids:
        assert 0 <= token < tokenizer.n_vocab
        assert tokenizer.token_bytes(token) == b""
        assert tokenizer.token_name(token)


def text_survives_a_round_trip(model: LanguageModel, _: float) -> None:
    """Where the tokenizer knows them, characters split across tokens too."""
    tokenizer = model.tokenizer
    texts = [TEXT] if tokenizer.n_vocab < 256 else [TEXT, SPLIT, "\n\tdef f(x):  return '</s>'", "1234 + 5"]
    for text in texts:
        ids = tokenizer.encode(text, special=False)
        assert b"".join(tokenizer.token_bytes(token) for token in ids).decode() == text
        assert all(tokenizer.token_name(token) for token in ids)
        if text == SPLIT:
            assert any(not tokenizer.token_bytes(token).decode(errors="ignore") for token in ids)


def control_tokens_are_text_unless_they_are_meant(model: LanguageModel, _: float) -> None:
    """By name in a text that is read with them, by id in one that is given in parts."""
    tokenizer = model.tokenizer
    for name, token in list(tokenizer.control_names.items())[:4]:
        assert tokenizer.encode(f"ab{name}ba", special=True) == tokenizer.encode_parts(["ab", token, "ba"])
        assert token in tokenizer.encode(name, special=True)
        with suppress(BadRequestError):  # letters without a token
            assert token not in tokenizer.encode(name, special=False)
            assert tokenizer.encode_parts([name]) == tokenizer.encode(name, special=False)


def a_text_has_one_beginning(model: LanguageModel, _: float) -> None:
    """The model's own, also if the text writes it."""
    tokenizer = model.tokenizer
    names = {token: name for name, token in tokenizer.control_names.items()}
    written = "".join(names.get(token, "") for token in tokenizer.beginning)
    expected = [*tokenizer.beginning, *tokenizer.encode("ab", special=False)]
    assert encode_raw(tokenizer, "ab") == expected
    assert encode_raw(tokenizer, f"{written}ab", control_tokens=True) == expected


CHECKS: tuple[Check, ...] = (
    batches_give_the_rows_of_single_passes,
    the_last_row_alone_is_given_when_asked,
    rewinding_leaves_no_trace,
    a_rewind_to_zero_is_a_new_beginning,
    logits_depend_on_the_whole_prefix,
    two_sequences_do_not_meet,
    *NEEDS_TREES,
    a_snapshot_brings_back_what_was_held,
    inputs_of_layers_belong_to_their_tokens,
    a_layer_that_is_not_there_is_refused,
    a_full_context_says_so_and_stays_usable,
    an_unknown_id_is_refused_and_changes_nothing,
    a_pass_that_makes_no_sense_is_refused,
    what_a_runtime_cannot_give_is_refused_in_words,
    a_prefill_is_cancelled_between_passes,
    closing_gives_the_memory_back,
    end_tokens_are_no_text,
    text_survives_a_round_trip,
    control_tokens_are_text_unless_they_are_meant,
    a_text_has_one_beginning,
)
