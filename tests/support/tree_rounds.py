"""Ways to draft a tree over a toy vocabulary, right and wrong, and the exact outcome of a round with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speculatoviz.core.rules import Verify
from speculatoviz.core.sampling import Distribution, distribution, support, without
from speculatoviz.core.types import ROOT, Draft, Limits, Node, Request, Sampling, Support
from speculatoviz.drafters.merge import merge
from speculatoviz.models.runtimes.toy import ToyModel
from support.enumerate import Script
from support.toy_pair import PROMPT, pair, sequence_probs

Propose = Callable[[ToyModel, Script, Sampling], Draft]
Outcome = dict[tuple[int, ...], float]
N_VOCAB = 3  # two letters and the end token: every choice of seven nodes can be listed

#   0     1
#  2 3   4
#  5 6
SEVEN = (-1, -1, 0, 0, 1, 2, 2)
OTHER_SEED = 7  # of a second draft model


def draw_tree(
    model: ToyModel,
    script: Script,
    sampling: Sampling,
    parents: Sequence[int],
    size: int = N_VOCAB,
    deterministic: Sequence[int] = (),
) -> Draft:
    """Siblings drawn without replacement from the model's q; those of `deterministic` chosen: the best one left."""
    own = sampling if not sampling.greedy else Sampling(1.0)
    nodes: list[Node] = []
    left: dict[int, Support | None] = {}
    places = {ROOT: ROOT}  # of the shape's nodes in the draft: where a support is used up there is none
    for wanted, above in enumerate(parents):
        if above not in places:
            continue
        parent = places[above]
        if parent not in left:
            path = [nodes[node].token for node in _path(nodes, parent)]
            left[parent] = support(model.logits([*PROMPT, *path]), own, size)
        q = left[parent]
        if q is None:
            continue
        places[wanted] = len(nodes)
        chosen = wanted in deterministic
        token = int(q.ids[q.probs.argmax()]) if chosen else int(q.ids[script.draw(q.probs, len(nodes))])
        nodes.append(Node(token, parent, None if chosen else q))
        left[parent] = without(q, token)
    return Draft.tree(0, nodes)


def drawn(parents: Sequence[int], size: int = N_VOCAB, deterministic: Sequence[int] = ()) -> Propose:
    return lambda model, script, sampling: draw_tree(model, script, sampling, parents, size, deterministic)


def chosen(tokens: Sequence[int], parents: Sequence[int]) -> Propose:
    nodes = [Node(token, parent) for token, parent in zip(tokens, parents, strict=True)]
    return lambda model, script, sampling: Draft.tree(0, nodes)


