"""What every runtime promises. A check takes a loaded model and its stated noise, and raises AssertionError."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import psutil
import pytest

from speculatoviz.errors import BadRequestError, CancelledError, ContextFullError
from speculatoviz.models.base import IN_WORDS, PREFILL_TOKENS, Capability, Context, Feed, LanguageModel, LayeredModel
from speculatoviz.models.prefix_cache import SnapshotContext
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.tree import ancestors
from speculatoviz.models.window import Window

Check = Callable[[LanguageModel, float], None]

TEXT = "the quick brown fox jumps over the lazy dog because it can"
SPLIT = "naïve café 你好 🚀"  # characters that byte-level tokenizers split
SIZE = 128  # of the contexts opened here
#          0
#    1     2     3
#  4   5         6
#  7
PARENTS = [-1, 0, 0, 0, 1, 1, 3, 4]
PATH = [0, 1, 4]
CYCLES = 50  # of opening and closing
MOST_GROWTH_BYTES = 16 << 20


def ids_of(model: LanguageModel) -> list[int]:
    return model.tokenizer.encode(TEXT, special=False)[:9]


def other_ids(model: LanguageModel, count: int) -> list[int]:
    """Others than those of the text, of which a tree's siblings are made."""
    tokens = model.tokenizer.encode("and a few more words go here", special=False)
    return (tokens * count)[:count]


@contextmanager
def opened(model: LanguageModel, count: int = 1, size: int = SIZE) -> Iterator[list[Context]]:
    contexts = [model.open(size) for _ in range(count)]
    try:
        yield contexts
    finally:
        for context in contexts:
            context.close()


def rows_of(model: LanguageModel, context: Context, tokens: Sequence[int], **wanted: Any) -> np.ndarray:
    return np.array(model.forward([Feed(context, tokens, **wanted)])[0].logits)


def one_by_one(model: LanguageModel, context: Context, tokens: Sequence[int]) -> np.ndarray:
    return np.concatenate([rows_of(model, context, [token]) for token in tokens])


def assert_close(got: np.ndarray, expected: np.ndarray, noise: float) -> None:
    """Of a trimmed vocabulary, the logits of the other tokens are minus infinity in every row."""
    assert got.shape == expected.shape
    given = ~np.isneginf(expected).all(axis=0)
    assert given.any()
    assert np.isneginf(got[:, ~given]).all()
    assert np.isfinite(got[:, given]).all()
    worst = float(np.abs(got[:, given] - expected[:, given]).max())
    assert worst <= noise, f"differs by {worst:g}, and the stated noise is {noise:g}"


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


# --- trees --------------------------------------------------------------------------------------------


def _tree(model: LanguageModel) -> list[int]:
    return other_ids(model, 20)[: len(PARENTS)][::-1]


def a_tree_gives_the_rows_of_its_chains(model: LanguageModel, noise: float) -> None:
    ids, tree = ids_of(model)[:5], _tree(model)
    with opened(model) as [context]:
        rows_of(model, context, ids)
        rows = rows_of(model, context, tree, parents=PARENTS)
        assert context.length == len(ids)
        for node in range(len(tree)):
            context.keep(len(ids))
            chain = rows_of(model, context, [tree[i] for i in ancestors(PARENTS, node)])
            assert_close(rows[node : node + 1], chain[-1:], noise)


def one_path_of_a_tree_is_kept(model: LanguageModel, noise: float) -> None:
    ids, tree, after = ids_of(model)[:5], _tree(model), ids_of(model)[5:8]
    with opened(model) as [context]:
        for path in (PATH, PATH[:1], [0, 3, 6], []):
            context.keep(0)
            rows_of(model, context, ids)
            rows_of(model, context, tree, parents=PARENTS)
            context.keep(len(ids), path)
            assert context.length == len(ids) + len(path)
            got = rows_of(model, context, after)
            context.keep(0)
            expected = rows_of(model, context, [*ids, *(tree[node] for node in path), *after])
            assert_close(got, expected[-len(after) :], noise)


