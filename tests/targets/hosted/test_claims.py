"""What is measured of an endpoint, and what is claimed of its speed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.types import Limits, Penalties, Request, Sampling
from speculatoviz.errors import BadRequestError
from speculatoviz.measure.calibration import RemoteCalibration
from speculatoviz.models.base import Tokenizer
from speculatoviz.session.session import Session
from speculatoviz.session.targets import OpenedTarget
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.telemetry.events import Done, Started
from support import toy_session
from support.hosted import hosted, looped, stand_in
from support.toy_pair import PROMPT


def api(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    """One that takes one prompt a call, so that nobody can say how many calls a round will be."""
    extra = {"return_token_ids": True, "ignore_eos": True}
    return OpenAIApi(endpoint, "toy", Reader(tokenizer), Dialect(extra, frozenset({"top_k", "min_p"}), arrays=False))


@pytest.mark.parametrize("mode", ["match", "generate"])
def test_penalties_are_refused_in_words(mode: str) -> None:
    with looped() as loop:
        target = hosted(stand_in(), api, loop, mode)
        for penalties in (Penalties(presence=0.5), Penalties(bias=((1, 2.0),))):
            request = Request(PROMPT, Sampling(1.0, penalties=penalties), Limits(4))
            with pytest.raises(BadRequestError, match="in this process or behind our own verifier"):
                target.claim(request)


@pytest.mark.parametrize(("mode", "measured"), [("match", True), ("generate", False)])
def test_only_what_verifies_has_baselines(mode: str, measured: bool) -> None:
    with looped() as loop:
        target = hosted(stand_in(), api, loop, mode)
        calibration = RemoteCalibration(target, None, time.perf_counter)
        calibration.measure(PROMPT, lambda: 4, lambda _stage, _share: None)

    assert (calibration.baseline is not None, calibration.per_call is not None) == (measured, measured)
    assert bool(calibration.pass_ms) == measured


@pytest.mark.parametrize(("mode", "claimed"), [("match", True), ("generate", False)])
def test_no_speedup_is_claimed_of_what_was_not_verified(mode: str, claimed: bool) -> None:
    with looped() as loop:
        target = hosted(stand_in(), api, loop, "match")
        session = Session(Settings(_env_file=None, target="toy:0"), OpenedTarget(target), None, time.perf_counter)
        session.calibration.measure(PROMPT, lambda: 4, lambda _stage, _share: None)
        target._probed = replace(target._probed, mode=mode)
        before = session.calibration.per_call
        events = toy_session.run(session, prompt="ab", raw=True, k=0, max_tokens=16, ignore_eos=True)
        [started] = [event for event in events if isinstance(event, Started)]
        [done] = [event for event in events if isinstance(event, Done)]

    assert (started.exactness.label == "unverified") == (not claimed)
    assert (done.metrics.speedup is not None, done.metrics.per_call_speedup is not None) == (claimed, claimed)
    assert (session.calibration.per_call is not before) == claimed
