"""Every drafter by name, in the words a user reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

DrafterName = Literal[
    "model", "ngram", "suffix", "lookahead", "medusa", "eagle", "selfspec", "mixture", "multi", "hybrid"
]
WITH_MODEL = frozenset({"model", "mixture", "multi", "hybrid"})  # for which a draft model computes where there is one


class About(NamedTuple):
    """title: a few words. help: one sentence. paper: where it comes from. trees: whether it can draft branches."""

    title: str
    help: str
    paper: str
    trees: bool


DRAFTERS: Mapping[DrafterName, About] = {
    "model": About(
        "Draft model",
        "A second, cheaper language model writes ahead.",
        "Leviathan et al. 2023; Chen et al. 2023",
        True,
    ),
    "ngram": About(
        "Prompt lookup",
        "Copies what followed the same words earlier in the text.",
        "Saxena 2023; Yang et al. 2023",
        False,
    ),
    "suffix": About(
        "Suffix automaton",
        "Continues the longest earlier match in text and past outputs, by how often each continuation came.",
        "Hu et al. 2024 (SAM-Decoding); Oliaro et al. 2024 (SuffixDecoding)",
        True,
    ),
    "lookahead": About(
        "Lookahead",
        "The target guesses several places ahead in its own pass and collects n-grams from them; no second model.",
        "Fu et al. 2024",
        True,
    ),
    "medusa": About(
        "Medusa heads",
        "Extra heads on the target's last hidden state predict the next few places at once.",
        "Cai et al. 2024",
        True,
    ),
    "eagle": About(
        "EAGLE head",
        "A one-layer model continues the target's hidden states, token by token.",
        "Li et al. 2024 (EAGLE, EAGLE-2)",
        True,
    ),
    "selfspec": About(
        "Self-speculation",
        "The target drafts for itself through a cheaper version of itself.",
        "Zhang et al. 2024 (Draft & Verify)",
        True,
    ),
    "mixture": About(
        "Mixture",
        "Several drafters' distributions blended into one q.",
        "Leviathan et al. 2023: any known q is exact",
        False,
    ),
    "multi": About(
        "Several branches",
        "Several drafters propose a branch each, and the tree of them is verified at once.",
        "Miao et al. 2024 (SpecInfer)",
        True,
    ),
    "hybrid": About(
        "Match, else model",
        "Copies where there is a confident match, and lets the model write elsewhere.",
        "Oliaro et al. 2024 (SuffixDecoding, hybrid)",
        True,
    ),
}