def trees_follow_trees(model: LanguageModel, noise: float) -> None:
    """Round after round, beside another sequence that has one of its own in the same pass."""
    ids, tree = ids_of(model)[:4], _tree(model)
    with opened(model, 2) as [first, second]:
        rows_of(model, second, other_ids(model, 6))
        rows_of(model, first, ids)
        committed = list(ids)
        for path in (PATH, [0], [0, 1, 5], PATH):
            model.forward([Feed(first, tree, parents=PARENTS), Feed(second, tree[:3], parents=[-1, -1, 1])])
            first.keep(len(committed), path)
            second.keep(second.length, [1, 2])
            committed += [tree[node] for node in path]
        assert first.length == len(committed)
        got = rows_of(model, first, ids)
        first.keep(0)
        assert_close(got, rows_of(model, first, [*committed, *ids])[-len(ids) :], noise)


def a_tree_is_settled_before_the_next_pass(model: LanguageModel, _: float) -> None:
    with opened(model) as [context]:
        rows_of(model, context, ids_of(model)[:3])
        rows_of(model, context, _tree(model), parents=PARENTS)
        with pytest.raises(ValueError, match="keep"):
            rows_of(model, context, [1])
        for length, path in ((2, PATH), (3, [4]), (3, [0, 4]), (3, [99]), (4, []), (-1, [])):
            with pytest.raises(ValueError, match="expected"):
                context.keep(length, path)
        context.keep(3, PATH)
        with pytest.raises(ValueError, match="after a tree"):
            context.keep(6, PATH)
        with pytest.raises(ValueError, match="parent before"):
            rows_of(model, context, [1, 2], parents=[0, -1])


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


def inputs_of_layers_belong_to_their_tokens(model: LanguageModel, noise: float) -> None:
    """Of every token, whatever rows are asked for: in batches, in a tree, and beside another context in one pass."""
    if "layers" not in model.provides:
        return
    ids, tree, wanted = ids_of(model), _tree(model), (1, 2)
    with opened(model, 2) as [first, second]:
        single = np.concatenate([_inputs(model, Feed(first, [token], layers=wanted)) for token in ids])
        assert isinstance(model, LayeredModel)
        assert single.shape == (len(ids), len(wanted) * model.layer_width)
        first.keep(0)
        scale = float(np.abs(single).max())
        _inputs_close(_inputs(model, Feed(first, ids, "last", layers=wanted)), single, noise * scale)
        first.keep(0)
        feeds = [Feed(second, other_ids(model, 5), hidden="hidden" in model.provides), Feed(first, ids, layers=wanted)]
        rows = model.forward(feeds)
        assert rows[0].layers is None
        assert rows[1].layers is not None
        _inputs_close(rows[1].layers, single, noise * scale)
        reversed_layers = _inputs(model, Feed(second, ids[:1], layers=wanted[::-1]))
        second.keep(5)
        halves = np.split(_inputs(model, Feed(second, ids[:1], layers=wanted)), 2, axis=1)
        _inputs_close(reversed_layers, np.concatenate(halves[::-1], axis=1), noise * scale)
        if "trees" in model.provides:
            rows_of_tree = _inputs(model, Feed(first, tree, parents=PARENTS, layers=wanted))
            for node in range(len(tree)):
                first.keep(len(ids))
                chain = [tree[i] for i in ancestors(PARENTS, node)]
                last = _inputs(model, Feed(first, chain, layers=wanted))[-1:]
                _inputs_close(rows_of_tree[node : node + 1], last, noise * scale)


def _inputs(model: LanguageModel, feed: Feed) -> np.ndarray:
    rows = model.forward([feed])[0].layers
    assert rows is not None
    return np.array(rows)


def _inputs_close(got: np.ndarray, expected: np.ndarray, most: float) -> None:
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= most


def a_layer_that_is_not_there_is_refused(model: LanguageModel, _: float) -> None:
    if "layers" not in model.provides:
        return
    with opened(model) as [context]:
        assert isinstance(model, LayeredModel)
        for layer in (0, model.layer_count):
            with pytest.raises(BadRequestError, match=f"no inner layer {layer}"):
                model.forward([Feed(context, ids_of(model)[:2], layers=(layer,))])
        assert context.length == 0


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
    a_tree_gives_the_rows_of_its_chains,
    one_path_of_a_tree_is_kept,
    trees_follow_trees,
    a_tree_is_settled_before_the_next_pass,
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
NEEDS_TREES = (
    a_tree_gives_the_rows_of_its_chains,
    one_path_of_a_tree_is_kept,
    trees_follow_trees,
    a_tree_is_settled_before_the_next_pass,
)
