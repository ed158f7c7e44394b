"""The drafters by name, with the texts that a user reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

DrafterName = Literal[
    "model",
    "ngram",
    "suffix",
    "lookahead",
    "medusa",
    "eagle",
    "eagle3",
    "p-eagle",
    "dflash",
    "mtp",
    "selfspec",
    "mixture",
    "multi",
    "hybrid",
]
WITH_MODEL = frozenset({"model", "mixture", "multi", "hybrid"})  # those that use the draft model if there is one

# Those that read a predicted output. The first one drafts if a request with a prediction names no drafter.
READS_PREDICTION: tuple[DrafterName, ...] = ("suffix", "hybrid", "multi", "mixture")

# Those that read the target's hidden states or inner layers.
WITH_HEAD = frozenset({"dflash", "eagle", "eagle3", "medusa", "mtp", "p-eagle"})


class About(NamedTuple):
    """title: a few words. help: one sentence. paper: its source. trees: whether it can draft branches."""

    title: str
    help: str
    paper: str
    trees: bool


DRAFTERS: Mapping[DrafterName, About] = {
    "model": About(
        "Draft model",
        "A second, smaller language model drafts.",
        "Leviathan et al. 2023; Chen et al. 2023",
        True,
    ),
    "ngram": About(
        "Prompt lookup",
        "Copies the tokens that followed the same words earlier in the text.",
        "Saxena 2023; Yang et al. 2023",
        False,
    ),
    "suffix": About(
        "Suffix automaton",
        "Continues the longest earlier match in the text and in past outputs, by how often each continuation occurred.",
        "Hu et al. 2024 (SAM-Decoding); Oliaro et al. 2024 (SuffixDecoding)",
        True,
    ),
    "lookahead": About(
        "Lookahead",
        "The target guesses several positions ahead in its own pass and collects n-grams; no second model.",
        "Fu et al. 2024",
        True,
    ),
    "medusa": About(
        "Medusa heads",
        "Small heads on the target's last hidden state predict the next positions at once.",
        "Cai et al. 2024",
        True,
    ),
    "eagle": About(
        "EAGLE head",
        "A one-layer model continues the target's hidden states, token by token.",
        "Li et al. 2024 (EAGLE, EAGLE-2)",
        True,
    ),
    "eagle3": About(
        "EAGLE-3 head",
        "A one-layer model continues the inputs of three of the target's layers; it reads published heads.",
        "Li et al. 2025 (EAGLE-3)",
        True,
    ),
    "p-eagle": About(
        "P-EAGLE head",
        "An EAGLE-3 head that predicts all tokens of a draft in one pass; it reads published heads.",
        "Hui et al. 2026 (P-EAGLE)",
        True,
    ),
    "dflash": About(
        "DFlash head",
        "A few layers on the target's inner layers fill in a whole block of tokens in one pass; it reads published "
        "heads.",
        "Chen et al. 2026 (DFlash)",
        True,
    ),
    "mtp": About(
        "Next-token layer",
        "A layer that the target was trained with predicts the token after the next one, and continues from there.",
        "Gloeckle et al. 2024; DeepSeek-AI 2024 (DeepSeek-V3)",
        True,
    ),
    "selfspec": About(
        "Self-speculation",
        "The target drafts for itself with a cheaper version of itself.",
        "Zhang et al. 2024 (Draft & Verify)",
        True,
    ),
    "mixture": About(
        "Mixture",
        "Blends the distributions of several drafters into one q.",
        "Leviathan et al. 2023: any known q is exact",
        False,
    ),
    "multi": About(
        "Several branches",
        "Several drafters propose a branch each; the tree of all branches is verified at once.",
        "Miao et al. 2024 (SpecInfer)",
        True,
    ),
    "hybrid": About(
        "Match, else model",
        "Copies a confident match if there is one; otherwise the model drafts.",
        "Oliaro et al. 2024 (SuffixDecoding, hybrid)",
        True,
    ),
}
