"""Every mode of verification at an endpoint, against the toy's own distribution; and broken ones that are caught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Extra, Round
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.targets.hosted import modes
from speculatoviz.targets.hosted.answers import Choice
from speculatoviz.targets.hosted.api import UNKNOWN_TOKEN, Api, ScoredToken
from speculatoviz.targets.hosted.choice import Abilities as Can
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.modes import Verification
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.vllm import VllmApi
from support.hosted import EVERYTHING, MakeApi, hosted, looped, p_value, rounds, stand_in
from support.toy_pair import PROMPT, SAMPLINGS, FixedDrafter, request, run_tokens
from support.two_vocabularies import LongestMatch

SIGNIFICANCE = 1e-4  # seeds are fixed, those of the stand-in too
RUNS = 800
FILTERS = frozenset({"top_k", "min_p"})
IDS = {"return_tokens_as_token_ids": True}
TEXT = Can(tokens=True, scores=True, raw=True, top_n=3, by_id=False, from_text=True)


def vllm(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    return VllmApi(endpoint, "toy", tokenizer)


def plain(
    extra: dict[str, object] | None = None, *, arrays: bool = True, text: bool = False, drawn: bool = True
) -> MakeApi:
    def make(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        dialect = Dialect(extra or {}, FILTERS, arrays=arrays, several_draws=drawn, logprobs=1 if text else None)
        return OpenAIApi(endpoint, "toy", Reader(tokenizer, as_text=text), dialect)

    return make


def measured(
    api: MakeApi, sampling: Sampling, mode: str, can: Can = EVERYTHING, runs: int = RUNS, **switches: object
) -> float:
    with looped() as loop:
        return p_value(hosted(stand_in(**switches), api, loop, mode, can), sampling, runs)


@pytest.mark.parametrize("name", ["greedy", "T=1", "all filters"])
def test_sample_and_match_is_exact(name: str) -> None:
    assert measured(plain(), SAMPLINGS[name], "match") > SIGNIFICANCE


@pytest.mark.full
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_sample_and_match_is_exact_at_any_sampling(sampling: Sampling) -> None:
    assert measured(plain(), sampling, "match", runs=5_000) > SIGNIFICANCE


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
def test_scores_of_vllm_are_exact(sampling: Sampling) -> None:
    assert measured(vllm, sampling, "scores") > SIGNIFICANCE


@pytest.mark.full
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_whatever_auto_chooses_on_vllm_is_exact(sampling: Sampling) -> None:
    assert measured(vllm, sampling, "auto", runs=5_000) > SIGNIFICANCE


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_the_whole_vocabulary_is_exact_at_any_temperature(temperature: float) -> None:
    whole = Can(tokens=True, scores=True, raw=True, top_n=20, whole=True)

    assert measured(vllm, Sampling(temperature, top_p=0.8), "scores", whole, 400, most_logprobs=-1) > SIGNIFICANCE


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)], ids=str)
def test_echoed_scores_are_exact(sampling: Sampling) -> None:
    assert measured(plain(IDS), sampling, "thinning") > SIGNIFICANCE


def test_without_prompt_arrays_there_is_a_call_per_prompt() -> None:
    assert measured(plain(arrays=False), Sampling(1.0), "match", runs=400, arrays=False) > SIGNIFICANCE


@pytest.mark.parametrize("mode", ["match", "thinning"])
def test_text_that_reads_back_is_as_good_as_ids(mode: str) -> None:
    off: dict[str, object] = {"token_prompts": False, "ids": None, "several": False}

    assert measured(plain(text=True, drawn=False), Sampling(1.0), mode, TEXT, **off) > SIGNIFICANCE


# Broken on purpose.


def test_one_seed_for_all_prompts_of_a_call_is_caught() -> None:
    class OneSeed(OpenAIApi):
        calls = 0

        def fields(self, sampling: Sampling) -> dict[str, object]:
            OneSeed.calls += 1
            return {**super().fields(sampling), "seed": OneSeed.calls}

    def make(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return OneSeed(endpoint, "toy", Reader(tokenizer), Dialect({}, FILTERS))

    assert measured(make, Sampling(1.0), "match") < SIGNIFICANCE


def test_a_draw_that_is_not_thinned_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def untested(api: Api, given: Verification, node: int) -> Extra:
        (drawn,) = await api.draws([*given.ids, *given.tokens[:node]], 1, given.usage)
        return Extra(drawn.token, "resampled", None)

    monkeypatch.setattr(modes, "_residual", untested)
    assert measured(vllm, Sampling(1.0), "scores") < SIGNIFICANCE


def test_scores_one_place_late_are_caught() -> None:
    assert measured(vllm, Sampling(1.0), "scores", shifted=True) < SIGNIFICANCE


def test_processed_scores_taken_for_raw_are_caught() -> None:
    """As rows of top-k, where the temperature is then applied twice."""

    class AtWanted(VllmApi):
        async def score(self, ids, start, sampling, top, usage):  # type: ignore[no-untyped-def]
            return await super().score(ids, start, Sampling(0.4), top, usage)

    def make(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return AtWanted(endpoint, "toy", tokenizer)

    assert measured(make, Sampling(0.4, top_k=3), "scores", raw=False) < SIGNIFICANCE


@pytest.mark.parametrize(("drafted", "best", "emitted"), [(2, 1, 1), (1, 2, 1), (1, 1, 1), (2, UNKNOWN_TOKEN, 2)])
def test_of_equal_scores_the_lowest_id_is_the_most_probable(drafted: int, best: int, emitted: int) -> None:
    """best: what the endpoint returns as its most probable token, with the same score as the drafted one."""
    place = ScoredToken(drafted, -1.0, ((best, -1.0),))

    assert modes.most_probable(place) == emitted


# Bounds.


def distance(model: ToyModel, sampling: Sampling, prefix: Sequence[int], known: int) -> float:
    """TV between the target and what its `known` most probable tokens alone would be drawn as."""
    p = distribution(model.logits(prefix), sampling).dense(model.tokenizer.n_vocab)
    kept = np.sort(np.argsort(-model.logits(prefix))[:known])
    drawn = np.zeros_like(p)
    drawn[kept] = p[kept] / p[kept].sum()
    return float(0.5 * np.abs(p - drawn).sum())


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_the_mean_bound_is_at_least_the_distance_from_the_target(temperature: float) -> None:
    """The mean of the bound over rounds against the measured total variation of the first tokens."""
    sampling, letters, known = Sampling(temperature, top_p=1.0, top_k=0, min_p=1e-9), 3, 2
    can = Can(tokens=True, scores=True, raw=True, top_n=known)
    with looped() as loop:
        target = hosted(stand_in(), vllm, loop, "bounded", can)
        firsts, bounds = np.zeros(letters + 1), []
        for run in rounds(target, sampling, RUNS, depth=1):
            firsts[run[0].emitted[0]] += 1
            bounds.append(run[0].verdict.total_variation_bound)
            assert run[0].verdict.exactness == ("bounded" if bounds[-1] > 0 else "exact")
    model = stand_in().model
    p = distribution(model.logits(PROMPT), sampling).dense(letters + 1)
    measured_tv = 0.5 * float(np.abs(firsts / RUNS - p).sum())
    noise = 0.5 * float(np.sqrt(p * (1 - p) / RUNS).sum()) * 3

    assert max(bounds) > 0.0
    assert float(np.mean(bounds)) >= measured_tv - noise
    assert max(bounds) >= distance(model, sampling, PROMPT, known) - 1e-9


def test_bounded_is_labelled_so_from_the_start() -> None:
    with looped() as loop:
        target = hosted(stand_in(), vllm, loop, "bounded", Can(tokens=True, scores=True, raw=True, top_n=2))
        run: list[Round] = next(rounds(target, Sampling(0.7), 1))

        assert {r.verdict.exactness for r in run} <= {"exact", "bounded"}
        assert target.about().mode == "bounded"


# What is shown, and what is refused.


def test_a_match_knows_no_probabilities() -> None:
    with looped() as loop:
        for run in rounds(hosted(stand_in(), plain(), loop, "match"), Sampling(1.0), 20):
            for check in (check for r in run for check in r.verdict.checks):
                assert check.status in {"accepted", "rejected"}
                assert (check.target_prob, check.draft_prob, check.acceptance_prob, check.uniform) == (None,) * 4


def test_every_verdict_says_what_it_took() -> None:
    with looped() as loop:
        served = stand_in(time_info=True)
        run = next(rounds(hosted(served, plain(), loop, "match"), Sampling(0.0), 1))
    usage = run[0].verdict.usage

    assert usage is not None
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (1, 2 + 3 + 4, 3, 0)
    assert usage.sent_bytes
    assert usage.received_bytes


def test_what_generates_by_itself_is_watched_and_not_verified() -> None:
    with looped() as loop:
        target = hosted(stand_in(), plain(), loop, "generate")
        verdicts = [r.verdict for run in rounds(target, Sampling(0.0), 2) for r in run]

    assert {verdict.exactness for verdict in verdicts} == {"unverified"}
    assert verdicts[0].usage is not None
    assert verdicts[0].usage.calls == 1


def test_a_drafted_end_token_ends_what_generates_by_itself() -> None:
    served = stand_in()
    asked = request(Sampling(0.0), 40, served.model)
    with looped() as loop:
        target = hosted(served, plain(), loop, "generate")
        text = tuple(target.stream(asked))
        emitted = run_tokens(asked, target, FixedDrafter(text), len(text), seeded(0))

    assert text[-1] in served.model.tokenizer.eos_ids
    assert emitted == text


NOTHING = Can(tokens=True)
TEXT_ONLY = Can(tokens=False)


@pytest.mark.parametrize(
    ("mode", "can", "sampling", "words"),
    [
        ("scores", NOTHING, Sampling(1.0), "does not score"),
        ("thinning", NOTHING, Sampling(1.0), "does not score"),
        ("bounded", NOTHING, Sampling(1.0), "does not score"),
        ("match", TEXT_ONLY, Sampling(1.0), "its tokenizer is not on this machine"),
        ("scores", EVERYTHING, Sampling(0.7), "do not determine"),
        ("thinning", EVERYTHING, Sampling(1.0, top_k=3), "temperature 1 without filters"),
        ("bounded", Can(tokens=True, scores=True, raw=False, top_n=5), Sampling(0.7), "not raw"),
        ("guess", EVERYTHING, Sampling(1.0), "no mode 'guess'"),
    ],
)
def test_a_mode_that_the_endpoint_cannot_do_is_refused_in_words(
    mode: str, can: Can, sampling: Sampling, words: str
) -> None:
    with looped() as loop, pytest.raises(TargetError) as refused:
        next(rounds(hosted(stand_in(), plain(), loop, mode, can), sampling, 1))

    assert words in str(refused.value)
    assert refused.value.hint


def test_a_filter_that_the_endpoint_lacks_is_refused() -> None:
    def make(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return OpenAIApi(endpoint, "toy", Reader(tokenizer), Dialect())

    with looped() as loop, pytest.raises(TargetError, match="does not apply top_k"):
        next(rounds(hosted(stand_in(), make, loop, "match"), Sampling(1.0, top_k=2), 1))


def test_text_that_reads_back_otherwise_cuts_the_draft_or_ends_in_words() -> None:
    tokenizer = ToyModel(1, (b"a", b"b", b"ab")).tokenizer
    reader = Reader(Merging(tokenizer), as_text=True)

    assert reader.readable([1, 0], [0, 1, 1]) == 1
    with pytest.raises(TargetError, match="not what their text is tokenized to"):
        reader.readable([0, 1], [0])


def test_a_typed_name_of_a_control_token_cannot_be_sent_as_text() -> None:
    """As text it would become the control token; as ids it stays text."""
    tokenizer = LongestMatch([b"<", b"e", b">"], ["<e>"])
    tokenizer.control_names = {"<e>": 3}

    assert Reader(tokenizer, as_text=True).prompt([3, 1]) == "<e>e"
    assert Reader(tokenizer).prompt([0, 1, 2]) == [0, 1, 2]
    with pytest.raises(TargetError, match="contains '<e>' as plain text"):
        Reader(tokenizer, as_text=True).prompt([0, 1, 2, 1])


class Merging:
    """Reads "ab" as one token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, *, special: bool) -> list[int]:
        pieces = text.replace("ab", "x")
        return [{"x": 2, "a": 0, "b": 1}[piece] for piece in pieces]


def test_answers_without_ids_are_read_only_where_one_token_writes_them() -> None:
    reader = Reader(ToyModel(1, ALPHABET[:3]).tokenizer)

    assert reader.drawn(Choice(text="b", finish_reason="length")).token == 1
    assert reader.drawn(Choice(text="", finish_reason="stop")).token == 3
    with pytest.raises(TargetError, match="no token or more than one has this text"):
        reader.drawn(Choice(text="bc", finish_reason="length"))


def test_a_drawn_token_that_its_text_does_not_identify_ends_the_run_in_words() -> None:
    served = stand_in(ToyModel(1, (b"a", b"b", b"b")), ids=None, logprobs=False)
    with looped() as loop, pytest.raises(TargetError, match="'b' and no token id, and no token or more than one"):
        list(rounds(hosted(served, plain(), loop, "match"), Sampling(1.0), 50))