def two_drafters(first: Sequence[int], second: Sequence[int], deterministic: Sequence[int] = ()) -> Propose:
    """Two models draft trees of those shapes independently; the nodes of the first's `deterministic` are chosen."""

    def propose(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        other = ToyModel(OTHER_SEED, [b"a", b"b"])
        drafts = [
            draw_tree(model, script, sampling, first, deterministic=deterministic),
            draw_tree(other, script, sampling, second),
        ]
        return merge(0, drafts)

    return propose


TREES: dict[str, Propose] = {
    "two siblings": drawn((-1, -1)),
    "every sibling there is": drawn((-1, -1, -1)),
    "a drawn tree of seven": drawn(SEVEN),
    "narrow support": drawn(SEVEN[:5], size=2),
    "a chosen tree of seven": chosen((0, 1, 1, 0, 0, 2, 1), SEVEN),
    "chosen before drawn": drawn(SEVEN[:5], deterministic=(0, 2)),
    "chosen after drawn": drawn(SEVEN[:5], deterministic=(1, 3)),
    "two drafters, a chain each": two_drafters((-1, 0), (-1, 0)),
    "two drafters, trees": two_drafters((-1, -1, 0), (-1, 0)),
    "two drafters, one chosen": two_drafters((-1, 0), (-1, 0), deterministic=(0, 1)),
}


# --- wrong ones --------------------------------------------------------------------------------------


def wrong_q(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
    """Siblings drawn without replacement that declare the q they had before."""
    draft = draw_tree(model, script, sampling, SEVEN[:5])
    first = {int(parent): draft.q[node] for node, parent in reversed(list(enumerate(draft.parents)))}
    nodes = [
        Node(int(token), int(parent), first[int(parent)])
        for token, parent in zip(draft.tokens, draft.parents, strict=True)
    ]
    return Draft.tree(0, nodes)


def duplicates_dropped(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
    """Two drawn branches, of whose equal first tokens only one is kept."""
    other = ToyModel(OTHER_SEED, [b"a", b"b"])
    drafts = [draw_tree(m, script, sampling, (-1, 0)) for m in (model, other)]
    whole = merge(0, drafts)
    seen: set[tuple[int, int]] = set()
    nodes: list[Node] = []
    for node, (token, parent) in enumerate(zip(whole.tokens.tolist(), whole.parents.tolist(), strict=True)):
        if (parent, token) not in seen:
            seen.add((parent, token))
            nodes.append(Node(token, _shifted(whole, parent, seen_before=nodes), whole.q[node]))
    return Draft.tree(0, nodes)


def _shifted(whole: Draft, parent: int, seen_before: Sequence[Node]) -> int:
    """Where a parent stands once duplicates before it are gone."""
    if parent == ROOT:
        return ROOT
    token = int(whole.tokens[parent])
    return next(i for i, node in enumerate(seen_before) if node.token == token and node.parent == ROOT)


def pruned(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
    """Drawn leaves that look unlikely are taken back."""
    draft = draw_tree(model, script, sampling, (-1, -1))
    nodes = [
        Node(int(token), ROOT, q)
        for token, q in zip(draft.tokens, draft.q, strict=True)
        if q is not None and q.prob(int(token)) >= 0.4
    ]
    return Draft.tree(0, nodes)


WRONG: dict[str, Propose] = {
    "siblings scored with the wrong q": wrong_q,
    "duplicates dropped": duplicates_dropped,
    "sampled nodes pruned by confidence": pruned,
}


# --- outcomes ----------------------------------------------------------------------------------------


def outcome(
    propose: Propose, sampling: Sampling, verify: Verify, length: int, letters: int = N_VOCAB - 1
) -> tuple[Outcome, float]:
    """P(first `length` tokens), one round enumerated and continued from the target itself; mean accepted tokens."""
    target, draft_model = pair(letters)
    script = Script()
    result: Outcome = {}
    accepted = 0.0

    def p_behind(output: tuple[int, ...]) -> Distribution:
        return distribution(target.logits([*PROMPT, *output]), sampling)

    def one_round() -> tuple[int, ...]:
        draft = propose(draft_model, script, sampling)
        decision = verify(draft, lambda node: p_behind(tuple(draft.tokens[draft.path(node)].tolist())), script)
        return *draft.tokens[list(decision.path)].tolist(), decision.extra.token

    for prob, emitted in script.outcomes(one_round):
        accepted += prob * (len(emitted) - 1)
        for output, more in _continued(emitted, length, p_behind, letters):
            result[output] = result.get(output, 0.0) + prob * more
    return result, accepted


def truth(sampling: Sampling, length: int, letters: int = N_VOCAB - 1) -> Outcome:
    target, _ = pair(letters)
    limits = Limits(length, ignore_eos=True)
    return sequence_probs(target, Request(PROMPT, sampling, limits, evidence=False))


def _continued(
    emitted: tuple[int, ...], length: int, p_behind: Callable[[tuple[int, ...]], Distribution], letters: int
) -> list[tuple[tuple[int, ...], float]]:
    grown = [(emitted[:length], 1.0)]
    for _ in range(length - len(emitted)):
        grown = [
            ((*output, token), prob * float(p))
            for output, prob in grown
            for token, p in enumerate(p_behind(output).dense(letters + 1))
            if p > 0
        ]
    return grown


def _path(nodes: Sequence[Node], node: int) -> list[int]:
    path: list[int] = []
    while node != ROOT:
        path.append(node)
        node = nodes[node].parent
    return path[::-1]
