"""What every runtime promises of trees, and of the inputs of inner layers. Checks as in `support.conformance`."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Feed, LanguageModel, LayeredModel
from speculatoviz.models.tree import ancestors
from support.passes import assert_close, ids_of, opened, other_ids, rows_of

#          0
#    1     2     3
#  4   5         6
#  7
PARENTS = [-1, 0, 0, 0, 1, 1, 3, 4]
PATH = [0, 1, 4]


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


# --- inputs of inner layers ---------------------------------------------------------------------------


def inputs_of_layers_belong_to_their_tokens(model: LanguageModel, noise: float) -> None:
    """Of every token, whatever rows are asked for: in batches, after a rewind, in a tree, beside another context."""
    if "layers" not in model.provides:
        return
    assert isinstance(model, LayeredModel)
    ids, tree, wanted = ids_of(model), _tree(model), tuple(range(1, model.layer_count))[:2]
    with opened(model, 2) as [first, second]:
        single = np.concatenate([_inputs(model, Feed(first, [token], layers=wanted)) for token in ids])
        assert single.shape == (len(ids), len(wanted) * model.layer_width)
        first.keep(0)
        scale = float(np.abs(single).max())
        _inputs_close(_inputs(model, Feed(first, ids, "last", layers=wanted)), single, noise * scale)
        for length in (4, 0):  # a rewind may compute tokens again: their inputs are not asked for
            first.keep(length)
            _inputs_close(_inputs(model, Feed(first, ids[length:], layers=wanted)), single[length:], noise * scale)
        first.keep(0)
        feeds = [Feed(second, other_ids(model, 5), hidden="hidden" in model.provides), Feed(first, ids, layers=wanted)]
        rows = model.forward(feeds)
        assert rows[0].layers is None
        assert rows[1].layers is not None
        _inputs_close(rows[1].layers, single, noise * scale)
        reversed_layers = _inputs(model, Feed(second, ids[:1], layers=wanted[::-1]))
        second.keep(5)
        parts = np.split(_inputs(model, Feed(second, ids[:1], layers=wanted)), len(wanted), axis=1)
        _inputs_close(reversed_layers, np.concatenate(parts[::-1], axis=1), noise * scale)
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


NEEDS_TREES = (
    a_tree_gives_the_rows_of_its_chains,
    one_path_of_a_tree_is_kept,
    trees_follow_trees,
    a_tree_is_settled_before_the_next_pass,
)
